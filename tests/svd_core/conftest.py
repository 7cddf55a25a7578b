import json
from pathlib import Path

import cv2
import numpy as np
import polars as pl
import pytest
from safetensors.numpy import save_file

from svd_core.data.shards import Sample, write_shard

CLIPS, FRAMES, SIDE = 12, 3, 16


@pytest.fixture(scope="session")
def curated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve curated clips of three smooth 16x16 frames, in two shards, and one rejected source."""
    folder = tmp_path_factory.mktemp("curated")
    (folder / "shards").mkdir()
    rng = np.random.default_rng(0)
    rows: list[dict[str, object]] = []
    for number in range(2):
        shard = f"{number:06d}.tar"
        ids = [f"clip{index:02d}" for index in range(number * CLIPS // 2, (number + 1) * CLIPS // 2)]
        samples = [Sample(clip_id, _window(rng), {}) for clip_id in ids]
        ranges = write_shard(folder / "shards" / shard, samples, scratch=folder)
        for clip_id, (offset, size) in zip(ids, ranges, strict=True):
            rows.append({"clip_id": clip_id, "shard": f"shards/{shard}", "offset": offset, "size": size, "error": None})
    captions = {"caption_image": "a ring", "caption_video": "moving up", "caption": "a ring moves up"}
    rows = [{**row, **captions, "fps": 10.0, "motion": 0.5} for row in rows]
    rows.append({"clip_id": "rejected", "error": "moov atom not found"})
    pl.DataFrame(rows, infer_schema_length=None).write_parquet(folder / "clips.parquet")
    return folder


@pytest.fixture(scope="session")
def image_corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Forty smooth 16x16 images with their captions."""
    folder = tmp_path_factory.mktemp("image_corpus")
    rng = np.random.default_rng(1)
    images = np.concatenate([_window(rng) for _ in range(14)])[:40].transpose(0, 3, 1, 2)
    save_file({"images": np.ascontiguousarray(images)}, folder / "images.safetensors")
    (folder / "captions.json").write_text(json.dumps([f"ring {number}" for number in range(40)]))
    return folder


def _window(rng: np.random.Generator) -> np.ndarray:
    small = rng.integers(0, 256, (FRAMES, 5, 5, 3), np.uint8)
    return np.stack([cv2.resize(frame, (SIDE, SIDE), interpolation=cv2.INTER_CUBIC) for frame in small])
