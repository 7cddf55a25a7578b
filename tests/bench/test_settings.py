import pytest
from pydantic import ValidationError

from bench.features import ENCODERS
from bench.settings import METRICS, ScoreSettings, check_metric, reference_encoders, required_weights
from svd_core.encoders.weights_table import TABLE


def test_misspelt_metric_names_the_nearest():
    with pytest.raises(ValueError, match="did you mean 'fd_vgg16'"):
        check_metric("fd_vgg")
    with pytest.raises(ValidationError, match=r"'accuracy'; there are fvd, .*fd_vgg16"):
        ScoreSettings(metrics=("accuracy",))


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
