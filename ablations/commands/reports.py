"""What is shown of results: reports, comparisons, curves, scores of any videos."""

from pathlib import Path
from typing import Annotated

import typer

from ablations.commands.options import FormatName, Out, Scale, SpecName, TableFormat

app = typer.Typer()


@app.command()
def report(
    spec: SpecName,
    scale: Scale = "laptop",
    out: Out = None,
    format_name: Annotated[
        FormatName | None, typer.Option("--format", help="Print the table alone instead of writing the whole report.")
    ] = None,
    arms: Annotated[str, typer.Option(help="Show these arms only, comma-separated, and the baseline.")] = "",
    metrics: Annotated[str, typer.Option(help="Show these metrics only, comma-separated, and the primary one.")] = "",
) -> None:
    """Write the report again from what the store holds; missing runs are named in it."""
    from ablations.errors import AblateError
    from ablations.run import table_text, write_results

    if format_name and out:
        raise AblateError("--format prints the table, --out names a report's folder: say one of them")
    shown_arms, shown_metrics = (tuple(filter(None, names.split(","))) for names in (arms, metrics))
    if format_name:
        typer.echo(table_text(spec, scale, format_name, shown_arms, shown_metrics), nl=False)
    else:
        typer.echo(write_results(spec, scale, out, shown_arms, shown_metrics))


@app.command(name="compare")
def compare_runs(
    runs: Annotated[list[str], typer.Argument(metavar="RUN...", help="SPEC:ARM, or SPEC:ARM:SEED, two at least.")],
    scale: Scale = "laptop",
    format_name: TableFormat = "markdown",
) -> None:
    """Print runs side by side, across ablations: scores, differences from the first one, settings that differ."""
    from ablations.compare import compare
    from ablations.report.formats import as_text

    typer.echo(as_text(compare(runs, scale), format_name), nl=False)


@app.command()
def tensorboard(
    spec: SpecName, folder: Annotated[Path, typer.Argument(help="Where event files go.")], scale: Scale = "laptop"
) -> None:
    """Follow an ablation's trainings and write event files for TensorBoard, until all is done or Ctrl-C."""
    from ablations.tensorboard import follow

    follow(spec, scale, folder)


@app.command()
def index(folder: Annotated[Path, typer.Argument(help="Folder of reports.")] = Path("results")) -> None:
    """Write one page over all reports."""
    from ablations.index import write_index

    typer.echo(write_index(folder))


@app.command()
def score(
    real: Annotated[Path, typer.Option(help="Folder of real videos.")],
    generated: Annotated[Path, typer.Option(help="Folder of generated videos.")],
    metrics: Annotated[str, typer.Option(help="Names with commas between them, such as fvd,kvd,fd_vgg16.")] = "fvd",
    protocol: Annotated[str, typer.Option(help="stylegan-v, unterthiner, centre-crop or ucf101-zero-shot.")] = (
        "stylegan-v"
    ),
    frames: Annotated[int | None, typer.Option(help="Frames a clip, instead of the protocol's.")] = None,
    stride: Annotated[int | None, typer.Option(help="Take every n-th frame, instead of the protocol's.")] = None,
    clips: Annotated[
        int | None, typer.Option(help="Clips a video, 0 for all that fit, instead of the protocol's.")
    ] = None,
    fps: Annotated[float | None, typer.Option(help="Resample both sets to this frame rate.")] = None,
    size: Annotated[str | None, typer.Option(help="Resize both sets to HEIGHTxWIDTH.")] = None,
    prompts: Annotated[
        Path | None, typer.Option(help="JSON file: names of generated videos and their prompts.")
    ] = None,
    device: Annotated[str, typer.Option(help="Where the encoders run: cpu, cuda.")] = "cpu",
    workers: Annotated[int | None, typer.Option(min=1, help="Processes (default: one a core; cuda: 1).")] = None,
    out: Annotated[
        Path | None, typer.Option(help="Where scores.json and per_clip.parquet go (default: store).")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """Score any folder of videos against another: no spec, no run. Features are kept and never computed twice."""
    from ablations.score import request, run

    asked = request(real, generated, metrics, protocol, (frames, stride, clips), fps, size, prompts, device)
    run(asked, out, workers, as_json=json)


@app.command(name="score-views")
def score_views(
    real: Annotated[Path, typer.Option(help="Folder of rendered objects, OBJECT/000.png … and OBJECT/cameras.json.")],
    generated: Annotated[Path, typer.Option(help="Folder of generated views of the same objects.")],
    metrics: Annotated[
        str,
        typer.Option(help="lpips,lpips_vgg16,psnr,ssim,clip_similarity,tsed,tsed_truth (default: what can be had)."),
    ] = "",
    out: Annotated[
        Path | None, typer.Option(help="Where scores.json and per_view.parquet go (default: store).")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """Score generated views of objects against renders (pybullet's, GSO, Objaverse) by the paper's protocol."""
    from ablations.score import run_views

    run_views(real, generated, metrics, out, as_json=json)
