"""The short loop that fits a small network in one go: autoencoders, which nobody interrupts for long."""

from collections.abc import Callable, Iterable

import numpy as np
import torch

from svd_core.encoders.settings import AutoencoderKLSettings
from svd_core.progress import Progress
from svd_core.settings import AutoencoderSettings
from svd_core.training.draws import sample_rng

REPORT_EVERY = 20


def fit(
    parameters: Iterable[torch.nn.Parameter],
    loss_at: Callable[[np.random.Generator], torch.Tensor],
    settings: AutoencoderSettings | AutoencoderKLSettings,
    *,
    name: str,
    progress: Progress,
) -> None:
    """Minimise by AdamW without weight decay, its rate falling to zero along a cosine.

    `loss_at` gives the loss of one step; the generator that it draws from depends on (seed, `name`, step) alone.
    """
    optimizer = torch.optim.AdamW(parameters, lr=settings.lr, weight_decay=0.0, fused=True)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, max(1, settings.steps))
    for step in range(settings.steps):
        loss = loss_at(sample_rng(settings.seed, name, step))
        optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        optimizer.step()
        schedule.step()
        if step % REPORT_EVERY == 0:
            progress(step, settings.steps, loss=loss.item())
    progress(settings.steps, settings.steps)
