"""The commands over one training: train, sample, export."""

import contextlib
import shlex
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from importlib.resources import files
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ablations.console import console
from ablations.document import Document, validate
from ablations.errors import AblateError, nearest
from ablations.recipe import is_task
from ablations.task_recipe import TaskRecipe
from ablations.tensorboard import PhaseCurves, check_installed, note_empty
from svd_core.progress import Progress
from svd_core.tasks.settings import Task, TrainingRecipe

if TYPE_CHECKING:
    import torch


GIVEN: dict[Task, str] = {
    "images": "",
    "text_to_video": "--prompt TEXT",
    "image_to_video": "--image PICTURE",
    "frame_interpolation": "--image FIRST --image LAST",
    "multi_view": "--image PICTURE --elevation DEGREES",
}
"""What `ablate sample` has to be given; image networks are not sampled."""


def recipes() -> dict[str, Path]:
    """The packaged trainings, and the recipes of specs that are one."""
    home = Path(str(files("ablations")))
    tasks = [path for path in (home / "recipes").glob("*.yaml") if is_task(Document(path).data)]
    return {path.stem: path for path in sorted([*(home / "trainings").glob("*.yaml"), *tasks])}


def load_recipe(name: str, folders: list[str], start: str | None) -> TrainingRecipe:
    """A packaged training or a YAML file. folders: `NAME=FOLDER`, clips to read instead of the entry's own."""
    path = Path(name)
    if path.suffix not in (".yaml", ".yml"):
        packaged = recipes()
        if name not in packaged:
            raise AblateError(f"unknown training {name!r}; {nearest(name, list(packaged))}")
        path = packaged[name]
    document = Document(path)
    judging = TaskRecipe.model_fields.keys() - TrainingRecipe.model_fields.keys()
    data = {key: value for key, value in document.data.items() if key not in judging}
    for entry in folders:
        key, _, folder = entry.partition("=")
        known = list(data.get("data", {}))
        if key not in known or not folder:
            raise AblateError(f"--data {entry}: expected NAME=FOLDER; {nearest(key, known)}")
        subset = {name: value for name, value in data["data"][key].items() if name == "subset"}
        data["data"] = {**data["data"], key: {"folder": folder, **subset}}
    if start is not None:
        data["start"] = start
    return validate(TrainingRecipe, data, {(): (document, ())})


def train(name: str, out: Path, folders: list[str], start: str | None, curves: Path | None) -> None:
    """Run or continue a training under `out`; `curves` is a folder for TensorBoard."""
    recipe = load_recipe(name, folders, start)
    _check_folders(recipe)
    if curves is not None:
        check_installed()
        curves.mkdir(parents=True, exist_ok=True)
    from svd_core.training.execution import Execution, leave_group
    from svd_core.training.phases import run_training

    execution = Execution.from_environment(recipe.execution)
    with _mendable(), contextlib.ExitStack() as ending:
        tell = _listener if execution.rank == 0 else _silent
        if curves is not None and execution.rank == 0:
            written = PhaseCurves(out, curves)
            ending.callback(written.close)
            tell = partial(_listener, then=written.follow)
        run_training(recipe, out, execution, tell)
    leave_group()
    if curves is not None and execution.rank == 0:
        note_empty(curves)
    given = GIVEN[recipe.chain[-1].task]
    command = f"; sample it with: ablate sample {shlex.quote(str(out))} {given} --out FOLDER" if given else ""
    console.print(f"{out}: trained{command}")


def submit(
    name: str, out: Path, folders: list[str], start: str | None, tensorboard: Path | None, cluster_name: str
) -> None:
    """Train on a SLURM cluster: one job, of as many processes as the cluster file gives to `train`."""
    from ablations.cluster import TRAIN
    from ablations.slurm.errands import slurm_cluster, submit_commands

    cluster = slurm_cluster(cluster_name)
    _check_folders(load_recipe(name, folders, start))
    options = [("--data", entry) for entry in folders]
    options += [("--start", start)] if start else []
    options += [("--tensorboard", str(tensorboard))] if tensorboard else []
    words = ["train", name, "--out", str(out.absolute()), *chain.from_iterable(options)]
    submit_commands(TRAIN, out, cluster, cluster_name, [words])


