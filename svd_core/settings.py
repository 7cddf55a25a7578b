"""Settings of stages, but for those of curation and tasks: small, frozen, and free of torch so that planning is quick.

A recipe is one of each; its full values (defaults included) are what a stage's fingerprint hashes, so a field belongs
here only if it can change a result. Paths, worker counts and log settings never do.
"""

from collections.abc import Mapping
from typing import Annotated, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    field_validator,
    model_validator,
)


class Settings(BaseModel):
    """Base of all settings: immutable, strict about types, and closed to unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


FrameRates = tuple[Annotated[int, Field(ge=6, le=60)], ...]


class CorpusSettings(Settings):
    """The embedded corpus `toy_lvd` (source videos of several shots each).

    `frame_rates`: what sources draw theirs from; null is 7, 8 and 9. A shot lasts 2 to 2.4 s and should hold a training
    window: 10 frames do from 6 a second on, 16 from 9 on.
    Null is left out of what fingerprints hash, as the setting is younger than they are.
    """

    sources: int = Field(1000, ge=1)
    seed: int = Field(0, ge=0)
    frame_rates: FrameRates | None = Field(None, min_length=1, exclude_if=lambda rates: rates is None)


class ReferenceSettings(Settings):
    """Held-out good clips of `toy_lvd`, disjoint from the corpus: what generated clips are compared with.

    `frame_rates`: as of the corpus.
    """

    clips: int = Field(256, ge=2)
    seed: int = Field(1, ge=0)
    frames: int = Field(10, ge=1)
    resolution: int = Field(32, ge=8)
    frame_rates: FrameRates | None = Field(None, min_length=1, exclude_if=lambda rates: rates is None)


class ImagesSettings(Settings):
    """Images with fitting captions, apart from the video corpus: what Stage I is trained on, as SD 2.1 was on LAION."""

    images: int = Field(16_384, ge=2)
    seed: int = Field(2, ge=0)
    resolution: int = Field(32, ge=8)


class ToyClipSettings(Settings):
    """A small text-image encoder trained on its own split of rendered image-caption pairs."""

    split: Literal["filter", "score"] = "filter"
    seed: int = Field(0, ge=0)
    images: int = Field(10_000, ge=2)
    steps: int = Field(250, ge=1)
    batch_size: int = Field(128, ge=2)
    lr: float = Field(5e-3, gt=0)


class AutoencoderSettings(Settings):
    """The small latent autoencoder (patch PCA with a residual, noise-robust decoder)."""

    patch: int = Field(4, ge=1)
    channels: int = Field(12, ge=1)
    steps: int = Field(600, ge=0)
    batch_size: int = Field(64, ge=1)
    lr: float = Field(2e-3, gt=0)
    latent_noise: float = Field(0.35, ge=0)
    seed: int = Field(0, ge=0)

    @model_validator(mode="after")
    def _fewer_than_values(self) -> Self:
        if self.channels > (values := 3 * self.patch**2):
            raise ValueError(f"a patch of {self.patch} × {self.patch} pixels has {values} values, not {self.channels}")
        return self


class EncodeSettings(Settings):
    """Latents and text embeddings of every image and clip, computed once.

    `resolution`: the side in pixels that clips are reduced to before; null (left out of fingerprints) keeps theirs.
    """

    text_dim: int = Field(64, ge=8)
    resolution: int | None = Field(None, ge=8, exclude_if=lambda resolution: resolution is None)


class NetworkSettings(Settings):
    """Shape of the denoising UNet; names as in diffusers' UNetSpatioTemporalConditionModel."""

    block_out_channels: tuple[int, ...] = (32, 64)
    layers_per_block: int = Field(1, ge=1)
    attention_levels: tuple[bool, ...] = (True, True)
    num_attention_heads: tuple[int, ...] = (2, 4)

    @model_validator(mode="after")
    def _levels_agree(self) -> Self:
        levels = len(self.block_out_channels)
        for name in ("attention_levels", "num_attention_heads"):
            if len(getattr(self, name)) != levels:
                found = len(getattr(self, name))
                raise ValueError(f"block_out_channels has {levels} levels, but {name} has {found} values; one a level")
        return self


Objective = Literal["continuous", "v", "epsilon"]
"""EDM's preconditioning over continuous noise levels, or what the network predicts under a discrete schedule."""
Precision = Literal["float32", "bfloat16"]
"""Of the network's forward pass; weights, gradients, losses and the solver's state are float32."""


