"""Pins which of a clip's samples is trained on, how a clip with several is counted, and what a pass rate is."""

import pytest

from builders import a_clip, an_attempt
from engine.generate.ledger import Ledger, balance, deciding
from engine.generate.measures import measured
from engine.generate.prompts import STRICT
from engine.rows import Attempt
from engine.select.choose import pass_rate, preferred, select

BOTH = frozenset({"direct", "rationalized"})


def a_sample(
    number: int, text: str = "It rises.", detail: str = "rises", support: float | None = None, **fields: object
) -> Attempt:
    return an_attempt("a", sample=number, text=text, detail=detail, support=support, **fields)


@pytest.mark.parametrize(
    ("prefer", "chosen"),
    [
        (("vote", "grounding", "length"), 2),
        (("vote", "length"), 1),
        (("grounding",), 3),
        (("length", "vote"), 0),
        ((), 0),
    ],
)
def test_one_of_several_is_chosen_in_the_declared_order(prefer: tuple[str, ...], chosen: int) -> None:
    samples = [
        a_sample(0, "3.5", "3.5", 1.0),
        a_sample(1, "It is 3 or so.", "3", 2.0),
        a_sample(2, "It is about 3 here.", "3", 4.0),
        a_sample(3, "It may be 4 perhaps.", "4", 9.0),
    ]
    assert preferred(samples, prefer).sample == chosen  # type: ignore[arg-type]


def test_the_latest_cycle_and_a_direct_answer_come_first() -> None:
    attempts = [a_sample(0, cycle=0), a_sample(3, cycle=1), an_attempt("a", cycle=1, mode="rationalized"), a_sample(2, cycle=1)]
    (example,) = select([a_clip("a")], attempts, BOTH, STRICT)
    assert (example.cycle, example.mode) == (1, "direct")
    assert preferred(attempts, ()).sample == 2


def test_a_clip_with_several_samples_counts_once() -> None:
    rejected = {"outcome": "rejected", "reason": "label_missing"}
    attempts = [
        *[a_sample(0, **rejected), a_sample(1), a_sample(2, **rejected)],
        *[an_attempt("b", sample=number, **rejected) for number in range(3)],
        an_attempt("b", mode="rationalized"),
        *[an_attempt("c", sample=number, outcome="rejected", reason=f"reason {number}") for number in range(3)],
        an_attempt("d", outcome="failed", reason="missing"),
    ]
    expected = Ledger(
        clips=4, direct_kept=1, rationalized_kept=1, dropped={"reason 2": 1}, failed={"missing": 1}, direct=9, direct_right=1
    )
    assert balance(attempts) == expected
    assert deciding(attempts)["a"].sample == 1
    counted = measured([attempt.to_row() for attempt in attempts])
    assert sorted(counted["clips"]) == [
        ["dropped", "reason 2", 1], ["failed", "missing", 1], ["kept", "direct", 1], ["kept", "rationalized", 1],
    ]  # fmt: skip


def test_a_pass_rate_is_of_the_direct_samples_of_the_latest_cycle() -> None:
    rejected = {"outcome": "rejected"}
    attempts = [a_sample(0), a_sample(1, **rejected), a_sample(2, **rejected), an_attempt("a", mode="rationalized")]
    assert pass_rate(attempts) == pytest.approx(1 / 3)
    assert pass_rate([*attempts, a_sample(0, cycle=1)]) == 1.0
    assert pass_rate([an_attempt("a", outcome="failed")]) is None
