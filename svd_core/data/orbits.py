"""
Orbits around objects, with exact cameras: how they lie on disk, whoever rendered them.

    ROOT/SPLIT/OBJECT/000.png 001.png …   8-bit RGB or RGBA, all of one size; transparent pixels become white
    ROOT/SPLIT/OBJECT/cameras.json        {"intrinsics": 3 x 3, "world_to_camera": [3 x 4, one a view],
                                           "elevation_deg": number, "azimuth_deg": [one a view]}

A split never shares an object with another. Cameras look along +z with x to the right and y down, in pixels, the centre
of the first pixel at (0, 0); `intrinsics @ world_to_camera` projects a world point (X, Y, Z, 1). Renders of GSO or
Objaverse in this layout are read like those of `svd_core.data.objects`.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

VIEWS = 21
"""Of a whole turn (the paper's)."""

Floats = NDArray[np.float64]
Image = NDArray[np.uint8]


@dataclass(frozen=True)
class Orbit:
    """
    One object: `images` uint8 RGB (V, H, W, 3), `intrinsics` (3, 3), `world_to_camera` (V, 3, 4), angles in degrees.

    The elevation is one for the whole orbit; azimuths grow by 360 / V.
    """

    images: Image
    intrinsics: Floats
    world_to_camera: Floats
    elevation: float
    azimuths: Floats

    @property
    def cameras(self) -> Floats:
        """Projections (V, 3, 4) of world points to pixels, as `bench.metrics.multiview` takes them."""
        return np.asarray(self.intrinsics @ self.world_to_camera)


def orbit_poses(elevation: float, distance: float, views: int = VIEWS) -> tuple[Floats, Floats]:
    """World-to-camera matrices (V, 3, 4) that look at the origin from a circle around the z axis, and azimuths (V,)."""
    azimuths = np.arange(views) * 360 / views
    return np.stack([_pose(np.radians(azimuth), np.radians(elevation), distance) for azimuth in azimuths]), azimuths


def write_orbit(folder: Path, orbit: Orbit) -> None:
    """One object's folder; the cameras are written last, so that a folder without them is an unfinished one."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, image in enumerate(orbit.images):
        cv2.imwrite(str(folder / f"{number:03d}.png"), cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    cameras = {
        "intrinsics": orbit.intrinsics.tolist(),
        "world_to_camera": orbit.world_to_camera.tolist(),
        "elevation_deg": orbit.elevation,
        "azimuth_deg": orbit.azimuths.tolist(),
    }
    (folder / "cameras.json").write_text(json.dumps(cameras) + "\n")


def read_orbit(folder: Path) -> Orbit:
    """One object's folder. Raises ValueError naming the file for missing or unequal images and for bad cameras."""
    path = folder / "cameras.json"
    if not path.is_file():
        raise ValueError(f"{path} is missing: the folder of an object holds its views and cameras.json")
    try:
        cameras = json.loads(path.read_text())
        intrinsics, poses, azimuths = (
            np.array(cameras[key], np.float64) for key in ("intrinsics", "world_to_camera", "azimuth_deg")
        )
        elevation = float(cameras["elevation_deg"])
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path}: expected the keys and shapes of svd_core.data.orbits, got {error!r}") from error
    views = len(azimuths) if azimuths.ndim == 1 else 0
    if not views or intrinsics.shape != (3, 3) or poses.shape != (views, 3, 4):
        seen = f"intrinsics {intrinsics.shape}, world_to_camera {poses.shape}, azimuth_deg {azimuths.shape}"
        raise ValueError(f"{path}: expected (3, 3), (V, 3, 4) and (V,), got {seen}")
    return Orbit(read_views(folder, range(views)), intrinsics, poses, elevation, azimuths)


def read_views(folder: Path, numbers: Sequence[int]) -> Image:
    """Views with these numbers, uint8 RGB (V, H, W, 3). Raises ValueError naming a missing or unequal file."""
    images = [_read(folder / f"{number:03d}.png") for number in numbers]
    for number, image in zip(numbers, images, strict=True):
        if image.shape != images[0].shape:
            raise ValueError(f"{folder / f'{number:03d}.png'}: size {image.shape[:2]}, the first {images[0].shape[:2]}")
    return np.stack(images)


def read_orbits(root: Path, split: str) -> Iterator[tuple[str, Orbit]]:
    """Names and orbits of a split, by name. Raises ValueError for an empty split, or one that shares an object."""
    folders = sorted(path for path in (root / split).glob("*") if path.is_dir())
    if not folders:
        raise ValueError(f"{root / split} holds no objects")
    for folder in folders:
        for other in root.glob(f"*/{folder.name}"):
            if other != folder:
                raise ValueError(f"object {folder.name!r} is in two splits: {folder} and {other}")
        yield folder.name, read_orbit(folder)


def _read(path: Path) -> Image:
    image = cv2.imread(str(path), cv2.IMREAD_UNCHANGED) if path.is_file() else None
    if image is None or image.dtype != np.uint8 or image.ndim != 3:
        raise ValueError(f"{path} is missing or no 8-bit RGB or RGBA image")
    if image.shape[2] == 4:
        alpha = image[..., 3:].astype(np.float32) / 255
        image = np.rint(image[..., :3] * alpha + 255 * (1 - alpha)).astype(np.uint8)
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), np.uint8)


def _pose(azimuth: float, elevation: float, distance: float) -> Floats:
    """The camera at that place, x to the right, y down, z towards the origin: (3, 4)."""
    sin, cos = np.sin(azimuth), np.cos(azimuth)
    forward = -np.array([cos * np.cos(elevation), sin * np.cos(elevation), np.sin(elevation)])
    right = np.array([-sin, cos, 0])
    return np.column_stack([np.stack([right, np.cross(forward, right), forward]), [0, 0, distance]])
