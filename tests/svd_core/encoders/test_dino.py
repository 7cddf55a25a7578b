import shutil

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from transformers import ViTImageProcessor, ViTModel

from svd_core.encoders.dino import Dino


def test_embeds_the_class_token_of_the_model(small_dino):
    images = torch.randint(0, 256, (2, 3, 40, 50), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    pixels = ViTImageProcessor.from_pretrained(small_dino)(images=list(images), return_tensors="pt")["pixel_values"]
    with torch.inference_mode():
        expected = ViTModel.from_pretrained(small_dino).eval()(pixels).last_hidden_state[:, 0]
    torch.testing.assert_close(Dino.load(small_dino).embed_images(images), F.normalize(expected, dim=1))


def test_a_folder_without_safetensors_is_refused(small_dino, tmp_path):
    (tmp_path / "config.json").write_bytes((small_dino / "config.json").read_bytes())
    with pytest.raises(OSError, match="safetensors"):
        Dino.load(tmp_path)


def test_a_layer_that_the_folder_lacks_is_not_made_up(small_dino, tmp_path):
    shutil.copytree(small_dino, tmp_path / "dino")
    weights = load_file(tmp_path / "dino" / "model.safetensors")
    lost = next(name for name in weights if "layer" in name and name.endswith("weight"))
    kept = {name: tensor for name, tensor in weights.items() if name != lost}
    save_file(kept, tmp_path / "dino" / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ValueError, match=r"dino is no whole ViTModel: it lacks 1 weights, first 'layers\.0\."):
        Dino.load(tmp_path / "dino")
