import numpy as np
import pytest
import torch
import torch.nn.functional as F

from bench.metrics import subject_consistency
from bench.metrics.subject_consistency import consistency
from svd_core.encoders.weights import MissingWeights


class Colours:
    """Knows mean colours only."""

    def embed_images(self, images):
        return F.normalize(images.float().mean((2, 3)), dim=1)


def filled(*colours):
    return np.array(colours, np.uint8)[..., None, None].repeat(4, -1).repeat(4, -2)


RED, GREEN = (255, 0, 0), (0, 255, 0)


def test_frames_count_against_the_first_and_the_one_before():
    assert consistency(Colours(), filled(RED, RED, RED)) == pytest.approx(1)
    assert consistency(Colours(), filled(RED, GREEN, GREEN)) == pytest.approx((0 + (0 + 1) / 2) / 2)
    assert consistency(Colours(), filled(RED, GREEN, RED)) == pytest.approx((0 + (1 + 0) / 2) / 2)


def test_with_a_small_random_dino(small_dino, tmp_path, monkeypatch):
    (tmp_path / "dino-vitb16").symlink_to(small_dino)
    monkeypatch.setenv("ABLATE_WEIGHTS", str(tmp_path))
    videos = torch.rand(2, 3, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    videos[1] = videos[1, :1]
    found = subject_consistency(videos)
    assert found.per_clip[0] < found.per_clip[1] == pytest.approx(1)
    assert found.weights is not None
    with pytest.raises(ValueError, match="clip 0: subject consistency needs at least 2 frames, got 1"):
        subject_consistency(videos[:, :1])


def test_a_missing_dino_is_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("ABLATE_WEIGHTS", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    with pytest.raises(MissingWeights, match="dino-vitb16"):
        subject_consistency(np.zeros((1, 2, 3, 8, 8)))
