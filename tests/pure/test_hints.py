"""Pins hints and questions in the published form: what the release's string holds, and what its rules can read of it."""

import pytest

from engine.generate.hints import in_shares, published_hint
from engine.generate.prompts import PUBLISHED, STRICT, answer_prompt, rationalize_prompt, train_prompt
from engine.labels import (
    All,
    AnyOf,
    Box,
    Choice,
    ClassSequence,
    Keywords,
    Label,
    Number,
    SameOrNot,
    Sentences,
    TimeRange,
    Timestamp,
)
from engine.verify.verdict import VerifySpec, verify

DIVE = All(
    labels=(
        ClassSequence(key="action_sequence", items=("Inward", "3.5 Soms.Tuck", "Entry")),
        Keywords(key="action_difficulty", text="3.2"),
        Number(key="final_score", value=65.6),
    )
)


@pytest.mark.parametrize(
    ("label", "hint"),
    [
        (DIVE, "action sequence: Inward, 3.5 Soms.Tuck, Entry. action difficulty: 3.2. final score: 65.6"),
        (Keywords(text="doing yoga"), "doing yoga"),
        (All(labels=(Keywords(key="objects", text="cup"), Keywords(key="objects", text="box"))), "objects: cup, box"),
        (Timestamp(key="normalized_time", time_s=5, duration_s=8), "normalized time: 0.625"),
        (TimeRange(key="temporal_range", start_s=1, end_s=2, duration_s=3), "temporal range: 0.3333, 0.6667"),
        (Box(key="location", box=(0.1, 0.2, 0.4, 0.4), format="xywh"), "location: [0.1000, 0.2000, 0.5000, 0.6000]"),
        (Sentences(key="answer_question", items=("The closet.",)), "answer question: The closet"),
        (SameOrNot(key="same_or_not", same=False), "same or not: the objects are NOT the same"),
        (Choice(option="B", options={"A": "up", "B": "down"}), "down"),
        (AnyOf(labels=(Keywords(text="sofa"), Keywords(text="couch"))), "sofa"),
    ],
)
def test_a_hint_names_its_keys(label: Label, hint: str) -> None:
    assert published_hint(label) == hint
    prompt = rationalize_prompt(PUBLISHED, "What?", label)
    assert f"\nAnswer: {hint}.\n" in prompt, "one full stop at the end"


@pytest.mark.parametrize(
    "label",
    [
        DIVE,
        Timestamp(time_s=5, duration_s=8),
        TimeRange(start_s=1, end_s=2, duration_s=3),
        Box(box=(0.1, 0, 0.5, 1)),
        SameOrNot(same=False),
        SameOrNot(same=True),
    ],
)
@pytest.mark.parametrize("preset", ["paper", "code"])
def test_who_repeats_the_hint_is_kept_by_the_published_rules(label: Label, preset: str) -> None:
    """Seconds, and a box with fewer decimals, could not be read: nothing that was rationalized would be kept."""
    answer = f"Answer: {published_hint(label)}."
    assert verify(answer, "?", label, "rationalized", True, VerifySpec(preset=preset)).keep  # type: ignore[arg-type]
    if isinstance(label, Timestamp | TimeRange | Box):
        assert not verify(f"Answer: {label.text}.", "?", label, "rationalized", True, VerifySpec(preset="code")).keep


def test_a_question_about_times_says_that_they_are_shares_once() -> None:
    label = TimeRange(start_s=1, end_s=2, duration_s=3)
    note = "as shares of the video's length, from 0 to 1."
    assert in_shares("When does he jump? Give the start and the end in seconds.", label).endswith(f"the end {note}")
    assert in_shares("When does he jump?", label) == f"When does he jump? Give times {note}"
    for question in (in_shares("When?", label), "When does he jump, between 0 and 1?"):
        assert in_shares(question, label) == question
    assert in_shares("What does he do?", Keywords(text="jump")) == "What does he do?"


def test_strict_prompts_know_neither_keys_nor_shares() -> None:
    label = TimeRange(key="temporal_range", start_s=1, end_s=2, duration_s=3)
    assert rationalize_prompt(STRICT, "When?", label).splitlines()[:2] == ["When?", "Hint: the answer is from 1 s to 2 s."]
    assert answer_prompt(STRICT, "When?", label).startswith("When?\n")
    asked = "When? Give times as shares of the video's length, from 0 to 1."
    assert answer_prompt(PUBLISHED, "When?", label).startswith(f"Question: {asked}\n")
    assert train_prompt(PUBLISHED, "When?", label) == asked, "the stored question asks for what its answer says"


@pytest.mark.parametrize(("text", "keep"), [("It is a hard dive.", False), ("The difficulty is 3.", False), ("It has 3.0.", True)])
def test_a_difficulty_is_a_word_as_it_is_spelled(text: str, keep: bool) -> None:
    label = Keywords(key="action_difficulty", text="3.0")
    assert verify(text, "?", label, "direct", True, VerifySpec(preset="paper")).keep is keep
