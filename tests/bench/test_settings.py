import pytest
from pydantic import ValidationError

from bench.features import ENCODERS
from bench.settings import (
    I3D_FRAMES,
    METRICS,
    ScoreSettings,
    check_frames,
    check_metric,
    reference_encoders,
    required_weights,
)
from svd_core.encoders.i3d import MIN_FRAMES
from svd_core.encoders.weights_table import TABLE


def test_misspelt_metric_names_the_nearest():
    with pytest.raises(ValueError, match="did you mean 'fd_vgg16'"):
        check_metric("fd_vgg")
    with pytest.raises(ValidationError, match=r"'accuracy'; there are fvd, .*fd_vgg16"):
        ScoreSettings(metrics=("accuracy",))


def test_clips_are_as_long_as_i3d_needs():
    assert I3D_FRAMES == MIN_FRAMES
    check_frames(("fvd",), MIN_FRAMES)
    check_frames(("fd_vgg16",), 1)
    with pytest.raises(ValueError, match="metric 'kvd' needs clips of 9 frames or more; these have 8"):
        check_frames(("fd_vgg16", "kvd"), MIN_FRAMES - 1)


def test_a_metric_named_twice_is_refused():
    with pytest.raises(ValidationError, match="named twice: fvd"):
        ScoreSettings(metrics=("fvd", "fid", "fvd"))


def test_required_weights_are_each_named_once_and_known():
    assert required_weights(("fvd", "fd_vgg16", "toy_clip_score", "dynamic_degree")) == ("i3d_k400", "vgg16")
    assert required_weights(("clip_score", "fid")) == ("clip", "inception")
    assert set(required_weights(tuple(METRICS))) <= set(TABLE)


def test_every_encoder_of_a_set_metric_can_encode():
    assert set(reference_encoders(tuple(METRICS))) == set(ENCODERS)


def test_labels_are_unique():
    assert len({metric.label for metric in METRICS.values()}) == len(METRICS)
