import numpy as np
import pytest
import torch

from bench.metrics import clip_similarity
from svd_core.encoders.clip import Clip


@pytest.fixture(autouse=True)
def installed(small_clip, tmp_path, monkeypatch):
    (tmp_path / "clip-vit-base-patch16").symlink_to(small_clip)
    monkeypatch.setenv("ABLATE_WEIGHTS", str(tmp_path))


def test_is_the_cosine_of_image_embeddings(small_clip):
    a, b = np.random.default_rng(0).integers(0, 256, (2, 3, 2, 3, 32, 32), dtype=np.uint8)
    clip = Clip.load(small_clip)
    expected = [(clip.embed_images(torch.from_numpy(x)) * clip.embed_images(torch.from_numpy(y))).sum(1).mean()
                for x, y in zip(a, b, strict=True)]  # fmt: skip
    found = clip_similarity(a.astype(np.float32) / 255, b.astype(np.float32) / 255)
    np.testing.assert_allclose(found.per_clip, expected, rtol=1e-5)


def test_equal_pictures_have_one():
    images = np.random.default_rng(0).random((2, 3, 40, 40))
    assert clip_similarity(images, images) == pytest.approx(1, abs=1e-6)


def test_unequal_counts_are_refused():
    with pytest.raises(ValueError, match=r"got shapes \(2, 3, 8, 8\) and \(1, 3, 8, 8\)"):
        clip_similarity(np.zeros((2, 3, 8, 8)), np.zeros((1, 3, 8, 8)))
