"""FVD, the Fréchet video distance (Unterthiner et al. 2018), on the logits of I3D trained on Kinetics-400."""

import torch
from numpy.typing import ArrayLike
from torch import Tensor

from bench.metrics.frechet import frechet_distance
from bench.metrics.videos import ClipEncoder, float_videos
from svd_core.encoders.i3d import I3D, MIN_FRAMES
from svd_core.encoders.weights import locate


def fvd(real: ArrayLike | Tensor, generated: ArrayLike | Tensor) -> float:
    """
    Distance of two sets of videos, (N, T, 3, H, W) and (M, T, 3, H, W), floats in [0, 1]; every clip is used whole.

    Range [0, inf), lower is nearer. Frames are resized to 224 x 224 as `I3D.features` says, which reproduces the
    original TensorFlow code on constant videos (all-zero against all-one, 30 frames: 151.392). The value falls as N and
    M grow and depends on T: compare only like with like. Raises ValueError for fewer than 9 frames or 2 clips, and for
    other shapes, types and ranges.
    """
    encode = clip_encoder()
    sets = [float_videos(videos, name) for videos, name in ((real, "real"), (generated, "generated"))]
    if sets[0].shape[1] != sets[1].shape[1]:
        raise ValueError(f"both sets need the same number of frames, got {sets[0].shape[1]} and {sets[1].shape[1]}")
    return frechet_distance(*(torch.cat([encode(clip) for clip in videos]) for videos in sets))


def clip_encoder() -> ClipEncoder:
    """I3D's logits of a clip, (1, 400)."""
    network = I3D.load(locate("i3d_k400"))

    def encode(clip: Tensor) -> Tensor:
        if len(clip) < MIN_FRAMES:
            raise ValueError(f"FVD needs at least {MIN_FRAMES} frames, got {len(clip)}")
        return network.features(clip[None])

    return encode
