"""
Metrics as torchmetrics classes: batches are added one by one, and the ranks of a distributed run as one.

>>> metric = FrechetVideoDistance()          # doctest: +SKIP
>>> metric.update(real_clips, real=True)     # doctest: +SKIP
>>> metric.update(samples, real=False)       # doctest: +SKIP
>>> metric.compute()                         # doctest: +SKIP
tensor(151.3920, dtype=torch.float64)
"""

from collections.abc import Callable
from functools import cache, partial
from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat

from bench.metrics.fid import clip_encoder as inception
from bench.metrics.frechet import frechet_distance
from bench.metrics.fvd import clip_encoder as i3d
from bench.metrics.kernel import kernel_distance
from bench.metrics.moments import Moments, merge_packed
from bench.metrics.protocols import protocol_named
from bench.metrics.result import Result
from bench.metrics.videos import ClipEncoder, Videos, clips_of


class SetDistance(Metric):
    """
    What the four have in common: `update(videos, real=…)` with videos (N, T, 3, H, W), floats in [0, 1].

    Lower is nearer. Inputs are checked as `bench.metrics.fvd` checks them; each clip goes through the encoder once, on
    the device where it is. With `reset_real_features=False`, `reset` keeps the real set, which a validation loop needs
    only once.
    """

    is_differentiable = False
    higher_is_better = False
    full_state_update = False
    real: Any
    generated: Any

    def __init__(self, encode: ClipEncoder, *, reset_real_features: bool = True, **settings: Any) -> None:
        super().__init__(**settings)
        self.encode = encode
        self.reset_real_features = reset_real_features

    def update(self, videos: Videos, real: bool) -> None:
        """Add clips to the real or to the generated set."""
        name = "real" if real else "generated"
        rows = torch.cat([self.encode(clip) for clip in clips_of(videos, name)])
        self.add(name, rows.to(self.device))

    def reset(self) -> None:
        """Forget both sets, or with `reset_real_features=False` the generated one."""
        kept = self.real
        super().reset()
        if not self.reset_real_features:
            self.real = kept

    def add(self, name: str, rows: Tensor) -> None:
        """Features (k, d) come in."""
        raise NotImplementedError


class FrechetDistance(SetDistance):
    """
    Keeps count, mean and scatter of each set (Chan-merged), so that memory does not grow with n.

    States of ranks or batches merge in any order; values agree with `frechet_distance` to 1e-9 relative.
    """

    def __init__(self, encode: ClipEncoder, d: int, **settings: Any) -> None:
        super().__init__(encode, **settings)
        for name in ("real", "generated"):
            self.add_state(name, default=Moments.empty(d).packed(), dist_reduce_fx=merge_packed)

    def add(self, name: str, rows: Tensor) -> None:
        """Merge the moments of features (k, d)."""
        setattr(self, name, Moments.unpacked(getattr(self, name)).merged(Moments.of(rows)).packed())

    def compute(self) -> Tensor:
        """The distance, float64. Raises ValueError for fewer than two samples a set."""
        gaussians = [Moments.unpacked(state).gaussian() for state in (self.real, self.generated)]
        return torch.tensor(frechet_distance(*gaussians), dtype=torch.float64)


class KernelDistance(SetDistance):
    """Keeps all features, for a kernel compares every pair."""

    def __init__(self, encode: ClipEncoder, **settings: Any) -> None:
        super().__init__(encode, **settings)
        for name in ("real", "generated"):
            self.add_state(name, default=[], dist_reduce_fx="cat")

    def add(self, name: str, rows: Tensor) -> None:
        """Keep features (k, d)."""
        getattr(self, name).append(rows)

    def compute(self) -> Tensor:
        """The distance, float64. Raises ValueError for fewer than two samples a set."""
        sets = [state if isinstance(state, Tensor) else torch.cat(state) for state in (self.real, self.generated)]
        return torch.tensor(kernel_distance(*sets), dtype=torch.float64)


class FrechetVideoDistance(FrechetDistance):
    """`bench.metrics.fvd`, accumulated. Formula, range and protocols are described there."""

    def __init__(self, protocol: str = "stylegan-v", **settings: Any) -> None:
        super().__init__(_video_encoder(protocol), d=400, **settings)


class KernelVideoDistance(KernelDistance):
    """`bench.metrics.kernel_distance` on I3D's logits (KVD of Unterthiner et al. 2018)."""

    def __init__(self, protocol: str = "stylegan-v", **settings: Any) -> None:
        super().__init__(_video_encoder(protocol), **settings)


class FrechetInceptionDistance(FrechetDistance):
    """FID, clean-fid's, of every clip's first, middle and last frame (Inception is the user's)."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(_inception, d=2048, **settings)
        _network("inception")


class KernelInceptionDistance(KernelDistance):
    """KID on the same features as `FrechetInceptionDistance`."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(_inception, **settings)
        _network("inception")


class ClipMean(Metric):
    """
    The mean over clips of a function of `bench.metrics` that judges pairs or single clips, accumulated.

    `ClipMean(lpips)` takes in `update` what `lpips` takes, and so for `psnr`, `clip_score`, `motion_smoothness` and the
    rest. Every clip counts once, whatever the batches and ranks; `per_clip` holds their values, float64.
    """

    is_differentiable = False
    full_state_update = False
    per_clip: Any

    def __init__(self, measure: Callable[..., Result], **settings: Any) -> None:
        super().__init__(**settings)
        self.measure = measure
        self.add_state("per_clip", default=[], dist_reduce_fx="cat")

    def update(self, *clips: Any) -> None:
        """Measure a batch. Raises what the function raises."""
        self.per_clip.append(torch.as_tensor(self.measure(*clips).per_clip, device=self.device))

    def compute(self) -> Tensor:
        """The mean over all clips, float64."""
        return dim_zero_cat(self.per_clip).mean()


@cache
def _network(name: str) -> ClipEncoder:
    """Inception, or I3D under a protocol: one a process, so that metrics copy and pickle without it."""
    return inception() if name == "inception" else i3d(protocol_named(name))


def _video_encoder(protocol: str) -> ClipEncoder:
    _network(protocol)  # missing weights and misspelt names are told at once
    return partial(_encode_video, protocol)


def _encode_video(protocol: str, clip: Tensor) -> Tensor:
    return _network(protocol)(protocol_named(protocol).cropped(clip))


def _inception(clip: Tensor) -> Tensor:
    return _network("inception")(clip)