class TrainingSettings(Settings):
    """What image and video training share. Progress counts samples; the learning rate knows no horizon.

    `caption_shares`: how often a sample reads the image, video and merged caption; null is the paper's 0.5, 0.25, 0.25.
    `objective`: `continuous` draws ln sigma ~ N(p_mean, p_std^2), as SVD does; `v` and `epsilon` draw one of Stable
    Diffusion's 1000 steps, as SD does. `log_snr_shift` is added to every step's log SNR (nats; below 0 is more noise).
    These defaults and `precision`'s are left out of what fingerprints hash, as the settings are younger than they are.
    """

    samples: int = Field(40_960, ge=1)
    batch_size: int = Field(32, ge=1)
    lr: float = Field(2e-3, gt=0)
    warmup_samples: int = Field(512, ge=0)
    p_mean: float = 0.6
    p_std: float = Field(1.6, gt=0)
    ema: float = Field(0.995, ge=0, lt=1)
    clip_grad_norm: float = Field(1.0, gt=0)
    weight_decay: float = Field(0.01, ge=0)
    text_dropout: float = Field(0.1, ge=0, le=1)
    caption_shares: tuple[float, float, float] | None = Field(None, exclude_if=lambda shares: shares is None)
    objective: Objective = Field("continuous", exclude_if=lambda objective: objective == "continuous")
    log_snr_shift: float = Field(0.0, exclude_if=lambda shift: shift == 0)
    precision: Precision = Field("float32", exclude_if=lambda precision: precision == "float32")
    seed: int = Field(0, ge=0)

    @property
    def unread(self) -> Mapping[str, str]:
        """Settings that nothing reads in this training, and what they need."""
        return {} if self.objective == "continuous" else dict.fromkeys(("p_mean", "p_std"), "objective: continuous")

    @field_validator("caption_shares")
    @classmethod
    def _shares(cls, shares: tuple[float, float, float] | None) -> tuple[float, float, float] | None:
        if shares is not None and (min(shares) < 0 or abs(sum(shares) - 1) > 1e-9):
            raise ValueError(f"three shares of 0 or more that add up to 1 are needed, not to {sum(shares):g}")
        return shares

    @model_validator(mode="after")
    def _whole_batches(self) -> Self:
        if self.samples % self.batch_size:
            nearest = whole_batches(self.samples, self.batch_size)
            raise ValueError(f"samples {self.samples} is no multiple of batch_size {self.batch_size}; say {nearest}")
        return self

    @model_validator(mode="after")
    def _schedule_to_shift(self) -> Self:
        if self.objective == "continuous" and self.log_snr_shift:
            raise ValueError("log_snr_shift is of the discrete objectives, v and epsilon; say p_mean")
        return self


class ImagePretrainingSettings(TrainingSettings):
    """Stage I: spatial layers on single images."""

    network: NetworkSettings = NetworkSettings()


class VideoPretrainingSettings(TrainingSettings):
    """Stage II: all layers on the clips of a subset."""

    samples: int = Field(1_000, ge=1)
    batch_size: int = Field(4, ge=1)
    lr: float = Field(1e-3, gt=0)
    warmup_samples: int = Field(80, ge=0)
    p_mean: float = 1.0
    new_layers_lr_scale: float = Field(4.0, gt=0)


class FinetuneSettings(VideoPretrainingSettings):
    """Stage III: from a video network on, with a fresh optimiser.

    `continues`: the share of `samples` after which an earlier segment ends, which this training continues, so that arms
    scored there and here train it once.
    """

    continues: float | None = Field(None, gt=0, lt=1, exclude=True)

    @property
    def segments(self) -> tuple[int, ...]:
        """Samples seen at the end of every segment, the last of them `samples`; all are whole batches."""
        if self.continues is None:
            return (self.samples,)
        return whole_batches(self.continues * self.samples, self.batch_size), self.samples


def whole_batches(samples: float, batch_size: int) -> int:
    """The nearest number of samples in whole batches, at least one."""
    return max(1, round(samples / batch_size)) * batch_size


class SampleSettings(Settings):
    """Sampling with classifier-free guidance, by the objective that the run was trained with.

    Continuous: Euler on the EDM sigma grid (Karras et al. 2022, eq. 5); discrete: DDIM in as many steps. `fps`: what
    every clip is asked for, null (left out of fingerprints) the frame rate of its reference clip.
    """

    clips: int = Field(64, ge=1)
    steps: int = Field(8, ge=1)
    sigma_min: float = Field(0.02, gt=0)
    sigma_max: float = Field(80.0, gt=0)
    rho: float = Field(7.0, gt=0)
    guidance: float = Field(2.0, ge=0)
    motion_bucket: float = Field(127.0, ge=0, le=255)
    fps: float | None = Field(None, ge=1, exclude_if=lambda fps: fps is None)
    precision: Precision = Field("float32", exclude_if=lambda precision: precision == "float32")
    batch_size: int = Field(16, ge=1)
    seed: int = Field(0, ge=0)

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        check_sigmas(self.sigma_min, self.sigma_max)
        return self


def check_sigmas(least: float, most: float) -> None:
    """Raise ValueError unless noise levels fall from the one to the other."""
    if least >= most:
        raise ValueError(f"sigma_min {least:g} must be below sigma_max {most:g}")
