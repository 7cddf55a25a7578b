import numpy as np
import pytest
import torch

from bench.metrics.pairs import each_pair


def error(a, b):
    return (a - b).abs().mean((1, 2, 3))


@pytest.mark.parametrize(
    ("shape", "clips"), [((3, 4, 4), 1), ((5, 3, 4, 4), 5), ((5, 2, 3, 4, 4), 5), ((5, 2, 6, 1, 4, 4), 5)]
)
def test_the_first_axis_counts_clips(shape, clips):
    a, b = np.random.default_rng(0).random((2, *shape))
    found = each_pair(error, a, b, name="error")
    assert (found.n, found.per_clip.shape, found.name) == (clips, (clips,), "error")
    np.testing.assert_allclose(found.per_clip, np.abs(a - b).reshape(clips, -1).mean(1), rtol=1e-6)
    assert found == pytest.approx(np.abs(a - b).mean(), rel=1e-6)


def test_arrays_and_tensors_mix():
    assert each_pair(error, np.zeros((3, 4, 4)), torch.ones(3, 4, 4), name="error") == 1


@pytest.mark.parametrize(
    ("b", "message"),
    [
        (np.zeros((3, 3, 4, 4)), r"as many images .* got shapes \(2, 3, 4, 4\) and \(3, 3, 4, 4\)"),
        (np.zeros((2, 3, 4, 5)), r"same size .* got shapes \(2, 3, 4, 4\) and \(2, 3, 4, 5\)"),
        (np.zeros((2, 3, 4, 4), np.uint8), "b: expected floats in .* got torch.uint8; divide uint8 by 255"),
        (np.full((2, 3, 4, 4), 255.0), "b: clip 0 has values outside .* from 255 to 255"),
        (np.full((2, 3, 4, 4), -1.0), "b: clip 0 has values outside .* from -1 to -1"),
        (np.stack([np.zeros((3, 4, 4)), np.full((3, 4, 4), np.nan)]), "b: clip 1 has values outside .* nan"),
    ],
)
def test_other_inputs_are_refused_with_what_was_seen(b, message):
    with pytest.raises(ValueError, match=message):
        each_pair(error, np.zeros((2, 3, 4, 4)), b, name="error")


def read_only(array):
    array.setflags(write=False)
    return array


@pytest.mark.parametrize(
    "odd",
    [
        read_only,
        lambda array: array[..., ::-1, :, :][..., ::-1, :, :],
        lambda array: array.astype(">f8"),
        lambda array: torch.from_numpy(array).requires_grad_(),
        lambda array: array.tolist(),
    ],
)
def test_arrays_of_any_make_are_taken(odd):
    array = np.linspace(0, 1, 2 * 3 * 4 * 4).reshape(2, 3, 4, 4)
    expected = each_pair(error, np.zeros((2, 3, 4, 4)), array, name="error")
    assert each_pair(error, np.zeros((2, 3, 4, 4)), odd(array.copy()), name="error") == expected


@pytest.mark.parametrize("nothing", [None, "a.png", [[1.0], [1.0, 2.0]]])
def test_what_is_no_array_is_refused(nothing):
    with pytest.raises(ValueError, match="b is no array of numbers"):
        each_pair(error, np.zeros((2, 3, 4, 4)), nothing, name="error")


@pytest.mark.parametrize("shape", [(2, 4, 4, 3), (4, 4), (0, 3, 4, 4)])
def test_other_layouts_are_refused(shape):
    with pytest.raises(ValueError, match=r"expected images \(\.\.\., C, H, W\) with 1 or 3 channels"):
        each_pair(error, np.zeros(shape), np.zeros(shape), name="error")
