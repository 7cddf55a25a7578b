import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torchvision.models import vgg
from torchvision.transforms.functional import normalize

from svd_core.encoders.vgg16 import MEAN, STD, VGG16
from svd_core.encoders.weights import fetch


def test_equals_torchvisions_network_with_the_same_weights():
    path = fetch("vgg16")
    theirs = vgg.make_layers(vgg.cfgs["D"])[:30].eval()
    theirs.load_state_dict({name.removeprefix("features."): tensor for name, tensor in load_file(path).items()})
    images = torch.rand(2, 3, 40, 32, generator=torch.Generator().manual_seed(0))
    resized = F.interpolate(images, (64, 64), mode="bilinear")
    normalised = normalize(resized, MEAN, STD)
    with torch.inference_mode():
        expected = theirs(normalised).mean((2, 3))
    found = VGG16.load(path).features(images)
    assert found.shape == (2, 512)
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(("layer", "modules"), [("relu1_2", 4), ("relu3_3", 16), ("relu4_3", 23)])
def test_other_layers_on_request(layer, modules):
    path = fetch("vgg16")
    theirs = vgg.make_layers(vgg.cfgs["D"])[:30].eval()
    theirs.load_state_dict({name.removeprefix("features."): tensor for name, tensor in load_file(path).items()})
    images = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        expected = theirs[:modules](normalize(images, MEAN, STD)).mean((2, 3))
    torch.testing.assert_close(VGG16.load(path).features(images, layer), expected, atol=1e-4, rtol=1e-4)


def test_a_layer_that_is_not_there_is_refused_with_those_that_are():
    with pytest.raises(ValueError, match="VGG16 gives no layer 'relu6_1'; there are relu1_2, relu2_2"):
        VGG16.load(fetch("vgg16")).features(torch.zeros(1, 3, 8, 8), "relu6_1")


def test_videos_are_refused():
    network = VGG16.load(fetch("vgg16"))
    with pytest.raises(ValueError, match=r"needs images \(N, 3, H, W\), got \(1, 2, 3, 8, 8\)"):
        network.features(torch.zeros(1, 2, 3, 8, 8))
