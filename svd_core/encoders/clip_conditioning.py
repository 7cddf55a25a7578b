"""What the denoising network is told in CLIP's terms: token states of a prompt, or the embedding of an image.

Both read folders in transformers' format as Stable (Video) Diffusion ships them; nothing is downloaded.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor
from transformers import AutoTokenizer, CLIPTextModel, CLIPVisionModelWithProjection

from svd_core.encoders.local import load_whole
from svd_core.encoders.text import PromptTooLong

SPECIAL_TOKENS = 2
"""Start and end, which every prompt is put between."""


class ClipText:
    """Stable Diffusion's text encoder: the last layer's state of every token. Build it with `load`."""

    def __init__(self, model: Any, tokenizer: Any) -> None:
        self.model = model.eval().requires_grad_(False)
        self.tokenizer = tokenizer
        self.length: int = model.config.max_position_embeddings

    @classmethod
    def load(cls, folder: Path) -> Self:
        """From a pipeline's folder with `text_encoder/` and `tokenizer/`."""
        return cls(
            load_whole(CLIPTextModel, folder / "text_encoder", dtype=torch.float32),
            AutoTokenizer.from_pretrained(folder / "tokenizer", local_files_only=True),
        )

    @property
    def dim(self) -> int:
        """Width of a token's state."""
        width: int = self.model.config.hidden_size
        return width

    @torch.no_grad()
    def encode(self, prompts: list[str]) -> Tensor:
        """States float32 (N, S, dim) with S the model's length (77), padded as the tokenizer says, without a mask.

        Raises PromptTooLong for a prompt beyond S tokens, saying which words would have been lost.
        """
        tokens = self._tokens(prompts)
        states: Tensor = self.model(torch.tensor(tokens, device=self.model.device)).last_hidden_state
        return states.float().cpu()

    def check(self, prompts: list[str]) -> None:
        """Raise PromptTooLong where `encode` would."""
        self._tokens(prompts)

    def _tokens(self, prompts: list[str]) -> list[list[int]]:
        told = self.tokenizer(prompts, padding="max_length", max_length=self.length, truncation=False)
        tokens: list[list[int]] = told["input_ids"]
        for prompt, ids in zip(prompts, tokens, strict=True):
            if len(ids) > self.length:
                lost = self.tokenizer.decode(ids[self.length - 1 : -1])
                raise PromptTooLong(
                    f"prompt of {len(ids) - SPECIAL_TOKENS} tokens, but the text encoder takes "
                    f"{self.length - SPECIAL_TOKENS}; too much is {lost!r} at the end of {prompt!r}"
                )
        return tokens


@dataclass(frozen=True)
class ClipVision:
    """Stable Video Diffusion's image encoder: one projected embedding of a picture. Build it with `load`."""

    model: Any
    mean: tuple[float, ...]
    std: tuple[float, ...]

    @classmethod
    def load(cls, folder: Path) -> Self:
        """From a pipeline's folder with `image_encoder/` and `feature_extractor/preprocessor_config.json`."""
        model = load_whole(CLIPVisionModelWithProjection, folder / "image_encoder", dtype=torch.float32)
        scaling = json.loads((folder / "feature_extractor" / "preprocessor_config.json").read_text())
        model.requires_grad_(False)
        return cls(model, tuple(scaling["image_mean"]), tuple(scaling["image_std"]))

    @property
    def dim(self) -> int:
        """Width of the embedding."""
        width: int = self.model.config.projection_dim
        return width

    @torch.no_grad()
    def encode(self, images: Tensor) -> Tensor:
        """Embeddings float32 (N, dim), not normalised, of images (N, 3, H, W) in [-1, 1] of any size.

        Resized with antialiasing to the model's square, aspect ratio not kept, as the released pipeline does. Computed
        where the model is, returned where the images are.
        """
        from diffusers.pipelines.stable_video_diffusion.pipeline_stable_video_diffusion import (
            _resize_with_antialiasing,
        )

        side = self.model.config.image_size
        unit = (_resize_with_antialiasing(images.float(), (side, side)) + 1) / 2
        mean, std = (torch.tensor(values).reshape(1, -1, 1, 1) for values in (self.mean, self.std))
        embeddings: Tensor = self.model(((unit - mean) / std).to(self.model.device)).image_embeds
        return embeddings.float().to(images.device)
