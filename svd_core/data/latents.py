"""Latents and text embeddings of every image and clip, computed once and read by all training runs."""

import json
from dataclasses import dataclass
from pathlib import Path

import polars as pl
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file

from svd_core.curation.table import CAPTIONS
from svd_core.data.windows import read_clip_table, read_windows, to_unit_range
from svd_core.encoders.text import BagOfWords
from svd_core.models.autoencoder import PatchAutoencoder
from svd_core.progress import Progress, silent
from svd_core.settings import EncodeSettings

CAPTION_SHARES = (0.5, 0.25, 0.25)
"""How often training reads the image, video and merged caption of a clip (paper, section 3)."""


@dataclass(frozen=True)
class EncodedClips:
    """What training reads: latents float16 (N, T, C, h, w), text float16 (N, 3, S, D), fps and motion (N,), ids."""

    latents: torch.Tensor
    text: torch.Tensor
    fps: torch.Tensor
    motion: torch.Tensor
    clip_ids: list[str]

    def __len__(self) -> int:
        return len(self.clip_ids)

    def select(self, clip_ids: list[str]) -> "EncodedClips":
        """The named clips, in that order. Raises KeyError naming clips that were never encoded."""
        row_of = {clip_id: row for row, clip_id in enumerate(self.clip_ids)}
        if missing := [clip_id for clip_id in clip_ids if clip_id not in row_of]:
            raise KeyError(f"{len(missing)} of {len(clip_ids)} clips have no latents, the first of them {missing[0]!r}")
        rows = torch.tensor([row_of[clip_id] for clip_id in clip_ids], dtype=torch.int64)
        return EncodedClips(self.latents[rows], self.text[rows], self.fps[rows], self.motion[rows], list(clip_ids))


def encode_clips(
    settings: EncodeSettings, curated: Path, autoencoder: Path, out: Path, *, progress: Progress = silent
) -> None:
    """Write `latents.safetensors` (latents, text) and `index.parquet` (clip_id, fps, motion)."""
    model = PatchAutoencoder.load(autoencoder)
    clips = read_clip_table(curated)
    batches = []
    for windows in read_windows(curated, clips, batch_size=64):
        pixels = to_unit_range(windows.flatten(0, 1))
        if settings.resolution is not None:
            pixels = reduced(pixels, settings.resolution)
        latents = model.encode(pixels)
        batches.append(latents.unflatten(0, windows.shape[:2]).half())
        progress(len(batches) * 64, len(clips))
    tensors = {"latents": torch.cat(batches), "text": _encode_captions(settings, clips).half()}
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, out / "latents.safetensors")
    clips.select("clip_id", "fps", "motion").write_parquet(out / "index.parquet")


def reduced(pixels: torch.Tensor, side: int) -> torch.Tensor:
    """Square images (N, 3, H, H) averaged over areas, (N, 3, side, side); the side must divide H."""
    if pixels.shape[-1] % side:
        raise ValueError(f"images of side {pixels.shape[-1]} do not reduce to side {side}: it is no divisor")
    return F.avg_pool2d(pixels, pixels.shape[-1] // side)


def encode_images(settings: EncodeSettings, images: Path, autoencoder: Path, out: Path) -> None:
    """Write what `encode_clips` writes: an image is a clip of one frame, its caption stands for all three."""
    model = PatchAutoencoder.load(autoencoder)
    pixels = load_file(images / "images.safetensors")["images"]
    latents = torch.cat([model.encode(to_unit_range(some)).half() for some in pixels.split(512)])
    text = BagOfWords(settings.text_dim).encode(json.loads((images / "captions.json").read_text())).half()
    tensors = {"latents": latents[:, None], "text": text[:, None].repeat(1, len(CAPTIONS), 1, 1)}
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, out / "latents.safetensors")
    index = pl.DataFrame({"clip_id": [f"image-{number:07d}" for number in range(len(pixels))]})
    index.with_columns(fps=pl.lit(1.0), motion=pl.lit(0.0)).write_parquet(out / "index.parquet")


def read_encoded(folder: Path) -> EncodedClips:
    """Read what `encode_clips` or `encode_images` wrote. A motion that could not be measured is NaN."""
    tensors = load_file(folder / "latents.safetensors")
    index = pl.read_parquet(folder / "index.parquet")
    return EncodedClips(
        latents=tensors["latents"],
        text=tensors["text"],
        fps=torch.from_numpy(index["fps"].to_numpy().copy()).float(),
        motion=torch.from_numpy(index["motion"].cast(pl.Float64).fill_null(float("nan")).to_numpy().copy()).float(),
        clip_ids=index["clip_id"].to_list(),
    )


def _encode_captions(settings: EncodeSettings, clips: pl.DataFrame) -> torch.Tensor:
    """Embeddings (N, 3, S, D) of the three captions."""
    encoder = BagOfWords(settings.text_dim)
    return torch.stack([encoder.encode(clips[column].fill_null("").to_list()) for column in CAPTIONS], 1)
