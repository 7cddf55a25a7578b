"""What networks say about clips, from the frames that were kept of them (paper: Stage II annotation).

First, middle and last frame are looked at; how the three become one number is unpublished, so each score has it as a
setting. `methods` says of every column how it is measured: method, settings, version and weights.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from svd_core.curation import aesthetics, captions, duplicates, text_area
from svd_core.curation.alignment import ImageTextEncoder, alignment
from svd_core.curation.captions import Caption, Captioner, ModelCaptioner
from svd_core.curation.keyframes import over_frames
from svd_core.curation.settings import AnnotationSettings
from svd_core.curation.text_area import TextDetector
from svd_core.curation.views import View
from svd_core.encoders import weights

VERSION = 1
"""Raised when the code of a score changes what it gives."""

Row = dict[str, Any]


@dataclass(frozen=True)
class Annotator:
    """The networks that settings ask for; those that they do not ask for are null. Build it with `load`."""

    settings: AnnotationSettings
    text: TextDetector
    clip: ImageTextEncoder | None = None
    laion: Any = None
    captioner: Captioner | None = None

    @classmethod
    def load(cls, settings: AnnotationSettings, device: str = "cpu") -> Self:
        """Raises MissingWeights for weights that the settings ask for; none is replaced by another."""
        clip = laion = captioner = None
        if settings.alignment == "clip" or settings.aesthetics == "laion":
            from svd_core.encoders.clip import Clip

            clip = Clip.load(weights.locate("clip_l14"))
        if settings.aesthetics == "laion":
            from svd_core.encoders.laion_aesthetics import LaionAesthetics

            laion = LaionAesthetics.load(weights.locate("laion_aesthetics"))
        if settings.captions == "models":
            captioner = ModelCaptioner.load(device)
        text = TextDetector(weights.locate("ppocr_det"), settings.text_side)
        return cls(settings, text, clip, laion, captioner)

    def annotate(self, views: Sequence[View], given: Sequence[Caption]) -> list[Row]:
        """One row a clip: captions (those `given`, if no models are asked), scores, raw looks and fingerprint.

        All clips of a call are captioned as one batch.
        """
        said = given if self.captioner is None else self.captioner.captions(views)
        return [self._row(view, caption) for view, caption in zip(views, said, strict=True)]

    def _row(self, view: View, caption: Caption) -> Row:
        s, frames = self.settings, view.keyframes()
        text = self.text.covered(frames)
        row: Row = {
            "text_area": over_frames(text.mean(axis=(1, 2)), s.text_over_frames),
            "fingerprint": duplicates.fingerprint(frames).tobytes(),
        }
        if self.laion is not None and self.clip is not None:
            row["aesthetics"] = _combined(_laion_scores(self.clip, self.laion, frames), s.aesthetics_over_frames)
        else:
            pairs = zip(frames, text, strict=True)
            looks = [aesthetics.measures(frame, covered) for frame, covered in pairs]
            row["looks"] = np.concatenate(looks).tolist()
        row |= {"caption_image": caption.image, "caption_video": caption.video, "caption": caption.merged}
        said = [text for text in (caption.image, caption.video, caption.merged) if text]
        if self.clip is not None and s.alignment == "clip" and said:
            row["alignment"] = over_frames(alignment(self.clip, frames, said), s.alignment_over_frames)
        return row


def methods(settings: AnnotationSettings) -> dict[str, str]:
    """How each column is measured: method, settings, version, and the revision of weights that are the user's own.

    Raises MissingWeights for weights that the settings ask for.
    """
    s = settings
    text = f"{text_area.METHOD}, shortest side {s.text_side} px, {s.text_over_frames} of 3 frames"
    looks = f"{aesthetics.METHOD}, {s.aesthetics_over_frames} of 3 frames"
    if s.aesthetics == "laion":
        head, clip = weights.described("laion_aesthetics"), weights.described("clip_l14")
        looks = f"LAION aesthetics, {head} on {clip}, {s.aesthetics_over_frames} of 3 frames"
    aligned = "not measured"
    if s.alignment == "clip":
        clip = weights.described("clip_l14")
        aligned = f"CLIP, {clip}, mean over captions, {s.alignment_over_frames} of 3 frames, version {VERSION}"
    return {
        "text_area": f"{text}, version {VERSION}",
        "aesthetics": f"{looks}, version {VERSION}",
        "alignment": aligned,
        "duplicate_of": f"{duplicates.METHOD}, version {VERSION}",
        **captions.methods(by_models=s.captions == "models"),
    }


def _laion_scores(clip: ImageTextEncoder, head: Any, frames: list[NDArray[np.uint8]]) -> NDArray[np.float64]:
    import torch

    images = torch.from_numpy(np.stack(frames)).permute(0, 3, 1, 2)
    scores: NDArray[np.float64] = head(clip.embed_images(images)).numpy().astype(np.float64)
    return scores


def _combined(scores: NDArray[np.float64], how: aesthetics.OverFrames) -> float:
    return float(scores.max() if how == "best" else scores.min() if how == "worst" else scores.mean())
