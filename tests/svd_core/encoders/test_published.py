"""Small checkpoints in the published formats, converted: the same features, and what is refused."""

import pickle

import pytest
import torch
from inception_names import published_names
from safetensors.torch import load
from torch import nn
from torchvision.models import Inception3

from bench.performance.plain_i3d import plain_i3d
from svd_core.encoders import published
from svd_core.encoders.i3d import I3D, LOGITS, UNITS
from svd_core.encoders.inception_v3 import InceptionV3

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:`torch.jit:FutureWarning", "ignore::torch.jit.TracerWarning"),
]


class Tree(nn.Module):
    """Tensors under dotted names."""

    def __init__(self, tensors):
        super().__init__()
        for first in dict.fromkeys(name.partition(".")[0] for name in tensors):
            inner = {name.partition(".")[2]: tensors[name] for name in tensors if name.startswith(f"{first}.")}
            if inner:
                self.add_module(first, Tree(inner))
            else:
                self.register_buffer(first, tensors[first])


def random_unit(shape, draw):
    """A convolution with its BatchNorm, under the names of ours."""
    mean, beta = (0.1 * torch.randn(shape[0], generator=draw) for _ in range(2))
    kernel = torch.randn(shape, generator=draw) * (2 / torch.Size(shape[1:]).numel()) ** 0.5
    return {"weight": kernel, "mean": mean, "var": torch.rand(shape[0], generator=draw) + 0.5, "beta": beta}


class InceptionFile(nn.Module):
    """The outline of the real file: `layers`, and an output that nobody reads."""

    def __init__(self, network):
        super().__init__()
        self.layers = network
        self.output = nn.Linear(4, 2)

    def forward(self, x):
        return self.layers(x)


@pytest.fixture(scope="module")
def thin_inception():
    """The tensors of an InceptionV3 with a sixteenth of the channels."""
    draw = torch.Generator().manual_seed(0)
    with torch.device("meta"):
        network = Inception3(aux_logits=False, init_weights=False)
    shapes = {new: network.get_parameter(f"{old}.conv.weight").shape for old, new in published_names(network).items()}
    thin = {name: (o // 16, max(i // 16, 3 * (i == 3)), *k) for name, (o, i, *k) in shapes.items()}
    units = {name: random_unit(shape, draw) for name, shape in thin.items()}
    return {f"{name}.{part}": tensor for name, unit in units.items() for part, tensor in unit.items()}


def test_inceptions_tensors_keep_their_names(thin_inception, tmp_path):
    layers = InceptionV3(thin_inception).layers
    layers.add_module("last_pool", nn.AdaptiveAvgPool2d(1))
    traced = torch.jit.trace(layers.eval(), torch.rand(1, 3, 299, 299), check_trace=False)
    torch.jit.script(InceptionFile(traced)).save(str(tmp_path / "file.pt"))
    found = load(published.inception(tmp_path / "file.pt"))
    assert found.keys() == thin_inception.keys()
    assert all(torch.equal(found[name], tensor) for name, tensor in thin_inception.items())


def test_another_network_is_not_taken_for_inception(thin_inception, tmp_path):
    torch.jit.script(InceptionFile(nn.Sequential(nn.AdaptiveAvgPool2d(1)))).save(str(tmp_path / "other.pt"))
    with pytest.raises(ValueError, match=r"another network than expected: 'layers\.conv\.weight'"):
        published.inception(tmp_path / "other.pt")


class I3DFile(nn.Module):
    """The outline of the real file: its arguments around a network, whose classifier was defined first."""

    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, x, rescale: bool = True, resize: bool = True, return_features: bool = False):
        assert not rescale and not resize and return_features
        return self.network(x)


class PlainI3D(nn.Module):
    """`plain_i3d`, with BatchNorms of any epsilon."""

    def __init__(self, weights, epsilon):
        super().__init__()
        self.epsilon = epsilon
        parts = {"weight": "conv3d.weight", "bias": "conv3d.bias", "beta": "bn.bias"}
        parts |= {"mean": "bn.running_mean", "var": "bn.running_var"}
        self.names = {
            name: f"{unit.replace('/', '.')}.{parts[part]}"
            for name, (unit, _, part) in ((name, name.rpartition(".")) for name in weights)
        }
        self.tree = Tree({new: weights[old] for old, new in self.names.items()})

    def forward(self, x):
        weights = {old: self.tree.get_buffer(new) for old, new in self.names.items()}
        return plain_i3d({k: v + (self.epsilon - 1e-3) if k.endswith(".var") else v for k, v in weights.items()}, x)


@pytest.fixture(scope="module")
def thin_i3d():
    """The tensors of an I3D with an eighth of the channels."""
    draw = torch.Generator().manual_seed(0)
    widths = {"3b": (8, 12, 16, 2, 4, 4), "3c": (16, 16, 24, 4, 12, 8), "4b": (24, 12, 26, 2, 6, 8)}
    widths |= {"4c": (20, 14, 28, 3, 8, 8), "4d": (16, 16, 32, 3, 8, 8), "4e": (14, 18, 36, 4, 8, 8)}
    widths |= {"4f": (32, 20, 40, 4, 16, 16), "5b": (32, 20, 40, 4, 16, 16), "5c": (48, 24, 48, 6, 16, 16)}
    shapes, inputs = {"Conv3d_1a_7x7": (8, 3, 7, 7, 7), "Conv3d_2b_1x1": (8, 8, 1, 1, 1)}, 24
    shapes["Conv3d_2c_3x3"] = (24, 8, 3, 3, 3)
    for block, (a, b, c, d, e, f) in widths.items():
        units = (name for name in UNITS if name.startswith(f"Mixed_{block}/"))
        ins, outs, sides = (inputs, inputs, b, inputs, d, inputs), (a, b, c, d, e, f), (1, 1, 3, 1, 3, 1)
        for name, o, i, k in zip(units, outs, ins, sides, strict=True):
            shapes[name] = (o, i, k, k, k)
        inputs = a + c + e + f
    head = {f"{LOGITS}.weight": torch.randn(10, inputs, 1, 1, 1, generator=draw), f"{LOGITS}.bias": torch.randn(10)}
    units = {name: random_unit(shape, draw) for name, shape in shapes.items()}
    return head | {f"{name}.{part}": tensor for name, unit in units.items() for part, tensor in unit.items()}


def test_i3d_gives_the_features_of_its_torchscript(thin_i3d, tmp_path):
    """Of a port that has left PyTorch's epsilon in its BatchNorms."""
    clip = torch.rand(1, 10, 3, 224, 224, generator=torch.Generator().manual_seed(1))
    theirs = PlainI3D(thin_i3d, epsilon=1e-5)
    traced = torch.jit.trace(theirs, clip.transpose(1, 2), check_trace=False)
    torch.jit.script(I3DFile(traced)).save(str(tmp_path / "i3d.pt"))
    found = load(published.i3d(tmp_path / "i3d.pt"))
    assert found.keys() == thin_i3d.keys()
    with torch.inference_mode():
        expected = theirs(clip.transpose(1, 2) * 2 - 1)
    torch.testing.assert_close(I3D.of(found).features(clip), expected, rtol=1e-4, atol=1e-4)


def test_another_network_is_not_taken_for_i3d(tmp_path):
    class Colours(nn.Module):
        def forward(self, x):
            return x.mean((2, 3, 4))

    torch.jit.script(I3DFile(Colours())).save(str(tmp_path / "other.pt"))
    with pytest.raises(ValueError, match="0 convolutions with BatchNorm and 0 without, not 57 and 1"):
        published.i3d(tmp_path / "other.pt")


def test_a_state_dict_keeps_its_tensors(tmp_path):
    tensors = {"layers.0.weight": torch.ones(2, 3), "layers.0.bias": torch.zeros(2)}
    torch.save(tensors, tmp_path / "head.pth")
    found = load(published.state_dict(tmp_path / "head.pth"))
    assert found.keys() == tensors.keys()
    assert all(torch.equal(found[name], tensor) for name, tensor in tensors.items())


@pytest.mark.parametrize("content", [{"a": 1}, [torch.ones(1)], pickle.Unpickler])
def test_other_pickles_are_refused(tmp_path, content):
    torch.save(content, tmp_path / "head.pth")
    with pytest.raises(ValueError, match=r"head\.pth: (holds something other|no state dict)"):
        published.state_dict(tmp_path / "head.pth")
