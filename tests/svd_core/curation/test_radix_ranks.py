import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from svd_core.curation import ranks
from svd_core.curation.ranks import Ranks

numbers = st.one_of(st.floats(), st.sampled_from([0.0, -0.0, 1.5, np.inf, -np.inf, -np.nan]))


@settings(deadline=None)
@given(st.lists(numbers, min_size=1, max_size=80), st.integers(0, 79), st.integers(1, 5))
@pytest.mark.parametrize("few", [4, 1 << 20])
def test_a_rank_is_what_sorting_says(few: int, values: list[float], rank: int, batches: int) -> None:
    column = np.array([*values, 1.0])
    present = np.sort(column[~np.isnan(column)])
    expected = present[rank % present.size]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ranks, "FEW", few)
        found = Ranks(lambda: np.array_split(column, batches))
        place = found.at(rank % present.size)
    assert (found.total, found.present) == (column.size, present.size)
    assert place.value == expected
    assert place.below == np.count_nonzero(present < expected)
    assert place.equal == np.count_nonzero(present == expected)


def test_many_equal_values_need_no_memory_of_their_own() -> None:
    """Four passes in all pin the 64 bits, though the values of one rank are more than may be collected."""
    passes = 0

    def column() -> list[np.ndarray]:
        nonlocal passes
        passes += 1
        return [np.full(1 << 19, 0.25)] * 3 + [np.array([-1.0, 0.5])]

    found = Ranks(column).at(1_000_000)
    assert (found.value, found.below, found.equal, passes) == (0.25, 1, 3 << 19, 4)


@pytest.mark.parametrize("rank", [-1, 3])
def test_a_rank_that_is_not_there_is_refused(rank: int) -> None:
    with pytest.raises(IndexError, match=f"rank {rank} of a column of 3 values"):
        Ranks(lambda: [np.array([1.0, 2.0, np.nan, 3.0])]).at(rank)
