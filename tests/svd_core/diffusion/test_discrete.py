import math

import pytest
import torch
from diffusers import DDIMScheduler, DDPMScheduler, EulerDiscreteScheduler
from diffusers.schedulers.scheduling_ddim import rescale_zero_terminal_snr
from hypothesis import given, settings
from hypothesis import strategies as st

from svd_core.diffusion import (
    DiscreteSchedule,
    Target,
    ddim,
    denoiser,
    discrete_loss,
    edm_sigmas,
    euler,
    loss,
    precondition,
)
from svd_core.diffusion.sampling import ddim_steps

SD = DiscreteSchedule.stable_diffusion()
DIFFUSERS = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", "clip_sample": False}
MEAN, SPREAD = 1.5, 0.3
targets: list[Target] = ["epsilon", "v"]


def perfect(schedule: DiscreteSchedule, target: Target):
    """The best predictor for data ~ N(MEAN, SPREAD^2), from E[x0 | x_t]."""

    def network(x: torch.Tensor, step: torch.Tensor) -> torch.Tensor:
        abar = schedule.alphas_cumprod[step.long()].reshape(-1, *[1] * (x.ndim - 1))
        gain = abar.sqrt() * SPREAD**2 / (abar * SPREAD**2 + 1 - abar)
        clean = MEAN + gain * (x - abar.sqrt() * MEAN)
        eps = (x - abar.sqrt() * clean) / (1 - abar).sqrt()
        return eps if target == "epsilon" else abar.sqrt() * eps - (1 - abar).sqrt() * clean

    return network


def test_the_schedule_is_diffusers() -> None:
    theirs = DDPMScheduler(**DIFFUSERS).alphas_cumprod.double()
    torch.testing.assert_close(SD.alphas_cumprod, theirs, rtol=1e-5, atol=1e-7)


def test_zero_terminal_snr_is_diffusers_and_ends_in_pure_noise() -> None:
    ours = SD.zero_terminal_snr().alphas_cumprod
    betas = torch.cat([1 - SD.alphas_cumprod[:1], 1 - SD.alphas_cumprod[1:] / SD.alphas_cumprod[:-1]])
    torch.testing.assert_close(ours, (1 - rescale_zero_terminal_snr(betas)).cumprod(0), rtol=1e-6, atol=1e-12)
    assert ours[-1] == 0
    assert ours[0].item() == pytest.approx(SD.alphas_cumprod[0].item())


def test_twice_the_side_shifts_the_log_snr_by_two_log_two() -> None:
    before, after = (-2 * schedule.sigmas.log() for schedule in (SD, SD.shifted(256, 512)))
    torch.testing.assert_close(after - before, torch.full((1000,), -2 * math.log(2), dtype=torch.float64))


@settings(deadline=None)
@given(st.floats(1e-3, 1e3))
def test_c_noise_is_the_nearest_step(sigma: float) -> None:
    found = SD.nearest(torch.tensor([sigma], dtype=torch.float64)).item()
    assert found == (SD.sigmas - sigma).abs().argmin().item()


@pytest.mark.parametrize("target", targets)
def test_the_network_predicts_what_diffusers_trains_it_for(target: Target) -> None:
    scheduler = DDPMScheduler(**DIFFUSERS)
    clean, noise = torch.randn(2, 5, 4, 3, generator=torch.Generator().manual_seed(0))
    steps = torch.tensor([0, 1, 500, 998, 999])
    torch.testing.assert_close(SD.mix(clean, noise, steps), scheduler.add_noise(clean, noise, steps))
    expected = noise if target == "epsilon" else scheduler.get_velocity(clean, noise, steps)
    torch.testing.assert_close(SD.target(clean, noise, steps, target), expected)


@pytest.mark.parametrize("target", targets)
def test_splitting_an_exact_prediction_gives_back_data_and_noise(target: Target) -> None:
    clean, noise = torch.randn(2, 3, 7, dtype=torch.float64)
    steps = torch.tensor([0, 400, 999])
    mixed = SD.mix(clean, noise, steps)
    for found, expected in zip(
        SD.split(SD.target(clean, noise, steps, target), mixed, steps, target), (clean, noise), strict=True
    ):
        torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("target", targets)
