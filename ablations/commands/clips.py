"""Your own videos to clips, chosen by their scores."""

from pathlib import Path
from typing import Annotated

import typer

from ablations.commands.options import SlurmCluster

app = typer.Typer()


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
    share: Annotated[
        str | None, typer.Option(metavar="I/N", help="Only every N-th shard, for many machines; then once without.")
    ] = None,
    cluster: SlurmCluster = None,
) -> None:
    """Cut, score and shard your own videos. The same command again continues, or takes up what was added."""
    from ablations.curate import curate, curate_share, score, submit
    from ablations.errors import AblateError

    annotations = {"aesthetics": aesthetics, "alignment": alignment, "captions": captions}
    cutting = {
        "clips": clips, "min_clip_s": min_clip_s, "max_clip_s": max_clip_s, "trim_s": trim_s, "refine": refine,
        "motion": motion,
    }  # fmt: skip
    if score_only:
        score(out, workers, annotations, SOURCE=source, share=share, cluster=cluster, **cutting)
    elif cluster is not None and share is not None:
        raise AblateError(
            "--share is for machines without SLURM, --cluster's file says how many share: say one of them"
        )
    elif cluster is not None:
        submit(source, out, cluster, workers, annotations, **cutting)
    elif share is not None:
        curate_share(source, out, share, workers, annotations, **cutting)
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
