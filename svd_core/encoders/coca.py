"""CoCa (Yu et al. 2022): captions of single images. The network is open_clip's, from a local folder."""

import json
from pathlib import Path
from typing import Any, Self

import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

LONGEST = 30
"""Tokens of the longest caption, as open_clip's `generate` has it."""


class Coca:
    """Frozen CoCa that captions an image greedily. Build it with `load`."""

    def __init__(self, model: Any, preprocess: Any, tokenizer: Any) -> None:
        self.model = model.eval().requires_grad_(False)
        self.preprocess = preprocess
        self.tokenizer = tokenizer

    @classmethod
    def load(cls, path: Path, device: str = "cpu") -> Self:
        """From a folder in open_clip's format: `open_clip_config.json` and `open_clip_model.safetensors`.

        Raises ValueError where the model is no CoCa, FileNotFoundError where a file is missing.
        """
        import open_clip

        config = json.loads((path / "open_clip_config.json").read_text())["model_cfg"]
        if "multimodal_cfg" not in config:
            raise ValueError(f"{path}: its open_clip_config.json has no multimodal_cfg, so it is no CoCa")
        if not (path / "open_clip_model.safetensors").is_file():
            raise FileNotFoundError(f"{path} holds no open_clip_model.safetensors")
        model, _, preprocess = open_clip.create_model_and_transforms(f"local-dir:{path}", device=device)
        return cls(model, preprocess, open_clip.get_tokenizer(f"local-dir:{path}"))

    @torch.inference_mode()
    def captions(self, images: list[NDArray[Any]]) -> list[str]:
        """One caption for each uint8 RGB image (H, W, 3); sizes may differ."""
        device = next(self.model.parameters()).device
        pixels = torch.stack([self.preprocess(Image.fromarray(image)) for image in images]).to(device)
        return [self._text(tokens) for tokens in self._greedy(pixels).tolist()]

    def _greedy(self, pixels: Tensor) -> Tensor:
        """The likeliest token after the other (N, L), zeros behind the end.

        open_clip's own `generate` needs parts of transformers that its version 5 no longer has.
        """
        latent, embeddings = self.model._encode_image(pixels)
        tokens = torch.full((len(pixels), 1), self.tokenizer.sot_token_id, device=pixels.device)
        ended = torch.zeros(len(pixels), dtype=torch.bool, device=pixels.device)
        while tokens.shape[1] < LONGEST and not ended.all():
            said = self.model(pixels, tokens, image_latent=latent, image_embs=embeddings, output_labels=False)
            following = said["logits"][:, -1].argmax(dim=1).masked_fill(ended, 0)
            ended |= following == self.tokenizer.eot_token_id
            tokens = torch.cat([tokens, following[:, None]], dim=1)
        return tokens

    def _text(self, tokens: list[int]) -> str:
        inner = tokens[1:]
        end = inner.index(self.tokenizer.eot_token_id) if self.tokenizer.eot_token_id in inner else len(inner)
        return str(self.tokenizer.decode(inner[:end])).strip(" .")
