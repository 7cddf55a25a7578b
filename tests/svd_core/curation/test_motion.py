from pathlib import Path

import cv2
import drawn
import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torchvision.models.optical_flow import raft_small

from svd_core.curation.motion import DIS, FARNEBACK, Motion, motion_score, raft


def test_a_still_shot_has_next_to_no_motion() -> None:
    assert motion_score(list(drawn.shot(0, frames=30, speed=0.0)), 10.0) == pytest.approx(0, abs=5e-3)


def test_slow_motion_is_ranked_by_speed() -> None:
    scores = [motion_score(list(drawn.shot(0, frames=30, speed=speed)), 10.0) for speed in (0, 0.1, 0.25, 0.5, 1, 2)]
    assert scores == sorted(scores)
    assert len(set(scores)) == len(scores)


def test_a_pan_there_and_back_is_not_static() -> None:
    knots = np.random.default_rng(0).integers(0, 256, size=(8, 24, 3), dtype=np.uint8)
    texture = cv2.resize(knots, (288, 96), interpolation=cv2.INTER_CUBIC).astype(np.uint8)
    frames = [texture[:, offset : offset + 144] for offset in (0, 8, 16, 8, 0)]  # signed flow cancels
    score = motion_score(frames, 2.0)
    assert score is not None
    assert score > 0.5


def test_the_frame_rate_does_not_change_the_score() -> None:
    slow = motion_score(list(drawn.shot(0, frames=24, speed=1.0)), 8.0)
    fast = motion_score(list(drawn.shot(0, frames=72, speed=1 / 3)), 24.0)
    assert slow == pytest.approx(fast, rel=0.05)


def test_too_short_to_tell() -> None:
    assert motion_score(list(drawn.shot(0, frames=3)), 10.0) is None


def textured(seed: int = 0, height: int = 96, width: int = 384) -> np.ndarray:
    """A grey texture with the spectrum of natural pictures (amplitude 1/f), uint8 (H, W, 3)."""
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.fftfreq(width)[None])
    frequency[0, 0] = 1.0
    noise = np.random.default_rng(seed).normal(size=(height, width))
    levels = np.real(np.fft.ifft2(np.fft.fft2(noise) / frequency))
    levels = np.clip(128 + 45 * (levels - levels.mean()) / levels.std(), 0, 255).astype(np.uint8)
    return np.stack([levels] * 3, axis=2)


def shifted(seed: int, pixels: int) -> list[np.ndarray]:
    """Two views of a texture, 96 x 170."""
    return [textured(seed)[:, 100:270], textured(seed)[:, 100 - pixels : 270 - pixels]]


@pytest.mark.parametrize("pixels", [2, 6, 12, 18])
def test_dis_measures_a_shift_in_the_unit_of_the_papers_score(pixels: int) -> None:
    """A shift of p pixels at 96 px is p/6 at 16 px."""
    scores = [DIS.over(shifted(seed, pixels)) for seed in range(4)]
    assert scores == pytest.approx([pixels / 6] * 4, rel=0.08)


@pytest.mark.parametrize("kind", [FARNEBACK, DIS])
def test_pictures_half_a_second_apart_are_what_a_whole_clip_is_reduced_to(kind: Motion) -> None:
    frames = list(drawn.shot(0, frames=24, speed=1.0))
    assert kind.score(frames, 8.0) == kind.over(frames[::4])
    assert kind.over(frames[:1]) is None


@pytest.fixture(scope="module")
def raft_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random network of torchvision's smaller kind, kept as its own weights are."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("raft") / "raft.safetensors"
    save_file(raft_small(weights=None).state_dict(), path)
    return path


def test_raft_is_loaded_from_a_file_and_gives_the_networks_flow(raft_weights: Path) -> None:
    kind = raft(raft_weights, side=128)
    picture = textured(height=128, width=200)
    before, after = picture[:, :160], picture[:, 8:168]
    model = raft_small(weights=None).eval()
    model.load_state_dict(load_file(raft_weights))
    with torch.inference_mode():
        images = [torch.from_numpy(image).permute(2, 0, 1)[None] / 127.5 - 1 for image in (before, after)]
        expected = model(*images)[-1][0].permute(1, 2, 0).numpy()
    np.testing.assert_allclose(kind.field(before, after), expected, rtol=1e-4, atol=1e-4)
    length = float(np.hypot(expected[..., 0], expected[..., 1]).mean())
    assert kind.over([before, after]) == pytest.approx(length * 16 / 128, rel=1e-4)


def test_raft_takes_frames_of_any_shape(raft_weights: Path) -> None:
    assert raft(raft_weights, side=128).over([textured(height=45, width=70)] * 2) is not None


def test_other_weights_are_not_taken_for_raft(tmp_path: Path) -> None:
    save_file({"weight": torch.zeros(2)}, tmp_path / "raft.safetensors")
    with pytest.raises(ValueError, match="not the state dict of torchvision's raft"):
        raft(tmp_path / "raft.safetensors")
