from pathlib import Path

import pytest

from ablations.curate import CurateError, curate, curate_share, score


def test_scoring_again_takes_no_option_that_needs_the_videos(tmp_path: Path) -> None:
    with pytest.raises(CurateError, match="decodes nothing, so it takes no min-clip-s"):
        score(tmp_path, None, {}, min_clip_s=1.0)
    with pytest.raises(CurateError, match="decodes nothing, so it takes no SOURCE"):
        score(tmp_path, None, {}, SOURCE="videos")


def test_scoring_again_needs_something_that_was_curated(tmp_path: Path) -> None:
    with pytest.raises(CurateError, match="holds nothing that `ablate curate` made"):
        score(tmp_path, 1, {})


@pytest.mark.parametrize(
    ("annotations", "message"),
    [
        ({"aesthetics": "pretty"}, "--aesthetics: Input should be 'typical-looks' or 'laion'"),
        ({"captions": "models"}, "coca-vit-l-14 .* is not at"),
    ],
)
def test_settings_that_cannot_be_met_are_refused(
    annotations: dict[str, str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    with pytest.raises(CurateError, match=message):
        curate(str(tmp_path), tmp_path / "out", 1, annotations)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("share", ["0/2", "3/2", "2", "a/b"])
def test_a_share_is_one_of_several(share: str, tmp_path: Path) -> None:
    with pytest.raises(CurateError, match="expected I/N with I from 1 to N, such as 2/16"):
        curate_share("videos", tmp_path, share, 1, {})


def test_a_source_is_needed(tmp_path: Path) -> None:
    with pytest.raises(CurateError, match="SOURCE is missing"):
        curate(None, tmp_path, 1, {})
