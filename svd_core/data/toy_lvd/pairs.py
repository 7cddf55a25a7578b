"""Single images with their captions: what Stage I and the small text-image encoders are trained on."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

import cv2
import numpy as np

from svd_core.data.toy_lvd.defects import SHARES, Overlay, draw_looks, draw_text
from svd_core.data.toy_lvd.drawing import Drawing, Image, draw_layout
from svd_core.data.toy_lvd.scenes import draw_scene, random_stream
from svd_core.data.toy_lvd.shots import ROOM

if TYPE_CHECKING:
    import torch

OVERSAMPLING = 2
"""Frames are drawn this much larger and reduced by area, as decoded frames are."""


def image_pairs(
    split: Literal["images", "filter", "score"], indices: Sequence[int], seed: int, resolution: int
) -> "tuple[torch.Tensor, list[str]]":
    """Images uint8 (B, 3, resolution, resolution) and a fitting caption each, in the image or the merged wording.

    Encoders must know text and poor looks, so their splits have both at the corpus' shares; the split `images`, for
    Stage I, is clean. Each image depends only on (split, seed, index); the splits share no random stream with each
    other, the corpus or the reference.
    """
    import torch  # here, because every process that renders a corpus imports this package and needs no torch

    flawed = split != "images"
    pairs = [_pair(random_stream(seed, f"toy_lvd/pairs/{split}", index), resolution, flawed) for index in indices]
    images = np.stack([image for image, _ in pairs]).transpose(0, 3, 1, 2)
    return torch.from_numpy(np.ascontiguousarray(images)), [caption for _, caption in pairs]


def _pair(rng: np.random.Generator, resolution: int, flawed: bool) -> tuple[Image, str]:
    """One image, RGB (resolution, resolution, 3), and its caption."""
    scene = draw_scene(rng)
    size = OVERSAMPLING * resolution
    drawing = Drawing(scene, draw_layout(rng, scene, speed=ROOM), size)
    image = drawing.at(rng.uniform(-0.5, 0.5))
    if flawed and rng.random() < SHARES["poor_looks"]:
        image = draw_looks(rng, 1 - rng.random()).spoil(image)
    if flawed and rng.random() < SHARES["text"]:
        image = Overlay(draw_text(rng, 1 - rng.random()), size).over(image)
    image = cv2.resize(image, (resolution, resolution), interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)
    return image, scene.image_caption if rng.random() < 0.5 else scene.merged_caption
