"""Captions of clips (paper: CoCa on the middle frame, V-BLIP on the clip, a language model merges both).

Where a corpus brings captions of its own (a sidecar, a manifest) those are used and no network is asked.
"""

from collections.abc import Sequence
from dataclasses import dataclass
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
    """What is said of a clip: of its middle frame, of all of it, and both in one sentence; null where nothing is."""

    image: str | None
    video: str | None
    merged: str | None


class Captioner(Protocol):
    """Says what clips show: one caption for each, in order."""

    def captions(self, views: Sequence[View]) -> list[Caption]: ...


class ModelCaptioner:
    """The paper's three models, on batches of clips. Build it with `load`."""

    def __init__(self, image: Any, video: Any, language: Any) -> None:
        self.image, self.video, self.language = image, video, language

    @classmethod
    def load(cls, device: str = "cpu") -> Self:
        """From the weights `coca`, `video_blip` and `caption_llm`. Raises MissingWeights, naming the first missing."""
        from svd_core.encoders.coca import Coca
        from svd_core.encoders.language import LanguageModel
        from svd_core.encoders.video_blip import VideoBlip

        coca, blip, llm = (weights.locate(name) for name in ("coca", "video_blip", "caption_llm"))
        return cls(Coca.load(coca, device), VideoBlip.load(blip, device), LanguageModel.load(llm, device))

    def captions(self, views: Sequence[View]) -> list[Caption]:
        """One for each clip."""
        frames = [view.images() for view in views]
        images = self.image.captions([some[FRAMES // 2] for some in frames])
        videos = self.video.captions(frames)
        questions = [QUESTION.format(image=one, video=other) for one, other in zip(images, videos, strict=True)]
        merged = self.language.answers(questions, LONGEST)
        return [Caption(*texts) for texts in zip(images, videos, merged, strict=True)]


def methods(*, by_models: bool) -> dict[str, str]:
    """Where each caption comes from: for models their name and revision. Raises MissingWeights."""
    if not by_models:
        return dict.fromkeys(("caption_image", "caption_video", "caption"), "given with the videos")
    return {
        "caption_image": f"CoCa on the middle frame: {weights.described('coca')}",
        "caption_video": f"VideoBLIP on {FRAMES} frames: {weights.described('video_blip')}",
        "caption": f"both merged: {weights.described('caption_llm')}",
    }
