"""The frozen encoders of a training, kept in one folder so that a run can be sampled wherever it lies.

conditioners.json   which text encoder; none in a released image-to-video model's folder
text/               Stable Diffusion's `text_encoder/` and `tokenizer/`, unless the text encoder is the toy one
image_encoder/, feature_extractor/   as in the released Stable Video Diffusion
"""

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import CLIPImageProcessor, CLIPVisionConfig, CLIPVisionModelWithProjection

from svd_core.encoders.clip_conditioning import ClipText, ClipVision
from svd_core.encoders.settings import ConditionersSettings
from svd_core.encoders.text import BagOfWords
from svd_core.models.checkpoints import read_json


class MissingEncoder(ValueError):
    """A folder named for an encoder is not one."""


@dataclass(frozen=True)
class Conditioners:
    """Text encoder and image encoder; both give vectors of `dim`."""

    text: BagOfWords | ClipText | None
    image: ClipVision

    @property
    def dim(self) -> int:
        """Width of what cross-attention reads."""
        return self.image.dim

    @classmethod
    def load(cls, folder: Path) -> "Conditioners":
        """Read what `make_conditioners` wrote, or a released folder. Raises MissingEncoder."""
        for part in ("image_encoder", "feature_extractor"):
            if not (folder / part).is_dir():
                raise MissingEncoder(f"{folder} has no folder {part}/; nothing is downloaded")
        path = folder / "conditioners.json"
        facts: dict[str, Any] = read_json(path) if path.is_file() else {"text": None}
        toy = BagOfWords(facts["dim"]) if facts["text"] == "toy" else None
        try:
            return cls(ClipText.load(folder / "text") if facts["text"] == "clip" else toy, ClipVision.load(folder))
        except OSError as error:
            raise MissingEncoder(f"{folder}: {str(error).splitlines()[0]}") from error

    def to(self, device: torch.device) -> None:
        """Compute there; what is given and returned stays where it is."""
        self.image.model.to(device)
        if isinstance(self.text, ClipText):
            self.text.model.to(device)

    def encode_text(self, prompts: list[str]) -> torch.Tensor:
        """Embeddings (N, S, dim). Raises PromptTooLong, or MissingEncoder where the model never read text."""
        return self._text.encode(prompts)

    def check_text(self, prompts: list[str]) -> None:
        """Raise what `encode_text` would."""
        self._text.check(prompts)

    @property
    def _text(self) -> BagOfWords | ClipText:
        if self.text is None:
            raise MissingEncoder("this model was not trained on text and has no text encoder")
        return self.text


def make_conditioners(settings: ConditionersSettings, out: Path) -> None:
    """Write the folder; named encoders are copied. Raises MissingEncoder, or ValueError for encoders of two widths."""
    if settings.text != "toy":
        _copy(Path(settings.text), out / "text", ("text_encoder", "tokenizer"))
    if settings.image == "random":
        _random_vision(settings, out)
    else:
        _copy(Path(settings.image), out, ("image_encoder", "feature_extractor"))
    facts = {"text": "toy" if settings.text == "toy" else "clip", "dim": settings.dim}
    (out / "conditioners.json").write_text(json.dumps(facts) + "\n")
    made = Conditioners.load(out)
    if made.text is not None and made.image.dim != made.text.dim:
        raise ValueError(
            f"text embeddings have width {made.text.dim}, image embeddings {made.image.dim}; "
            "one cross-attention reads both, so they must be equal"
        )


def _random_vision(settings: ConditionersSettings, out: Path) -> None:
    """A CLIP vision network nobody trained: its embedding tells pictures apart and means nothing."""
    torch.manual_seed(settings.seed)
    config = CLIPVisionConfig(
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=2,
        image_size=224,  # fixed by the released pipeline
        patch_size=32,
        projection_dim=settings.dim,
    )
    CLIPVisionModelWithProjection(config).save_pretrained(out / "image_encoder")
    CLIPImageProcessor().save_pretrained(out / "feature_extractor")


def _copy(source: Path, target: Path, parts: tuple[str, ...]) -> None:
    for part in parts:
        if not (source / part).is_dir():
            raise MissingEncoder(f"{source} has no folder {part}/; nothing is downloaded")
        shutil.copytree(source / part, target / part, dirs_exist_ok=True)
