"""Every figure: nothing overlaps, nothing is cut off."""

from dataclasses import replace
from itertools import combinations
from pathlib import Path

import matplotlib as mpl
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text
from synthetic import LONG, as_orbits, ballots, many, with_names, with_prompts, with_seeds, without

from ablations.report.figures import FIGURES, LOOK
from ablations.report.findings import Findings
from ablations.report.result import AblationResult

PLOTS = {plot.name: draw for plot, draw in FIGURES.items()}


STATES = {
    "whole": lambda result: replace(result, ballots=ballots()),
    "twenty": many,
    "one seed": lambda result: with_seeds(result, 0),
    "failed arm": lambda result: without(result, "filtered"),
    "orbits": as_orbits,
    "long names": lambda result: with_names(result, "zooming camera[tracked corners]"),
}
RISKS = [(name, "whole") for name in PLOTS] + [(name, "twenty") for name in ("effects", "strips", "funnel", "noise")]
RISKS += [("effects", "one seed"), ("scores", "failed arm"), ("orbits", "orbits")]
RISKS += [(name, "long names") for name in ("effects", "scores", "kept")]


def texts(figure: Figure) -> list[tuple[str, mpl.transforms.Bbox]]:
    """Every text that is seen, with its place in pixels; tick labels out of an axis' range are not."""
    figure.draw_without_rendering()
    renderer = figure.canvas.get_renderer()  # type: ignore[attr-defined]
    unseen = set()
    for axis in (axis for axes in figure.axes for axis in (axes.xaxis, axes.yaxis)):
        low, high = sorted(axis.get_view_interval())
        ticks = [*axis.get_major_ticks(), *axis.get_minor_ticks()]
        unseen |= {label for t in ticks if not low <= t.get_loc() <= high for label in (t.label1, t.label2)}
    shown = [text for text in figure.findobj(Text) if text.get_visible() and text.get_text().strip()]
    return [(text.get_text(), text.get_window_extent(renderer)) for text in shown if text not in unseen]


def drawn(name: str, result: AblationResult) -> Figure | None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    with mpl.rc_context(LOOK):
        figure = PLOTS[name](Findings(result))
        if figure is not None:
            FigureCanvasAgg(figure)
        return figure


@pytest.mark.slow
@pytest.mark.parametrize(("name", "state"), RISKS)
def test_labels_neither_overlap_nor_leave_the_page(ablation: AblationResult, name: str, state: str) -> None:
    figure = drawn(name, STATES[state](ablation))
    if figure is None:
        return
    with mpl.rc_context(LOOK):
        shown = texts(figure)
    width, height = figure.bbox.width, figure.bbox.height
    for text, box in shown:
        assert box.x0 > -1, text
        assert box.x1 < width + 1, text
        assert box.y0 > -1, text
        assert box.y1 < height + 1, text
    for (one, first), (two, second) in combinations(shown, 2):
        across = min(first.x1, second.x1) - max(first.x0, second.x0)
        down = min(first.y1, second.y1) - max(first.y0, second.y0)
        assert across < 1 or down < 2, (one, two)  # descenders of one line may touch the next


def test_losses_stand_apart_by_noise_level(ablation: AblationResult, tmp_path: Path) -> None:
    figure = drawn("noise", ablation)
    assert figure is not None
    ranges = {axes.get_title(loc="left"): axes for axes in figure.axes if axes.get_title(loc="left")}
    assert list(ranges) == ["−2 < ln σ ≤ −1", "−1 < ln σ ≤ 0", "0 < ln σ ≤ 1", "1 < ln σ ≤ 2", "2 < ln σ"]
    assert {len(axes.lines) for axes in ranges.values()} == {3}
    (rare, *_), (every, *_) = ranges["2 < ln σ"].lines, ranges["0 < ln σ ≤ 1"].lines
    assert (len(rare.get_xdata()), len(every.get_xdata())) == (6, 12)  # type: ignore[arg-type]
    older = [replace(run, log=tmp_path / "old.jsonl") if run.arm == "filtered" else run for run in ablation.runs]
    runs = [replace(run, log=tmp_path / "old.jsonl") for run in ablation.runs]
    (tmp_path / "old.jsonl").write_text('{"samples": 100, "loss": 0.5, "grad_norm": 1.0}\n')
    assert drawn("noise", replace(ablation, runs=tuple(runs))) is None
    figure = drawn("noise", replace(ablation, runs=tuple(older)))
    assert figure is not None
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["unfiltered", "same_size_random"]


def test_orbits_replace_strips(ablation: AblationResult) -> None:
    orbits = as_orbits(ablation)
    assert drawn("orbits", ablation) is None
    assert drawn("strips", orbits) is None
    figure = drawn("orbits", orbits)
    assert figure is not None
    told = [text.get_text() for text in figure.texts]
    assert told[0] == "object 0, elevation 0°, seed 0"
    assert told[1:9] == ["0°", "36°", "108°", "144°", "180°", "216°", "288°", "324°"]  # of ten views
    assert [axes.get_ylabel() for axes in figure.axes] == ["truth", "unfiltered", "filtered", "same_size_random"] * 2


