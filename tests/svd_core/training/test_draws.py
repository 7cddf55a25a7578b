import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from svd_core.training.draws import row_of_sample, sample_rng


@given(st.integers(0, 5), st.integers(0, 4), st.integers(1, 40))
def test_every_epoch_reads_every_row_once(seed: int, epoch: int, size: int) -> None:
    rows = [row_of_sample(seed, epoch * size + position, size) for position in range(size)]
    assert sorted(rows) == list(range(size))


def test_epochs_and_seeds_differ_in_order() -> None:
    def order(seed: int, epoch: int) -> list[int]:
        return [row_of_sample(seed, epoch * 50 + position, 50) for position in range(50)]

    assert order(0, 0) == order(0, 0)
    assert order(0, 0) != order(0, 1)
    assert order(0, 0) != order(1, 0)


def test_the_order_is_fixed_for_all_time() -> None:
    assert [row_of_sample(0, index, 8) for index in range(8)] == [0, 7, 1, 3, 4, 2, 6, 5]


def test_draws_depend_on_seed_stage_and_index() -> None:
    def first(seed: int, stage: str, index: int) -> float:
        return float(sample_rng(seed, stage, index).random())

    values = {first(0, "a", 0), first(1, "a", 0), first(0, "b", 0), first(0, "a", 1)}
    assert len(values) == 4
    assert np.isclose(first(0, "a", 0), first(0, "a", 0), rtol=0, atol=0)
