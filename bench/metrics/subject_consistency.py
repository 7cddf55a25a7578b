"""Subject consistency (VBench, Huang et al. 2024): does what is seen stay the same thing, to DINO's features?"""

from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray

from bench.metrics.clips import ImageEncoder, each_clip
from bench.metrics.result import Result
from bench.metrics.videos import Videos
from svd_core.encoders import weights


def subject_consistency(videos: Videos) -> Result:
    """
    How alike frames of videos (N, T >= 2, 3, H, W), floats in [0, 1], are to the first and to the one before.

    In [0, 1], higher is more consistent; a frozen clip has 1. Per clip the mean over frames t >= 2 of the mean of
    max(cosine, 0) with frame 1 and with frame t - 1, as VBench has it, with the user's DINO ViT-B/16 and its folder's
    preprocessing.
    Raises MissingWeights without DINO, ValueError for single frames and for other shapes, types and ranges.
    """
    from svd_core.encoders.dino import Dino  # here, because transformers takes seconds to import

    folder = weights.locate("dino")
    measure = partial(consistency, Dino.load(folder))
    return each_clip(measure, videos, name="subject consistency[dino-vit-b-16]", weights=weights.digest(folder))


def consistency(encoder: ImageEncoder, clip: NDArray[np.uint8]) -> float:
    """`subject_consistency` of one clip (T, 3, H, W) under `encoder`."""
    if len(clip) < 2:
        raise ValueError(f"subject consistency needs at least 2 frames, got {len(clip)}")
    frames = encoder.embed_images(torch.from_numpy(clip)).double()
    first, before = frames[1:] @ frames[0], (frames[1:] * frames[:-1]).sum(1)
    return float((first.clamp(min=0) + before.clamp(min=0)).mean() / 2)
