import math

import pytest
import torch

from svd_core.diffusion.guidance import combine, constant, linear, triangular
from svd_core.diffusion.sampling import edm_sigmas, euler, heun

MEAN, SPREAD = 1.5, 0.3


def gaussian_denoiser(noisy: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
    """The best denoiser of data ~ N(MEAN, SPREAD^2): E[y | y + sigma n]."""
    gain = (SPREAD**2 / (SPREAD**2 + sigma**2)).reshape(-1, 1)
    return MEAN + gain * (noisy - MEAN)


def exact_solution(noise: torch.Tensor, sigma_max: float) -> torch.Tensor:
    """The flow of the ODE maps x at sigma_max to MEAN + (x - MEAN) SPREAD / sqrt(SPREAD^2 + sigma_max^2) at 0."""
    return MEAN + (noise * sigma_max - MEAN) * SPREAD / math.sqrt(SPREAD**2 + sigma_max**2)


def sampled(noise: torch.Tensor, steps: int, sigma_max: float = 80.0) -> torch.Tensor:
    return euler(gaussian_denoiser, noise, edm_sigmas(steps, sigma_min=0.002, sigma_max=sigma_max, rho=7))


def test_the_grid_is_that_of_the_paper() -> None:
    grid = edm_sigmas(18, sigma_min=0.002, sigma_max=80, rho=7)
    assert grid[0].item() == pytest.approx(80)
    assert grid[-2].item() == pytest.approx(0.002)
    assert grid[-1].item() == 0
    expected = (80 ** (1 / 7) + 1 / 17 * (0.002 ** (1 / 7) - 80 ** (1 / 7))) ** 7
    assert grid[1].item() == pytest.approx(expected)


@pytest.mark.parametrize(("steps", "sigma_min"), [(0, 0.1), (4, 0.0), (4, 100.0)])
def test_an_impossible_grid_is_refused(steps: int, sigma_min: float) -> None:
    with pytest.raises(ValueError, match=rf"steps={steps}, sigma_min={sigma_min}"):
        edm_sigmas(steps, sigma_min=sigma_min, sigma_max=80, rho=7)


def test_the_optimal_denoiser_recovers_mean_and_spread_of_the_data() -> None:
    noise = torch.randn(4000, 1, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    samples = sampled(noise, steps=256)
    assert samples.mean().item() == pytest.approx(MEAN, abs=0.02)
    assert samples.std().item() == pytest.approx(SPREAD, rel=0.05)


def test_euler_converges_with_first_order() -> None:
    noise = torch.linspace(-2, 2, 9, dtype=torch.float64)[:, None]
    errors = [(sampled(noise, steps) - exact_solution(noise, 80)).abs().max().item() for steps in (64, 128, 256)]
    assert 1.7 < errors[0] / errors[1] < 2.4
    assert 1.7 < errors[1] / errors[2] < 2.4


def test_heun_converges_with_second_order() -> None:
    """To a sigma above zero: the last step to zero is Euler's."""
    noise = torch.linspace(-2, 2, 9, dtype=torch.float64)[:, None]
    spread_at = {sigma: math.sqrt(SPREAD**2 + sigma**2) for sigma in (80.0, 0.5)}
    exact = MEAN + (noise * 80 - MEAN) * spread_at[0.5] / spread_at[80.0]
    errors = []
    for steps in (32, 64, 128):
        grid = edm_sigmas(steps, sigma_min=0.5, sigma_max=80, rho=7)[:-1]
        errors.append((heun(gaussian_denoiser, noise, grid) - exact).abs().max().item())
    assert 3.5 < errors[0] / errors[1] < 4.6
    assert 3.5 < errors[1] / errors[2] < 4.6


@pytest.mark.parametrize("method", [euler, heun])
def test_nothing_but_the_mean_is_left_of_data_without_spread(method) -> None:
    """A denoiser that always answers MEAN is solved exactly by any method and any grid."""
    noise = torch.randn(5, 1, dtype=torch.float64)
    grid = edm_sigmas(3, sigma_min=0.1, sigma_max=80, rho=7)
    found = method(lambda x, sigma: torch.full_like(x, MEAN), noise, grid)
    torch.testing.assert_close(found, torch.full_like(noise, MEAN))


def test_a_last_sigma_of_zero_returns_the_denoised_estimate() -> None:
    noise = torch.randn(3, 1, dtype=torch.float64)
    result = euler(gaussian_denoiser, noise, torch.tensor([2.0, 0.0], dtype=torch.float64))
    torch.testing.assert_close(result, gaussian_denoiser(noise * 2, torch.full((3,), 2.0, dtype=torch.float64)))


def test_guidance_limits() -> None:
    unconditional, conditional = torch.randn(2, 3, 5, 4, 2, 2)
    assert torch.equal(combine(unconditional, conditional, constant(0.0, 5)), unconditional)
    torch.testing.assert_close(combine(unconditional, conditional, constant(1.0, 5)), conditional)


def test_linear_guidance_scales_each_frame_by_its_own_factor() -> None:
    guided = combine(torch.zeros(2, 5, 1), torch.ones(2, 5, 1), linear(1.0, 3.0, 5))
    assert guided[:, :, 0].tolist() == [[1.0, 1.5, 2.0, 2.5, 3.0]] * 2


def test_triangular_guidance_ends_where_it_began() -> None:
    assert triangular(1.0, 3.0, 5).tolist() == [1.0, 2.0, 3.0, 2.0, 1.0]
    assert triangular(1.0, 3.0, 21).max().item() == pytest.approx(3.0)
