"""Every random draw of training, from (seed, stage, sample index) alone.

Nothing is carried from one draw to the next, so neither batch size nor interruptions can change what a sample sees.
"""

import functools
from zlib import crc32

import numpy as np
from numpy.typing import NDArray


def sample_rng(seed: int, stage: str, index: int) -> np.random.Generator:
    """The generator of one sample."""
    return np.random.default_rng([seed, crc32(stage.encode()), index])


@functools.lru_cache(maxsize=2)
def epoch_order(seed: int, epoch: int, size: int) -> NDArray[np.int64]:
    """A permutation of 0 .. size - 1: one epoch's global shuffle without replacement."""
    return sample_rng(seed, "order", epoch).permutation(size)


def row_of_sample(seed: int, index: int, size: int) -> int:
    """Which of `size` rows the sample `index` (counted from the start of training) reads."""
    return int(epoch_order(seed, index // size, size)[index % size])
