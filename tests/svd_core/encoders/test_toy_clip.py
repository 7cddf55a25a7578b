import hashlib

import numpy as np
import pytest
import torch
from scipy.stats import mannwhitneyu

from svd_core.data.toy_lvd import image_pairs
from svd_core.data.toy_lvd.scenes import VISIBLE
from svd_core.encoders.toy_clip import ToyClip, split_words, train_toy_clip
from svd_core.settings import ToyClipSettings

BRIEF = ToyClipSettings(images=256, steps=12, batch_size=32)


@pytest.fixture(scope="module")
def brief(tmp_path_factory):
    out = tmp_path_factory.mktemp("toy_clip")
    train_toy_clip(BRIEF, out)
    return out


def digests(folder):
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}


def test_two_trainings_agree_to_the_bit(brief, tmp_path):
    torch.rand(3)  # the global generator's state must not matter
    train_toy_clip(BRIEF, tmp_path)
    assert digests(tmp_path) == digests(brief)


def test_the_scorers_encoder_is_another_one(brief, tmp_path):
    train_toy_clip(BRIEF.model_copy(update={"split": "score"}), tmp_path)
    assert digests(tmp_path)["model.safetensors"] != digests(brief)["model.safetensors"]


def test_training_leaves_the_global_generator_alone(tmp_path):
    before = torch.get_rng_state()
    train_toy_clip(BRIEF.model_copy(update={"steps": 1}), tmp_path)
    assert torch.equal(torch.get_rng_state(), before)


def test_loss_falls(tmp_path):
    losses = []
    train_toy_clip(BRIEF, tmp_path, progress=lambda done, total, **figures: losses.extend(figures.values()))
    assert np.mean(losses[-3:]) < np.mean(losses[:3]) - 0.3


def test_embeddings_are_unit_vectors_of_any_image_size(brief):
    encoder = ToyClip.load(brief)
    images = torch.randint(0, 256, (3, 3, 45, 64), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    for vectors in (encoder.embed_images(images), encoder.embed_texts(["a white ring", "a red plain background"])):
        assert vectors.shape[1] == 64 and vectors.dtype == torch.float32 and not vectors.requires_grad
        torch.testing.assert_close(vectors.norm(dim=1), torch.ones(len(vectors)))


def test_unknown_words_count_for_nothing_and_alone_are_refused(brief):
    encoder = ToyClip.load(brief)
    known, more = encoder.embed_texts(["white ring", "An unheard-of white ring!"])
    assert torch.equal(known, more)
    with pytest.raises(ValueError, match="no word of 'unheard of' is known"):
        encoder.embed_texts(["white ring", "unheard of"])


@pytest.mark.parametrize("images", [torch.zeros(2, 3, 8, 8), torch.zeros(3, 8, 8, dtype=torch.uint8)])
def test_other_images_are_refused(brief, images):
    with pytest.raises(ValueError, match="expected uint8 images"):
        ToyClip.load(brief).embed_images(images)


@pytest.mark.slow
def test_tells_captions_that_differ_in_one_word(tmp_path):
    train_toy_clip(ToyClipSettings(), tmp_path)
    encoder = ToyClip.load(tmp_path)
    images, captions = image_pairs("score", range(1000), seed=123, resolution=32)  # text and poor looks included
    rng = np.random.default_rng(0)
    wrong = [with_one_word_changed(caption, rng) for caption in captions]
    with torch.inference_mode():
        pictures = encoder.embed_images(images)
        fitting, other = ((pictures * encoder.embed_texts(texts)).sum(1).numpy() for texts in (captions, wrong))
    assert mannwhitneyu(fitting, other).statistic / 1000**2 > 0.95
    assert (fitting > other).mean() > 0.95


def with_one_word_changed(caption, rng):
    present = [(field, word) for field, words in VISIBLE.items() for word in split_words(caption) if word in words]
    field, word = present[rng.integers(len(present))]
    others = [other for other in VISIBLE[field] if other != word]
    return caption.replace(word, others[rng.integers(len(others))])
