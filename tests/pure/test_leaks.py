"""Pins which of train clips that are copies of each other stays: one that has an example, where one has."""

import pytest

from engine.rows import NearCopy
from engine.select.choose import rank_of
from engine.select.leaks import RELABELLED, led_by_survivors

IDS = sorted("abcd", key=lambda name: rank_of(0, name))
"""By rank: the first leads."""
LEADER, SECOND, THIRD, OTHER = IDS


def a_copy(clip_id: str, copy_of: str = LEADER, where: str = "train") -> NearCopy:
    return NearCopy(clip_id=clip_id, copy_of=copy_of, where=where)


GROUP = [a_copy(THIRD), a_copy(SECOND)]


@pytest.mark.parametrize(
    ("survivors", "left_out", "stays"),
    [
        ({LEADER, SECOND, THIRD}, [THIRD, SECOND], LEADER),
        ({LEADER}, [THIRD, SECOND], LEADER),
        ({SECOND, THIRD}, [THIRD, LEADER], SECOND),
        ({THIRD}, [LEADER, SECOND], THIRD),
        (set(), [THIRD, SECOND], LEADER),
    ],
)
def test_the_first_by_rank_that_has_an_example_stays(survivors: set[str], left_out: list[str], stays: str) -> None:
    led = led_by_survivors(GROUP, survivors, 0)
    assert ([copy.clip_id for copy in led], {copy.copy_of for copy in led}) == (left_out, {stays})


def test_a_clip_with_another_label_is_a_copy_of_its_groups_leader() -> None:
    copies = [a_copy(SECOND, OTHER, RELABELLED), a_copy(THIRD, SECOND)]
    assert led_by_survivors(copies, {THIRD}, 0) == [a_copy(THIRD, OTHER, RELABELLED), a_copy(SECOND, THIRD)]


def test_a_leader_that_shows_an_evaluation_clip_is_listed_once() -> None:
    copies = [a_copy(LEADER, "h", "heldout"), *GROUP]
    assert led_by_survivors(copies, {SECOND, THIRD}, 0) == [a_copy(LEADER, "h", "heldout"), a_copy(THIRD, SECOND)]
