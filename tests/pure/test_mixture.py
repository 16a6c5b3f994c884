"""Pins the order of a finetune: a pure function of seed and epoch, in which neither micro-batches nor ranks change a step."""

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.train.mixture import Stream, order, share

TWO = [Stream(1.0, [range(20)]), Stream(1.0, [range(100, 120)])]


def sources(steps: list[list[int]]) -> list[bool]:
    """Which of the two streams each place is from: what the shuffle of the whole epoch decides."""
    return [row >= 100 for step in steps for row in step]


def test_an_epochs_shuffle_follows_from_the_seed() -> None:
    assert sources(order(TWO, 1.0, 10, seed=0)) != sources(order(TWO, 1.0, 10, seed=1))
    assert order(TWO, 1.0, 10, seed=0) == order(TWO, 1.0, 10, seed=0)


def test_each_epoch_has_a_shuffle_of_its_own() -> None:
    places = sources(order(TWO, 2.0, 10, seed=0))
    assert places[:40] != places[40:]


def test_a_stream_of_one_source_is_shuffled_by_seed_and_epoch() -> None:
    first, second = order([Stream(1.0, [range(40)])], 2.0, 40, seed=0)
    other, _ = order([Stream(1.0, [range(40)])], 2.0, 40, seed=1)
    assert sorted(first) == sorted(second) == sorted(other) == list(range(40))
    assert first != second
    assert first != other


@settings(max_examples=50, deadline=None)
@given(world_size=st.integers(1, 8), micro_batch_rows=st.integers(1, 8), accumulated=st.integers(1, 3), seed=st.integers(0, 99))
def test_a_step_has_the_same_rows_whatever_the_ranks_and_micro_batches(
    world_size: int, micro_batch_rows: int, accumulated: int, seed: int
) -> None:
    batch_rows = world_size * micro_batch_rows * accumulated
    for step in order(TWO, 1.0, batch_rows, seed):
        ranks = [share(step, rank, world_size, micro_batch_rows) for rank in range(world_size)]
        assert sorted(row for rank in ranks for micro in rank for row in micro) == sorted(step)
        assert len({len(rank) for rank in ranks}) == 1, "ZeRO-3 waits for ever for a rank that has fewer micro-batches"
        if len(step) == batch_rows:
            assert {len(rank) for rank in ranks} == {accumulated}
            assert {len(micro) for rank in ranks for micro in rank} == {micro_batch_rows}


@settings(max_examples=50, deadline=None)
@given(rows=st.integers(1, 50), epochs=st.integers(1, 3), batch_rows=st.integers(1, 128), seed=st.integers(0, 99))
def test_an_example_is_fed_once_in_an_epoch_however_large_the_batch(rows: int, epochs: int, batch_rows: int, seed: int) -> None:
    steps = order([Stream(1.0, [range(rows)])], float(epochs), batch_rows, seed)
    assert Counter(row for step in steps for row in step) == dict.fromkeys(range(rows), epochs)
    assert [len(step) for step in steps[:-1]] == [batch_rows] * (len(steps) - 1)


@pytest.mark.parametrize("streams", [[], [Stream(0.0, [range(9)])], [Stream(1.0, [[]]), Stream(2.0, [])]])
def test_a_mixture_whose_weighed_sources_are_empty_is_refused(streams: list[Stream]) -> None:
    """Before, the order of no rows was drawn for ever, on all GPUs of the finetune."""
    with pytest.raises(ValueError, match=r"all sources that \[mixture\] gives a weight above 0 are empty"):
        order(streams, 1.0, 8, seed=0)


def test_the_order_stays_what_it_was() -> None:
    """A run that is continued with a later version trains on the same rows in the same steps."""
    assert order(TWO, 1.0, 16, seed=7) == [
        [104, 110, 8, 18, 107, 108, 4, 119, 5, 2, 15, 12, 102, 103, 6, 1],
        [14, 113, 7, 114, 16, 109, 111, 101, 19, 115, 106, 118, 13, 0, 116, 17],
        [105, 117, 11, 112, 3, 9, 10, 100],
    ]


def test_half_an_epoch_feeds_half_of_the_rows() -> None:
    assert [len(step) for step in order([Stream(1.0, [range(10)])], 0.5, 4, seed=0)] == [4, 1]
    assert [len(step) for step in order([Stream(1.0, [range(3)])], 0.1, 4, seed=0)] == [1], "at least one row"
