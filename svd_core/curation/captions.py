"""Captions of clips (paper: CoCa on the middle frame, V-BLIP on the clip, a language model merges both).

Where a corpus brings captions of its own (a sidecar, a manifest) those are used and no network is asked.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, Self

from svd_core.curation.views import FRAMES, View
from svd_core.encoders import weights

QUESTION = (
    "Two people described the same short video. One saw a single frame of it:\n{image}\n"
    "The other saw it move:\n{video}\n"
    "Write one sentence that says everything that the two say about the video, and nothing else."
)
"""What the merging model is asked; the paper does not publish its own."""
LONGEST = 80
"""Tokens of the longest merged caption."""


@dataclass(frozen=True)
class Caption:
    """What is said of a clip: of its middle frame, of all of it, and both in one sentence."""

    image: str
    video: str
    merged: str


class Captioner(Protocol):
    """Says what clips show; `methods` names, for each caption column, the model and its revision."""

    @property
    def methods(self) -> dict[str, str]: ...

    def captions(self, views: Sequence[View]) -> list[Caption]: ...


class ModelCaptioner:
    """The paper's three models, on batches of clips. Build it with `load`."""

    def __init__(self, image: Any, video: Any, language: Any, methods: dict[str, str]) -> None:
        self.image, self.video, self.language = image, video, language
        self.methods = methods

    @classmethod
    def load(cls, device: str = "cpu") -> Self:
        """From the weights `coca`, `video_blip` and `caption_llm`. Raises MissingWeights, naming the first missing."""
        from svd_core.encoders.coca import Coca
        from svd_core.encoders.language import LanguageModel
        from svd_core.encoders.video_blip import VideoBlip

        coca, blip, llm = (weights.locate(name) for name in ("coca", "video_blip", "caption_llm"))
        methods = {
            "caption_image": f"CoCa on the middle frame: {_model(coca)}",
            "caption_video": f"VideoBLIP on {FRAMES} frames: {_model(blip)}",
            "caption": f"both merged: {_model(llm)}",
        }
        return cls(Coca.load(coca, device), VideoBlip.load(blip, device), LanguageModel.load(llm, device), methods)

    def captions(self, views: Sequence[View]) -> list[Caption]:
        """One for each clip."""
        frames = [view.images() for view in views]
        images = self.image.captions([some[FRAMES // 2] for some in frames])
        videos = self.video.captions(frames)
        questions = [QUESTION.format(image=one, video=other) for one, other in zip(images, videos, strict=True)]
        merged = self.language.answers(questions, LONGEST)
        return [Caption(*texts) for texts in zip(images, videos, merged, strict=True)]


def _model(path: Path) -> str:
    """A model's name and revision."""
    return f"{weights.model_name(path)}@{weights.revision(path)}"
