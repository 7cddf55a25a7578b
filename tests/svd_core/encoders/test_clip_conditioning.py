import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers.pipelines.stable_video_diffusion import StableVideoDiffusionPipeline
from PIL import Image
from safetensors.torch import load_file, save_file
from transformers import (
    CLIPImageProcessor,
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTokenizer,
    CLIPVisionConfig,
    CLIPVisionModelWithProjection,
)

from svd_core.encoders.clip_conditioning import ClipText, ClipVision
from svd_core.encoders.text import PromptTooLong

TOWER = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
LENGTH = 12


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Small random encoders, laid out as in the released pipelines."""
    path = tmp_path_factory.mktemp("pipeline")
    tokenizer = path / "tokenizer"
    tokenizer.mkdir()
    letters = [*"abcdefghijklmnopqrstuvwxyz", *(f"{letter}</w>" for letter in "abcdefghijklmnopqrstuvwxyz")]
    vocabulary = {token: number for number, token in enumerate([*letters, "<|startoftext|>", "<|endoftext|>"])}
    (tokenizer / "vocab.json").write_text(json.dumps(vocabulary))
    (tokenizer / "merges.txt").write_text("#version: 0.2\n")
    CLIPTokenizer.from_pretrained(tokenizer).save_pretrained(tokenizer)
    end = vocabulary["<|endoftext|>"]
    torch.manual_seed(0)
    text = CLIPTextConfig(
        **TOWER, vocab_size=end + 1, max_position_embeddings=LENGTH, bos_token_id=end - 1, eos_token_id=end
    )
    CLIPTextModel(text).save_pretrained(path / "text_encoder")
    vision = CLIPVisionConfig(**TOWER, image_size=224, patch_size=32, projection_dim=24)
    CLIPVisionModelWithProjection(vision).save_pretrained(path / "image_encoder")
    CLIPImageProcessor().save_pretrained(path / "feature_extractor")
    return path


def test_states_are_those_of_the_model_for_padded_prompts(folder: Path) -> None:
    encoder = ClipText.load(folder)
    prompts = ["red ring", ""]
    tokens = CLIPTokenizer.from_pretrained(folder / "tokenizer")(
        prompts, padding="max_length", max_length=LENGTH, return_tensors="pt"
    )
    with torch.inference_mode():
        expected = CLIPTextModel.from_pretrained(folder / "text_encoder").eval()(tokens["input_ids"])
    found = encoder.encode(prompts)
    assert found.shape == (2, LENGTH, encoder.dim)
    torch.testing.assert_close(found, expected.last_hidden_state)


def test_a_prompt_that_fits_exactly_is_taken_and_one_token_more_is_said(folder: Path) -> None:
    encoder = ClipText.load(folder)
    assert encoder.encode(["abcdefghij"]).shape == (1, LENGTH, 32)
    with pytest.raises(PromptTooLong, match=r"prompt of 11 tokens, .* takes 10; too much is 'k' at the end of"):
        encoder.encode(["a", "abcdefghijk"])


def test_the_image_embedding_is_the_released_pipelines(folder: Path) -> None:
    encoder = ClipVision.load(folder)
    pixels = np.random.default_rng(0).integers(0, 256, (2, 40, 300, 3), np.uint8)
    pipeline = StableVideoDiffusionPipeline(
        vae=None,
        image_encoder=CLIPVisionModelWithProjection.from_pretrained(folder / "image_encoder"),
        unet=None,
        scheduler=None,
        feature_extractor=CLIPImageProcessor.from_pretrained(folder / "feature_extractor"),
    )
    with torch.no_grad():
        expected = pipeline._encode_image([Image.fromarray(image) for image in pixels], "cpu", 1, False)
    found = encoder.encode(torch.from_numpy(pixels).permute(0, 3, 1, 2) / 127.5 - 1)
    torch.testing.assert_close(found[:, None], expected, rtol=1e-4, atol=1e-5)


def without(folder: Path, out: Path, part: str, *, lacking: str) -> Path:
    """A copy of the encoders where one weight of a part is not there."""
    shutil.copytree(folder, out)
    file = out / part / "model.safetensors"
    save_file({name: value for name, value in load_file(file).items() if lacking not in name}, file, {"format": "pt"})
    return out


def test_a_folder_that_lacks_a_weight_is_refused(folder: Path, tmp_path: Path) -> None:
    """transformers would draw it at random, anew each time."""
    with pytest.raises(ValueError, match=r"lacks 1 weights, first 'visual_projection.weight'"):
        ClipVision.load(without(folder, tmp_path / "vision", "image_encoder", lacking="visual_projection"))
    with pytest.raises(ValueError, match=r"lacks 1 weights, first '.*position_embedding.weight'"):
        ClipText.load(without(folder, tmp_path / "text", "text_encoder", lacking="position_embedding.weight"))


def test_a_folder_with_weights_of_another_shape_or_damaged_is_refused(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path / "other")
    path = tmp_path / "other" / "image_encoder" / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "projection_dim": 8}))
    with pytest.raises(ValueError, match=r"visual_projection\.weight \(24, 32\), but its config\.json says \(8, 32\)"):
        ClipVision.load(tmp_path / "other")
    file = tmp_path / "other" / "text_encoder" / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-9])
    with pytest.raises(ValueError, match="text_encoder: damaged weights"):
        ClipText.load(tmp_path / "other")


def test_whatever_precision_the_config_names_it_computes_in_float32(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path / "half")
    path = tmp_path / "half" / "image_encoder" / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "dtype": "float16"}))
    image = torch.rand(1, 3, 32, 32) * 2 - 1
    assert torch.equal(ClipVision.load(tmp_path / "half").encode(image), ClipVision.load(folder).encode(image))


def test_embeddings_can_take_part_in_training(folder: Path) -> None:
    for embedding in (ClipText.load(folder).encode(["a"]), ClipVision.load(folder).encode(torch.zeros(1, 3, 32, 32))):
        layer = torch.nn.Linear(embedding.shape[-1], 1)
        layer(embedding).sum().backward()
        assert layer.weight.grad is not None
