import re

import numpy as np
import torch

from svd_core.data.toy_lvd import image_pairs


def test_pairs_have_the_shape_and_depend_on_their_index_alone() -> None:
    images, captions = image_pairs("filter", [5, 6, 7], 0, 32)
    assert images.shape == (3, 3, 32, 32) and images.dtype == torch.uint8
    alone, caption = image_pairs("filter", [6], 0, 32)
    assert torch.equal(alone[0], images[1]) and caption == [captions[1]]


def test_splits_and_seeds_share_no_image() -> None:
    batches = [
        image_pairs(split, range(200), seed, 32)[0]
        for split, seed in [("filter", 0), ("score", 0), ("images", 0), ("filter", 1)]
    ]
    images = torch.cat(batches).numpy()
    assert len({image.tobytes() for image in images}) == 800


def test_captions_mix_the_image_and_the_merged_wording() -> None:
    _, captions = image_pairs("score", range(200), 0, 16)
    merged = [caption for caption in captions if " moves " in caption]
    assert 0.4 < len(merged) / 200 < 0.6
    assert all(re.fullmatch(r"an? \w+ \w+ on a \w+ \w+ background", c) for c in captions if c not in merged)


def test_images_of_stage_i_are_clean() -> None:
    """Every image of a plain background shows at most two colours away from the shape's edge; no text, no grain."""
    images, captions = image_pairs("images", range(300), 0, 64)
    for image, caption in zip(images.permute(0, 2, 3, 1).numpy(), captions, strict=True):
        if " plain " in caption:
            colours, counts = np.unique(image.reshape(-1, 3), axis=0, return_counts=True)
            assert counts[np.argsort(counts)[-2:]].sum() > 0.85 * 64 * 64, (caption, len(colours))


def test_captions_name_the_background_that_is_seen() -> None:
    """In plain corners, which no shape reaches, the median colour is nearest to that of the background's word."""
    from svd_core.data.toy_lvd.scenes import BACKGROUNDS

    images, captions = image_pairs("filter", range(600), 0, 32)
    corners = images[:, :, :4, :4].float().mean(dim=(2, 3)).numpy()
    words = np.array([" ".join(caption.split()[-3:-1]) for caption in captions])
    for word, colour in BACKGROUNDS.items():
        seen = np.median(corners[words == f"{word} plain"], axis=0)
        nearest = min(BACKGROUNDS, key=lambda name: float(np.abs(seen - BACKGROUNDS[name]).sum()))
        assert nearest == word, (seen, colour)
