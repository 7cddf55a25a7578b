"""From clips to records: every frozen network runs here, once a clip, and never during training."""

import hashlib
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import polars as pl
import torch

from svd_core.curation.table import CAPTIONS, any_caption
from svd_core.data.record_writing import Numbers, write_records
from svd_core.data.records import Record
from svd_core.data.settings import RecordSettings
from svd_core.data.windows import read_clip_table, read_windows, resized, to_unit_range
from svd_core.device import repeatable_device
from svd_core.encoders.conditioners import Conditioners
from svd_core.encoders.text import PromptTooLong
from svd_core.models.video_autoencoder import VideoAutoencoder, check_size
from svd_core.progress import Progress, silent
from svd_core.training.draws import sample_rng
from svd_core.training.execution import Execution

AT_ONCE = 16
"""Frames that are resized together: a whole clip in float32 would take gigabytes."""
SCALE_FROM = 16
"""Clips whose latents tell whether the autoencoder's scale is right."""


def make_records(
    settings: RecordSettings,
    clips: Path,
    encoders: Path,
    out: Path,
    *,
    clip_ids: pl.Series | None = None,
    execution: Execution | None = None,
    progress: Progress = silent,
) -> str:
    """Encode a clip folder, or those of `clip_ids`, by the frozen networks of `encoders` into records under `out`.

    Every process calls this and encodes its share. Whole shards that are there are kept. Returns `origin_of` the clips.
    """
    execution = execution or Execution()
    with execution.together():
        autoencoder, conditioners = VideoAutoencoder.load(encoders), Conditioners.load(encoders)
        autoencoder.model.to(repeatable_device())
        conditioners.to(repeatable_device())
        origin = origin_of(clips, clip_ids)
        table = read_clip_table(clips, clip_ids)
    encode = partial(encode_records, settings, clips, table, autoencoder, conditioners, progress=progress)
    write_records(out, origin, len(table), encode, execution)
    return origin


def origin_of(clips: Path, clip_ids: pl.Series | None) -> str:
    """A digest of a clip folder's table, and of which of its clips are meant."""
    origin = hashlib.sha256((clips / "clips.parquet").read_bytes())
    if clip_ids is not None:
        origin.update("\n".join(clip_ids).encode())
    return origin.hexdigest()


def encode_records(
    settings: RecordSettings,
    clips: Path,
    table: pl.DataFrame,
    autoencoder: VideoAutoencoder,
    conditioners: Conditioners,
    numbers: Numbers,
    *,
    progress: Progress = silent,
) -> Iterator[Record]:
    """The records of a clip folder's rows `numbers`, counted in `table`, one after the other, as the settings say.

    Raises ValueError for clips with fewer frames than asked, a size that the autoencoder does not take, or a caption
    that is too long, before anything is encoded; WrongLatentScale if latents are far from unit variance.
    """
    check_size(settings.resolution, autoencoder.factor)
    _check_captions(conditioners, table[numbers])
    looked_at: list[torch.Tensor] = []
    for done, number in enumerate(numbers.tolist()):
        row = table.row(number, named=True)
        most = settings.frames or settings.at_most
        pixels = next(read_windows(clips, table[number : number + 1], batch_size=1, frames=most))[0]
        frames = settings.frames or len(pixels)
        if len(pixels) < frames:
            raise ValueError(f"clip {row['clip_id']!r} has {len(pixels)} frames; {frames} are asked for")
        images = torch.cat([resized(to_unit_range(part), settings.resolution) for part in pixels.split(AT_ONCE)])
        means = autoencoder.encode(images)
        if number < SCALE_FROM:
            looked_at.append(means)
        if number == min(SCALE_FROM, len(table)) - 1:
            autoencoder.check_scale(torch.cat(looked_at))
        condition, strength = _noisy_first_frames(settings, number, images[:1], autoencoder)
        yield Record(
            latents=means * autoencoder.scale,
            text=_captions(conditioners, row),
            image=conditioners.image.encode(images[[0, -1]]),
            condition=condition,
            strength=strength,
            clip_id=row["clip_id"],
            fps=row["fps"],
            motion=row["motion"],
            elevation=row.get("elevation"),
        )
        progress(done + 1, len(numbers))


def _noisy_first_frames(
    settings: RecordSettings, number: int, frame: torch.Tensor, autoencoder: VideoAutoencoder
) -> tuple[torch.Tensor, torch.Tensor]:
    """Encoder means, not scaled, of the first frame under pixel noise, and its strengths: ln s ~ N(mean, std^2).

    Several a clip, drawn once: training takes one of them at random, and the encoder never runs there.
    """
    draws, rng = settings.strength_draws, sample_rng(0, "noise_strength", number)
    strength = np.exp(rng.normal(settings.strength_mean, settings.strength_std, draws))
    strengths = torch.from_numpy(strength.astype(np.float32))
    noise = torch.from_numpy(rng.standard_normal((draws, *frame.shape[1:]), np.float32))
    if not draws:
        height, width = (side // autoencoder.factor for side in frame.shape[-2:])
        return torch.zeros(0, autoencoder.model.config.latent_channels, height, width), strengths
    return autoencoder.encode(frame + strengths[:, None, None, None] * noise), strengths


def _check_captions(conditioners: Conditioners, table: pl.DataFrame) -> None:
    """Raise PromptTooLong naming the first clip with a caption that is too long."""
    for number, captions in enumerate(table.select(CAPTIONS).iter_rows()):
        try:
            conditioners.check_text([caption or "" for caption in captions])
        except PromptTooLong as error:
            raise PromptTooLong(f"clip {table['clip_id'][number]!r}: {error}") from error


def _captions(conditioners: Conditioners, row: dict[str, object]) -> torch.Tensor:
    """Of all three captions; one that a clip lacks is another one of its, the merged one first."""
    return conditioners.encode_text([str(row[column] or any_caption(row)) for column in CAPTIONS])


def read_subset_ids(folder: str | None) -> pl.Series | None:
    """Clip ids of a subset's folder; None for all clips."""
    return None if folder is None else pl.read_parquet(Path(folder) / "subset.parquet")["clip_id"]