def sample(run: Path, out: Path, prompt: str | None, images: list[Path], changes: Mapping[str, Any]) -> None:
    """Generate one clip and write `clip.mp4` and `frames.png` under `out`."""
    from svd_core.data.video import write_h264
    from svd_core.device import repeatable_device
    from svd_core.tasks.generation import Request, Run, generate

    with _mendable():
        loaded = Run.load(run, device=repeatable_device())
        request = Request(prompt=prompt, images=_read_images(images), **changes)
        clip = generate(loaded, request)
    out.mkdir(parents=True, exist_ok=True)
    frames = clip.permute(0, 2, 3, 1).contiguous().numpy()
    write_h264(out / "clip.mp4", list(frames), round(loaded.generation.fps))
    _write_strip(out / "frames.png", frames)
    console.print(f"{out / 'clip.mp4'}: {len(clip)} frames of {clip.shape[-1]}×{clip.shape[-2]}")


def export(run: Path, out: Path) -> None:
    """Write a run as folders that diffusers loads."""
    from svd_core.tasks.export import export as write
    from svd_core.tasks.networks import LORA_FILE

    with _mendable():
        write(run, out)
    if (out / LORA_FILE).is_file():
        console.print(f"{out}: exported; `ablate sample` applies {LORA_FILE}, diffusers loads the network without it")
    elif (out / "model_index.json").is_file():
        console.print(f"{out}: exported; StableVideoDiffusionPipeline.from_pretrained loads it")
    else:
        console.print(f"{out}: exported; `ablate sample` and diffusers' classes load its parts")


def _read_images(paths: list[Path]) -> "torch.Tensor | None":
    """Pictures (N, 3, H, W) in [-1, 1], all of the first one's size."""
    if not paths:
        return None
    import cv2
    import torch

    pictures: list[Any] = []
    for path in paths:
        picture = cv2.imread(str(path), cv2.IMREAD_COLOR) if path.is_file() else None
        if picture is None:
            raise AblateError(f"{path}: no picture that can be read (expected PNG, JPEG, …)")
        if pictures and picture.shape != pictures[0].shape:
            raise AblateError(f"{path}: {picture.shape[:2]} pixels, but the first picture has {pictures[0].shape[:2]}")
        pictures.append(picture)
    stacked = torch.stack([torch.from_numpy(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB)) for picture in pictures])
    return stacked.permute(0, 3, 1, 2) / 127.5 - 1


def _write_strip(path: Path, frames: Any) -> None:
    """All frames side by side."""
    import cv2
    import numpy as np

    cv2.imwrite(str(path), cv2.cvtColor(np.concatenate(list(frames), axis=1), cv2.COLOR_RGB2BGR))


def _check_folders(recipe: TrainingRecipe) -> None:
    """Refuse missing data before anything is made."""
    for name, clips in recipe.data.items():
        if clips.folder is not None and not (Path(clips.folder) / "clips.parquet").is_file():
            raise AblateError(
                f"data {name}: {clips.folder} has no clips.parquet; curate your videos first, then name their folder "
                f"with --data {name}=FOLDER"
            )
        if clips.subset is not None and not (Path(clips.subset) / "subset.parquet").is_file():
            raise AblateError(f"data {name}: {clips.subset} has no subset.parquet; `ablate filter` writes one")


def _listener(name: str, then: Callable[[], None] = lambda: None) -> Progress:
    """Tell of a piece of work in lines: it may take minutes or weeks. then: what to do after each."""
    console.print(name)

    def tell(done: int, total: int, **figures: float) -> None:
        words = ", ".join(f"{key} {value:.4g}" for key, value in figures.items())
        if words or done == total:
            console.print(f"  {done}/{total} {words}")
        then()

    return tell


def _silent(name: str) -> Progress:
    from svd_core.progress import silent

    return silent


@contextlib.contextmanager
def _mendable() -> Iterator[None]:
    """Errors by which svd_core tells the user what to do are printed without a traceback."""
    from svd_core.training.loop import NonFiniteLoss

    try:
        yield
    except (ValueError, NonFiniteLoss) as error:
        raise AblateError(str(error)) from error