def test_the_discrete_loss_is_the_weighted_denoising_error(target: Target) -> None:
    """Both forms of one objective: at a step's own sigma, weight (D - x0)^2 is the error of the raw prediction."""
    generator = torch.Generator().manual_seed(0)
    clean, noise = torch.randn(2, 4, 16, generator=generator, dtype=torch.float64)
    steps = torch.tensor([1, 100, 500, 999])

    def network(x: torch.Tensor, step: torch.Tensor) -> torch.Tensor:
        return torch.sin(x) + step.reshape(-1, 1) / 1000

    factors, sigma = SD.preconditioning(target), SD.sigmas[steps]
    estimate = denoiser(network, factors)(clean + sigma[:, None] * noise, sigma)
    weighted = factors(sigma).weight * (estimate - clean).square().mean(1)
    torch.testing.assert_close(discrete_loss(network, clean, noise, steps, schedule=SD, target=target), weighted)


def test_v_is_the_continuous_preconditioning_but_for_the_noise_level() -> None:
    sigma = torch.logspace(-2, 1, 9, dtype=torch.float64)
    discrete, continuous = SD.preconditioning("v")(sigma), precondition(sigma)
    for name in ("c_skip", "c_out", "c_in", "weight"):
        torch.testing.assert_close(getattr(discrete, name), getattr(continuous, name))


def test_epsilon_factors_are_the_papers() -> None:
    factors = SD.preconditioning("epsilon")(torch.tensor([2.0]))
    values = [factors.c_skip, factors.c_out, factors.c_in, factors.weight]
    assert [value.item() for value in values] == pytest.approx([1, -2, 1 / math.sqrt(5), 0.25])


@pytest.mark.parametrize("target", targets)
def test_no_predictor_beats_the_analytic_one_on_gaussian_data(target: Target) -> None:
    generator = torch.Generator().manual_seed(0)
    clean = MEAN + SPREAD * torch.randn(1, 20_000, generator=generator, dtype=torch.float64)
    noise, step = torch.randn(clean.shape, generator=generator, dtype=torch.float64), torch.tensor([600])
    best = perfect(SD, target)

    def error(scale: float, shift: float) -> float:
        return discrete_loss(
            lambda x, t: scale * best(x, t) + shift, clean, noise, step, schedule=SD, target=target
        ).item()

    sigma2 = SD.sigmas[600].item() ** 2
    left = SPREAD**2 * sigma2 / (SPREAD**2 + sigma2)  # variance of x0 given x_t
    assert error(1, 0) == pytest.approx(SD.preconditioning(target)(SD.sigmas[[600]]).weight.item() * left, rel=0.05)
    assert all(error(1, 0) < error(scale, shift) for scale, shift in ((0.9, 0), (1.1, 0), (1, 0.1), (1, -0.1)))


def test_the_loss_at_zero_snr_is_finite_and_asks_for_the_data() -> None:
    schedule = SD.zero_terminal_snr()
    clean, noise = torch.randn(2, 2, 8)
    found = discrete_loss(lambda x, step: -clean, clean, noise, torch.tensor([999, 999]), schedule=schedule, target="v")
    assert found.tolist() == [0, 0]
    with pytest.raises(ValueError, match="cannot start at zero SNR; train it for v"):
        schedule.split(noise, noise, 999, "epsilon")


