"""What every metric asks of the videos it is given."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Videos = Tensor | NDArray[Any] | Iterable[Tensor | NDArray[Any]]
"""Videos (N, T, 3, H, W), or anything that yields clips (T, 3, H, W) one by one: floats in [0, 1]."""

ClipEncoder = Callable[[Tensor], Tensor]
"""From one clip, float (T, 3, H, W) in [0, 1], to features (k, d): one row for the video or for each frame used."""


def clips_of(videos: Videos, name: str) -> Iterator[Tensor]:
    """
    The clips of `videos` one by one, each float32 (T, 3, H, W), so that a generator of any length needs little memory.

    Raises ValueError, naming the set, the clip's index and what was seen, for other layouts, integers, values outside
    [0, 1], NaN, and clips of unequal shapes.
    """
    if isinstance(videos, Tensor | np.ndarray) and (videos.ndim != 5 or videos.shape[2] != 3):
        raise ValueError(
            f"{name}: expected videos (N, T, 3, H, W), got shape {tuple(videos.shape)}{_layout_hint(videos.shape)}"
        )
    if isinstance(videos, str | bytes | dict):
        raise ValueError(f"{name}: expected videos (N, T, 3, H, W), got {type(videos).__name__}")
    first: tuple[int, ...] | None = None
    for index, clip in enumerate(videos):
        tensor = as_tensor(clip, f"{name}: clip {index}")
        _check(tensor, name, index)
        first = first or tuple(tensor.shape)
        if tuple(tensor.shape) != first:
            raise ValueError(
                f"{name}: clip {index} has shape {tuple(tensor.shape)}, clip 0 has {first}: "
                "all clips of a set need the same number of frames and the same size"
            )
        yield tensor.float()


def as_tensor(values: Any, what: str) -> Tensor:
    """Any array as a tensor without a gradient. Raises ValueError, beginning with `what`, for what is no array."""
    if isinstance(values, Tensor):
        return values.detach()
    try:
        array = np.asarray(values)
        return torch.from_numpy(np.require(array, array.dtype.newbyteorder("="), ["C", "W"]))
    except (TypeError, ValueError) as error:
        raise ValueError(f"{what} is no array of numbers: {error}") from error


def float_videos(videos: Videos, name: str) -> Tensor:
    """All of `clips_of` at once, float32 (N, T, 3, H, W)."""
    clips = list(clips_of(videos, name))
    if not clips:
        raise ValueError(f"{name}: expected videos (N, T, 3, H, W), got none")
    return torch.stack(clips)


def _check(clip: Tensor, name: str, index: int) -> None:
    if clip.ndim != 4 or clip.shape[1] != 3 or 0 in clip.shape:
        raise ValueError(f"{name}: expected clip {index} to be (T, 3, H, W), got shape {tuple(clip.shape)}")
    if not clip.is_floating_point():
        raise ValueError(f"{name}: expected floats in [0, 1], got {clip.dtype}; divide uint8 by 255")
    if clip.isnan().any():
        frame = int(clip.isnan().flatten(1).any(1).nonzero()[0])
        raise ValueError(f"{name}: clip {index} has NaN pixels, first in frame {frame}")
    low, high = clip.aminmax()
    if low < 0 or high > 1:
        raise ValueError(f"{name}: clip {index} has values outside [0, 1]: from {low:.9g} to {high:.9g}")


def _layout_hint(shape: tuple[int, ...]) -> str:
    """What the axes seem to be, if the channels are just in another place."""
    if len(shape) == 5 and shape[1] == 3:
        return "; that looks like (N, C, T, H, W): transpose axes 1 and 2"
    if len(shape) == 5 and shape[4] == 3:
        return "; that looks like (N, T, H, W, C): move the last axis behind T"
    if len(shape) == 4:
        return "; a single clip needs an axis of length 1 in front"
    return ""


def first_middle_last(clip: Tensor) -> Tensor:
    """Three frames of a clip (T, 3, H, W): neighbouring frames differ too little to tell an image encoder much."""
    return clip[[0, len(clip) // 2, len(clip) - 1]]
