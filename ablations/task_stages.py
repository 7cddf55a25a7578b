"""
The experiment in every other task: stages and wiring, as `ablations.stages` has them for text-to-video.

Each phase of a training is a stage, so that arms share the phases that they have in common; `ablate train` runs the
same phases in one folder.
"""

from pathlib import Path

from ablations.stage import Add, Inputs, Node, Stage, execution
from ablations.task_recipe import TaskRecipe
from bench.settings import ReferenceFeaturesSettings, ScoreSettings, reference_encoders
from svd_core.progress import Progress
from svd_core.tasks.settings import (
    Bases,
    ClipsSettings,
    EncoderSettings,
    Phase,
    PhaseSettings,
    RecordSettings,
    TaskSampleSettings,
    part,
)


def render(settings: ClipsSettings, inputs: Inputs, out: Path, progress: Progress) -> None:
    """Render clips to train on, or held-out ones."""
    from svd_core.data.rendered import render_clips

    render_clips(settings, out)


def encoders(settings: EncoderSettings, inputs: Inputs, out: Path, progress: Progress) -> None:
    """The frozen networks: train the autoencoder on all clips, make the conditioners."""
    from svd_core.encoders.conditioners import make_conditioners
    from svd_core.models.video_autoencoder import make_autoencoder

    make_conditioners(settings.conditioners, out)
    make_autoencoder(settings.autoencoder, list(inputs.values()), out, progress=progress)


def records(settings: RecordSettings, inputs: Inputs, out: Path, progress: Progress) -> None:
    """Encode clips once for all phases that read them alike."""
    from svd_core.data.encoding import make_records

    make_records(settings, inputs["render"], inputs["encoders"], out, progress=progress)


def train_phase(settings: PhaseSettings, inputs: Inputs, out: Path, progress: Progress) -> None:
    """One phase of a training, from the average of the one before."""
    from svd_core.training.phase import train_phase as run

    folders = inputs["encoders"], inputs["records"], inputs.get("before"), out
    how = execution("train_phase")
    run(part(Phase, settings), part(Bases, settings), *folders, execution=how, progress=progress)


def sample_held_out(settings: TaskSampleSettings, inputs: Inputs, out: Path, progress: Progress) -> None:
    """Generate a clip for what is given of each held-out one."""
    from svd_core.tasks.held_out import sample_held_out as run

    run(settings, inputs["train_phase"], inputs["encoders"], inputs["reference"], out, progress=progress)


TASK_STAGES = (
    Stage("render", render),
    Stage("encoders", encoders),
    Stage("records", records),
    Stage("train_phase", train_phase),
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


def task_experiment(recipe: TaskRecipe, add: Add) -> dict[str, Node]:
    """Wire one run's stages: clips, frozen networks, phase after phase, and clips for the held-out ones' beginnings."""
    clips = {f"data:{name}": add("render", settings) for name, settings in recipe.data.items()}
    reference = add("render", recipe.reference)
    encoders = add("encoders", recipe.encoders, **clips)
    phases: dict[str, Node] = {}
    before: dict[str, Node] = {}
    for phase in recipe.chain:
        records = add("records", phase.records, render=clips[f"data:{phase.data}"], encoders=encoders)
        settings = PhaseSettings(**dict(phase), **dict(recipe.bases))
        trained = add("train_phase", settings, encoders=encoders, records=records, **before)
        before = {"before": trained}
        phases |= {f"records:{phase.name}": records, f"phase:{phase.name}": trained}
    sample = add("sample_held_out", recipe.sampling, train_phase=trained, encoders=encoders, reference=reference)
    judges = reference_features_of(recipe.score, add, reference)
    score = add("score", recipe.score, sample=sample, reference=reference, **judges)
    return {**clips, "reference": reference, "encoders": encoders, **phases, "sample": sample, "score": score}
