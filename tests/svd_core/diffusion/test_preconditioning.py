import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from svd_core.diffusion.noise import draw_sigma, offset_noise
from svd_core.diffusion.preconditioning import denoiser, loss, precondition

sigmas = st.floats(1e-3, 1e3).map(lambda value: torch.tensor([value], dtype=torch.float64))


@given(sigmas)
def test_the_network_sees_and_predicts_unit_variance(sigma: torch.Tensor) -> None:
    factors = precondition(sigma)
    # With unit data variance, Var[c_in (y + sigma n)] = 1 and Var[target of F] = 1 (Karras et al. 2022, appendix B.6).
    assert (factors.c_in**2 * (1 + sigma**2)).item() == pytest.approx(1)
    assert (((1 - factors.c_skip) ** 2 + factors.c_skip**2 * sigma**2) / factors.c_out**2).item() == pytest.approx(1)


@given(sigmas)
def test_the_weight_makes_the_loss_a_plain_error_on_the_raw_output(sigma: torch.Tensor) -> None:
    factors = precondition(sigma)
    assert (factors.weight * factors.c_out**2).item() == pytest.approx(1)


def test_values_of_the_paper_at_sigma_one() -> None:
    factors = precondition(torch.tensor([1.0]))
    assert factors.c_skip.item() == pytest.approx(0.5)
    assert factors.c_out.item() == pytest.approx(-1 / math.sqrt(2))
    assert factors.weight.item() == pytest.approx(2)


def test_c_noise_is_a_quarter_of_the_log() -> None:
    assert precondition(torch.tensor([math.e**2])).c_noise.item() == pytest.approx(0.5)


def test_the_loss_is_one_for_a_network_that_predicts_nothing() -> None:
    generator = torch.Generator().manual_seed(0)
    clean, noise = torch.randn(2, 64, 512, generator=generator)
    sigma = torch.logspace(-2, 2, 64)
    losses = loss(lambda x, c_noise: torch.zeros_like(x), clean, noise, sigma)
    assert losses.mean().item() == pytest.approx(1, abs=0.02)


def test_without_noise_the_input_is_returned_whatever_the_network_says() -> None:
    clean = torch.randn(2, 3, dtype=torch.float64)
    denoise = denoiser(lambda x, c_noise: 100 * torch.ones_like(x))
    for sigma in (1e-3, 1e-6):
        off = (denoise(clean, clean.new_full((2,), sigma)) - clean).abs().max()
        assert off < 101 * sigma, "c_out = -sigma to first order, c_skip = 1"


def test_every_element_is_denoised_at_its_own_level() -> None:
    noisy, sigma = torch.randn(3, 2, 4, 4), torch.tensor([0.1, 1.0, 10.0])
    denoise = denoiser(lambda x, c_noise: x * c_noise.reshape(-1, 1, 1, 1))
    together = denoise(noisy, sigma)
    alone = torch.cat([denoise(noisy[i : i + 1], sigma[i : i + 1]) for i in range(3)])
    assert torch.equal(together, alone)


def test_log_sigma_has_the_mean_and_spread_asked_for() -> None:
    drawn = draw_sigma(torch.randn(20_000, generator=torch.Generator().manual_seed(0)), p_mean=0.7, p_std=1.6).log()
    assert drawn.mean().item() == pytest.approx(0.7, abs=0.05)
    assert drawn.std().item() == pytest.approx(1.6, abs=0.05)


def test_offset_noise_is_one_number_a_clip_and_channel() -> None:
    noise, offsets = torch.randn(2, 5, 4, 8, 8), torch.randn(2, 4)
    added = offset_noise(noise, offsets, strength=0.1) - noise
    torch.testing.assert_close(added, (0.1 * offsets)[:, None, :, None, None].expand(noise.shape), rtol=0, atol=1e-6)
    assert offset_noise(noise[:, 0], offsets, strength=0.1).shape == (2, 4, 8, 8)
    assert torch.equal(offset_noise(noise, offsets, strength=0.0), noise)


def test_offset_noise_adds_its_variance_to_the_mean_of_a_channel() -> None:
    generator = torch.Generator().manual_seed(0)
    noise, offsets = torch.randn(4000, 1, 8, 8, generator=generator), torch.randn(4000, 1, generator=generator)
    variance = offset_noise(noise, offsets, strength=0.5).mean((1, 2, 3)).var().item()
    assert variance == pytest.approx(1 / 64 + 0.25, rel=0.1)
