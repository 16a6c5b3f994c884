"""Pins that our verdicts decide as TempCompass's published rules (eval_*.py of llyx97/TempCompass), on rows of our own."""

import pytest

from engine.labels import Choice
from engine.verify.verdict import VerifySpec, verify

MULTI = Choice(option="B", options={"A": "lifting up weights", "B": "dunking a basketball", "C": "dribbling", "D": "serving"})
YES_NO = Choice(option="yes", options={"yes": "yes", "no": "no"})
MATCHING = Choice(option="2", options={"1": "The man is dribbling a basketball.", "2": "A man is dunking a basketball."})
LETTERED = Choice(option="B", options={"A": "The water is poured out.", "B": "The water is poured in."})
QUESTION = (
    "What is the person in the video doing?\nA. lifting up weights\nB. dunking a basketball\nC. dribbling\nD. serving\n"
    "Please directly give the best option:"
)


@pytest.mark.parametrize(
    ("text", "rating"),
    [
        ("B", 1),
        ("A", 0),
        ("B.", 1),
        ("B. dunking a basketball", 1),
        ("A. lifting up weights", 0),
        ("B)", 1),
        ("D) serving", 0),
        ("(B)", 1),
        ("(C) dribbling", 0),
        ("dunking a basketball", 1),
        ("dribbling", 0),
        ("The answer is B", 1),
        ("The answer is C.", 0),
        ("The person is dunking a basketball.", 1),
        ("The best option is (B) dunking a basketball.", 1),
        ("", 0),
    ],
)
def test_multiple_choice(text: str, rating: int) -> None:
    assert verify(text, QUESTION, MULTI, "direct", True, VerifySpec()).keep is bool(rating)


@pytest.mark.parametrize(
    ("text", "rating"),
    [("yes", 1), ("no", 0), ("Yes.", 1), ("No.", 0), ("Yes, he is dunking.", 1), ("No, he is not.", 0), ("no yes", 0)],
)
def test_yes_or_no(text: str, rating: int) -> None:
    question = "Is the man dunking a basketball?\nPlease answer yes or no:"
    assert verify(text, question, YES_NO, "direct", True, VerifySpec()).keep is bool(rating)


@pytest.mark.parametrize(
    ("text", "label", "rating"),
    [
        ("Option 2: A man is dunking a basketball.", MATCHING, 1),
        ("Option 1: The man is dribbling a basketball.", MATCHING, 0),
        ("Option 2", MATCHING, 1),
        ("A man is dunking a basketball.", MATCHING, 1),
        ("Sentence B: The water is poured in.", LETTERED, 1),
        ("Sentence A: The water is poured out.", LETTERED, 0),
        ("Sentence B", LETTERED, 1),
    ],
)
def test_caption_matching(text: str, label: Choice, rating: int) -> None:
    question = "Which description is a more suitable match for the video?\nPlease directly give the best option:"
    assert verify(text, question, label, "direct", True, VerifySpec()).keep is bool(rating)
