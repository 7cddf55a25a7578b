from pathlib import Path
from typing import Any

import pytest
import torch

from svd_core.data.latents import EncodedClips, read_encoded
from svd_core.models.conditioning import DEFAULT_BUCKET
from svd_core.settings import VideoPretrainingSettings
from svd_core.training.batches import Batch, draw, draw_batch, schedule_of, uniform_step


@pytest.fixture(scope="module")
def clips(latents: Path) -> EncodedClips:
    return read_encoded(latents)


def settings(batch_size: int = 4, **changes: Any) -> VideoPretrainingSettings:
    return VideoPretrainingSettings(samples=8 * batch_size, batch_size=batch_size, **changes)


def joined(batches: list[Batch]) -> list[torch.Tensor]:
    names = ("clean", "noise", "sigma", "text", "time_ids")
    return [torch.cat([getattr(batch, name) for batch in batches]) for name in names]


def test_a_sample_sees_the_same_draws_whatever_the_batch_size(clips: EncodedClips) -> None:
    large = [draw_batch(settings(4), "pretrain_videos", clips, range(4, 8))]
    small = [draw_batch(settings(2), "pretrain_videos", clips, range(first, first + 2)) for first in (4, 6)]
    for together, apart in zip(joined(large), joined(small), strict=True):
        assert torch.equal(together, apart)


def test_conditions_belong_to_their_clips(clips: EncodedClips) -> None:
    batch = draw_batch(settings(10, text_dropout=0.0), "pretrain_videos", clips, range(10))
    assert sorted(batch.clip_ids) == sorted(clips.clip_ids)
    for element, clip_id in enumerate(batch.clip_ids):
        row = clips.clip_ids.index(clip_id)
        assert torch.equal(batch.clean[element], clips.latents[row].float())
        assert batch.time_ids[element, 0] == clips.fps[row] - 1
        assert any(torch.equal(batch.text[element], caption.float()) for caption in clips.text[row])
    assert batch.time_ids[batch.clip_ids.index("clip0"), 1] == DEFAULT_BUCKET  # its motion was never measured


def test_image_batches_hold_one_frame_of_each_clip(clips: EncodedClips) -> None:
    batch = draw_batch(settings(10), "pretrain_images", clips, range(10))
    assert batch.noise.shape == batch.clean.shape == (10, 4, 4, 4)
    for frame, clip_id in zip(batch.clean, batch.clip_ids, strict=True):
        row = clips.clip_ids.index(clip_id)
        assert any(torch.equal(frame, stored.float()) for stored in clips.latents[row])


def test_captions_and_text_dropout_come_in_their_shares() -> None:
    draws = [draw(settings(), "pretrain_videos", index, (3, 1, 1, 1)) for index in range(4000)]
    captions = torch.bincount(torch.tensor([drawn.caption for drawn in draws])) / len(draws)
    assert captions.tolist() == pytest.approx([0.5, 0.25, 0.25], abs=0.025)  # 3 standard errors
    assert sum(drawn.drops_text for drawn in draws) / len(draws) == pytest.approx(0.1, abs=0.015)


def test_caption_shares_change_the_caption_and_no_other_draw() -> None:
    plain, merged = settings(), settings(caption_shares=(0.0, 0.25, 0.75))
    pairs = [[draw(s, "pretrain_videos", index, (3, 1, 1, 1)) for s in (plain, merged)] for index in range(4000)]
    captions = torch.bincount(torch.tensor([drawn.caption for _, drawn in pairs]), minlength=3) / len(pairs)
    assert captions.tolist() == pytest.approx([0.0, 0.25, 0.75], abs=0.025)
    for one, other in pairs[:100]:
        assert (one.normal, one.drops_text, one.frame) == (other.normal, other.drops_text, other.frame)
        assert torch.equal(one.noise, other.noise)


def test_no_caption_shares_are_no_part_of_the_settings_that_fingerprints_hash() -> None:
    assert "caption_shares" not in settings().model_dump(mode="json")
    assert settings(caption_shares=(1.0, 0.0, 0.0)).model_dump(mode="json")["caption_shares"] == [1.0, 0.0, 0.0]
    with pytest.raises(ValueError, match=r"add up to 1 are needed, not to 1\.5"):
        settings(caption_shares=(0.5, 0.5, 0.5))


@pytest.mark.parametrize(("rate", "any_text"), [(0.0, True), (1.0, False)])
def test_dropped_text_is_zero(clips: EncodedClips, rate: float, any_text: bool) -> None:
    batch = draw_batch(settings(10, text_dropout=rate), "pretrain_videos", clips, range(10))
    assert (batch.text.flatten(1).any(1) == any_text).all()


def test_under_a_discrete_schedule_nothing_but_the_noise_level_changes(clips: EncodedClips) -> None:
    both: tuple[dict[str, Any], ...] = ({}, {"objective": "v"})
    plain, discrete = (draw_batch(settings(10, **each), "pretrain_videos", clips, range(10)) for each in both)
    schedule = schedule_of("v")
    assert schedule is not None and discrete.step is not None and plain.step is None
    assert torch.equal(discrete.sigma, schedule.sigmas[discrete.step].float())
    assert torch.equal(discrete.sigma.argsort(), plain.sigma.argsort())  # as noisy as any other, in the same order
    for name in ("clean", "noise", "text", "time_ids"):
        assert torch.equal(getattr(plain, name), getattr(discrete, name))


def test_every_step_is_equally_likely() -> None:
    steps = uniform_step(torch.randn(100_000, generator=torch.Generator().manual_seed(0)), 10)
    assert (torch.bincount(steps) / len(steps)).tolist() == pytest.approx([0.1] * 10, abs=0.004)  # 4 standard errors
    assert uniform_step(torch.tensor([-40.0, 40.0]), 10).tolist() == [0, 9]


def test_the_continuous_objective_is_no_part_of_the_settings_that_fingerprints_hash() -> None:
    assert "objective" not in settings().model_dump(mode="json")
    assert settings(objective="epsilon").model_dump(mode="json")["objective"] == "epsilon"


def test_a_shift_of_the_discrete_schedule_is_added_to_every_log_snr() -> None:
    plain, shifted = schedule_of("v"), schedule_of("v", -2.0)
    assert plain is not None
    assert shifted is not None
    log_snr = [-2 * schedule.sigmas.log() for schedule in (plain, shifted)]
    torch.testing.assert_close(log_snr[1], log_snr[0] - 2.0)
    assert schedule_of("continuous", 0.0) is None
    with pytest.raises(ValueError, match="log_snr_shift is of the discrete objectives"):
        VideoPretrainingSettings(log_snr_shift=1.0)
    assert "log_snr_shift" not in VideoPretrainingSettings(objective="v").model_dump()
    assert "precision" not in VideoPretrainingSettings().model_dump()
