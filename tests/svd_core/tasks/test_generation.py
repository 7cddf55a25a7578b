"""Sampling and export: against the released pipeline's own code, and in the limits that must hold."""

import json
import math
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import StableVideoDiffusionPipeline, UNetSpatioTemporalConditionModel
from diffusers.loaders import PeftAdapterMixin
from PIL import Image
from safetensors.torch import load_file, save_file
from tiny_recipes import copied

from svd_core.models.checkpoints import CheckpointError
from svd_core.models.unet import SpatioTemporalUNet
from svd_core.tasks.export import NotExportable, export, stock
from svd_core.tasks.generation import Request, Run, WrongRequest, generate
from svd_core.tasks.networks import LORA_FILE
from svd_core.tasks.settings import GenerationSettings

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # diffusers, NumPy 2


class ReadsLora(PeftAdapterMixin, UNetSpatioTemporalConditionModel):
    """diffusers' video network with diffusers' own reader of LoRA files, which it has for other networks only."""


def picture(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (16, 16, 3), np.uint8)


def as_input(image: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(image).permute(2, 0, 1)[None] / 127.5 - 1


@pytest.fixture(scope="module")
def exported(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("export") / "pipeline"
    export(trained / "02-image_to_video", out)
    return out


@pytest.fixture(scope="module")
def run(trained: Path) -> Run:
    return Run.load(trained / "02-image_to_video")


def test_the_released_pipelines_code_gives_the_same_clip(exported: Path, run: Run) -> None:
    """The same weights, image and seed: encoder mean, scale, fps - 1, guidance, sigmas and decoder all agree."""
    pipeline = StableVideoDiffusionPipeline.from_pretrained(exported)
    pipeline.set_progress_bar_config(disable=True)
    clip = pipeline(
        Image.fromarray(picture()),
        height=16,
        width=16,
        num_frames=3,
        num_inference_steps=4,
        min_guidance_scale=1.0,
        max_guidance_scale=3.0,
        fps=7,
        motion_bucket_id=127,
        noise_aug_strength=0.02,
        generator=torch.Generator().manual_seed(5),
        output_type="pt",
    ).frames[0]
    ours = replace(run, generation=GenerationSettings(steps=4))
    found = generate(ours, Request(images=as_input(picture()), seed=5))
    assert found.shape == (3, 3, 16, 16)
    assert (found / 255 - clip).abs().max() < 1.5 / 255
    assert clip.std() > 0.05


def test_what_is_exported_is_sampled_again(exported: Path, run: Run) -> None:
    request = Request(images=as_input(picture()), seed=1)
    assert (generate(Run.load(exported), request).int() - generate(run, request).int()).abs().max() <= 1


def test_a_released_folder_has_none_of_our_files_and_is_imported(exported: Path, tmp_path: Path, run: Run) -> None:
    released = tmp_path / "svd"
    shutil.copytree(exported, released, ignore=shutil.ignore_patterns("config.json.x", "conditioners.json"))
    (released / "config.json").unlink()
    imported = Run.load(released)
    assert (imported.task, imported.latent_shape[0]) == ("image_to_video", 3)
    for name, value in run.network.state_dict().items():
        assert torch.equal(imported.network.state_dict()[name], value)
    export(released, tmp_path / "again")
    again = UNetSpatioTemporalConditionModel.from_pretrained(tmp_path / "again" / "unet").state_dict()
    assert all(torch.equal(again[name], value) for name, value in run.network.state_dict().items())


def test_an_existing_folder_is_never_written_over(exported: Path, trained: Path) -> None:
    with pytest.raises(NotExportable, match="exists already"):
        export(trained / "02-image_to_video", exported)


@pytest.mark.parametrize(
    ("part", "change", "message"),
    [
        ("phase", {"objective": "v"}, "objective: v is not what StableVideoDiffusionPipeline samples"),
        ("generation", {"guidance": "triangular"}, "guidance is triangular; StableVideoDiffusionPipeline knows linear"),
        ("generation", {"rho": 5.0}, "generation.rho is 5; diffusers' scheduler knows only 7"),
    ],
)
def test_what_the_pipeline_would_sample_otherwise_is_not_exported(
    part: str, change: dict[str, object], message: str, trained: Path, tmp_path: Path
) -> None:
    copied(trained, tmp_path, "02-image_to_video", "encoders")
    path = tmp_path / "02-image_to_video" / "config.json"
    config = json.loads(path.read_text())
    path.write_text(json.dumps({**config, part: {**config[part], **change}}))
    with pytest.raises(NotExportable, match=message):
        export(tmp_path, tmp_path / "out")
    path.write_text(json.dumps({**json.loads(path.read_text()), "task": "multi_view"}))
    export(tmp_path, tmp_path / "out")
    assert not (tmp_path / "out" / "scheduler").exists(), (
        "other tasks are sampled by `ablate sample`, as it was trained"
    )


def test_a_folder_in_half_precision_is_sampled(exported: Path, run: Run, tmp_path: Path) -> None:
    pipeline = StableVideoDiffusionPipeline.from_pretrained(exported, dtype=torch.float16)
    pipeline.save_pretrained(tmp_path / "half", variant="fp16")
    half = Run.load(tmp_path / "half")
    small = replace(half, generation=run.generation, latent_shape=run.latent_shape)
    request = Request(images=as_input(picture()))
    assert (generate(small, request).int() - generate(run, request).int()).abs().float().mean() < 2


def test_clip_sees_the_picture_cut_as_in_training(run: Run) -> None:
    """A wide picture: only its middle, which is all that the latents show, counts."""
    middle = as_input(picture())
    wide = torch.cat([torch.ones_like(middle), middle, -torch.ones_like(middle)], 3)
    clips = [generate(run, Request(images=images)) for images in (middle, wide)]
    assert torch.equal(*clips)


def test_a_lora_is_exported_beside_the_network_it_belongs_to(trained: Path, tmp_path: Path) -> None:
    export(trained, tmp_path / "lora")
    request = Request(images=as_input(picture()))
    own, again, without = (Run.load(path) for path in (trained, tmp_path / "lora", trained / "02-image_to_video"))
    assert (generate(own, request).int() - generate(again, request).int()).abs().max() <= 1
    assert any("lora_B" in name for name, _ in own.network.named_parameters())
    assert (generate(own, request).int() - generate(without, request).int()).abs().max() > 0
    theirs = ReadsLora.from_pretrained(tmp_path / "lora" / "unet")
    theirs.load_lora_adapter(tmp_path / "lora", weight_name="pytorch_lora_weights.safetensors", prefix="unet")
    inputs = (torch.randn(1, 3, 8, 8, 8), torch.zeros(1), torch.randn(1, 1, 32), torch.rand(1, 3))
    with torch.no_grad():
        torch.testing.assert_close(theirs(*inputs).sample, own.network(*inputs).sample, rtol=0, atol=1e-4)


def test_an_epsilon_that_the_stock_class_has_not_is_not_exported(run: Run) -> None:
    with pytest.raises(NotExportable, match=r"norm_eps=0\.01; diffusers' class knows only 1e-05"):
        stock(SpatioTemporalUNet.from_config({**run.network.config, "norm_eps": 1e-2}))


def test_a_lora_of_another_network_is_refused(trained: Path, tmp_path: Path) -> None:
    copied(trained, tmp_path, "03-lora", "encoders")
    file = tmp_path / "03-lora" / LORA_FILE
    whole = load_file(file)
    first = next(iter(whole))
    for weights, message in (
        ({name: value for name, value in whole.items() if name != first}, f"1 missing \\({re.escape(first)}"),
        ({**whole, "unet.ff.lora_A.weight": whole[first].clone()}, r"1 unknown \(unet\.ff"),
        ({**whole, first: torch.zeros(4, 5)}, f"of another shape \\({re.escape(first)} \\(4, 5\\), expected"),
    ):
        save_file(weights, file)
        with pytest.raises(CheckpointError, match=message):
            Run.load(tmp_path / "03-lora")
    save_file(whole, file, {"lora_adapter_metadata": json.dumps({"r": 4, "lora_alpha": 16})})
    with pytest.raises(CheckpointError, match="lora_alpha is 16; only that of its rank, 4, is known"):
        Run.load(tmp_path / "03-lora")
    file.write_bytes(file.read_bytes()[:500])
    with pytest.raises(CheckpointError, match="damaged"):
        Run.load(tmp_path / "03-lora")


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("config.json", "{}", r"config\.json lacks 'task'"),
        ("unet/config.json", "[]", "expected a JSON object"),
        ("unet/config.json", "{", r"unet/config\.json: cannot be read"),
    ],
)
def test_a_wrong_config_is_named(name: str, text: str, message: str, trained: Path, tmp_path: Path) -> None:
    copied(trained, tmp_path, "01-videos", "encoders")
    (tmp_path / "01-videos" / name).write_text(text)
    with pytest.raises(CheckpointError, match=message):
        Run.load(tmp_path / "01-videos")


