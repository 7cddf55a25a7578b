"""
The experiment in every other task: stages and wiring, as `ablations.stages` has them for text-to-video.

Each phase of a training is a stage, so that arms share the phases that they have in common; `ablate train` runs the
same phases in one folder.
"""

from collections.abc import Mapping
from pathlib import Path

from ablations.stage import Add, Inputs, Node, Stage, execution
from ablations.task_recipe import Need, TaskRecipe
from bench.settings import ReferenceFeaturesSettings, ScoreSettings, reference_encoders
from svd_core.data.settings import ClipsSettings, CuratedSettings, HeldOutSettings, RecordSettings
from svd_core.encoders.settings import SizedEncoderSettings
from svd_core.progress import Progress
from svd_core.tasks.settings import Bases, Phase, PhaseSettings, TaskSampleSettings, first_video, part


def render(settings: ClipsSettings, inputs: Inputs, out: Path, progress: Progress) -> None:
    """Render clips to train on, or held-out ones."""
    from svd_core.data.rendered import render_clips

    render_clips(settings, out)


def curated(settings: CuratedSettings, inputs: Inputs, out: Path, progress: Progress) -> None:
    """A view of the user's own clips."""
    from svd_core.data.curated import view_clips

    view_clips(settings, out)


def held_out(settings: HeldOutSettings, inputs: Inputs, out: Path, progress: Progress) -> None:
    """Some of the user's own clips, none from a video that is trained on."""
    from svd_core.data.curated import hold_out

    hold_out(settings, list(inputs.values()), out)


def encoders(settings: SizedEncoderSettings, inputs: Inputs, out: Path, progress: Progress) -> None:
    """The frozen networks: train the autoencoder on all clips, make the conditioners."""
    from svd_core.encoders.conditioners import make_conditioners
    from svd_core.models.video_autoencoder import make_autoencoder

    make_conditioners(settings.conditioners, out)
    make_autoencoder(settings.autoencoder, list(inputs.values()), out, size=settings.size, progress=progress)


def records(settings: RecordSettings, inputs: Inputs, out: Path, progress: Progress) -> None:
    """Encode clips once for all phases that read them alike."""
    from svd_core.data.encoding import make_records

    clips = inputs["curated"] if "curated" in inputs else inputs["render"]
    make_records(settings, clips, inputs["encoders"], out, progress=progress)


def train_phase(settings: PhaseSettings, inputs: Inputs, out: Path, progress: Progress) -> None:
    """One phase of a training, from the average of the one before."""
    from svd_core.data.encoding import read_subset_ids
    from svd_core.tasks.networks import check_start
    from svd_core.training.phase import train_phase as run

    folders = inputs["encoders"], inputs["records"], inputs.get("before"), out
    if "before" not in inputs:
        check_start(settings, inputs["encoders"])
    chosen = read_subset_ids(str(inputs["subset"]) if "subset" in inputs else None)
    how = execution("train_phase")
    run(part(Phase, settings), part(Bases, settings), *folders, clip_ids=chosen, execution=how, progress=progress)


def sample_held_out(settings: TaskSampleSettings, inputs: Inputs, out: Path, progress: Progress) -> None:
    """Generate a clip for what is given of each held-out one."""
    from svd_core.tasks.held_out import sample_held_out as run

    run(settings, inputs["train_phase"], inputs["encoders"], inputs["reference"], out, progress=progress)


TASK_STAGES = (
    Stage("render", render),
    Stage("curated", curated, outside=("folder",)),
    Stage("held_out", held_out, outside=("folder",)),
    Stage("encoders", encoders, outside=("autoencoder.folder", "conditioners.text", "conditioners.image")),
    Stage("records", records),
    Stage("train_phase", train_phase, outside=("start",)),
    Stage("sample_held_out", sample_held_out),
)


def reference_features_of(score: ScoreSettings, add: Add, reference: Node) -> dict[str, Node]:
    """Features of the reference clips under each encoder that the metrics need, by the role that scoring reads."""
    return {
        f"features:{encoder}": add(
            "reference_features", ReferenceFeaturesSettings.model_validate({"encoder": encoder}), reference=reference
        )
        for encoder in reference_encoders(score.metrics)
    }


def task_experiment(recipe: TaskRecipe, add: Add, needs: Mapping[Path, Need]) -> dict[str, Node]:
    """Wire one run's stages: clips, frozen networks, phase after phase, and clips for the held-out ones' beginnings.

    needs: what all arms ask of a curated folder. A report shows the funnel of the `subset` that was trained on last.
    """
    clips = {f"data:{name}": clips_of(data, needs, add) for name, data in recipe.data.items()}
    reference = reference_of(recipe, clips, add)
    own = any(data.folder for data in recipe.data.values())
    sized = SizedEncoderSettings(**dict(recipe.encoders), size=recipe.chain[-1].resolution if own else None)
    encoders = add("encoders", sized, **clips)
    subsets = {name: add("subset", chosen, curate=clips[f"data:{name}"]) for name, chosen in recipe.subset.items()}
    last = next((phase.data for phase in reversed(recipe.chain) if phase.data in subsets), None)
    phases = {"subset" if name == last else f"subset:{name}": node for name, node in subsets.items()}
    before: dict[str, Node] = {}
    inflating = first_video([phase.task for phase in recipe.chain])
    for number, phase in enumerate(recipe.chain):
        source = clips[f"data:{phase.data}"]
        records = add("records", records_of(recipe, phase, needs), encoders=encoders, **{source.stage: source})
        bases = recipe.bases if number == inflating else recipe.bases.model_copy(update={"spatial": "copied"})
        settings = PhaseSettings(**dict(phase), **dict(bases))
        chosen = {"subset": subsets[phase.data]} if phase.data in subsets else {}
        trained = add("train_phase", settings, encoders=encoders, records=records, **chosen, **before)
        before = {"before": trained}
        phases |= {f"records:{phase.name}": records, f"phase:{phase.name}": trained}
    sample = add("sample_held_out", recipe.sampling, train_phase=trained, encoders=encoders, reference=reference)
    judges = reference_features_of(recipe.score, add, reference)
    score = add("score", recipe.score, sample=sample, reference=reference, **judges)
    return {**clips, "reference": reference, "encoders": encoders, **phases, "sample": sample, "score": score}


def clips_of(data: ClipsSettings, needs: Mapping[Path, Need], add: Add) -> Node:
    """The clips of a data entry: rendered, or a view of the user's folder."""
    if data.folder is None:
        return add("render", data)
    need = needs.get(Path(data.folder).absolute(), Need())
    return add("curated", CuratedSettings(folder=data.folder, frames=need.frames, captioned=need.told))


def records_of(recipe: TaskRecipe, phase: Phase, needs: Mapping[Path, Need]) -> RecordSettings:
    """What a phase's clips are encoded as. Phases of one size share a folder's, which are as long as any needs.

    Not so interpolation, whose records hold the picture of its own last frame.
    """
    folder = recipe.data[phase.data].folder
    longest = 1 if folder is None else needs[Path(folder).absolute()].frames
    if longest == 1 or phase.task == "frame_interpolation":
        return recipe.records_of(phase)
    return phase.records.model_copy(update={"frames": longest})


def reference_of(recipe: TaskRecipe, clips: Mapping[str, Node], add: Add) -> Node:
    """The held-out clips: rendered, or some of the user's folder, which no clip of a view may share a video with."""
    wanted = recipe.reference
    if wanted.folder is None:
        return add("render", wanted)
    held_out = part(HeldOutSettings, wanted)
    return add("held_out", held_out, **{role: node for role, node in clips.items() if node.stage == "curated"})
