"""
Named protocols of FVD: which frames of a video are judged, and how they become the 224 x 224 pixels that I3D sees.

Public FVD codes differ in just these choices, by up to tens of percent; so a value is never reported without its
protocol. All of them compare the 400 logits.
"""

from dataclasses import dataclass, replace
from typing import Any, Literal, Self

import torch
import torch.nn.functional as F
from torch import Tensor

from bench.names import check_name
from svd_core.encoders.i3d import MIN_FRAMES, SIDE

Start = Literal["first", "centre", "random"]


@dataclass(frozen=True)
class Protocol:
    """
    How clips are taken from videos in time (`frames` … `start_generated`), and how their frames are resized.

    Every `stride`-th frame of a video counts; `clips_per_video` clips of `frames` frames (0: all that do not overlap)
    are taken from its start, its centre, or a place drawn from the file's content. `crop` is done before anything else:
    frames are resized to its height with antialiasing, and the centre of its width is kept. `fit` then says how frames
    reach I3D's 224 x 224: "stretch" (bilinear, half-pixel centres, no antialiasing), "stretch-tf1" (bilinear as
    TensorFlow 1 did, without half-pixel centres) or "centre-crop" (shorter side to 224, then the centre).

    Arrays given to `fvd` are clips already: only `crop` and `fit` apply to them.
    """

    name: str
    fit: Literal["stretch", "stretch-tf1", "centre-crop"]
    frames: int = 16
    stride: int = 1
    clips_per_video: int = 1
    start_real: Start = "first"
    start_generated: Start = "first"
    crop: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        if self.frames < 1 or self.stride < 1 or self.clips_per_video < 0:
            raise ValueError(
                f"a protocol needs frames >= 1, stride >= 1 and clips_per_video >= 0, got {self.frames}, {self.stride} "
                f"and {self.clips_per_video}"
            )

    def but(self, frames: int | None, stride: int | None, clips_per_video: int | None) -> Self:
        """The same with other values in time; its name then says so, for it is no longer the published protocol."""
        given = {"frames": frames, "stride": stride, "clips_per_video": clips_per_video}
        changed: dict[str, Any] = {
            key: value for key, value in given.items() if value is not None and value != getattr(self, key)
        }
        if not changed:
            return self
        words = ", ".join(f"{key.replace('_', ' ')} {value}" for key, value in changed.items())
        return replace(self, name=f"{self.name} ({words})", **changed)

    def cropped(self, clip: Tensor) -> Tensor:
        """`crop` alone, of float (T, 3, H, W): what every metric of a set sees."""
        if self.crop is None or tuple(clip.shape[-2:]) == self.crop:
            return clip
        height, width = self.crop
        scaled = round(clip.shape[-1] * height / clip.shape[-2])
        if scaled < width:
            raise ValueError(
                f"protocol {self.name!r} cuts {height} x {width} pixels out of the centre, but frames of "
                f"{clip.shape[-2]} x {clip.shape[-1]} are only {scaled} wide at that height"
            )
        frames = F.interpolate(clip, (height, scaled), mode="bilinear", align_corners=False, antialias=True)
        return _centre(frames, height, width)

    def for_i3d(self, clip: Tensor) -> Tensor:
        """
        A cropped clip, float (T, 3, H, W) in [0, 1], as it goes to I3D: (T, 3, 224, 224), T at least 9.

        A "stretch" is left to `I3D.features`, which does just that.
        """
        if len(clip) < MIN_FRAMES:
            raise ValueError(f"FVD needs at least {MIN_FRAMES} frames, got {len(clip)}")
        match self.fit:
            case "stretch":
                return clip
            case "stretch-tf1":
                return _tf1_bilinear(_tf1_bilinear(clip, -2), -1)
            case "centre-crop":
                height, width = clip.shape[-2:]
                scale = SIDE / min(height, width)
                size = (max(SIDE, round(height * scale)), max(SIDE, round(width * scale)))
                return _centre(F.interpolate(clip, size, mode="bilinear", align_corners=False), SIDE, SIDE)


PROTOCOLS = {
    protocol.name: protocol
    for protocol in (
        # StyleGAN-V (Skorokhodov et al. 2022), "fvd2048_16f": real clips from a random place, generated from the start
        Protocol("stylegan-v", fit="stretch", start_real="random"),
        # The original code (Unterthiner et al. 2018; google-research/frechet_video_distance): tf.image.resize_bilinear
        Protocol("unterthiner", fit="stretch-tf1"),
        # VideoGPT (Yan et al. 2021), TATS, content-debiased FVD: aspect ratio kept; the place in time is our choice
        Protocol("centre-crop", fit="centre-crop", start_real="centre", start_generated="centre"),
        # SVD's zero-shot UCF-101 (appendix): 13,320 videos, 320 x 576 -> 240 x 432 antialiased -> centre 240 x 320;
        # which 16 frames is unpublished: the first
        Protocol("ucf101-zero-shot", fit="stretch", crop=(240, 320)),
    )
}


def protocol_named(name: str) -> Protocol:
    """The protocol. Raises ValueError with the nearest name if there is none."""
    check_name(name, PROTOCOLS, "FVD protocol")
    return PROTOCOLS[name]


def _centre(frames: Tensor, height: int, width: int) -> Tensor:
    top, left = (frames.shape[-2] - height) // 2, (frames.shape[-1] - width) // 2
    return frames[..., top : top + height, left : left + width]


def _tf1_bilinear(frames: Tensor, dim: int) -> Tensor:
    """One axis resized to 224 as `tf.image.resize_bilinear` did: output i reads input i · length / 224."""
    length = frames.shape[dim]
    places = torch.arange(SIDE, dtype=torch.float64, device=frames.device) * (length / SIDE)
    low = places.long()
    weights = (places - low).to(frames.dtype)
    shape = [-1, 1] if dim == -2 else [-1]
    high = (low + 1).clamp(max=length - 1)
    return torch.lerp(frames.index_select(dim, low), frames.index_select(dim, high), weights.view(shape))
