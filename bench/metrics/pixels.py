"""PSNR and SSIM: how far two images differ, pixel by pixel and window by window."""

from numpy.typing import ArrayLike
from torch import Tensor

from bench.metrics.pairs import each_pair
from bench.metrics.result import Result

WINDOW = 11
"""Side of SSIM's Gaussian window, sigma 1.5 (Wang et al. 2004)."""


def psnr(a: ArrayLike | Tensor, b: ArrayLike | Tensor) -> Result:
    """
    Peak signal-to-noise ratio of equal arrays (..., C, H, W) of floats in [0, 1], in dB; higher is nearer.

    10 log10(1 / MSE) of each image, then the mean over images: not the PSNR of the mean error. Equal images give
    infinity. Computed by torchmetrics with `data_range=1`; scikit-image's `peak_signal_noise_ratio` is the same.
    """
    return each_pair(psnrs, a, b, name="PSNR")


def ssim(a: ArrayLike | Tensor, b: ArrayLike | Tensor) -> Result:
    """
    Structural similarity (Wang et al. 2004) of equal arrays (..., C, H, W) of floats in [0, 1]; at most 1, higher is
    nearer.

    Gaussian window of 11 pixels with sigma 1.5, K = (0.01, 0.03), range 1, biased covariances, channels alike, averaged
    over the windows that lie within the image: the value of the original code, and of scikit-image with
    `gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=1`. The map is torchmetrics', whose own
    average also counts windows over the reflected border. Raises ValueError for images under 11 pixels.
    """
    return each_pair(ssims, a, b, name="SSIM")


def psnrs(a: Tensor, b: Tensor) -> Tensor:
    """`psnr` of each image of two stacks (k, C, H, W): (k,)."""
    from torchmetrics.functional.image import peak_signal_noise_ratio  # here, because it takes a second to import

    return peak_signal_noise_ratio(a.double(), b.double(), data_range=1.0, reduction="none", dim=(1, 2, 3))


def ssims(a: Tensor, b: Tensor) -> Tensor:
    """`ssim` of each image of two stacks (k, C, H, W): (k,)."""
    from torchmetrics.functional.image import structural_similarity_index_measure

    if min(a.shape[2:]) < WINDOW:
        raise ValueError(f"SSIM needs images of at least {WINDOW} x {WINDOW} pixels, got shape {tuple(a.shape)}")
    _, whole = structural_similarity_index_measure(
        a.double(), b.double(), data_range=1.0, sigma=1.5, reduction="none", return_full_image=True
    )
    border = WINDOW // 2
    return Tensor(whole[..., border:-border, border:-border].mean((1, 2, 3)))
