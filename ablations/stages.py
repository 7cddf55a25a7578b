"""
The whole experiment in text-to-video: every stage, what it needs, and the one function that does its work.

A stage reads its parents' artifacts and writes files into `out`; nothing else. Raise a stage's `version` when its
code changes what it makes. Imports stand inside the functions so that planning loads no torch. The other tasks'
experiments are in `ablations.task_stages`.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path

from ablations.errors import nearest
from ablations.recipe import Recipe
from ablations.stage import Add, Inputs, Node, Stage, cores, execution
from ablations.task_stages import TASK_STAGES, reference_features_of
from bench.settings import ReferenceFeaturesSettings, ScoreSettings, SubsetScoreSettings
from svd_core import settings as s
from svd_core.curation.settings import CurationSettings, SubsetSettings
from svd_core.progress import Progress


def corpus(settings: s.CorpusSettings, inputs: Inputs, out: Path, progress: Progress) -> None:
    """Render the source videos."""
    from svd_core.data.toy_lvd import render_corpus

    render_corpus(settings, out, workers=cores(), progress=progress)


def reference(settings: s.ReferenceSettings, inputs: Inputs, out: Path, progress: Progress) -> None:
    """Render the held-out good clips that generated ones are compared with."""
    from svd_core.data.toy_lvd import render_reference

    render_reference(settings, out, workers=cores(), progress=progress)


def text_image_encoder(settings: s.ToyClipSettings, inputs: Inputs, out: Path, progress: Progress) -> None:
    """Train a small text-image encoder on its own split."""
    from svd_core.encoders.toy_clip import train_toy_clip

    train_toy_clip(settings, out, progress=progress)


def curate(settings: CurationSettings, inputs: Inputs, out: Path, progress: Progress) -> None:
    """Cut, score and shard the source videos."""
    from svd_core.curation.pipeline import curate as run

    run(settings, inputs["corpus"], inputs["filter_encoder"], out, workers=cores(), progress=progress)


def images(settings: s.ImagesSettings, inputs: Inputs, out: Path, progress: Progress) -> None:
    """Render the captioned images that Stage I is trained on."""
    from svd_core.data.toy_lvd import render_images

    render_images(settings, out, progress=progress)


def autoencoder(settings: s.AutoencoderSettings, inputs: Inputs, out: Path, progress: Progress) -> None:
    """Train the latent autoencoder on images."""
    from svd_core.models.autoencoder import train_autoencoder

    train_autoencoder(settings, inputs["images"], out, progress=progress)


def encode(settings: s.EncodeSettings, inputs: Inputs, out: Path, progress: Progress) -> None:
    """Compute latents and text embeddings of every clip, once for all arms."""
    from svd_core.data.latents import encode_clips

    encode_clips(settings, inputs["curate"], inputs["autoencoder"], out, progress=progress)


def encode_images(settings: s.EncodeSettings, inputs: Inputs, out: Path, progress: Progress) -> None:
    """Compute latents and text embeddings of every image."""
    from svd_core.data.latents import encode_images as run

    run(settings, inputs["images"], inputs["autoencoder"], out)


def pretrain_images(settings: s.ImagePretrainingSettings, inputs: Inputs, out: Path, progress: Progress) -> None:
    """Stage I: train the image model."""
    from svd_core.training.stages import pretrain_images as run

    run(settings, inputs["encode_images"], out, execution=execution("pretrain_images"), progress=progress)


def subset(settings: SubsetSettings, inputs: Inputs, out: Path, progress: Progress) -> None:
    """Choose the clips to train on: a view of the clip table."""
    from svd_core.data.subset import make_subset

    make_subset(settings, inputs["curate"], out)


def pretrain_videos(settings: s.VideoPretrainingSettings, inputs: Inputs, out: Path, progress: Progress) -> None:
    """Stage II: inflate the image model and train all layers on the subset's clips, or continue a shorter training."""
    from svd_core.training.stages import pretrain_videos as run

    folders, how = (inputs["subset"], inputs["encode"], inputs["pretrain_images"], out), execution("pretrain_videos")
    run(settings, *folders, previous=inputs.get("previous"), execution=how, progress=progress)


def finetune(settings: s.FinetuneSettings, inputs: Inputs, out: Path, progress: Progress) -> None:
    """Stage III: train a video network further, on clips of its own, or continue a shorter training."""
    from svd_core.training.stages import finetune as run

    folders, how = (inputs["subset"], inputs["encode"], inputs["pretrain_videos"], out), execution("finetune")
    run(settings, *folders, previous=inputs.get("previous"), execution=how, progress=progress)


def sample(settings: s.SampleSettings, inputs: Inputs, out: Path, progress: Progress) -> None:
    """Generate clips for the reference set's captions."""
    from svd_core.tasks.text_to_video import sample as run

    run(settings, inputs["pretrain_videos"], inputs["autoencoder"], inputs["reference"], out, progress=progress)


def reference_features(settings: ReferenceFeaturesSettings, inputs: Inputs, out: Path, progress: Progress) -> None:
    """Features of the reference clips, once per encoder."""
    from bench.reference import reference_features as run

    run(settings, inputs["reference"], out, progress=progress)


