"""TSED (Yu et al. 2023): do views show one rigid scene? Matched points must lie on each other's epipolar lines."""

import cv2
import numpy as np
from numpy.typing import NDArray

MATCHES = 10
"""Fewest matches of a consistent pair (the authors' T_matches)."""
ERROR = 2.0 / 256
"""Largest median distance of a consistent pair, as a share of the shorter side: the authors' two pixels of 256."""
RATIO = 0.8
"""A match must be this much nearer than the second best (Lowe 2004)."""

Floats = NDArray[np.float64]


def consistent_pairs(views: NDArray[np.uint8], cameras: Floats) -> NDArray[np.float64]:
    """
    1.0 for each neighbouring pair of uint8 views (V, 3, H, W) that is consistent, else 0.0: (V - 1,).

    `cameras` (V, 3, 4) are the exact projections of `epipolar_distances`. Consistent means at least ten SIFT matches,
    mutual and passing the ratio test, whose median symmetric epipolar distance is below 2/256 of the shorter side.
    Pictures without texture have no matches, so they are inconsistent: state the value of the true views beside it.
    """
    points = [_features(view) for view in views]
    pairs = zip(points, points[1:], cameras, cameras[1:], strict=False)
    threshold = ERROR * min(views.shape[2:])
    return np.array([float(_consistent(*pair, threshold)) for pair in pairs])


def epipolar_distances(a: Floats, b: Floats, camera_a: Floats, camera_b: Floats) -> Floats:
    """
    Symmetric epipolar distances (n,) in pixels of points (n, 2) in view a matched to points (n, 2) in view b.

    Half the sum of each point's distance to the other's epipolar line (Yu et al. 2023). Cameras (3, 4) project world
    points (X, Y, Z, 1) to pixels (x, y) · w, the centre of the first pixel at (0, 0).
    """
    fundamental = fundamental_matrix(camera_a, camera_b)
    ones = np.ones((len(a), 1))
    homogeneous_a, homogeneous_b = np.hstack([a, ones]), np.hstack([b, ones])
    lines_b, lines_a = homogeneous_a @ fundamental.T, homogeneous_b @ fundamental
    along = np.abs((homogeneous_b * lines_b).sum(1))
    return np.asarray(
        along / 2 * (1 / np.linalg.norm(lines_b[:, :2], axis=1) + 1 / np.linalg.norm(lines_a[:, :2], axis=1))
    )


def fundamental_matrix(camera_a: Floats, camera_b: Floats) -> Floats:
    """F (3, 3) with bᵀ F a = 0 for projections a and b of one point: [e]ₓ P_b P_a⁺ (Hartley & Zisserman, eq. 9.1)."""
    centre = np.linalg.svd(camera_a)[2][-1]
    x, y, z = camera_b @ centre
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.asarray(cross @ camera_b @ np.linalg.pinv(camera_a))


Points = tuple[Floats, NDArray[np.float32]]
"""Places (n, 2) in pixels and SIFT descriptors (n, 128)."""


def _features(view: NDArray[np.uint8]) -> Points:
    grey = cv2.cvtColor(np.ascontiguousarray(view.transpose(1, 2, 0)), cv2.COLOR_RGB2GRAY)
    keypoints, descriptors = cv2.SIFT.create().detectAndCompute(grey, np.full_like(grey, 255))
    places = np.array([point.pt for point in keypoints], np.float64).reshape(-1, 2)
    return places, np.zeros((0, 128), np.float32) if descriptors is None else np.asarray(descriptors, np.float32)


def _consistent(a: Points, b: Points, camera_a: Floats, camera_b: Floats, threshold: float) -> bool:
    if min(len(a[0]), len(b[0])) < MATCHES:
        return False
    matches = _matches(a[1], b[1])
    if len(matches) < MATCHES:
        return False
    distances = epipolar_distances(a[0][matches[:, 0]], b[0][matches[:, 1]], camera_a, camera_b)
    return bool(np.median(distances) < threshold)


def _matches(a: NDArray[np.float32], b: NDArray[np.float32]) -> NDArray[np.int64]:
    """Index pairs (n, 2) of descriptors that are each other's nearest and pass the ratio test."""
    there = _nearest(a, b)
    back = _nearest(b, a)
    return np.array([(i, j) for i, j in there.items() if back.get(j) == i], np.int64).reshape(-1, 2)


def _nearest(a: NDArray[np.float32], b: NDArray[np.float32]) -> dict[int, int]:
    found = cv2.BFMatcher(cv2.NORM_L2).knnMatch(a, b, k=2)
    return {best.queryIdx: best.trainIdx for best, second in found if best.distance < RATIO * second.distance}
