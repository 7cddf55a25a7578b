import io
import os
import pickle
import tarfile

import numpy as np
import pytest
from safetensors.numpy import load

from svd_core.encoders import conversion
from svd_core.encoders.conversion import read_numpy_pickle


class Evil:
    """Runs a command when unpickled by the ordinary unpickler."""

    def __init__(self, function, *arguments):
        self.call = (function, arguments)

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize(
    "evil",
    [
        Evil(os.system, "touch seen"),
        Evil(eval, "open('seen', 'w')"),
        Evil(np.fromfile, "seen"),
        Evil(np.memmap, "seen", "u1", "w+", 0, (1,)),
        Evil(tarfile.open, "seen", "w"),
    ],
)
def test_only_arrays_are_unpickled(evil, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(pickle.UnpicklingError, match="only numpy arrays are read"):
        read_numpy_pickle(pickle.dumps({"params": evil}))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("protocol", [3, 4])
def test_arrays_come_back_equal(protocol):
    arrays = {"a": {"b": np.arange(6, dtype=np.float32).reshape(2, 3)}, "c": np.float32([1.5])}
    found = read_numpy_pickle(pickle.dumps(arrays, protocol=protocol))
    np.testing.assert_array_equal(found["a"]["b"], arrays["a"]["b"])
    np.testing.assert_array_equal(found["c"], arrays["c"])


def test_truncated_pickle_is_an_error():
    data = pickle.dumps({"a": np.zeros(1000)})
    with pytest.raises((pickle.UnpicklingError, EOFError)):
        read_numpy_pickle(data[:-100])


def test_i3d_units_keep_their_names_and_get_torchs_layout():
    rng = np.random.default_rng(0)
    kernel = rng.random((3, 1, 2, 4, 5), dtype=np.float32)
    unit = {"Conv_0": {"kernel": kernel}, "BatchNorm_0": {"bias": np.ones(5, np.float32)}}
    statistics = {"mean": np.zeros((1, 1, 1, 1, 5), np.float32), "var": np.ones((1, 1, 1, 1, 5), np.float32)}
    head = {"Conv_0": {"kernel": np.zeros((1, 1, 1, 5, 2), np.float32), "bias": np.zeros(2, np.float32)}}
    tree = {
        "params": {"Mixed_3b": {"Branch_0/Conv3d_0a_1x1": unit}, "Logits/Conv3d_0c_1x1": head},
        "batch_stats": {"Mixed_3b": {"Branch_0/Conv3d_0a_1x1": {"BatchNorm_0": statistics}}},
    }
    found = load(conversion.i3d(pickle.dumps(tree)))
    name = "Mixed_3b/Branch_0/Conv3d_0a_1x1"
    parts = {f"{name}.{part}" for part in ("weight", "beta", "mean", "var")}
    assert set(found) == parts | {"Logits/Conv3d_0c_1x1.weight", "Logits/Conv3d_0c_1x1.bias"}
    np.testing.assert_array_equal(found[f"{name}.weight"][1, 2], kernel[..., 2, 1])
    assert found[f"{name}.mean"].shape == (5,)


def test_the_same_pickle_gives_the_same_bytes():
    bias = np.zeros(2, np.float32)
    layers = {f"Conv_{i}": {"kernel": np.full((3, 3, 2, 2), i, np.float32), "bias": bias} for i in range(13)}
    data = io.BytesIO()
    pickle.dump({"VGG16_0": layers, "NetLinLayer_0": {}}, data)
    first = conversion.vgg16(data.getvalue())
    assert first == conversion.vgg16(data.getvalue())
    assert load(first)["features.28.weight"].flat[0] == 12
