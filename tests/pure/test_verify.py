"""Pins when an answer contains a label, and the reason given when it does not. A wrong verdict becomes training data."""

import pytest

from builders import a_label
from engine.verify.verdict import VerifySpec, verify

STRICT, PAPER, CODE = (VerifySpec(preset=preset) for preset in ("strict", "paper", "code"))


@pytest.mark.parametrize(
    ("text", "label", "reason"),
    [
        ("The red circle starts low and ends high, so the action is rising.", "rising", "contains_label"),
        ("It RISES, slowly!", "rising", "contains_label"),
        ("The ball rose to the top.", "rising", "contains_label"),
        ("He runs along the beach.", "running", "contains_label"),
        ("She is eating a slice of apple pie.", "eating apple pie", "contains_label"),
        ("They have eaten the pie made of apples.", "eating apple pie", "contains_label"),
        ("He is driving a car.", "diving", "label_missing"),
        ("A skydiver in the air.", "dive", "label_missing"),
        ("He is cooking.", "looking", "label_missing"),
        ("The person is not eating apple pie.", "eating apple pie", "label_negated"),
        ("It isn't rising.", "rising", "label_negated"),
        ("It is not sinking, it is rising.", "rising", "contains_label"),
        ("It is not sinking but rising.", "rising", "contains_label"),
        ("It never stops. It is rising.", "rising", "contains_label"),
        ("He picks the cup up.", "put down", "label_missing"),
        ("He puts the cup down.", "put down", "contains_label"),
        ("He is in the water.", "in the", "contains_label"),
        ("He is at home.", "in the", "label_missing"),
        ("An apple lies there. He is eating pie.", "eating apple pie", "label_missing"),
        ("", "rising", "empty_answer"),
        ("   \n", "rising", "empty_answer"),
        ("???", "rising", "label_missing"),
        ("Une personne fait du vélo.", "vélo", "contains_label"),
        ("Ｒｉｓｉｎｇ fast", "rising", "contains_label"),
    ],
)
def test_strict(text: str, label: str, reason: str) -> None:
    verdict = verify(text, a_label(label), "direct", True, STRICT)
    assert verdict.reason == reason
    assert verdict.keep is (reason == "contains_label")


def test_an_alias_counts_as_the_label() -> None:
    assert verify("He chops wood.", a_label("smashing", aliases=("chopping wood",)), "direct", True, STRICT).keep


def test_an_answer_cut_off_at_the_limit_is_rejected() -> None:
    assert verify("It is rising", a_label(), "direct", False, STRICT).reason == "cut_off"


@pytest.mark.parametrize(
    "text", ["As the label says, it is rising.", "According to the hint it is rising.", "I was told it is rising."]
)
def test_a_rationalization_that_gives_its_hint_away_is_rejected(text: str) -> None:
    assert verify(text, a_label(), "rationalized", True, STRICT).reason == "gives_away_hint"
    assert verify(text, a_label(), "direct", True, STRICT).keep


def test_a_part_of_the_label_scores_but_does_not_pass() -> None:
    verdict = verify("There is an apple.", a_label("eating apple pie"), "direct", True, STRICT)
    assert verdict.score == pytest.approx(1 / 3)
    assert not verdict.keep


@pytest.mark.parametrize(
    ("text", "label", "strict", "paper", "code"),
    [
        ("He is driving.", "diving", False, True, True),  # look-alike, ratio 92
        ("She is making it.", "baking", False, True, False),  # ratio 83: over 80, not over 85
        ("He runs.", "running", True, False, False),  # word forms are invisible to the published rule
        ("The person is not eating apple pie.", "eating apple pie", False, True, True),  # so is negation
        ("Anything at all.", "put down", False, True, True),  # a label of stop words only is in every text
    ],
)
def test_where_the_published_rules_go_wrong(text: str, label: str, strict: bool, paper: bool, code: bool) -> None:
    kept = tuple(verify(text, a_label(label), "direct", True, spec).keep for spec in (STRICT, PAPER, CODE))
    assert kept == (strict, paper, code)
