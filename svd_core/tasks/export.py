"""A trained run as folders that diffusers loads."""

import shutil
from pathlib import Path

from diffusers import EulerDiscreteScheduler, StableVideoDiffusionPipeline, UNetSpatioTemporalConditionModel
from transformers import CLIPImageProcessor

from svd_core.models.unet import SpatioTemporalUNet
from svd_core.tasks.generation import Run
from svd_core.tasks.networks import LORA_FILE, plain
from svd_core.tasks.settings import GenerationSettings

STOCK_GROUPS = 32
STOCK_EPS = 1e-5
STOCK_RHO = 7.0
"""Exponent of the noise levels that diffusers' scheduler knows."""


class NotExportable(ValueError):
    """The run's network is one that diffusers' own class cannot be."""


def export(folder: Path, out: Path) -> None:
    """Write a run under `out`, which must not exist.

    An image-to-video run becomes a StableVideoDiffusionPipeline; every run gets `unet/`, `vae/`, its encoders and
    `config.json`, from which `ablate sample` works, and a LoRA its weights beside the network that they belong to.
    Raises NotExportable naming the config key, also where the pipeline would sample otherwise than `ablate sample`.
    """
    if out.exists():
        raise NotExportable(f"{out} exists already; name a new folder")
    run = Run.load(folder)
    unlike = _unlike_the_pipeline(run)
    if unlike and run.task == "image_to_video":
        raise NotExportable(unlike)
    half = out.with_name(f"{out.name}.half")
    shutil.rmtree(half, ignore_errors=True)
    half.mkdir(parents=True)
    pipeline = StableVideoDiffusionPipeline(
        vae=run.autoencoder.model,
        image_encoder=run.conditioners.image.model,
        unet=stock(run.network),
        scheduler=scheduler(run.generation),
        feature_extractor=CLIPImageProcessor(
            image_mean=list(run.conditioners.image.mean), image_std=list(run.conditioners.image.std)
        ),
    )
    pipeline.save_pretrained(half)
    if run.task != "image_to_video":
        (half / "model_index.json").unlink()  # the pipeline's class samples no other task
    if unlike:
        shutil.rmtree(half / "scheduler")
    _copy_the_rest(folder, half)
    half.rename(out)


def stock(network: SpatioTemporalUNet) -> UNetSpatioTemporalConditionModel:
    """The network as diffusers' own class: the same weights under the same names, low-rank ones left out."""
    bare = plain(network)
    groups = bare.config["norm_num_groups"]
    if groups != STOCK_GROUPS:
        raise NotExportable(
            f"the network has norm_num_groups={groups}; diffusers' UNetSpatioTemporalConditionModel knows only "
            f"{STOCK_GROUPS}: train with norm_groups: {STOCK_GROUPS}"
        )
    if bare.config["norm_eps"] not in (None, STOCK_EPS):
        raise NotExportable(
            f"the network has norm_eps={bare.config['norm_eps']:g}; diffusers' class knows only {STOCK_EPS:g}"
        )
    own = ("norm_num_groups", "norm_eps")
    config = {key: value for key, value in bare.config.items() if not key.startswith("_") and key not in own}
    model = UNetSpatioTemporalConditionModel.from_config(config)
    model.load_state_dict(bare.state_dict())
    return model


def _unlike_the_pipeline(run: Run) -> str | None:
    """Why the released model's scheduler does not sample this run as `ablate sample` does, if so."""
    if run.phase is not None and run.phase.objective != "continuous":
        return f"objective: {run.phase.objective} is not what StableVideoDiffusionPipeline samples; it takes continuous"
    if run.generation.rho != STOCK_RHO:
        return f"generation.rho is {run.generation.rho:g}; diffusers' scheduler knows only {STOCK_RHO:g}"
    if run.generation.guidance == "triangular":
        return "generation.guidance is triangular; StableVideoDiffusionPipeline knows linear, and so constant, guidance"
    return None


def scheduler(generation: GenerationSettings) -> EulerDiscreteScheduler:
    """The released model's scheduler, with this run's noise levels."""
    return EulerDiscreteScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        prediction_type="v_prediction",
        timestep_type="continuous",
        timestep_spacing="leading",
        steps_offset=1,
        use_karras_sigmas=True,
        sigma_min=generation.sigma_min,
        sigma_max=generation.sigma_max,
    )


def _copy_the_rest(folder: Path, half: Path) -> None:
    """What diffusers has no place for: task, sizes and the text encoder."""
    phases = sorted(path.parent.parent for path in folder.glob("[0-9][0-9]-*/unet/config.json"))
    own = phases[-1] if phases else folder
    for name in ("config.json", LORA_FILE):
        if (own / name).is_file():
            shutil.copyfile(own / name, half / name)
    for source in (own.parent / "encoders", own):
        if (source / "conditioners.json").is_file():
            shutil.copyfile(source / "conditioners.json", half / "conditioners.json")
            if (source / "text").is_dir():
                shutil.copytree(source / "text", half / "text")
            break
