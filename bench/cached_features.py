"""Features of video files, computed once for each content and kept: the same reference is never encoded twice."""

import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path

import numpy as np
import torch

from bench.features import ENCODERS, Features
from bench.folders import Sampling, VideoFile
from bench.metrics.protocols import Protocol
from bench.metrics.videos import ClipEncoder
from bench.settings import Encoder
from svd_core.data.video import VideoError
from svd_core.encoders import weights

VERSION = 1
"""Raise it when an encoder's features change for the same weights and frames."""


@dataclass(frozen=True)
class FeatureCache:
    """
    Features by encoder, sampling and content, in `root/ENCODER-KEY/SHA256.npy`, one file a video.

    So a killed run continues, a grown folder costs only what is new, and a damaged entry is made again. `device` is
    what they are computed on: its kind belongs to the key, for rounding differs.
    """

    root: Path
    device: str = "cpu"

    def path(self, encoder: Encoder, sampling: Sampling, file: VideoFile) -> Path:
        """Where a video's features lie or will lie."""
        identity = {**asdict(sampling), "version": VERSION, "weights": _weights(encoder)}
        identity["device"] = self.device.partition(":")[0]
        for word in ("name", "start_real", "start_generated"):  # `start` says which of the two counts
            identity["protocol"].pop(word)
        key = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:16]
        return self.root / f"{encoder}-{key}" / f"{file.sha256}.npy"

    def read(self, encoder: Encoder, sampling: Sampling, file: VideoFile) -> Features | None:
        """A video's features (k, d), or None if they are not there or cannot be read."""
        try:
            with self.path(encoder, sampling, file).open("rb") as stream:
                return np.asarray(np.lib.format.read_array(stream, allow_pickle=False), np.float32)
        except (OSError, ValueError):
            return None

    def must_read(self, encoder: Encoder, sampling: Sampling, file: VideoFile) -> Features:
        """As `read`, where they have just been written. Raises OSError if they are gone again."""
        features = self.read(encoder, sampling, file)
        if features is None:
            raise OSError(f"features just written to {self.path(encoder, sampling, file)} cannot be read back")
        return features

    def write(self, encoder: Encoder, sampling: Sampling, file: VideoFile, features: Features) -> None:
        """Keep a video's features; the file appears whole."""
        path = self.path(encoder, sampling, file)
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f".{path.name}.{os.getpid()}")
        with part.open("wb") as stream:
            np.lib.format.write_array(stream, features, allow_pickle=False)
        part.replace(path)


def encode_file(sampling: Sampling, encoders: Sequence[Encoder], kept: FeatureCache, file: VideoFile) -> None:
    """
    Keep the features of a video under those encoders of which they are missing; the video is decoded once.

    Raises VideoError, naming the file, for frames that cannot be read or do not suit the protocol.
    """
    missing = [encoder for encoder in encoders if kept.read(encoder, sampling, file) is None]
    fresh: dict[Encoder, list[Features]] = {encoder: [] for encoder in missing}
    for clip in sampling.clips(file) if missing else ():
        try:
            pixels = sampling.protocol.cropped(torch.from_numpy(clip).to(kept.device).float() / 255)
        except ValueError as error:
            raise VideoError(file.path, str(error)) from error
        for encoder in missing:
            fresh[encoder].append(network(encoder, sampling.protocol)(pixels).numpy())
    for encoder, rows in fresh.items():
        kept.write(encoder, sampling, file, np.concatenate(rows))


@cache
def network(encoder: Encoder, protocol: Protocol) -> ClipEncoder:
    """The encoder, loaded once a process."""
    return ENCODERS[encoder](protocol)


@cache
def _weights(encoder: Encoder) -> str:
    return weights.pinned(encoder)
