"""CLIP similarity: how alike two pictures are to CLIP's image encoder (the paper's CLIP-S)."""

from numpy.typing import ArrayLike
from torch import Tensor

from bench.metrics.clips import ImageEncoder, as_bytes
from bench.metrics.pairs import Measure, each_pair
from bench.metrics.result import Result
from svd_core.encoders import weights


def clip_similarity(a: ArrayLike | Tensor, b: ArrayLike | Tensor) -> Result:
    """
    Cosine of CLIP's image embeddings of equal arrays (..., 3, H, W) of floats in [0, 1]: in [-1, 1], higher is nearer.

    With the user's CLIP ViT-B/16; the paper does not say which CLIP its CLIP-S is. Images are rounded to 8 bits and
    prepared as CLIP's folder says. Raises MissingWeights without CLIP, ValueError as `psnr` does.
    """
    from svd_core.encoders.clip import Clip  # here, because transformers is an extra

    folder = weights.locate("clip")
    digest = weights.digest(folder)
    return each_pair(cosines(Clip.load(folder)), a, b, name="CLIP similarity[vit-b-16]", weights=digest)


def cosines(encoder: ImageEncoder) -> Measure:
    """Cosines (k,) of float images (k, 3, H, W) in [0, 1] under `encoder`."""

    def measure(a: Tensor, b: Tensor) -> Tensor:
        return (encoder.embed_images(as_bytes(a)) * encoder.embed_images(as_bytes(b))).sum(1)

    return measure
