import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from svd_core.models.conditioning import DEFAULT_BUCKET, added_time_ids, motion_bucket

motions = st.floats(0, 1e4, allow_nan=False).map(lambda value: torch.tensor([value]))


@given(motions, motions)
def test_more_motion_never_means_a_lower_bucket(a: torch.Tensor, b: torch.Tensor) -> None:
    low, high = sorted([a, b])
    assert 0 <= motion_bucket(low) <= motion_bucket(high) < 255.1


def test_still_typical_and_unknown_motion() -> None:
    buckets = motion_bucket(torch.tensor([0.0, 1.9, float("nan")]))
    assert buckets.tolist() == pytest.approx([0.0, 127.5, DEFAULT_BUCKET])


def test_ids_are_fps_minus_one_then_bucket_then_strength_each_per_clip() -> None:
    fps, bucket = torch.tensor([7.0, 25.0]), torch.tensor([127.0, 40.0])
    assert added_time_ids(fps, bucket).tolist() == [[6.0, 127.0], [24.0, 40.0]]
    strengths = torch.tensor([0.5, 0.25])
    assert added_time_ids(fps, bucket, strengths).tolist() == [[6.0, 127.0, 0.5], [24.0, 40.0, 0.25]]