def score(settings: ScoreSettings, inputs: Inputs, out: Path, progress: Progress) -> None:
    """Judge one run's clips."""
    from bench.score import score as run

    features = {role.partition(":")[2]: path for role, path in inputs.items() if role.startswith("features:")}
    encoder, held_out = inputs.get("score_encoder"), inputs.get("reference")
    run(settings, inputs["sample"], features, encoder, out, held_out=held_out, progress=progress)


def score_subset(settings: SubsetScoreSettings, inputs: Inputs, out: Path, progress: Progress) -> None:
    """Compare the kept clips with the planted truth."""
    from bench.curation import score_subset as run

    run(inputs["subset"], inputs["curate"], inputs["corpus"], out)


STAGES = {
    stage.name: stage
    for stage in (
        Stage("corpus", corpus, version=2),
        Stage("reference", reference, version=2),
        Stage("text_image_encoder", text_image_encoder, version=2),
        Stage("curate", curate, version=2, weights=("ppocr_det",)),
        Stage("images", images),
        Stage("autoencoder", autoencoder, version=2),
        Stage("encode_images", encode_images),
        Stage("encode", encode, version=2),
        Stage("pretrain_images", pretrain_images, version=4),
        Stage("reference_features", reference_features),
        Stage("subset", subset),
        Stage("pretrain_videos", pretrain_videos, version=4),
        Stage("finetune", finetune),
        Stage("sample", sample, version=3),
        Stage("score", score, version=2),
        Stage("score_subset", score_subset),
        *TASK_STAGES,
    )
}


def experiment(recipe: Recipe, add: Add, previous: Node | None = None) -> dict[str, Node]:
    """
    Wire one run's stages. Whatever two runs wire alike is one stage, made once.

    `previous` is a shorter training of the same run, which `pretrain_videos` continues.
    """
    corpus = add("corpus", recipe.corpus)
    reference = add("reference", recipe.reference)
    filter_encoder = add("text_image_encoder", recipe.filter_encoder)
    score_encoder = add("text_image_encoder", recipe.score_encoder)
    curate = add("curate", recipe.curate, corpus=corpus, filter_encoder=filter_encoder)
    images = add("images", recipe.images)
    autoencoder = add("autoencoder", recipe.autoencoder, images=images)
    encode_images = add("encode_images", recipe.encode, images=images, autoencoder=autoencoder)
    stage_i = add("pretrain_images", recipe.pretrain_images, encode_images=encode_images)
    encode = add("encode", recipe.encode, curate=curate, autoencoder=autoencoder)
    subset = add("subset", recipe.subset, curate=curate)
    start = {"pretrain_images": stage_i} if previous is None else {"pretrain_images": stage_i, "previous": previous}
    smaller = recipe.encode.model_copy(update={"resolution": recipe.pretraining_resolution})
    first = add("encode", smaller, curate=curate, autoencoder=autoencoder)
    videos = add("pretrain_videos", recipe.pretrain_videos, subset=subset, encode=first, **start)
    finetuned = finetunings(recipe, add, curate=curate, subset=subset, encode=encode, pretrain_videos=videos)
    trained = [videos, *finetuned][-1]
    sample = add("sample", recipe.sample, pretrain_videos=trained, autoencoder=autoencoder, reference=reference)
    judges = reference_features_of(recipe.score, add, reference)
    if "toy_clip_score" in recipe.score.metrics:
        judges["score_encoder"] = score_encoder
    score = add("score", recipe.score, sample=sample, **judges)
    return {
        "images": images, "corpus": corpus, "reference": reference, "filter_encoder": filter_encoder, "curate": curate,
        "autoencoder": autoencoder, "encode_images": encode_images, "encode": encode, "pretrain_images": stage_i,
        "subset": subset,
        "pretrain_videos": videos, **({"finetune": trained} if finetuned else {}), "sample": sample, "score": score,
    }  # fmt: skip


def finetunings(recipe: Recipe, add: Add, curate: Node, **parents: Node) -> list[Node]:
    """The segments of finetuning, each of which continues the one before; none where the recipe has no such stage."""
    if recipe.finetune is None:
        return []
    if recipe.finetune_subset is not None:
        parents["subset"] = add("subset", recipe.finetune_subset, curate=curate)
    nodes = []
    for samples in recipe.finetune.segments:
        nodes.append(add("finetune", recipe.finetune.model_copy(update={"samples": samples}), **parents))
        parents["previous"] = nodes[-1]
    return nodes


def segments(recipe: Recipe, samples: Sequence[int], add: Add) -> list[dict[str, Node]]:
    """Wire a run that is scored after each of `samples` (rising) training samples; each training continues the last."""
    rungs: list[dict[str, Node]] = []
    for count in samples:
        training = recipe.pretrain_videos.model_copy(update={"samples": count})
        previous = rungs[-1]["pretrain_videos"] if rungs else None
        rungs.append(experiment(recipe.model_copy(update={"pretrain_videos": training}), add, previous))
        parents = {role: rungs[-1][role] for role in ("subset", "curate", "corpus")}
        rungs[-1]["score_subset"] = add("score_subset", SubsetScoreSettings(), **parents)
    return rungs


def check_stages(named: Iterable[str], known: list[str]) -> None:
    """Raise ValueError for a stage that there is not."""
    for stage in named:
        if stage not in known:
            raise ValueError(f"unknown stage {stage!r}; {nearest(stage, known)}")
