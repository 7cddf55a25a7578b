import pytest
import torch

from svd_core.models.adaptation import MaskedFrames, adapted
from svd_core.models.inflation import NotInflatable
from svd_core.models.unet import SpatioTemporalUNet


def small() -> SpatioTemporalUNet:
    torch.manual_seed(0)
    return SpatioTemporalUNet(
        in_channels=4,
        block_out_channels=(32, 32),
        down_block_types=("CrossAttnDownBlockSpatioTemporal", "DownBlockSpatioTemporal"),
        up_block_types=("UpBlockSpatioTemporal", "CrossAttnUpBlockSpatioTemporal"),
        num_attention_heads=(2, 2),
        cross_attention_dim=16,
        layers_per_block=1,
        addition_time_embed_dim=8,
        projection_class_embeddings_input_dim=16,
        norm_num_groups=8,
    )


X, C_NOISE, TEXT, IDS = torch.randn(2, 3, 4, 8, 8), torch.randn(2), torch.randn(2, 1, 16), torch.rand(2, 2) * 20


@torch.no_grad()
def test_more_inputs_and_conditions_start_without_effect() -> None:
    before = small()
    wider = adapted(before, in_channels=9, time_ids=5)
    assert (wider.config["in_channels"], wider.config["norm_num_groups"]) == (9, 8)
    output = wider(torch.cat([X, torch.randn(2, 3, 5, 8, 8)], 2), C_NOISE, TEXT, torch.cat([IDS, torch.rand(2, 3)], 1))
    torch.testing.assert_close(output.sample, before(X, C_NOISE, TEXT, IDS).sample, rtol=0, atol=1e-5)


def test_fewer_are_refused() -> None:
    with pytest.raises(NotInflatable, match="in_channels=3 is fewer than the network's 4"):
        adapted(small(), in_channels=3, time_ids=2)
    with pytest.raises(NotInflatable, match="projection_class_embeddings_input_dim=8 is fewer than the network's 16"):
        adapted(small(), in_channels=4, time_ids=1)


@torch.no_grad()
def test_the_mask_embedding_folds_into_the_first_convolution() -> None:
    """Also at the borders, where the convolution pads with zeros and not with the embedding."""
    network = MaskedFrames(adapted(small(), in_channels=9, time_ids=2))
    network.unet.conv_in.weight.normal_()
    network.mask_embedding.normal_()
    mask = torch.zeros(2, 3, 1, 8, 8)
    mask[:, 1] = 1
    x = torch.cat([X, torch.randn(2, 3, 4, 8, 8) * (1 - mask), mask], 2)
    expected = network(x, C_NOISE, TEXT, IDS, return_dict=False)[0]
    plain = network.folded()
    assert not network.mask_embedding.any()
    torch.testing.assert_close(plain(x, C_NOISE, TEXT, IDS).sample, expected, rtol=1e-4, atol=1e-4)


def test_the_mask_embedding_learns() -> None:
    network = MaskedFrames(adapted(small(), in_channels=9, time_ids=2))
    with torch.no_grad():
        network.unet.conv_in.weight.normal_()
    x = torch.cat([X, torch.zeros(2, 3, 4, 8, 8), torch.ones(2, 3, 1, 8, 8)], 2)
    network(x, C_NOISE, TEXT, IDS, return_dict=False)[0].square().mean().backward()
    assert network.mask_embedding.grad.all()
