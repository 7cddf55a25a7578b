"""A whole training: encoders, then one phase after another, each starting from the average of the one before.

    RUN/recipe.json              the resolved recipe
    RUN/lock                     held by the command that trains
    RUN/clips/NAME/              rendered clips
    RUN/encoders/                the frozen networks: `vae/`, and what svd_core.encoders.conditioners describes
    RUN/records/NAME-HxWxT-…/    encoded clips, shared by phases that ask for the same
    RUN/NN-PHASE/                config.json, metrics.jsonl, ema.safetensors, state/, unet/ (diffusers), LoRA weights

Everything is made once: the same command continues where the last one stopped.
"""

import contextlib
import errno
import fcntl
import hashlib
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import IO

import polars as pl

from svd_core.curation.table import check_captioned
from svd_core.data.encoding import make_records, origin_of, read_subset_ids
from svd_core.data.rendered import render_clips
from svd_core.data.windows import read_clip_table
from svd_core.device import flags_restored
from svd_core.encoders.conditioners import make_conditioners
from svd_core.files import write_whole
from svd_core.models.checkpoints import locate
from svd_core.models.video_autoencoder import make_autoencoder
from svd_core.progress import Progress, silent
from svd_core.tasks.networks import check_start, start_folder
from svd_core.tasks.settings import TOLD, Bases, Phase, TrainingRecipe
from svd_core.training.execution import Execution
from svd_core.training.phase import train_phase, write_generation

ORIGIN = "origin"
"""A digest of the clips that records were made of."""

LOOK_EVERY_S = 1.0

Tell = Callable[[str], Progress]
"""Names the work that begins and answers with its listener."""


def run_training(recipe: TrainingRecipe, out: Path, execution: Execution, tell: Tell = lambda name: silent) -> None:
    """Run or continue a training under `out`. Every process calls this; the first one prepares, all of them train."""
    with contextlib.ExitStack() as ending:
        with execution.together():
            if execution.rank == 0:
                _check_named(recipe, out)
                out.mkdir(parents=True, exist_ok=True)
                ending.enter_context(_alone(out, tell))
                _same_recipe(recipe, out / "recipe.json")
                with flags_restored():
                    _prepare(recipe, out, tell)
        _train(recipe, out, execution, tell)


def _train(recipe: TrainingRecipe, out: Path, execution: Execution, tell: Tell) -> None:
    """Encode what phases read, then train them."""
    folders = [phase_folder(out, number, phase) for number, phase in enumerate(recipe.chain)]
    finished = [execution.told(_finished(folder)) for folder in folders]
    for phase, done in zip(recipe.chain, finished, strict=True):
        if not done:
            _encode(recipe, phase, out, execution, tell)
    before: Path | None = None
    for phase, folder, done in zip(recipe.chain, folders, finished, strict=True):
        if done:
            with execution.together():
                if execution.rank == 0:
                    write_generation(folder, recipe.generation)
        else:
            train_phase(
                phase,
                recipe.bases,
                out / "encoders",
                records_folder(recipe, phase, out),
                before,
                folder,
                clip_ids=read_subset_ids(recipe.data[phase.data].subset),
                generation=recipe.generation,
                watch=recipe.watch,
                execution=execution,
                progress=tell(phase.name),
            )
            execution.wait()
        before = folder


@contextlib.contextmanager
def _alone(out: Path, tell: Tell) -> Iterator[None]:
    """Wait until no other command trains under `out`, which would write every line twice; then none does, within.

    The lock ends with its process, however that ends, or soon after on a node that is lost.
    """
    with (out / "lock").open("w") as lock:
        if not _locked(lock):
            tell(f"{out}: another command trains this run; going on when that ends")
        while not _locked(lock):
            time.sleep(LOOK_EVERY_S)
        yield


