import json
import shutil
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from svd_core.data.latents import encode_clips, encode_images
from svd_core.data.windows import to_pixels
from svd_core.diffusion import constant, ddim
from svd_core.encoders.text import BagOfWords
from svd_core.models.autoencoder import PatchAutoencoder, train_autoencoder
from svd_core.models.networks import load_video_unet
from svd_core.settings import (
    AutoencoderSettings,
    EncodeSettings,
    ImagePretrainingSettings,
    NetworkSettings,
    SampleSettings,
    VideoPretrainingSettings,
)
from svd_core.tasks.text_to_video import guided, sample
from svd_core.training.batches import schedule_of
from svd_core.training.draws import sample_rng
from svd_core.training.stages import pretrain_images, pretrain_videos

TINY = NetworkSettings(block_out_channels=(32,), attention_levels=(False,), num_attention_heads=(2,))


@pytest.fixture(scope="module")
def made(curated: Path, image_corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every stage from shards to a trained run, each in a folder of its own, as small as it gets."""
    root = tmp_path_factory.mktemp("made")
    for name in ("autoencoder", "encoded", "encoded_images", "images", "run", "reference"):
        (root / name).mkdir()
    train_autoencoder(AutoencoderSettings(steps=2), image_corpus, root / "autoencoder")
    encode_clips(EncodeSettings(), curated, root / "autoencoder", root / "encoded")
    images = ImagePretrainingSettings(samples=16, batch_size=8, network=TINY)
    encode_images(EncodeSettings(), image_corpus, root / "autoencoder", root / "encoded_images")
    pretrain_images(images, root / "encoded_images", root / "images")
    (curated / "subset.parquet").write_bytes((root / "encoded" / "index.parquet").read_bytes())
    videos = VideoPretrainingSettings(samples=16, batch_size=4)
    pretrain_videos(videos, curated, root / "encoded", root / "images", root / "run")
    clips = [{"caption": f"{word} moves", "fps": 8.0 + index, "motion": None} for index, word in enumerate("abcde")]
    (root / "reference" / "clips.json").write_text(json.dumps(clips))
    return root


def sampled(made: Path, out: Path, run: str = "run", **changes: float) -> torch.Tensor:
    out.mkdir(exist_ok=True)
    settings = SampleSettings(**{"clips": 5, "steps": 3, "batch_size": 2, **changes})
    sample(settings, made / run, made / "autoencoder", made / "reference", out)
    return load_file(out / "videos.safetensors")["videos"]


def test_one_clip_for_each_of_the_first_captions(made: Path, tmp_path: Path) -> None:
    videos = sampled(made, tmp_path, clips=3)
    assert videos.dtype == torch.uint8
    assert videos.shape == (3, 3, 3, 16, 16)
    prompts = json.loads((tmp_path / "prompts.json").read_text())
    assert prompts == [{"prompt": f"{word} moves", "fps": 8.0 + index} for index, word in enumerate("abc")]


def test_a_clip_does_not_depend_on_how_many_are_sampled_at_once(made: Path, tmp_path: Path) -> None:
    one, five = (sampled(made, tmp_path / str(size), batch_size=size).int() for size in (1, 5))
    assert (one - five).abs().max() <= 1  # batched convolutions round differently


def test_the_same_seed_gives_the_same_bytes_and_another_does_not(made: Path, tmp_path: Path) -> None:
    first, again, other = (sampled(made, tmp_path / name, seed=seed) for name, seed in (("a", 0), ("b", 0), ("c", 1)))
    assert torch.equal(first, again)
    assert (tmp_path / "a" / "videos.safetensors").read_bytes() == (tmp_path / "b" / "videos.safetensors").read_bytes()
    assert not torch.equal(first, other)


@torch.inference_mode()
def test_guidance_of_zero_forgets_the_text_but_not_the_micro_conditioning(made: Path) -> None:
    network = load_video_unet(made / "run")
    for parameter in network.parameters():
        parameter.add_(0.02)  # so that nothing that starts at zero hides an effect
    noisy, sigma, text = torch.randn(1, 3, 12, 4, 4), torch.ones(1), torch.randn(2, 20, 64)
    ids, others = torch.tensor([[9.0, 127.0]]), torch.tensor([[4.0, 30.0]])

    def denoised(text: torch.Tensor, ids: torch.Tensor, scale: float) -> torch.Tensor:
        return guided(network, text, ids, constant(scale, 3))(noisy, sigma)

    assert torch.equal(denoised(text[:1], ids, 0.0), denoised(text[1:], ids, 0.0))
    assert not torch.allclose(denoised(text[:1], ids, 2.0), denoised(text[1:], ids, 2.0))
    assert not torch.allclose(denoised(text[:1], ids, 0.0), denoised(text[:1], others, 0.0))


def test_more_clips_than_captions_are_refused(made: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"64 clips to sample, but .*clips.json has 5 captions"):
        sampled(made, tmp_path, clips=64)


def test_another_frame_rate_can_be_asked_for(made: Path, tmp_path: Path) -> None:
    own, same, other = (sampled(made, tmp_path / str(fps), clips=1, fps=fps) for fps in (None, 8.0, 60.0))
    assert torch.equal(own, same)
    assert not torch.equal(own, other)


@torch.inference_mode()
@pytest.mark.parametrize(("objective", "shift"), [("v", 0.0), ("epsilon", 0.0), ("v", -2.0)])
def test_runs_of_a_discrete_schedule_are_sampled_by_ddim(
    made: Path, tmp_path: Path, objective: Literal["v", "epsilon"], shift: float
) -> None:
    run = made / f"{objective}{shift}"
    shutil.copytree(made / "run", run)
    config = json.loads((run / "config.json").read_text())
    config["settings"] |= {"objective": objective, "log_snr_shift": shift}
    (run / "config.json").write_text(json.dumps(config))
    found = sampled(made, tmp_path, run=run.name, clips=1, guidance=1.0)

    network, schedule = load_video_unet(run), schedule_of(objective, shift)
    assert schedule is not None
    text, ids = BagOfWords(64).encode(["a moves"]), torch.tensor([[7.0, 127.0]])
    noise = torch.from_numpy(sample_rng(0, "sample", 0).standard_normal((1, 3, 12, 4, 4), np.float32))
    latents = ddim(
        lambda x, step: network(x, step, text, ids, return_dict=False)[0], noise, schedule, target=objective, steps=3
    )
    expected = to_pixels(PatchAutoencoder.load(made / "autoencoder").decode(latents[0]))
    assert (found[0].int() - expected.int()).abs().max() <= 1  # guidance of 1 rounds differently
