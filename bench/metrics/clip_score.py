"""Agreement of clips with their prompts: the cosine of every frame with the text, under CLIP or the toy encoder."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bench.metrics.clips import as_bytes
from bench.metrics.result import Result
from bench.metrics.videos import Videos, float_videos
from svd_core.encoders import weights


class TextImageEncoder(Protocol):
    """Unit vectors (N, D) of uint8 images (N, 3, H, W) and of texts."""

    def embed_images(self, images: Tensor) -> Tensor: ...

    def embed_texts(self, texts: list[str]) -> Tensor: ...


def clip_score(videos: Videos, texts: Sequence[str]) -> Result:
    """
    CLIP score of videos (N, T, 3, H, W), floats in [0, 1], with one text each: in [0, 100], higher is better.

    Per clip the mean over frames of 100 · max(cosine, 0) (Hessel et al. 2021, eq. 1, with torchmetrics' weight of 100
    in place of 2.5), with the user's CLIP ViT-B/16; frames are rounded to 8 bits and prepared as its folder says.
    Raises MissingWeights without CLIP, ValueError for other shapes, types and ranges, and for unequal counts.
    """
    from svd_core.encoders.clip import Clip  # here, because transformers is an extra

    if isinstance(texts, str) or not all(isinstance(text, str) for text in texts):
        raise ValueError(f"texts: expected one text a clip, got {texts!r}")
    clips = float_videos(videos, "videos")
    if len(clips) != len(texts):
        raise ValueError(f"texts: expected one a clip, got {len(texts)} for videos of shape {tuple(clips.shape)}")
    folder = weights.locate("clip")
    per_clip = clip_scores(Clip.load(folder), as_bytes(clips).numpy(), list(texts))
    digest = weights.digest(folder)
    return Result.mean_of(per_clip, name="CLIP score[vit-b-16]", weights=digest, frames=clips.shape[1])


def clip_scores(encoder: TextImageEncoder, videos: NDArray[np.uint8], prompts: list[str]) -> NDArray[np.float64]:
    """For each clip of uint8 (N, T, 3, H, W), 100 · max(cosine, 0), mean over frames: in [0, 100], higher is better."""
    return np.asarray(100 * np.maximum(frame_cosines(encoder, videos, prompts), 0).mean(1))


def toy_clip_score(encoder: TextImageEncoder, videos: NDArray[np.uint8], prompts: list[str]) -> NDArray[np.float64]:
    """
    For each clip of uint8 (N, T, 3, H, W), the cosine under the small encoder, mean over frames: in [-1, 1], higher is
    better. Not comparable with a CLIP score, nor between two trainings of the encoder.
    """
    return np.asarray(frame_cosines(encoder, videos, prompts).mean(1))


def frame_cosines(encoder: TextImageEncoder, videos: NDArray[np.uint8], prompts: list[str]) -> NDArray[np.float64]:
    """Cosines (N, T). Clips go through the encoder one at a time, so that none sees its neighbours."""
    if videos.ndim != 5 or len(videos) != len(prompts):
        raise ValueError(f"expected videos (N, T, 3, H, W) and N prompts, got {videos.shape} and {len(prompts)}")
    with torch.inference_mode():
        cosines = [
            encoder.embed_images(torch.from_numpy(clip)) @ encoder.embed_texts([prompt])[0]
            for clip, prompt in zip(videos, prompts, strict=True)
        ]
    return torch.stack(cosines).double().numpy()
