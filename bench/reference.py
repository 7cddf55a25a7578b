"""Features of the reference set, computed once per encoder and shared by every run that is scored."""

from pathlib import Path

from safetensors.numpy import load_file, save_file

from bench.features import features
from bench.settings import ReferenceFeaturesSettings
from svd_core.progress import Progress, silent


def reference_features(
    settings: ReferenceFeaturesSettings, reference: Path, out: Path, *, progress: Progress = silent
) -> None:
    """Write `out/ENCODER.safetensors` with "features" float32 (n, d) of `reference/clips.safetensors`."""
    videos = load_file(reference / "clips.safetensors")["videos"]
    values = features(settings.encoder, videos, progress=progress)
    save_file({"features": values}, out / f"{settings.encoder}.safetensors")
