import warnings
from pathlib import Path

import lpips as reference
import pytest
import torch
from safetensors.torch import load_file

from svd_core.encoders.lpips import LPIPS
from svd_core.encoders.weights import fetch

NETS = {"alex": "alex", "vgg16": "vgg"}
"""Ours to the lpips package's."""


def load(net):
    return LPIPS.load(net, fetch(f"lpips_{net}"))


def packaged(net):
    """The lpips package's own module, with our trunk; its heads are those that it carries."""
    with warnings.catch_warnings(), torch.device("meta"):  # no time for random weights
        warnings.simplefilter("ignore")  # it builds torchvision's networks with arguments of long ago
        module = reference.LPIPS(net=NETS[net], pretrained=False, pnet_rand=True, verbose=False)
    trunk = {name: tensor for name, tensor in load_file(fetch(f"lpips_{net}")).items() if name.startswith("features")}
    numbered = {name.split(".", 1)[1]: name for name in module.net.state_dict()}
    renamed = {numbered[name.removeprefix("features.")]: tensor for name, tensor in trunk.items()}
    module.net.load_state_dict(renamed, assign=True)
    heads = torch.load(
        Path(reference.__file__).parent / f"weights/v0.1/{NETS[net]}.pth", map_location="cpu", weights_only=True
    )
    module.load_state_dict(heads, strict=False, assign=True)
    module.scaling_layer = reference.ScalingLayer()
    return module.eval()


@pytest.fixture(params=NETS)
def net(request):
    return request.param


def images(n, height, width, seed=0):
    return torch.rand(n, 3, height, width, generator=torch.Generator().manual_seed(seed))


def test_equals_the_lpips_package(net):
    a, b = images(3, 64, 48), images(3, 64, 48, seed=1)
    with torch.inference_mode():
        expected = packaged(net)(a, b, normalize=True).flatten()
    torch.testing.assert_close(load(net).distances(a, b), expected, rtol=1e-5, atol=1e-6)


def test_black_against_white_is_the_published_value():
    black, white = torch.zeros(1, 3, 64, 64), torch.ones(1, 3, 64, 64)
    assert load("alex").distances(black, white).item() == pytest.approx(0.8140, abs=5e-5)


def test_equal_images_are_at_no_distance_and_order_does_not_matter(net):
    network, a, b = load(net), images(2, 40, 40), images(2, 40, 40, seed=1)
    assert network.distances(a, a).tolist() == [0, 0]
    torch.testing.assert_close(network.distances(a, b), network.distances(b, a))


def test_a_pair_does_not_depend_on_its_neighbours(net):
    network, a, b = load(net), images(3, 40, 40), images(3, 40, 40, seed=1)
    assert torch.equal(network.distances(a, b)[1:2], network.distances(a[1:2], b[1:2]))


@pytest.mark.parametrize(("name", "side"), [("alex", 31), ("vgg16", 16)])
def test_smallest_image(name, side):
    network = load(name)
    assert network.distances(images(1, side, side), images(1, side, side, seed=1)).isfinite().all()
    with pytest.raises(ValueError, match=f"needs sides of {side} pixels, got"):
        network.distances(images(1, side, side - 1), images(1, side, side - 1))


def test_unequal_stacks_are_refused():
    with pytest.raises(ValueError, match=r"got \(1, 3, 40, 40\) and \(2, 3, 40, 40\)"):
        load("alex").distances(images(1, 40, 40), images(2, 40, 40))
