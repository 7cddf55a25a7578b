import numpy as np
import pytest
import torch
from skimage.metrics import peak_signal_noise_ratio, structural_similarity
from torchmetrics.functional.image import peak_signal_noise_ratio as torchmetrics_psnr
from torchmetrics.functional.image import structural_similarity_index_measure as torchmetrics_ssim

from bench.metrics import psnr, ssim


@pytest.fixture(scope="module")
def pair():
    """Three clips of two images with structure, and noisy copies."""
    rng = np.random.default_rng(0)
    clean = np.cumsum(rng.normal(size=(3, 2, 3, 24, 30)), axis=-1)
    clean = (clean - clean.min()) / (clean.max() - clean.min())
    noisy = np.clip(clean + rng.normal(0, 0.05, clean.shape), 0, 1)
    return clean.astype(np.float32), noisy.astype(np.float32)


def per_image(measure, a, b):
    pairs = zip(a.reshape(-1, *a.shape[-3:]), b.reshape(-1, *b.shape[-3:]), strict=True)
    return np.reshape([measure(x.transpose(1, 2, 0), y.transpose(1, 2, 0)) for x, y in pairs], a.shape[:2])


def test_psnr_equals_scikit_image_and_torchmetrics(pair):
    a, b = pair
    expected = per_image(lambda x, y: peak_signal_noise_ratio(x, y, data_range=1), a, b)
    np.testing.assert_allclose(psnr(a, b).per_clip, expected.mean(1), rtol=1e-6)
    theirs = torchmetrics_psnr(torch.from_numpy(a[0, 0]), torch.from_numpy(b[0, 0]), data_range=1.0)
    assert psnr(a[0, 0], b[0, 0]) == pytest.approx(float(theirs), rel=1e-5)


def test_ssim_equals_scikit_image(pair):
    a, b = (x.astype(np.float64) for x in pair)
    settings = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": 1}
    expected = per_image(lambda x, y: structural_similarity(x, y, channel_axis=2, **settings), a, b)
    np.testing.assert_allclose(ssim(a, b).per_clip, expected.mean(1), rtol=1e-6)


def test_ssim_equals_torchmetrics_but_for_the_border(pair):
    a, b = (torch.from_numpy(x[0]).double() for x in pair)  # in float32 it is off by 3e-4 where images are flat
    _, whole = torchmetrics_ssim(a, b, data_range=1.0, reduction="none", return_full_image=True)
    assert ssim(a, b) == pytest.approx(float(whole[..., 5:-5, 5:-5].mean()), rel=1e-6)
    constant = torch.full_like(a, 0.25)
    theirs = torchmetrics_ssim(constant, constant * 3, data_range=1.0)
    assert ssim(constant, constant * 3) == pytest.approx(float(theirs), rel=1e-6)  # no border to differ in


def test_equal_images():
    images = np.random.default_rng(0).random((2, 3, 16, 16))
    assert ssim(images, images) == 1
    assert psnr(images, images) == np.inf
    assert psnr(images, images).stderr is None


def test_psnr_of_a_known_error():
    zeros = torch.zeros(1, 3, 16, 16)
    assert psnr(zeros, zeros + 0.1) == pytest.approx(20, rel=1e-6)


def test_ssim_needs_a_window():
    with pytest.raises(ValueError, match=r"at least 11 x 11 pixels, got shape \(1, 3, 10, 20\)"):
        ssim(np.zeros((3, 10, 20)), np.zeros((3, 10, 20)))
