"""What a sample of each task is conditioned on, and that nothing of one sample reaches another."""

import math
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_recipes import PHASE

from svd_core.data.record_writing import write_records
from svd_core.data.records import Record, Records
from svd_core.diffusion import DiscreteSchedule
from svd_core.models.video_autoencoder import VideoAutoencoder
from svd_core.tasks.batches import batch_of, between
from svd_core.tasks.settings import Phase

CLIPS, FRAMES = 70, 4  # more than one shard


def phase(task: str, **changes: object) -> Phase:
    frames = FRAMES if task == "frame_interpolation" else 3
    size = {"resolution": (16, 16), "frames": frames, "batch_size": 5}
    return Phase(**{**PHASE, "name": "phase", "task": task, **size, **changes})


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory) -> Records:
    folder = tmp_path_factory.mktemp("records")
    generator = torch.Generator().manual_seed(0)

    def made(number: int) -> Record:
        latents = torch.randn(FRAMES, 4, 2, 2, generator=generator).half().float()
        return Record(
            latents=latents,
            text=torch.randn(3, 1, 8, generator=generator).half().float(),
            image=torch.randn(2, 8, generator=generator).half().float(),
            condition=torch.full((4, 4, 2, 2), 10.0 * number) + torch.arange(4.0)[:, None, None, None],
            strength=torch.tensor([0.01, 0.02, 0.04, 0.08]) + number,
            clip_id=f"clip{number:02d}",
            fps=8.0 + number,
            motion=None if number == 0 else 0.1 * number,
            elevation=number - 5.0,
        )

    write_records(folder, "made", CLIPS, lambda numbers: map(made, numbers))
    return Records(folder)


def number_of(clip_id: str) -> int:
    return int(clip_id.removeprefix("clip"))


@pytest.mark.parametrize("task", ["text_to_video", "image_to_video", "frame_interpolation", "multi_view"])
def test_a_sample_is_the_same_alone_and_in_any_batch(task: str, records: Records) -> None:
    """Fps, bucket, noise strength and every draw are a sample's own: public code took them from batch element 0."""
    together = batch_of(phase(task), records, range(3, 8), None)
    for element, index in enumerate(range(3, 8)):
        alone = batch_of(phase(task), records, range(index, index + 1), None)
        for name in ("clean", "noise", "sigma", "text", "time_ids", "concat"):
            if getattr(alone, name) is not None:
                assert torch.equal(getattr(alone, name)[0], getattr(together, name)[element]), name
    assert len(set(map(tuple, together.time_ids.tolist()))) == 5


def test_the_noise_strength_told_is_that_of_the_latent_shown(records: Records) -> None:
    kept = phase("image_to_video", image_dropout=0.0, latent_dropout=0.0)
    batch = batch_of(kept, records, range(40), None)
    draws = set()
    for element, clip_id in enumerate(batch.clip_ids):
        number = number_of(clip_id)
        drawn = round(batch.concat[element, 0, 0, 0, 0].item() - 10 * number)
        draws.add(drawn)
        assert batch.time_ids[element].tolist()[0] == 8.0 + number - 1
        assert batch.time_ids[element, 2].item() == pytest.approx((0.01, 0.02, 0.04, 0.08)[drawn] + number)
        assert torch.equal(batch.concat[element], batch.concat[element, :1].expand(3, -1, -1, -1))
        assert torch.equal(batch.text[element], records[number].image[:1].float())
    assert draws == {0, 1, 2, 3}


def test_each_condition_is_dropped_at_its_own_rate(records: Records) -> None:
    batch = batch_of(phase("image_to_video", image_dropout=0.3, latent_dropout=0.6), records, range(1, 700), None)
    no_image = ~batch.text.flatten(1).any(1)
    no_latent = ~batch.concat.flatten(1).any(1) & (batch.time_ids[:, 0] != 7)  # clip 0 has a condition of zeros
    assert no_image.float().mean().item() == pytest.approx(0.3, abs=0.06)
    assert no_latent.float().mean().item() == pytest.approx(0.6, abs=0.06)
    assert (no_image & no_latent).float().mean().item() == pytest.approx(0.18, abs=0.05), "independently"
    assert (batch.time_ids[:, :3] != 0).all(), "what is told in numbers is never dropped"


