"""Micro-conditioning: the numbers about a clip that the video UNet is told beside the text."""

import torch

DEFAULT_BUCKET = 127.0
"""Motion bucket of the released sampler, used where a motion score is unknown."""

MOTION_AT_DEFAULT = 1.9
"""Motion score (mean Farneback flow at 2 fps in pixels, shortest side 16) of bucket 127.5: a typical moving clip."""


def motion_bucket(motion: torch.Tensor) -> torch.Tensor:
    """Map motion scores (>= 0, NaN where unknown) to buckets in [0, 255): 255 m / (m + 1.9), unknown to 127.

    The authors' map is unpublished. This one is fixed, so that a bucket means the same in every arm whatever the arm's
    clips; it is monotone and 0 for a still clip.
    """
    bucket = 255 * motion / (motion + MOTION_AT_DEFAULT)
    return torch.where(motion.isnan(), torch.full_like(motion, DEFAULT_BUCKET), bucket)


def added_time_ids(fps: torch.Tensor, bucket: torch.Tensor, noise_strength: torch.Tensor | None = None) -> torch.Tensor:
    """One row per clip: fps - 1, motion bucket and, for image-to-video, noise strength.

    fps - 1 is what the released models take. All (B,); returns (B, 2) or (B, 3) float32.
    """
    values = [fps - 1, bucket] if noise_strength is None else [fps - 1, bucket, noise_strength]
    return torch.stack([value.float() for value in values], 1)