def test_steps_need_arms_that_differ_in_training_alone(ablation: AblationResult) -> None:
    assert drawn("steps", ablation) is None
    longer = replace(ablation.arms[1], name="longer", samples=4800)
    runs = tuple(replace(ablation.run("filtered", seed), arm="longer") for seed in ablation.seeds)
    figure = drawn("steps", replace(ablation, arms=(*ablation.arms, longer), runs=(*ablation.runs, *runs)))
    assert figure is not None
    (line, *_) = figure.axes[0].lines
    assert list(line.get_xdata()) == [2400, 4800]
    finetuned = replace(longer, samples=2400, finetuned=600, overrides={**longer.overrides, "finetune.continues": 0.2})
    figure = drawn("steps", replace(ablation, arms=(*ablation.arms, finetuned), runs=(*ablation.runs, *runs)))
    assert figure is not None
    assert list(figure.axes[0].lines[0].get_xdata()) == [2400, 3000]


def test_quality_is_set_against_what_is_kept_and_spent(ablation: AblationResult) -> None:
    figure = drawn("kept", ablation)
    assert figure is not None
    places = {float(line.get_xdata()[0]) for line in figure.axes[0].lines}  # type: ignore[index]
    assert sorted(places) == pytest.approx([100 * 686 / 3248, 100])
    assert drawn("cost", ablation) is None  # nothing is known of it
    timed = replace(ablation, arms=tuple(replace(arm, seconds=60.0 * n) for n, arm in enumerate(ablation.arms, 1)))
    assert drawn("cost", timed) is not None


def test_names_of_metrics_are_whole_on_two_lines(ablation: AblationResult) -> None:
    long = with_names(ablation, "zooming camera[tracked corners]")
    figure, kept = drawn("scores", long), drawn("kept", long)
    assert figure is not None
    assert kept is not None
    assert figure.axes[0].get_title(loc="left") == "zooming camera\n[tracked corners] ↓"
    assert kept.axes[0].get_ylabel() == "zooming camera\n[tracked corners] ↓"


CAPTION = "a small red square moves slowly to the left over a cloudy background of green and then comes back to it"


def test_prompts_above_strips_are_whole(ablation: AblationResult, tmp_path: Path) -> None:
    figure = drawn("strips", with_prompts(ablation, tmp_path, CAPTION))
    assert figure is not None
    first, second = [text for text in figure.texts if text.get_text()]
    assert first.get_text().replace("\n", " ") == f"“0 {CAPTION}”, seed 0"
    shown = dict(texts(figure))
    assert max(box.x1 for box in shown.values()) < figure.bbox.width + 1
    assert max(box.y1 for box in shown.values()) < figure.bbox.height + 1
    panels = [axes.get_window_extent() for axes in figure.axes]
    for text in (first, second):
        box = shown[text.get_text()]
        assert all(box.y0 > panel.y1 - 1 or box.y1 < panel.y0 + 1 for panel in panels)


def test_what_takes_equally_long_is_no_trade_off(ablation: AblationResult) -> None:
    def after(*seconds: float) -> Figure | None:
        arms = (replace(arm, seconds=s) for arm, s in zip(ablation.arms, seconds, strict=True))
        return drawn("cost", replace(ablation, arms=tuple(arms)))

    assert after(600.0, 611.0, 628.0) is None
    assert after(600.0, 611.0, 640.0) is not None


def test_an_arm_of_which_no_clips_are_told_is_not_set_against_its_share(ablation: AblationResult) -> None:
    arms = (ablation.arms[0], ablation.arms[1], replace(ablation.arms[2], kept=None, idle="it sees one batch"))
    figure = drawn("kept", replace(ablation, arms=arms))
    assert figure is not None
    assert len({float(line.get_xdata()[0]) for line in figure.axes[0].lines}) == 2  # type: ignore[index]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["unfiltered", "filtered"]


def test_logarithmic_counts_are_called_so(ablation: AblationResult) -> None:
    figure = drawn("histograms", ablation)
    assert figure is not None
    titles = {axes.get_title(loc="left"): axes for axes in figure.axes}
    assert titles["text area (log counts)"].get_yscale() == "log"
    assert titles["text area (log counts)"].get_xscale() == "linear"


@pytest.mark.slow
def test_page_of_twenty_arms_is_whole(ablation: AblationResult, tmp_path: Path) -> None:
    from ablations.report.build import write_report

    page = write_report(Findings(many(ablation)), tmp_path / "out", gallery_prompts=1)
    text = page.read_text(encoding="utf-8").replace("<wbr>", "")
    for number in range(19):
        assert f"{LONG}_{number}" in text
    assert sum(path.stat().st_size for path in page.parent.rglob("*") if path.is_file()) < 30e6
