"""Features of a set of clips under a frozen encoder: each clip goes through each encoder once."""

from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray

from bench.metrics.fd_vgg16 import clip_encoder as vgg16
from bench.metrics.fid import clip_encoder as inception
from bench.metrics.fvd import clip_encoder as i3d
from bench.metrics.protocols import PROTOCOLS, Protocol
from bench.metrics.videos import ClipEncoder
from bench.settings import Encoder
from svd_core.device import repeatable_device
from svd_core.progress import Progress, silent

Videos = NDArray[np.uint8]
Features = NDArray[np.float32]


def features(encoder: Encoder, videos: Videos, *, progress: Progress = silent) -> Features:
    """
    Features (n, d) of uint8 videos (N, T, 3, H, W), in order: n is N for I3D, 3 N for encoders of single frames.

    Clips go through one at a time: on one thread a larger batch is no faster, and so a clip's features cannot depend on
    its neighbours, not even in the last bit.
    """
    encode = ENCODERS[encoder](PROTOCOLS["stylegan-v"])
    rows, device = [], repeatable_device()
    for number, clip in enumerate(videos, start=1):
        rows.append(encode(torch.from_numpy(clip).to(device).float() / 255).numpy())
        progress(number, len(videos))
    return np.concatenate(rows)


ENCODERS: dict[Encoder, Callable[[Protocol], ClipEncoder]] = {
    "i3d_k400": i3d,
    "i3d_torchscript": partial(i3d, weights="i3d_torchscript"),
    "vgg16": lambda _: vgg16(),
    "inception": lambda _: inception(),
}
"""What makes each encoder; a protocol says how I3D's frames are resized."""
