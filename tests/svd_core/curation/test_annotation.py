from collections.abc import Sequence
from pathlib import Path

import cv2
import drawn
import numpy as np
import pytest
import torch
from torch import Tensor

from svd_core.curation.annotation import Annotator, methods
from svd_core.curation.captions import QUESTION, Caption, ModelCaptioner
from svd_core.curation.settings import AnnotationSettings
from svd_core.curation.views import View
from svd_core.encoders import weights
from svd_core.encoders.laion_aesthetics import LaionAesthetics
from svd_core.encoders.weights import MissingWeights, locate

GIVEN = Caption("a disc", "it moves", "a disc moves")
NOTHING = Caption(None, None, None)


class Encoder:
    """Mean colour of an image against the colour that a text names: cosines that can be worked out."""

    def embed_images(self, images: Tensor) -> Tensor:
        return torch.nn.functional.normalize(images.float().mean((2, 3)), dim=1)

    def embed_texts(self, texts: list[str]) -> Tensor:
        return torch.eye(3)[[("red", "green", "blue").index(text) for text in texts]]


class Models:
    """Stands in for the three networks: says how it was asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def captions(self, seen: Sequence[object]) -> list[str]:
        return [f"{type(one).__name__} {len(one)}" for one in seen]  # type: ignore[arg-type]

    def answers(self, questions: list[str], longest: int) -> list[str]:
        self.asked += questions
        return [f"answer of {longest} tokens"] * len(questions)


def flat(*colours: tuple[int, int, int]) -> View:
    """Nine frames that go through the colours."""
    return View.of([np.full((64, 96, 3), colour, np.uint8) for colour in colours for _ in range(9 // len(colours))])


@pytest.fixture(scope="module")
def annotator() -> Annotator:
    return Annotator.load(AnnotationSettings())


def test_scores_come_from_the_kept_frames_alone(annotator: Annotator) -> None:
    view = View.of(list(drawn.shot(0)))
    row, again = annotator.annotate([view, View(view.frames)], [GIVEN, NOTHING])
    assert {name for name in row if row[name] != again[name]} == {"caption_image", "caption_video", "caption"}
    assert len(row["looks"]) == 12
    assert row["text_area"] == 0.0


@pytest.mark.parametrize(("how", "share"), [("mean", 1 / 3), ("max", 1.0)])
def test_how_frames_are_combined_is_a_setting(how: str, share: float) -> None:
    frames = [drawn.shot(2, frames=1, height=256, width=384)[0] for _ in range(9)]
    cv2.putText(frames[4], "SAMPLE", (20, 140), cv2.FONT_HERSHEY_SIMPLEX, 1.8, (255, 255, 255), 4, cv2.LINE_AA)
    single = Annotator.load(AnnotationSettings(text_over_frames="max")).annotate([View.of([frames[4]])], [NOTHING])
    (row,) = Annotator.load(AnnotationSettings(text_over_frames=how)).annotate([View.of(frames)], [NOTHING])  # type: ignore[arg-type]
    assert row["text_area"] == pytest.approx(share * single[0]["text_area"])
    assert row["text_area"] > 0.02


def test_alignment_is_the_mean_cosine_with_all_captions(annotator: Annotator) -> None:
    settings = AnnotationSettings(alignment="clip")
    view = flat((255, 0, 0), (255, 0, 0), (0, 0, 255))
    (row,) = Annotator(settings, annotator.text, Encoder()).annotate([view], [Caption("red", "red", "blue")])
    assert row["alignment"] == pytest.approx((2 / 3 + 2 / 3 + 1 / 3) / 3, abs=0.02)
    best = AnnotationSettings(alignment="clip", alignment_over_frames="max")
    (row,) = Annotator(best, annotator.text, Encoder()).annotate([view], [Caption("red", "red", "blue")])
    assert row["alignment"] == pytest.approx(2 / 3, abs=0.02)


@pytest.mark.parametrize(("how", "expected"), [("best", 1.0), ("mean", 2 / 3), ("worst", 0.0)])
def test_laions_head_scores_the_embeddings(annotator: Annotator, how: str, expected: float) -> None:
    head = LaionAesthetics([(torch.tensor([[1.0, 0.0, 0.0]]), torch.zeros(1))])
    settings = AnnotationSettings(aesthetics="laion", aesthetics_over_frames=how)  # type: ignore[arg-type]
    view = flat((255, 0, 0), (255, 0, 0), (0, 0, 255))
    (row,) = Annotator(settings, annotator.text, Encoder(), head).annotate([view], [NOTHING])
    assert row["aesthetics"] == pytest.approx(expected, abs=0.01)
    assert "looks" not in row


def test_models_see_the_middle_frame_and_the_clip_and_their_words_are_merged(annotator: Annotator) -> None:
    models = Models()
    captioner = ModelCaptioner(models, models, models)
    views = [flat((0, 0, 0)), flat((9, 9, 9))]
    rows = Annotator(AnnotationSettings(), annotator.text, captioner=captioner).annotate(views, [GIVEN, NOTHING])
    assert rows[0]["caption_image"] == "ndarray 64"
    assert rows[0]["caption_video"] == "list 9"
    assert rows[1]["caption"] == "answer of 80 tokens"
    assert models.asked == [QUESTION.format(image="ndarray 64", video="list 9")] * 2


@pytest.mark.parametrize(
    ("settings", "name"),
    [
        (AnnotationSettings(alignment="clip"), "clip_l14"),
        (AnnotationSettings(aesthetics="laion"), "clip_l14"),
        (AnnotationSettings(captions="models"), "coca"),
    ],
)
def test_what_is_asked_for_and_missing_is_refused(
    settings: AnnotationSettings, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ABLATE_WEIGHTS", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    with pytest.raises(MissingWeights, match=f"'{name}'"):
        Annotator.load(settings)


def test_every_column_says_how_it_is_measured() -> None:
    said = methods(AnnotationSettings())
    assert set(said) == {
        "text_area", "aesthetics", "alignment", "duplicate_of", "caption_image", "caption_video", "caption",
    }  # fmt: skip
    assert "shortest side 256 px, mean of 3 frames, version 1" in said["text_area"]
    assert said["alignment"] == "not measured"
    assert said["caption"] == "given with the videos"


def test_revisions_are_the_hubs_commit_or_the_digest(tmp_path: Path) -> None:
    snapshot = tmp_path / "models--openai--clip" / "snapshots" / ("0123456789abcdef" * 2)
    snapshot.mkdir(parents=True)
    assert (weights.model_name(snapshot), weights.revision(snapshot)) == ("openai/clip", "0123456789ab")
    file = locate("ppocr_det")
    assert (weights.model_name(file), weights.revision(file)) == (file.name, f"sha256:{weights.digest(file)[:12]}")


def test_weights_in_several_files_have_one_digest(tmp_path: Path) -> None:
    for number in (1, 2):
        (tmp_path / f"model-0000{number}-of-00002.safetensors").write_bytes(bytes([number]))
    both = weights.digest(tmp_path)
    (tmp_path / "model-00002-of-00002.safetensors").write_bytes(b"other")
    assert weights.digest(tmp_path) != both
