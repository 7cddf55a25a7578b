import numpy as np
import pytest
import torch
import torch.nn.functional as F

from bench.metrics.clip_score import clip_score, toy_clip_score


class Colours:
    """Knows mean colours and their three names."""

    def embed_images(self, images):
        return F.normalize(images.float().mean((2, 3)) - 85, dim=1)

    def embed_texts(self, texts):
        return F.normalize(torch.eye(3)[[["red", "green", "blue"].index(text) for text in texts]] - 1 / 3, dim=1)


def filled(*colours):
    return np.array(colours, np.uint8)[..., None, None].repeat(4, -1).repeat(4, -2)


RED, GREEN = (255, 0, 0), (0, 255, 0)


def test_fitting_clips_score_one_and_others_are_floored_only_by_clip_score():
    videos = np.stack([filled(RED, RED), filled(RED, RED), filled(RED, GREEN)])
    prompts = ["red", "blue", "green"]
    np.testing.assert_allclose(toy_clip_score(Colours(), videos, prompts), [1, -0.5, 0.25], atol=1e-6)
    np.testing.assert_allclose(clip_score(Colours(), videos, prompts), [100, 0, 50], atol=1e-4)


def test_as_many_prompts_as_clips():
    with pytest.raises(ValueError, match="N prompts"):
        clip_score(Colours(), filled(RED)[None], ["red", "green"])