@pytest.mark.parametrize("spacing", ["leading", "trailing"])
@pytest.mark.parametrize("target", targets)
def test_ddim_is_diffusers(target: Target, spacing: str) -> None:
    scheduler = DDIMScheduler(
        **DIFFUSERS,
        steps_offset=1,
        timestep_spacing=spacing,
        prediction_type="epsilon" if target == "epsilon" else "v_prediction",
    )
    noise = torch.randn(3, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    network = perfect(SD, target)
    scheduler.set_timesteps(25)
    x = noise
    for step in scheduler.timesteps:
        x = scheduler.step(network(x, step.expand(3)), int(step), x).prev_sample
    found = ddim(network, noise, SD, target=target, steps=25, spacing=spacing)
    torch.testing.assert_close(found, x, rtol=1e-4, atol=1e-4)


def test_ddim_is_eulers_method_on_the_schedules_sigmas() -> None:
    """In x / sqrt(abar) DDIM is the Euler method for the ODE of the continuous form (Karras et al. 2022, table 1)."""
    noise = torch.randn(4, 5, dtype=torch.float64)
    steps = torch.tensor(ddim_steps(1000, 20, "trailing"))
    sigmas = torch.cat([SD.sigmas[steps], torch.zeros(1, dtype=torch.float64)])
    network = perfect(SD, "v")
    start = noise * (sigmas[0] ** 2 + 1).sqrt() / sigmas[0]
    expected = euler(denoiser(network, SD.preconditioning("v")), start, sigmas)
    torch.testing.assert_close(ddim(network, noise, SD, target="v", steps=20), expected)


@pytest.mark.parametrize("target", targets)
def test_ddim_converges_with_first_order(target: Target) -> None:
    schedule = DiscreteSchedule.stable_diffusion(8000, 0.00085 / 8, 0.012 / 8)
    noise = torch.linspace(-2, 2, 9, dtype=torch.float64)[:, None]
    last = schedule.alphas_cumprod[-1]
    # The flow keeps (x_t - mean_t) / spread_t, with mean and spread of x_t's distribution.
    exact = MEAN + SPREAD * (noise - last.sqrt() * MEAN) / (last * SPREAD**2 + 1 - last).sqrt()
    errors = [
        (ddim(perfect(schedule, target), noise, schedule, target=target, steps=steps) - exact).abs().max().item()
        for steps in (50, 100, 200)
    ]
    assert 1.6 < errors[0] / errors[1] < 2.4
    assert 1.6 < errors[1] / errors[2] < 2.4


def test_zero_terminal_snr_recovers_the_mean_that_the_plain_schedule_misses() -> None:
    """Lin et al. 2024: started from pure noise, the plain schedule keeps what its last step would have told of x0."""
    noise = torch.randn(4000, 1, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    found = {
        name: ddim(perfect(schedule, "v"), noise, schedule, target="v", steps=200).mean().item()
        for name, schedule in (("plain", SD), ("zero", SD.zero_terminal_snr()))
    }
    assert found["zero"] == pytest.approx(MEAN, abs=0.01)
    assert abs(found["plain"] - MEAN) > 5 * abs(found["zero"] - MEAN)


def test_impossible_step_counts_are_refused() -> None:
    for steps, spacing in ((0, "trailing"), (1001, "trailing"), (1000, "leading")):
        with pytest.raises(ValueError, match=f"got {steps}"):
            ddim_steps(1000, steps, spacing)


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # diffusers under NumPy 2
def test_euler_on_the_edm_grid_is_the_released_sampler() -> None:
    """diffusers' EulerDiscreteScheduler in the released configuration, against ours on the same network."""
    scheduler = EulerDiscreteScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", prediction_type="v_prediction",
        timestep_type="continuous", timestep_spacing="leading", steps_offset=1, use_karras_sigmas=True,
        sigma_min=0.002, sigma_max=700.0,
    )  # fmt: skip
    scheduler.set_timesteps(25)
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(2, 3, 4, generator=generator)

    def network(x: torch.Tensor, c_noise: torch.Tensor) -> torch.Tensor:
        return torch.tanh(x) + 0.1 * c_noise.reshape(-1, 1, 1)

    x = noise * 700
    for step in scheduler.timesteps:
        raw = network(scheduler.scale_model_input(x, step), step.expand(2))
        x = scheduler.step(raw, step, x).prev_sample
    found = euler(denoiser(network), noise, edm_sigmas(25, sigma_min=0.002, sigma_max=700, rho=7))
    torch.testing.assert_close(found, x, rtol=1e-4, atol=1e-4)


def test_the_continuous_loss_is_least_for_the_analytic_denoiser() -> None:
    generator = torch.Generator().manual_seed(0)
    clean = MEAN + SPREAD * torch.randn(3, 20_000, generator=generator, dtype=torch.float64)
    noise = torch.randn(clean.shape, generator=generator, dtype=torch.float64)
    sigma = torch.tensor([0.1, 1.0, 10.0], dtype=torch.float64)

    def network(x: torch.Tensor, c_noise: torch.Tensor) -> torch.Tensor:
        level = (4 * c_noise).exp()[:, None]
        noisy, factors = x * (level**2 + 1).sqrt(), precondition(level)
        best = MEAN + SPREAD**2 / (SPREAD**2 + level**2) * (noisy - MEAN)
        return (best - factors.c_skip * noisy) / factors.c_out

    left = SPREAD**2 * sigma**2 / (SPREAD**2 + sigma**2)
    torch.testing.assert_close(loss(network, clean, noise, sigma), precondition(sigma).weight * left, rtol=0.05, atol=0)
