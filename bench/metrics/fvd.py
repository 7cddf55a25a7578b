"""FVD, the Fréchet video distance (Unterthiner et al. 2018), on the logits of I3D trained on Kinetics-400."""

from collections.abc import Iterator
from functools import partial
from itertools import chain
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from bench.metrics.frechet import Gaussian, frechet_distance
from bench.metrics.protocols import PROTOCOLS, Protocol, protocol_named
from bench.metrics.result import Result
from bench.metrics.sets import jackknife_stderr
from bench.metrics.videos import ClipEncoder, Videos, clips_of
from svd_core.encoders.i3d import I3D
from svd_core.encoders.weights import locate
from svd_core.encoders.weights_table import TABLE

I3DName = Literal["i3d_k400", "i3d_torchscript"]


def fvd(real: Videos, generated: Videos, *, protocol: str = "stylegan-v", layer: str = "logits") -> Result:
    """
    Distance of two sets of videos, (N, T, 3, H, W) and (M, T, 3, H, W), floats in [0, 1]; every clip is used whole.

    Range [0, inf), lower is nearer. Arrays, tensors and iterables of clips (T, 3, H, W) are taken, which stream: only
    features are kept. The encoder runs where the clips are. `protocol` names how frames become I3D's 224 x 224 (see
    `bench.metrics.protocols`); each reproduces the original TensorFlow code on constant videos (all-zero against
    all-one, 30 frames: 151.392). `layer` "pool" compares what the classifier sees instead of the logits, as some codes
    do; the name says so. The value falls as N and M grow and depends on T: compare only like with like. Raises
    ValueError for fewer than 9 frames or 2 clips, and for other shapes, types and ranges.
    """
    chosen = protocol_named(protocol)
    (head, theirs), (other, ours) = _opened(real, "real"), _opened(generated, "generated")
    if len(head) != len(other):
        raise ValueError(f"both sets need the same number of frames, got {len(head)} and {len(other)}")
    encode = clip_encoder(chosen, layer=layer)
    x, y = (torch.cat([encode(chosen.cropped(clip)) for clip in clips]) for clips in (theirs, ours))
    for name, rows in (("real", x), ("generated", y)):
        if len(rows) < 2:
            raise ValueError(f"{name}: FVD needs at least 2 clips, got {len(rows)}")
    reference = Gaussian.of(x, "real")
    return Result(
        frechet_distance(y, reference),
        name=f"FVD[i3d-k400{'' if layer == 'logits' else f' {layer}'}, {chosen.name}]",
        n=len(y),
        n_reference=len(x),
        stderr=jackknife_stderr(y.numpy(), len(y), partial(frechet_distance, y=reference)),
        frames=len(head),
        weights=TABLE["i3d_k400"].sha256,
    )


def clip_encoder(
    protocol: Protocol = PROTOCOLS["stylegan-v"], weights: I3DName = "i3d_k400", layer: str = "logits"
) -> ClipEncoder:
    """I3D's features of a cropped clip, (1, 400) for logits, computed where the clip is."""
    network = I3D.load(locate(weights))

    def encode(clip: Tensor) -> Tensor:
        frames = protocol.for_i3d(clip)
        return network.to(clip.device).features(frames[None], layer).cpu()

    return encode


def _opened(videos: Videos, name: str) -> tuple[Tensor, Iterator[Tensor]]:
    """The first clip of a set, and all of them; what lies in memory is checked whole before anything is encoded."""
    if isinstance(videos, Tensor | np.ndarray):
        for _ in clips_of(videos, name):
            pass
    clips = clips_of(videos, name)
    head = next(clips, None)
    if head is None:
        raise ValueError(f"{name}: FVD needs at least 2 clips, got 0")
    return head, chain([head], clips)
