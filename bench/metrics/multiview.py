"""Novel views of objects against true ones, after the paper's multi-view table: 21-view orbits, first view given."""

from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from bench.metrics.clip_similarity import clip_similarity
from bench.metrics.clips import as_bytes
from bench.metrics.epipolar import consistent_pairs
from bench.metrics.lpips import lpips
from bench.metrics.pairs import image_pairs
from bench.metrics.pixels import psnr, ssim
from bench.metrics.result import Result
from svd_core.encoders.lpips import Net
from svd_core.encoders.weights import WeightsError


@dataclass(frozen=True)
class MultiView:
    """
    The means over objects; `per_clip` of each has one value an object, the mean over its views.

    `epipolar` is the share of neighbouring views that are consistent, `epipolar_truth` the same of the true views: the
    most that can be asked for. What could not be measured is None, and `missing` says why.
    """

    lpips: Result
    psnr: Result
    ssim: Result
    clip_similarity: Result | None
    epipolar: Result | None
    epipolar_truth: Result | None
    missing: dict[str, str] = field(default_factory=dict)


def multiview(
    generated: ArrayLike | Tensor,
    truth: ArrayLike | Tensor,
    cameras: ArrayLike | None = None,
    *,
    net: Net = "alex",
) -> MultiView:
    """
    LPIPS ↓, PSNR ↑, SSIM ↑, CLIP-S ↑ and TSED ↑ of orbits (objects, views, 3, H, W), floats in [0, 1].

    The first view is the one given to the model: the image metrics leave it out, whatever stands there, and average
    over the views of an object, then over objects. Epipolar consistency needs the exact `cameras`, (views, 3, 4) shared
    or (objects, views, 3, 4): projections of world points to pixels, see `bench.metrics.epipolar`; it judges generated
    views against the given one too, so the true first view stands in for it. The paper says neither which LPIPS
    network nor which CLIP it used (`net`, ViT-B/16 here). CLIP-S is missing without the user's CLIP.
    """
    ours, theirs = image_pairs(generated, truth)
    if np.ndim(generated) != 5 or ours.shape[1] < 2 or ours.shape[2] != 3:
        raise ValueError(f"expected orbits (objects, views >= 2, 3, H, W), got shape {tuple(np.shape(generated))}")
    projections = None if cameras is None else _projections(cameras, len(ours), ours.shape[1])
    new, true = ours[:, 1:], theirs[:, 1:]
    missing = {}
    try:
        similarity = clip_similarity(new, true)
    except (WeightsError, ImportError) as error:
        similarity, missing["clip_similarity"] = None, str(error)
    epipolar = epipolar_truth = None
    if projections is None:
        missing["epipolar"] = "no cameras were given"
    else:
        epipolar = tsed(torch.cat([theirs[:, :1], new], 1), projections)
        epipolar_truth = tsed(theirs, projections)
    return MultiView(
        lpips(new, true, net=net), psnr(new, true), ssim(new, true), similarity, epipolar, epipolar_truth, missing
    )


def tsed(views: Tensor, cameras: NDArray[np.float64]) -> Result:
    """Share of neighbouring pairs that are consistent, of orbits (objects, views, 3, H, W), floats in [0, 1]."""
    shares = [
        consistent_pairs(as_bytes(orbit).numpy(), camera).mean() for orbit, camera in zip(views, cameras, strict=True)
    ]
    return Result.mean_of(np.array(shares), name="TSED[SIFT]", frames=views.shape[1])


def _projections(cameras: ArrayLike, objects: int, views: int) -> NDArray[np.float64]:
    """Cameras as finite (objects, views, 3, 4). Raises ValueError with the shape seen."""
    array = np.asarray(cameras, np.float64)
    if array.shape not in {(views, 3, 4), (objects, views, 3, 4)}:
        raise ValueError(
            f"expected cameras ({views}, 3, 4) or ({objects}, {views}, 3, 4), one 3 x 4 projection a view, "
            f"got shape {array.shape}"
        )
    wrong = np.argwhere(~np.isfinite(array))
    if len(wrong):
        raise ValueError(f"cameras are not finite, first at {tuple(int(i) for i in wrong[0])}")
    return np.broadcast_to(array, (objects, views, 3, 4))
