"""What holds on a GPU; skipped where there is none."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import UNetSpatioTemporalConditionModel

from svd_core.device import flags_restored, repeatable_device
from svd_core.models.unet import SpatioTemporalUNet
from svd_core.settings import ImagePretrainingSettings, NetworkSettings, VideoPretrainingSettings
from svd_core.training.execution import Execution, compile_blocks
from svd_core.training.stages import pretrain_images, pretrain_videos

pytestmark = [
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU"),
    pytest.mark.filterwarnings("default"),
    pytest.mark.timeout(600),
]
SMALL = NetworkSettings(block_out_channels=(32,), attention_levels=(True,), num_attention_heads=(2,))
"""Of one level, as each kind of block takes the compiler ten seconds."""
WIDTHS: dict[str, Any] = {
    "block_out_channels": (64, 128),
    "down_block_types": ("CrossAttnDownBlockSpatioTemporal", "DownBlockSpatioTemporal"),
    "up_block_types": ("UpBlockSpatioTemporal", "CrossAttnUpBlockSpatioTemporal"),
    "num_attention_heads": (2, 4),
    "layers_per_block": 1,
    "cross_attention_dim": 16,
}


@pytest.fixture(autouse=True)
def _flags() -> Iterator[None]:
    with flags_restored():
        yield


@pytest.fixture(scope="module")
def attentive(latents: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Stage I artifact of a network with attention."""
    out = tmp_path_factory.mktemp("attentive")
    pretrain_images(ImagePretrainingSettings(samples=8, batch_size=4, warmup_samples=0, network=SMALL), latents, out)
    return out


@pytest.mark.parametrize(
    ("precision", "how"),
    [
        ("float32", {}),
        ("bfloat16", {}),
        ("bfloat16", {"checkpointing": True, "micro_batch": 1}),
        ("bfloat16", {"compiled": True}),
    ],
)
def test_two_runs_agree_to_the_bit_and_an_interrupted_one_too(
    precision: Any,
    how: dict[str, Any],
    video_settings: VideoPretrainingSettings,
    subset: Path,
    latents: Path,
    attentive: Path,
    tmp_path: Path,
    interrupted_at: Callable[[int], AbstractContextManager[None]],
) -> None:
    settings = video_settings.model_copy(update={"precision": precision, "samples": 20})
    device = repeatable_device()

    def train(out: Path) -> bytes:
        out.mkdir(exist_ok=True)
        pretrain_videos(settings, subset, latents, attentive, out, execution=Execution(device=device, **how))
        return (out / "ema.safetensors").read_bytes()

    undisturbed = train(tmp_path / "first")
    assert train(tmp_path / "second") == undisturbed
    with interrupted_at(14):
        train(tmp_path / "interrupted")
    assert train(tmp_path / "interrupted") == undisturbed


@pytest.mark.parametrize("compiled", [False, True])
def test_in_half_precision_the_network_is_as_near_as_the_stock_class(compiled: bool) -> None:
    """Both beside the stock class in float32; the sums that a kernel takes otherwise may not cost accuracy."""
    torch.manual_seed(0)
    exact, stock = (UNetSpatioTemporalConditionModel(**WIDTHS).cuda() for _ in range(2))
    ours = SpatioTemporalUNet(**WIDTHS).cuda()
    for network in (stock, ours):
        network.load_state_dict(exact.state_dict())
    if compiled:
        compile_blocks(ours)
    shapes = ((2, 14, 8, 16, 16), (2,), (2, 3, 16), (2, 3))
    inputs = [torch.randn(shape, device="cuda") for shape in shapes]

    def found(network: Any, half: bool) -> tuple[torch.Tensor, torch.Tensor]:
        with torch.autocast("cuda", torch.bfloat16, enabled=half):
            sample = network(*inputs).sample.float()
        sample.square().mean().backward()
        gradient = torch.cat([parameter.grad.flatten() for parameter in network.parameters()])
        return sample.detach() / sample.norm().detach(), gradient / gradient.norm()

    truth = found(exact, False)
    theirs, mine = found(stock, True), found(ours, True)
    for true, their, my in zip(truth, theirs, mine, strict=True):
        assert (my - true).norm() < 1.3 * (their - true).norm()
