import torch

from svd_core.settings import AutoencoderSettings
from svd_core.training.draws import sample_rng
from svd_core.training.fitting import fit


def test_it_finds_the_least_and_draws_by_seed_name_and_step():
    weight = torch.nn.Parameter(torch.zeros(1))
    drawn, reports = [], []

    def loss_at(rng):
        drawn.append(rng.random())
        return (weight - 1.5).square().sum()

    settings = AutoencoderSettings(steps=90, lr=0.2, seed=7)
    fit(
        [weight], loss_at, settings, name="autoencoder", progress=lambda done, total, **_: reports.append((done, total))
    )
    assert abs(weight.item() - 1.5) < 0.05
    assert drawn == [sample_rng(7, "autoencoder", step).random() for step in range(90)]
    assert reports == [(0, 90), (20, 90), (40, 90), (60, 90), (80, 90), (90, 90)]
