"""DINO (Caron et al. 2021), a ViT trained without labels, from a local folder in transformers' format."""

from pathlib import Path
from typing import Any, Self

import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import ViTImageProcessor, ViTModel

from svd_core.encoders.local import load_whole


class Dino:
    """Frozen DINO with the preprocessing that its folder prescribes. Build it with `load`."""

    def __init__(self, model: Any, processor: Any) -> None:
        self.model = model
        self.processor = processor

    @classmethod
    def load(cls, path: Path) -> Self:
        """From `path` with `model.safetensors`, `config.json` and `preprocessor_config.json`."""
        model = load_whole(ViTModel, path, add_pooling_layer=False)
        return cls(model, ViTImageProcessor.from_pretrained(path, local_files_only=True))

    @torch.inference_mode()
    def embed_images(self, images: Tensor) -> Tensor:
        """Unit vectors (N, D) of uint8 images (N, 3, H, W): the class token after the last layer norm."""
        pixels = self.processor(images=list(images), return_tensors="pt")["pixel_values"]
        return F.normalize(self.model(pixels).last_hidden_state[:, 0], dim=1)