def test_zero_guidance_forgets_the_image(run: Run) -> None:
    without = GenerationSettings(steps=2, guidance="constant", guidance_max=0.0)
    clips = [generate(replace(run, generation=without), Request(images=as_input(picture(n)))) for n in (0, 1)]
    assert torch.equal(*clips)


def test_the_unconditional_branch_keeps_fps_bucket_and_strength(run: Run) -> None:
    seen = []
    handle = run.network.register_forward_pre_hook(lambda module, args: seen.append(args))
    settings = GenerationSettings(steps=1, fps=9, motion_bucket=40, noise_strength=0.5)
    generate(replace(run, generation=settings), Request(images=as_input(picture())))
    handle.remove()
    x, _, context, ids = seen[0]
    assert not context[0].any()
    assert context[1].any()
    assert not x[0, :, 4:].any()
    assert x[1, :, 4:].any()
    assert ids.tolist() == [[8.0, 40.0, 0.5]] * 2
    assert torch.equal(x[1, 0, 4:], x[1, -1, 4:]), "the first frame's latent stands beside every frame"


def test_guidance_of_one_is_the_conditional_branch_alone(run: Run) -> None:
    request = Request(images=as_input(picture()))
    calls = []
    handle = run.network.register_forward_pre_hook(lambda module, args: calls.append(len(args[0])))
    for scale in (1.0, 1.0 + 1e-6):
        settings = GenerationSettings(steps=1, guidance="constant", guidance_max=scale)
        calls.append(generate(replace(run, generation=settings), request))
    handle.remove()
    assert (calls[0], calls[2]) == (1, 2)
    assert (calls[1].int() - calls[3].int()).abs().max() <= 1


