import numpy as np
import pytest

from bench.metrics import lpips, multiview, psnr
from svd_core.data.objects import render
from svd_core.encoders.weights import fetch


@pytest.fixture(scope="module")
def orbits():
    """Views (2, 5, 3, 64, 64) and cameras of two objects."""
    fetch("lpips_alex")
    drawn = [render(name, side=64, views=5) for name in ("950", "952")]
    views = np.stack([orbit.images for orbit in drawn]).transpose(0, 1, 4, 2, 3).astype(np.float32) / 255
    return views, np.stack([orbit.cameras for orbit in drawn])


@pytest.fixture
def without_clip(tmp_path, monkeypatch):
    fetch("lpips_alex")
    from svd_core.encoders import weights

    (tmp_path / "lpips_alex.safetensors").symlink_to(weights.locate("lpips_alex"))
    monkeypatch.setenv("ABLATE_WEIGHTS", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path


def test_the_given_view_does_not_count(orbits, without_clip):
    truth, cameras = orbits
    generated = np.clip(truth + 0.1, 0, 1)
    found = multiview(generated, truth, cameras)
    generated[:, 0] = 0
    blackened = multiview(generated, truth, cameras)
    assert (found.lpips, found.psnr, found.ssim) == (blackened.lpips, blackened.psnr, blackened.ssim)
    assert found.epipolar == blackened.epipolar
    assert found.psnr == psnr(generated[:, 1:], truth[:, 1:])
    assert found.lpips == lpips(generated[:, 1:], truth[:, 1:])


def test_mean_over_views_then_over_objects(orbits, without_clip):
    truth, _ = orbits
    noisy = np.clip(truth + np.random.default_rng(0).normal(0, [[[[[0.02]]]], [[[[0.2]]]]], truth.shape), 0, 1)
    found = multiview(noisy, truth)
    each = [multiview(noisy[i : i + 1], truth[i : i + 1]) for i in range(2)]
    for name in ("lpips", "psnr", "ssim"):
        result = getattr(found, name)
        assert result.per_clip.tolist() == [float(getattr(one, name)) for one in each]
        assert result == pytest.approx(result.per_clip.mean())
    assert found.lpips.per_clip[0] < found.lpips.per_clip[1]


def test_what_is_missing_says_why(orbits, without_clip):
    truth, _ = orbits
    found = multiview(truth, truth)
    assert found.clip_similarity is None
    assert "clip-vit-base-patch16" in found.missing["clip_similarity"]
    assert found.epipolar is None
    assert found.missing["epipolar"] == "no cameras were given"


def test_clip_similarity_with_a_small_random_clip(orbits, without_clip, small_clip):
    (without_clip / "clip-vit-base-patch16").symlink_to(small_clip)
    truth, cameras = orbits
    found = multiview(truth, truth, cameras)
    assert found.missing == {}
    assert found.clip_similarity == pytest.approx(1)
    assert multiview(1 - truth, truth).clip_similarity < found.clip_similarity


def test_shared_cameras_serve_every_object(orbits, without_clip):
    truth, cameras = orbits
    twice = np.stack([truth[1], truth[1]])
    found = multiview(twice, twice, cameras[1])
    assert found.epipolar.per_clip[0] == found.epipolar.per_clip[1]
    assert found.epipolar == found.epipolar_truth


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t, c: (t[0], t[0], None), r"expected orbits .* got shape \(5, 3, 64, 64\)"),
        (lambda t, c: (t[:, :1], t[:, :1], None), r"views >= 2.* got shape \(2, 1, 3, 64, 64\)"),
        (lambda t, c: (t[:, :4], t, None), r"got shapes \(2, 4, 3, 64, 64\) and \(2, 5, 3, 64, 64\)"),
        (lambda t, c: (t, t, c[0, :4]), r"expected cameras \(5, 3, 4\) .* got shape \(4, 3, 4\)"),
        (lambda t, c: (t, t, c * np.nan), r"cameras are not finite, first at \(0, 0, 0, 0\)"),
    ],
)
def test_other_inputs_are_refused(orbits, change, message):
    with pytest.raises(ValueError, match=message):
        multiview(*change(*orbits))
