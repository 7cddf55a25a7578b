"""Single frames with their captions: what the small text-image encoders are trained on."""

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
    split: Literal["filter", "score"], indices: Sequence[int], seed: int, resolution: int
) -> "tuple[torch.Tensor, list[str]]":
    """Images uint8 (B, 3, resolution, resolution) and a fitting caption each, in the image or the merged wording.

    Text and poor looks are planted at the corpus' shares, so that an encoder knows them. Each image depends only on
    (split, seed, index); the splits share no random stream with each other, the corpus or the reference.
    """
    import torch  # here, because every process that renders a corpus imports this package and needs no torch

    pairs = [_pair(random_stream(seed, f"toy_lvd/pairs/{split}", index), resolution) for index in indices]
    images = np.stack([image for image, _ in pairs]).transpose(0, 3, 1, 2)
    return torch.from_numpy(np.ascontiguousarray(images)), [caption for _, caption in pairs]


def _pair(rng: np.random.Generator, resolution: int) -> tuple[Image, str]:
    """One image, RGB (resolution, resolution, 3), and its caption."""
    scene = draw_scene(rng)
    size = OVERSAMPLING * resolution
    drawing = Drawing(scene, draw_layout(rng, scene, speed=ROOM), size)
    image = drawing.at(rng.uniform(-0.5, 0.5))
    if rng.random() < SHARES["poor_looks"]:
        image = draw_looks(rng, 1 - rng.random()).spoil(image)
    if rng.random() < SHARES["text"]:
        image = Overlay(draw_text(rng, 1 - rng.random()), size).over(image)
    image = cv2.resize(image, (resolution, resolution), interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)
    return image, scene.image_caption if rng.random() < 0.5 else scene.merged_caption