def _locked(file: IO[str]) -> bool:
    """Whether this process has the lock of a file now. A file system that knows no locks gives it to all."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in (errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP):
            raise
    return True


def _check_named(recipe: TrainingRecipe, out: Path) -> None:
    """Raise CheckpointError for networks that are still to be read and are not there, before anything is made."""
    if recipe.start is not None and not _finished(phase_folder(out, 0, recipe.chain[0])):
        start_folder(recipe.start)
    if recipe.autoencoder.folder is not None and not (out / "encoders").is_dir():
        locate(recipe.autoencoder.folder, "vae")


def _finished(phase: Path) -> bool:
    return (phase / "unet" / "config.json").is_file()


def _same_recipe(recipe: TrainingRecipe, path: Path) -> None:
    """Keep the recipe; refuse to continue a run with another one.

    Data may be added, and what nothing was made from yet may be changed, added or left out.
    """
    if path.is_file():
        run, before = path.parent, _recipe_of(path)
        folders = [phase_folder(run, number, phase) for number, phase in enumerate(before.chain)]
        begun = [number for number, folder in enumerate(folders) if (folder / "metrics.jsonl").is_file()]
        last = before.chain[: max(begun, default=-1) + 1]
        bound, now = (_bound(each, run, last) for each in (before, recipe))
        if changed := [name for name, value in bound.items() if now.get(name) != value]:
            raise ValueError(f"{path}: this run began with other `{changed[0]}`; name a new folder, or put it back")
        for number, phase in enumerate(last):
            now_here = recipe.chain[number] if number < len(recipe.chain) else None
            if now_here != phase:
                raise ValueError(
                    f"{path}: this run began with another phase {phase.name!r}{_differing(phase, now_here)}; put it "
                    f"back, or remove {folders[number]} and what follows it to train it anew"
                )
    write_whole(path, recipe.model_dump_json(indent=1) + "\n")


def _recipe_of(path: Path) -> TrainingRecipe:
    """The recipe that a run was begun with."""
    try:
        return TrainingRecipe.model_validate_json(path.read_text())
    except ValueError as error:
        raise ValueError(f"{path} is damaged, or of another version; it says what this run began with") from error


def _differing(before: Phase, now: Phase | None) -> str:
    """The settings that a phase of one name had, and their values then."""
    if now is None or now.name != before.name:
        return ""
    names = [name for name in Phase.model_fields if getattr(before, name) != getattr(now, name)]
    return f" ({', '.join(f'{name} {getattr(before, name)}' for name in names)})"


def _bound(recipe: TrainingRecipe, run: Path, begun: Sequence[Phase]) -> dict[str, object]:
    """What something under `run` was made from, which therefore cannot change. begun: phases that have."""
    bound: dict[str, object] = {}
    prepared = (run / "encoders").is_dir()
    for name, clips in recipe.data.items():
        if prepared or (run / "clips" / name).is_dir():
            bound[f"data.{name}"] = clips.model_copy(update={"subset": None})
        if name in {phase.data for phase in begun}:
            bound[f"data.{name}.subset"] = clips.subset
    if prepared:
        bound |= {"autoencoder": recipe.autoencoder, "conditioners": recipe.conditioners}
    if begun:
        bound |= {name: getattr(recipe, name) for name in Bases.model_fields}
    return bound


def _prepare(recipe: TrainingRecipe, out: Path, tell: Tell) -> None:
    """Clips, autoencoder and conditioners, each made whole or not at all."""
    for name, clips in recipe.data.items():
        if clips.render:
            _once(out / "clips" / name, partial(render_clips, clips))
    _once(out / "encoders", partial(_encoders, recipe, out, tell))
    if not _finished(phase_folder(out, 0, recipe.chain[0])):
        check_start(recipe.bases, out / "encoders")


def _encode(recipe: TrainingRecipe, phase: Phase, out: Path, execution: Execution, tell: Tell) -> None:
    """Encode the clips of a phase, every process its share, unless that is done; what was begun is gone on with.

    Raises ValueError for a clip without a caption where the task reads them.
    """
    folder, settings = records_folder(recipe, phase, out), recipe.records_of(phase)
    clips, half = clips_of(recipe, phase.data, out), folder.with_name(f"{folder.name}.half")
    made = execution.told(folder.is_dir())
    with execution.together():
        chosen = read_subset_ids(recipe.data[phase.data].subset)
        if not made:
            if phase.task in TOLD:
                check_captioned(read_clip_table(clips, chosen), clips)
            half.mkdir(parents=True, exist_ok=True)
        elif execution.rank == 0:
            _check_origin(phase.data, clips, chosen, folder)
    if made:
        return
    with flags_restored():
        progress = tell(f"encode {phase.data} for {phase.name}")
        encoders = out / "encoders"
        origin = make_records(settings, clips, encoders, half, clip_ids=chosen, execution=execution, progress=progress)
    with execution.together():
        if execution.rank == 0:
            (half / ORIGIN).write_text(origin)
            half.rename(folder)


def _check_origin(name: str, clips: Path, chosen: pl.Series | None, records: Path) -> None:
    """Raise ValueError where clips were added, scored again or chosen otherwise since they were encoded."""
    if (records / ORIGIN).read_text() != origin_of(clips, chosen):
        raise ValueError(
            f"data {name}: {clips}, or what its subset chose, has changed since this run encoded it to {records}, and "
            "samples would be other clips from here on; name a new folder, or put it back"
        )


def _once(folder: Path, make: Callable[[Path], None]) -> None:
    """Make a folder beside its place and rename it whole, unless it is there."""
    if folder.is_dir():
        return
    half = folder.with_name(f"{folder.name}.half")
    shutil.rmtree(half, ignore_errors=True)
    half.mkdir(parents=True)
    make(half)
    half.rename(folder)


def _encoders(recipe: TrainingRecipe, out: Path, tell: Tell, half: Path) -> None:
    """The frozen networks."""
    make_conditioners(recipe.conditioners, half)
    clips = [clips_of(recipe, name, out) for name in recipe.data]
    size = recipe.chain[-1].resolution
    make_autoencoder(recipe.autoencoder, clips, half, size=size, progress=tell("autoencoder"))


def clips_of(recipe: TrainingRecipe, name: str, out: Path) -> Path:
    """Where the clips of a data entry lie."""
    folder = recipe.data[name].folder
    return out / "clips" / name if folder is None else Path(folder)


def phase_folder(out: Path, number: int, phase: Phase) -> Path:
    """Where the phase of that number in the chain lies."""
    return out / f"{number:02d}-{phase.name}"


def records_folder(recipe: TrainingRecipe, phase: Phase, out: Path) -> Path:
    """Where a phase's records lie: one folder for all phases that encode the same."""
    digest = hashlib.sha256(recipe.records_of(phase).model_dump_json().encode()).hexdigest()[:8]
    height, width = phase.resolution
    return out / "records" / f"{phase.data}-{height}x{width}x{phase.frames}-{digest}"
