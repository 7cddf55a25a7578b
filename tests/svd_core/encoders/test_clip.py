import numpy as np
import pytest
import torch
from transformers import CLIPImageProcessor, CLIPModel, CLIPTokenizer

from bench.metrics.clip_score import clip_scores
from svd_core.encoders.clip import Clip


@pytest.fixture(scope="module")
def folder(small_clip):
    return small_clip


def test_logits_are_those_of_the_model(folder):
    clip, model = Clip.load(folder), CLIPModel.from_pretrained(folder).eval()
    images = torch.randint(0, 256, (2, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    texts = ["red ring", "b"]
    pixels = CLIPImageProcessor.from_pretrained(folder)(images=list(images), return_tensors="pt")["pixel_values"]
    tokens = CLIPTokenizer.from_pretrained(folder)(texts, padding=True, return_tensors="pt")
    with torch.inference_mode():
        expected = model(pixel_values=pixels, **tokens).logits_per_image / model.logit_scale.exp()
    torch.testing.assert_close(clip.embed_images(images) @ clip.embed_texts(texts).T, expected)


def test_the_processor_prepares_images_of_other_sizes(folder):
    clip = Clip.load(folder)
    assert clip.embed_images(torch.zeros(1, 3, 50, 70, dtype=torch.uint8)).shape == (1, 24)


def test_texts_beyond_the_models_length_are_cut(folder):
    clip = Clip.load(folder)
    assert clip.embed_texts(["abcdefgh " * 9]).norm().item() == pytest.approx(1)


def test_clip_score_of_a_video(folder):
    clip = Clip.load(folder)
    videos = np.random.default_rng(0).integers(0, 256, (3, 2, 3, 32, 32), dtype=np.uint8)
    prompts = ["red", "blue ring", "x"]
    texts = clip.embed_texts(prompts)
    frames = torch.stack([clip.embed_images(torch.from_numpy(video)) for video in videos])
    cosines = (frames * texts[:, None]).sum(-1)
    found = clip_scores(clip, videos, prompts)
    np.testing.assert_allclose(found, 100 * cosines.clamp(min=0).mean(1), rtol=1e-4, atol=1e-4)


def test_a_folder_without_safetensors_is_refused(folder, tmp_path):
    (tmp_path / "config.json").write_bytes((folder / "config.json").read_bytes())
    with pytest.raises(OSError, match="safetensors"):
        Clip.load(tmp_path)
