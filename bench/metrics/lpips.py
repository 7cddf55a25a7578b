"""LPIPS (Zhang et al. 2018) of pairs of images, with the authors' weights, version 0.1."""

from functools import lru_cache

from numpy.typing import ArrayLike
from torch import Tensor

from bench.metrics.pairs import each_pair
from bench.metrics.result import Result
from svd_core.encoders import weights
from svd_core.encoders.lpips import LPIPS, Net


def lpips(a: ArrayLike | Tensor, b: ArrayLike | Tensor, *, net: Net = "alex") -> Result:
    """
    Perceptual distance of equal arrays (..., 3, H, W) of floats in [0, 1]; 0 for equal images, lower is nearer.

    `net` is "alex", which the authors advise for judging and to which an all-zero and an all-one image (64 x 64) are
    0.8140 apart, or "vgg16"; their values are not comparable, and papers often leave out which they used. Images keep
    their size. Raises ValueError as `psnr` does, and for sides under 31 pixels ("alex") or 16 ("vgg16").
    """
    name = f"lpips_{net}"
    encoder, digest = network(net), weights.verify(name)
    return each_pair(lambda x, y: encoder.to(x.device).distances(x, y), a, b, name=f"LPIPS[{net}]", weights=digest)


@lru_cache(2)
def network(net: Net) -> LPIPS:
    """The frozen network, loaded once."""
    return LPIPS.load(net, weights.locate(f"lpips_{net}"))