def test_guidance_differs_between_frames_only_where_one_is_given(trained: Path, run: Run) -> None:
    text, image = Run.load(trained / "01-videos"), as_input(picture())
    for asked, request, alike in ((text, Request(prompt="a ring"), True), (run, Request(images=image), False)):
        clips = [
            generate(replace(asked, generation=GenerationSettings(steps=2, guidance=how, guidance_max=5.0)), request)
            for how in ("constant", "linear", "triangular")
        ]
        assert torch.equal(clips[0], clips[1]) == torch.equal(clips[0], clips[2]) == alike


def test_what_a_task_does_not_take_is_said(trained: Path, run: Run) -> None:
    text = Run.load(trained / "01-videos")
    image, views = as_input(picture()), replace(run, task="multi_view")
    for asked, request, message in (
        (run, Request(), "image_to_video takes 1 images, got 0"),
        (run, Request(images=image, prompt="a ring"), "does not read prompts"),
        (run, Request(images=image, elevation=10.0), "has no elevation"),
        (views, Request(images=image, elevation=math.nan), "between -90 and 90 degrees, got nan"),
        (text, Request(), "text_to_video needs a prompt"),
        (text, Request(prompt="a ring", images=image), "text_to_video takes 0 images, got 1"),
    ):
        with pytest.raises(WrongRequest, match=message):
            generate(asked, request)
    with pytest.raises(ValueError, match="prompt of 30 words"):
        generate(text, Request(prompt="ring " * 30))
    assert generate(text, Request(prompt="a ring")).shape == (3, 3, 16, 16)