def test_interpolation_shows_both_ends_under_noise_and_a_mask_between(records: Records) -> None:
    kept = phase("frame_interpolation", image_dropout=0.0, latent_dropout=0.0, strength_mean=-30.0)
    batch = batch_of(kept, records, range(2), None)
    for element, clip_id in enumerate(batch.clip_ids):
        record = records[number_of(clip_id)]
        torch.testing.assert_close(batch.concat[element, [0, 3], :4], record.latents[[0, 3]].float(), rtol=0, atol=1e-5)
        assert not batch.concat[element, 1:3, :4].any()
        assert batch.concat[element, :, 4].amax((1, 2)).tolist() == [0, 1, 1, 0]
        assert torch.equal(batch.text[element], record.image.float())
    assert between(torch.ones(2, 4, 2, 2), 5)[:, 4, 0, 0].tolist() == [0, 1, 1, 1, 0]
    with pytest.raises(ValueError, match=r"encoded with 4 frames, whose last one .* of the 3 which phase phase"):
        batch_of(kept.model_copy(update={"frames": 3}), records, range(2), None)


def test_multi_view_tells_the_elevation_by_sine_and_cosine(records: Records) -> None:
    batch = batch_of(phase("multi_view"), records, range(6), None)
    for element, clip_id in enumerate(batch.clip_ids):
        angle = math.radians(number_of(clip_id) - 5)
        assert batch.time_ids[element, 3:].tolist() == pytest.approx([math.sin(angle), math.cos(angle)])


def test_a_discrete_phase_draws_every_step_alike(records: Records) -> None:
    schedule = DiscreteSchedule.stable_diffusion()
    batch = batch_of(phase("text_to_video", objective="v"), records, range(800), schedule)
    assert batch.step.float().mean().item() == pytest.approx(499.5, abs=35)
    torch.testing.assert_close(batch.sigma, schedule.sigmas[batch.step].float())


def test_the_condition_is_the_encoders_mean_and_not_scaled(trained: Path) -> None:
    """Sampling the encoder, or multiplying by the latent scale, are known mistakes of public code."""
    from svd_core.data.windows import read_clip_table, read_windows, to_unit_range

    autoencoder = VideoAutoencoder.load(trained / "encoders")
    folder = next(path for path in (trained / "records").iterdir() if len(Records(path)[0].condition))
    table = read_clip_table(trained / "clips" / "zooms")
    window = next(read_windows(trained / "clips" / "zooms", table[:1], batch_size=1))[0]
    record = Records(folder)[0]
    mean = autoencoder.model.encode(to_unit_range(window[:1])).latent_dist.mean[0]
    weakest = record.strength.argmin()
    assert record.strength[weakest] < 0.06
    difference = (record.condition[weakest].float() - mean).norm() / mean.norm()
    assert difference < 0.2
    torch.testing.assert_close(record.latents[0].float(), mean * autoencoder.scale, rtol=0, atol=0.02)
    assert abs(autoencoder.scale - 1) * mean.abs().mean() > 0.04, "or the test could not tell"


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 3), st.integers(1, 4), st.integers(0, 500))
def test_an_epoch_reads_every_clip_once_whatever_the_processes(seed: int, world: int, start: int) -> None:
    """The order is one for all processes: wherever training stopped, each clip comes once in an epoch."""
    from svd_core.training.draws import row_of_sample

    size = 24
    first = start // size * size
    rows = [
        row_of_sample(seed, first + step * world + rank, size) for step in range(size // world) for rank in range(world)
    ]
    assert sorted(set(rows)) == sorted(rows)
    if size % world == 0:
        assert sorted(rows) == list(range(size))


def test_a_subset_is_read_in_place_and_unknown_clips_are_named(records: Records) -> None:
    subset = Records(records.root, ["clip69", "clip03"])
    assert [record.clip_id for record in subset] == ["clip03", "clip69"]
    assert torch.equal(subset[1].latents, records[69].latents)
    with pytest.raises(ValueError, match="1 of 2 clips were not encoded, the first of them 'nobody'"):
        Records(records.root, ["clip01", "nobody"])


def test_records_are_read_from_any_address_fsspec_knows(records: Records) -> None:
    import fsspec

    memory = fsspec.filesystem("memory")
    memory.put(str(records.root), "/bucket/records", recursive=True)
    remote = Records("memory://bucket/records")
    assert torch.equal(remote[42].condition, records[42].condition)


def test_damaged_shards_are_named(records: Records, tmp_path: Path) -> None:
    import shutil

    shutil.copytree(records.root, tmp_path / "copy")
    shard = tmp_path / "copy" / "shards" / "000000.tar"
    shard.write_bytes(b"x" * 2000)
    with pytest.raises(ValueError, match=r"000000.tar: no record of 'clip02' at bytes \d+\+\d+"):
        Records(tmp_path / "copy")[2]
