import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from svd_core.data.toy_lvd.drawing import Drawing, draw_background, draw_layout
from svd_core.data.toy_lvd.scenes import (
    BACKGROUNDS,
    COLOURS,
    DIRECTIONS,
    PATTERNS,
    SHAPES,
    VISIBLE,
    Scene,
    draw_other_scene,
    draw_scene,
    random_stream,
)

SUBJECT = r"an? (?P<colour>\w+) (?P<shape>\w+)"
BACKDROP = r"a (?P<background>\w+) (?P<pattern>\w+) background"
WORDINGS = {
    "image_caption": f"{SUBJECT} on {BACKDROP}",
    "video_caption": rf"moving (?P<direction>\w+): {SUBJECT} over {BACKDROP}",
    "merged_caption": rf"{SUBJECT} moves (?P<direction>\w+) across {BACKDROP}",
}

seeds = st.integers(0, 2**31)


def scene_of(seed: int) -> Scene:
    return draw_scene(np.random.default_rng(seed))


def differences(scene: Scene, other: Scene) -> int:
    return sum(getattr(scene, field) != getattr(other, field) for field in VISIBLE)


@pytest.mark.parametrize("wording", WORDINGS)
@given(seed=seeds)
def test_captions_parse_back_to_their_scene(wording: str, seed: int) -> None:
    scene = scene_of(seed)
    found = re.fullmatch(WORDINGS[wording], getattr(scene, wording))
    assert found is not None
    told = found.groupdict()
    assert Scene(**({"direction": scene.direction} | told)) == scene
    assert ("direction" in told) == (wording != "image_caption")


def test_the_vocabulary_is_small_and_captions_are_short() -> None:
    scenes = [scene_of(seed) for seed in range(3000)]
    captions = [re.findall(r"\w+", getattr(scene, wording)) for scene in scenes for wording in WORDINGS]
    assert len({word for caption in captions for word in caption}) == 33
    assert max(len(caption) for caption in captions) <= 18
    assert not any(" a orange" in f" {scene.image_caption}" for scene in scenes)


def test_no_word_names_two_things() -> None:
    words = [*SHAPES, *COLOURS, *PATTERNS, *BACKGROUNDS, *DIRECTIONS]
    assert len(words) == len(set(words))


@given(seed=seeds, count=st.integers(1, 4))
def test_wrong_captions_differ_in_as_many_visible_words_as_asked(seed: int, count: int) -> None:
    scene = scene_of(seed)
    assert differences(scene, draw_other_scene(np.random.default_rng(seed), scene, count)) == count


@given(seed=seeds)
def test_a_wrong_caption_describes_another_picture(seed: int) -> None:
    """Whichever word is wrong, both scenes drawn in the same place differ by more than codec noise (about 2)."""
    rng = np.random.default_rng(seed)
    scene = draw_scene(rng)
    other = draw_other_scene(rng, scene, 1)
    layout = draw_layout(rng, scene, 0.25)
    drawn, told = (Drawing(s, layout, 96).at(0.0).astype(float) for s in (scene, other))
    changed = np.abs(drawn - told).max(axis=2) > 24
    assert changed.mean() > 0.01


@given(seed=seeds)
def test_scenes_in_a_row_change_their_background(seed: int) -> None:
    rng = np.random.default_rng(seed)
    scene = draw_scene(rng)
    assert draw_scene(rng, unlike=scene).background != scene.background


@given(seed=seeds, direction=st.sampled_from(sorted(DIRECTIONS)))
def test_the_shape_moves_where_its_caption_says(seed: int, direction: str) -> None:
    rng = np.random.default_rng(seed)
    scene = Scene("circle", "white", direction, "plain", "black")
    speed, seconds = 0.25, 0.4
    layout = draw_layout(rng, scene, speed)
    drawing = Drawing(scene, layout, 96)
    before, after = (_centre_of_bright(drawing.at(t)) for t in (-seconds / 2, seconds / 2))
    travelled = (after - before) / 96
    assert travelled == pytest.approx(np.multiply(DIRECTIONS[direction], speed * seconds), abs=0.01)


@pytest.mark.parametrize("pattern", PATTERNS)
def test_a_pattern_looks_the_same_at_any_size(pattern: str) -> None:
    """Small training images show what the large videos show."""
    scene = Scene("ring", "cyan", "left", pattern, "blue")
    layout = draw_layout(np.random.default_rng(3), scene, 0.25)
    large, small = (draw_background(scene, layout, size).astype(float) for size in (192, 48))
    reduced = large.reshape(48, 4, 48, 4, 3).mean(axis=(1, 3))
    assert np.abs(reduced - small).mean() < 6


@pytest.mark.parametrize("shape", SHAPES)
def test_every_shape_fills_its_share_of_the_frame(shape: str) -> None:
    scene = Scene(shape, "white", "left", "plain", "black")
    layout = draw_layout(np.random.default_rng(1), scene, 0.25)
    covered = (Drawing(scene, layout, 192).at(0.0).min(axis=2) > 128).mean()
    assert 1.4 < covered / layout.radius**2 < 3.5, "a disc of that radius has pi"


def test_any_shape_stands_out_from_any_background() -> None:
    brightness = np.array([0.299, 0.587, 0.114])
    darkest = min(float(brightness @ np.array(colour)) for colour in COLOURS.values())
    brightest = max(float(brightness @ np.array(colour)) for colour in BACKGROUNDS.values())
    assert darkest - brightest > 80


def test_streams_depend_on_every_part_of_their_name() -> None:
    draws = [random_stream(*name).integers(2**60) for name in [(0, "a", 0), (1, "a", 0), (0, "b", 0), (0, "a", 1)]]
    assert len(set(draws)) == 4
    assert random_stream(0, "a", 0).integers(2**60) == draws[0]


def _centre_of_bright(image: np.ndarray) -> np.ndarray:
    rows, columns = np.nonzero(image.min(axis=2) > 128)
    return np.array([columns.mean(), rows.mean()])
