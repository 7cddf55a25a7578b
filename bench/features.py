"""Features of a set of clips under a frozen encoder: each clip goes through each encoder once."""

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray

from bench.settings import Encoder
from svd_core.encoders.weights import locate
from svd_core.progress import Progress, silent

Videos = NDArray[np.uint8]
Features = NDArray[np.float32]
CLIPS_AT_ONCE = 4


def features(encoder: Encoder, videos: Videos, *, progress: Progress = silent) -> Features:
    """Features (n, d) of uint8 videos (N, T, 3, H, W), in order: n is N for I3D, N·T for encoders of single frames."""
    encode = ENCODERS[encoder]()
    parts = []
    for start in range(0, len(videos), CLIPS_AT_ONCE):
        batch = torch.from_numpy(videos[start : start + CLIPS_AT_ONCE]).float() / 255
        parts.append(encode(batch).numpy())
        progress(min(start + CLIPS_AT_ONCE, len(videos)), len(videos))
    return np.concatenate(parts)


def _i3d() -> Callable[[torch.Tensor], torch.Tensor]:
    from svd_core.encoders.i3d import I3D

    return I3D.load(locate("i3d_k400")).features


def _vgg16() -> Callable[[torch.Tensor], torch.Tensor]:
    from svd_core.encoders.vgg16 import VGG16

    network = VGG16.load(locate("vgg16"))
    return lambda videos: network.features(videos.flatten(0, 1))


ENCODERS: dict[Encoder, Callable[[], Callable[[torch.Tensor], torch.Tensor]]] = {"i3d_k400": _i3d, "vgg16": _vgg16}
