"""Pins which of a clip's samples is trained on, how a clip with several is counted, and what a pass rate is."""

import pytest

from builders import a_clip, an_attempt
from engine.generate.ledger import Ledger, balance, deciding
from engine.generate.measures import measured
from engine.generate.prompts import STRICT
from engine.labels import All, AnyOf, Box, Choice, Keywords, Label, Number, TimeRange, Timestamp
from engine.rows import Attempt
from engine.select.choose import pass_rate, preferred, select
from engine.select.votes import votes

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
    assert preferred(a_clip(label=Number(value=3.5, tolerance=0.2)), samples, prefer).sample == chosen  # type: ignore[arg-type]


def test_the_latest_cycle_and_a_direct_answer_come_first() -> None:
    attempts = [a_sample(0, cycle=0), a_sample(3, cycle=1), an_attempt("a", cycle=1, mode="rationalized"), a_sample(2, cycle=1)]
    (example,) = select([a_clip("a")], attempts, BOTH, STRICT)
    assert (example.cycle, example.mode) == (1, "direct")
    assert preferred(a_clip("a"), attempts, ()).sample == 2


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


@pytest.mark.parametrize(
    ("label", "details", "expected"),
    [
        (Timestamp(time_s=5.0, duration_s=20.0), ("5 s", "5 seconds", "0:05", "5.5 s", "the end"), (3, 3, 3, 1, 1)),
        (Number(value=3), ("three", "3", "", "3.1"), (3, 3, 3, 1)),
        (Number(value=120), ("2", "two minutes", "120", "118"), (3, 3, 3, 1)),
        (TimeRange(start_s=2.0, end_s=5.0, duration_s=20.0), ("2 s to 5 s", "0:02 - 0:05", "1 to 5 s"), (2, 2, 1)),
        (Box(box=(0.1, 0.2, 0.5, 0.6)), ("[0.1, 0.2, 0.5, 0.6]", "x1=.1 y1=.2 x2=.5 y2=.60", "[0.1, 0.2, 0.5, 0.7]"), (2, 2, 1)),
        (Keywords(text="diving"), ("dives", "diving", "is diving"), (3, 3, 3)),
        (Choice(option="B", options={"A": "running", "B": "diving"}), ("B", "diving", "B) diving"), (3, 3, 3)),
        (AnyOf(labels=(Keywords(text="sofa"), Keywords(text="chair"))), ("sofas", "a sofa", "chair"), (2, 2, 1)),
        (All(labels=(Keywords(text="diving"), Number(value=76.5))), ("dives | 76.5", "diving | 76.50", "diving | 76"), (2, 2, 1)),
    ],
)
def test_samples_vote_by_what_they_say_and_not_by_its_spelling(
    label: Label, details: tuple[str, ...], expected: tuple[int, ...]
) -> None:
    samples = [a_sample(number, detail=detail) for number, detail in enumerate(details)]
    assert tuple(votes(a_clip(label=label, question="What is it?"), samples).values()) == expected


def test_what_the_rules_did_not_keep_has_no_vote() -> None:
    """The detail of an answer that a judge keeps is the judge's prose, and of one that a person keeps it is why it was rejected."""
    clip = a_clip(label=Number(value=3))
    others = [a_sample(1, detail="It says 3.", reason="judge_keep"), a_sample(2, detail="7", reason="people_keep")]
    assert votes(clip, [a_sample(0, detail="3"), *others]) == {0: 1, 1: 0, 2: 0}
    assert preferred(clip, [*others, a_sample(3, "It is 3.", "3")], ("vote", "length")).sample == 3


def test_a_pass_rate_is_of_the_direct_samples_of_the_examples_own_cycle() -> None:
    rejected = {"outcome": "rejected"}
    attempts = [a_sample(0), a_sample(1, **rejected), a_sample(2, **rejected), an_attempt("a", mode="rationalized")]
    later = [a_sample(number, cycle=1, **rejected) for number in range(2)]
    assert pass_rate([*attempts, *later], 0) == pytest.approx(1 / 3)
    assert pass_rate([*attempts, *later], 1) == 0.0
    assert pass_rate([an_attempt("a", outcome="failed")], 0) is None
