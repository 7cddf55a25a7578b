"""CLIP (Radford et al. 2021) from a local folder in transformers' format; nothing is downloaded."""

from pathlib import Path
from typing import Any, Self

import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import AutoTokenizer, CLIPImageProcessor, CLIPModel

from svd_core.encoders.local import load_whole


class Clip:
    """Frozen CLIP with the preprocessing that its folder prescribes. Build it with `load`."""

    def __init__(self, model: Any, tokenizer: Any, processor: Any) -> None:
        self.model = model
        self.tokenizer = tokenizer
        self.processor = processor

    @classmethod
    def load(cls, path: Path) -> Self:
        """From `path` with `model.safetensors`, `config.json`, the tokenizer's files and `preprocessor_config.json`."""
        return cls(
            load_whole(CLIPModel, path),
            AutoTokenizer.from_pretrained(path, local_files_only=True),
            CLIPImageProcessor.from_pretrained(path, local_files_only=True),
        )

    @torch.inference_mode()
    def embed_images(self, images: Tensor) -> Tensor:
        """Unit vectors (N, D) of uint8 images (N, 3, H, W)."""
        pixels = self.processor(images=list(images), return_tensors="pt")["pixel_values"]
        return F.normalize(self.model.visual_projection(self.model.vision_model(pixels).pooler_output), dim=1)

    @torch.inference_mode()
    def embed_texts(self, texts: list[str]) -> Tensor:
        """Unit vectors (N, D). Texts beyond the model's length are cut, as CLIP does."""
        length = self.model.config.text_config.max_position_embeddings
        tokens = self.tokenizer(texts, padding=True, truncation=True, max_length=length, return_tensors="pt")
        return F.normalize(self.model.text_projection(self.model.text_model(**tokens).pooler_output), dim=1)
