"""Near-duplicates between clips: copies that were encoded again or resized, or cut a frame apart where little moves.

A clip's fingerprint is its first, middle and last frame at 6 x 6 pixels in colour. Two clips are near-duplicates when
the root mean square difference of their fingerprints is at most `LIMIT` levels. Candidates come from locality-sensitive
hashing (Datar et al. 2004: cells of random projections), so that time grows as n log n. Projections are whole numbers
and their sums exact in float32: no order of computation changes a result.

Crops, borders, mirrored copies and other grading are not found. Clips that show next to nothing (black, one colour) are
duplicates of each other.
"""

from collections.abc import Iterator, Sequence

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

SIDE = 6
FRAMES = 3
LENGTH = FRAMES * SIDE * SIDE * 3
"""Bytes of a fingerprint."""
LIMIT = 4.0
"""Root mean square difference, in levels (0 … 255), up to which two clips are near-duplicates. On real video, H.264 at
crf 28 to 38 and a quarter of the size gave 1.0 to 3.1, neighbouring seconds of one still shot 5.7 and more."""
METHOD = f"near-duplicates: three frames at {SIDE} px in colour, at most {LIMIT:g} levels RMS apart"

TABLES = 12
PROJECTIONS = 10
"""Of each table: two clips `LIMIT` apart meet in at least one table in 7 of 10 cases, half as far in 99 of 100."""
SCALE = 4
"""Projections are whole numbers of this standard deviation."""
CELL = 4 * SCALE * LIMIT * LENGTH**0.5
"""Width of a projection's cells: four standard deviations of what lies `LIMIT` apart."""
NEIGHBOURS = 4
"""Clips of one cell are compared with the next few of it; connected ones form one group."""
CHUNK = 1 << 16

Fingerprints = NDArray[np.uint8]


def fingerprint(keyframes: Sequence[NDArray[np.uint8]]) -> Fingerprints:
    """`LENGTH` bytes of a clip's first, middle and last frame, uint8 RGB (H, W, 3)."""
    small = [cv2.resize(frame, (SIDE, SIDE), interpolation=cv2.INTER_AREA) for frame in keyframes]
    return np.stack(small).astype(np.uint8).ravel()


def duplicates(fingerprints: Fingerprints, clip_ids: Sequence[str]) -> list[str | None]:
    """For each clip, the one that it repeats (the first by id of its group), or null for those that stay.

    `fingerprints` is (n, LENGTH), in memory or mapped from disk; beside it, some 60 bytes a clip are needed.
    """
    count = len(clip_ids)
    pairs = np.concatenate([np.zeros((2, 0), dtype=np.int64), *_pairs(fingerprints)], axis=1)
    edges = coo_array((np.ones(pairs.shape[1], dtype=np.int8), (pairs[0], pairs[1])), shape=(count, count))
    _, groups = connected_components(edges, directed=False)
    originals: dict[int, str] = {}
    for row in np.unique(pairs).tolist():
        group = int(groups[row])
        originals[group] = min(clip_ids[row], originals.get(group, clip_ids[row]))
    found = (originals.get(int(group)) for group in groups)
    return [None if original == clip_id else original for original, clip_id in zip(found, clip_ids, strict=True)]


def _pairs(fingerprints: Fingerprints) -> Iterator[NDArray[np.int64]]:
    """Rows (2, k) of near-duplicates, by table."""
    rng = np.random.default_rng(0)
    for _ in range(TABLES):
        keys = _cells(fingerprints, rng)
        order = np.argsort(keys, kind="stable")
        ordered = keys[order]
        for step in range(1, NEIGHBOURS + 1):
            same = np.flatnonzero(ordered[step:] == ordered[:-step])
            yield _near(fingerprints, order[same], order[same + step])


def _cells(fingerprints: Fingerprints, rng: np.random.Generator) -> NDArray[np.int64]:
    """The cell (as a hash of its coordinates) of each clip in a table of random projections."""
    directions = np.round(rng.normal(0, SCALE, size=(LENGTH, PROJECTIONS))).astype(np.float32)
    offsets = rng.uniform(0, CELL, size=PROJECTIONS)
    mixers = rng.integers(1, 2**62, size=PROJECTIONS, dtype=np.int64) | 1
    keys = np.empty(len(fingerprints), dtype=np.int64)
    for start in range(0, len(fingerprints), CHUNK):
        projected = fingerprints[start : start + CHUNK].astype(np.float32) @ directions
        coordinates = np.floor((projected + offsets) / CELL).astype(np.int64)
        keys[start : start + CHUNK] = (coordinates * mixers).sum(axis=1)  # overflow wraps, as a hash may
    return keys


def _near(fingerprints: Fingerprints, one: NDArray[np.int64], other: NDArray[np.int64]) -> NDArray[np.int64]:
    kept = [np.zeros((2, 0), dtype=np.int64)]
    for start in range(0, len(one), CHUNK):
        pair = np.stack([one[start : start + CHUNK], other[start : start + CHUNK]])
        difference = fingerprints[pair[0]].astype(np.float32) - fingerprints[pair[1]]
        kept.append(pair[:, (difference**2).mean(axis=1) <= LIMIT**2])
    return np.concatenate(kept, axis=1)
