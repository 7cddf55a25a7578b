import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torchmetrics.functional.multimodal import clip_score as torchmetrics_clip_score
from transformers import CLIPModel, CLIPProcessor

from bench.metrics import clip_score
from bench.metrics.clip_score import clip_scores, toy_clip_score
from svd_core.encoders.weights import MissingWeights


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
    np.testing.assert_allclose(clip_scores(Colours(), videos, prompts), [100, 0, 50], atol=1e-4)


def test_as_many_prompts_as_clips():
    with pytest.raises(ValueError, match="N prompts"):
        clip_scores(Colours(), filled(RED)[None], ["red", "green"])


@pytest.fixture
def installed(small_clip, tmp_path, monkeypatch):
    """The small random CLIP where the user's own is looked for."""
    (tmp_path / "clip-vit-base-patch16").symlink_to(small_clip)
    monkeypatch.setenv("ABLATE_WEIGHTS", str(tmp_path))
    return small_clip


class OfTensors(CLIPModel):
    """transformers 5 wraps projected features in an output object, which torchmetrics 1.9 does not expect."""

    def get_image_features(self, *arguments, **keywords):
        return super().get_image_features(*arguments, **keywords).pooler_output

    def get_text_features(self, *arguments, **keywords):
        return super().get_text_features(*arguments, **keywords).pooler_output


def test_equals_torchmetrics_on_the_same_clip(installed):
    videos = np.random.default_rng(0).integers(0, 256, (3, 2, 3, 40, 32), dtype=np.uint8)
    texts = ["red ring", "b", "moving up"]
    model, processor = OfTensors.from_pretrained(installed).eval(), CLIPProcessor.from_pretrained(installed)
    found = clip_score(videos.astype(np.float32) / 255, texts)
    for value, clip, text in zip(found.per_clip, videos, texts, strict=True):
        frames = [
            torchmetrics_clip_score(torch.from_numpy(frame), text, lambda: (model, processor)).item() for frame in clip
        ]
        assert value == pytest.approx(np.mean(frames), abs=1e-3)
    assert found == pytest.approx(found.per_clip.mean())
    assert (found.n, found.frames, len(found.weights)) == (3, 2, 64)


def test_a_missing_clip_is_refused_not_replaced(tmp_path, monkeypatch):
    monkeypatch.setenv("ABLATE_WEIGHTS", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    with pytest.raises(MissingWeights, match="clip-vit-base-patch16"):
        clip_score(np.zeros((1, 2, 3, 8, 8), np.float32), ["ring"])


@pytest.mark.parametrize(
    ("videos", "texts", "message"),
    [
        (np.zeros((2, 1, 3, 8, 8), np.float32), ["ring"], r"got 1 for videos of shape \(2, 1, 3, 8, 8\)"),
        (np.zeros((1, 1, 3, 8, 8), np.float32), [7], "expected one text a clip, got \\[7\\]"),
        (np.zeros((1, 1, 3, 8, 8), np.float32), "r", "one text a clip"),
        (np.zeros((1, 1, 3, 8, 8), np.uint8), ["ring"], "divide uint8 by 255"),
        (np.zeros((1, 1, 8, 8, 3), np.float32), ["ring"], r"got shape \(1, 1, 8, 8, 3\)"),
    ],
)
def test_other_inputs_are_refused(installed, videos, texts, message):
    with pytest.raises(ValueError, match=message):
        clip_score(videos, texts)
