"""Pins when an answer contains a label, and the reason of each reject. A wrong verdict becomes training data."""

import json
import random
import re
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builders import a_label
from engine import labels
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
from engine.language.words import words
from engine.rows import Mode
from engine.verify.verdict import VerifySpec, verify

STRICT, PAPER, CODE = (VerifySpec(preset=preset) for preset in ("strict", "paper", "code"))
CASE_FILES = sorted((Path(__file__).parents[1] / "verdicts").glob("*.jsonl"))
CASES = {path.stem: [json.loads(line) for line in path.open()] for path in CASE_FILES}


@pytest.mark.parametrize("name", CASES)
def test_the_cases_of_the_suite(name: str) -> None:
    """A case that is open ("open" in its id) is a known wrong verdict: when it becomes right, it is open no longer."""
    wrong = []
    for number, case in enumerate(CASES[name], 1):
        mode: Mode = "rationalized" if case["hint"] else "direct"
        spec = replace(STRICT, language=case.get("language", STRICT.language))
        verdict = verify(case["text"], case["question"], labels.parse(case["label"]), mode, True, spec)
        is_open = "open" in case.get("id", {})
        if (verdict.keep is not case["keep"]) is not is_open:
            wrong.append(f"line {number}: {'open, and right' if is_open else verdict.reason}, and {case['why']}")
    assert wrong == []


def test_the_suite_has_every_kind_both_ways() -> None:
    cases = [case for of_a_kind in CASES.values() for case in of_a_kind]
    assert len(cases) >= 300
    kinds = {(case["label"]["kind"], case["keep"]) for case in cases}
    assert kinds == {(kind, keep) for kind in labels.LABEL_KINDS for keep in (True, False)}


@pytest.mark.waits
def test_a_verdict_needs_no_model_library() -> None:
    """sentence-transformers, and torch and sklearn with it, take seconds to import: only a named sentence model pays for them."""
    libraries = ["sentence_transformers", "sklearn", "torch", "transformers"]
    code = f"import sys, engine.verify.verdict, engine.language.similarity; print(*set({libraries}) & set(sys.modules))"
    root = Path(__file__).parents[2]
    process = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, timeout=60, check=True)
    assert process.stdout.split() == []


DIVING = Keywords(text="diving")
CHOICE = Choice(option="B", options={"A": "running", "B": "diving", "C": "swimming"})
MOMENT = Timestamp(time_s=5, duration_s=20, tolerance_s=1)
STRETCH = TimeRange(start_s=2, end_s=6, duration_s=20)
PLACE = Box(box=(0.1, 0.1, 0.5, 0.5))
STEPS = ClassSequence(items=("run", "jump", "dive"))
STORY = Sentences(items=("He opens the door.", "He leaves."), ordered=True)


@pytest.mark.parametrize(
    ("text", "label", "reason"),
    [
        ("He dives.", DIVING, "contains_label"),
        ("He swims.", DIVING, "label_missing"),
        ("He is not diving.", DIVING, "label_denied"),
        ("He may be diving.", DIVING, "label_open"),
        ("Running, jumping, diving, swimming, cooking.", DIVING, "lists_classes"),
        ("He looks like diving. Final answer: swimming.", DIVING, "other_answer"),
        ("He is diving, diving, diving, diving, diving, diving.", DIVING, "repetition"),
        ("He is diving because the", DIVING, "cut_off"),
        ("He is diving. USER: Is he swimming? ASSISTANT: Yes, he is.", DIVING, "runs_on"),
        ("He is diving.</s><s>[INST] What? [/INST] He is swimming.", DIVING, "runs_on"),
        ("He is diving.<|im_end|>\n<|im_start|>user\nWhat?", DIVING, "runs_on"),
        ("He is diving.<|eot_id|><|start_header_id|>user<|end_header_id|>", DIVING, "runs_on"),
        ("He is diving.<end_of_turn>\n<start_of_turn>user", DIVING, "runs_on"),
        ("He is diving. Human: Does he swim? Assistant: Yes.", DIVING, "runs_on"),
        ("He is diving.\n**User:** What else?", DIVING, "runs_on"),
        ("He is diving.\n1. User: What else?", DIVING, "runs_on"),
        ("He is diving.\nQ: What else?\nA: swimming", DIVING, "runs_on"),
        ("He is diving.\n### Response: swimming", DIVING, "runs_on"),
        ("He is diving.<｜User｜>What else?", DIVING, "runs_on"),
        ("He is diving [USER] what else", DIVING, "runs_on"),
        ("He is diving.\n用户：什么", DIVING, "runs_on"),
        ("He is diving. Question: Does he swim? Answer: Yes.", DIVING, "runs_on"),
        ("ASSISTANT: He is diving.", DIVING, "contains_label"),
        ("He is diving. <|endoftext|>", DIVING, "contains_label"),
        ("Human: a man in red, diving.\nDog: sitting.", DIVING, "contains_label"),
        ("The screen shows SYSTEM: ready while he is diving.", DIVING, "contains_label"),
        ("He corrects <s>swimming</s> diving.", DIVING, "contains_label"),
        ("He is diving.\n### Human: What else?", DIVING, "runs_on"),
        ("He is diving.\nUser: What else?", DIVING, "runs_on"),
        ("He is diving.\n\nQuestion: What else?\nAnswer: swimming", DIVING, "runs_on"),
        ("Question: What happens? Answer: He is diving.", DIVING, "contains_label"),
        ("The user: a man who is diving.", DIVING, "contains_label"),
        ("He calls USER: diving", Keywords(text="USER: diving"), "contains_label"),
        ("He is diving. Actually, he is swimming.", DIVING, "label_missing"),
        ("He is diving. On closer look, he is swimming.", DIVING, "label_missing"),
        ("He is swimming. Actually, he is diving.", DIVING, "contains_label"),
        ("He is actually diving.", DIVING, "contains_label"),
        ("He is divving.", DIVING, "label_missing"),
        ("He is runnning.", Keywords(text="running"), "label_missing"),
        ("He is cookking.", Keywords(text="cooking"), "label_missing"),
        ("He is cooking.", Keywords(text="cook"), "contains_label"),
        ("", DIVING, "empty_answer"),
        ("???", DIVING, "empty_answer"),
        ("(B)", CHOICE, "contains_label"),
        ("It is A.", CHOICE, "wrong_option"),
        ("A and B", CHOICE, "no_single_answer"),
        ("Nothing much.", CHOICE, "no_answer"),
        ("I would say 21, on a scale of 1 to 100.", Number(value=20), "contains_label"),
        ("I would say 21.1.", Number(value=20), "wrong_number"),
        ("More than 19.", Number(value=20), "no_single_answer"),
        ("Many.", Number(value=20), "no_answer"),
        ("At 0:06.", MOMENT, "contains_label"),
        ("At 0:07.", MOMENT, "wrong_time"),
        ("Soon.", MOMENT, "no_answer"),
        ("From 2 to 4 seconds.", STRETCH, "contains_label"),
        ("From 2 to 3.9 seconds.", STRETCH, "low_iou"),
        ("From 6 s to 2 s.", STRETCH, "reversed_range"),
        ("At some time.", STRETCH, "no_answer"),
        ("[.1, .1, 0.5, 0.5]", PLACE, "contains_label"),
        ("[0.6, 0.6, 0.9, 0.9]", PLACE, "low_iou"),
        ("[0.5, 0.5, 0.1, 0.1]", PLACE, "no_area"),
        ("[10, 10, 50, 50]", PLACE, "outside_frame"),
        ("On the left.", PLACE, "no_answer"),
        ("He runs, jumps and then dives.", STEPS, "contains_label"),
        ("He jumps, runs and then dives.", STEPS, "wrong_order"),
        ("He runs and jumps.", STEPS, "label_missing"),
        ("He opens the door. Then he leaves.", STORY, "contains_label"),
        ("He leaves. Then he opens the door.", STORY, "wrong_order"),
        ("He opens the door.", STORY, "label_missing"),
        ("He opens the door but does not leave.", STORY, "label_denied"),
    ],
)
def test_reasons(text: str, label: Label, reason: str) -> None:
    verdict = verify(text, "", label, "direct", True, STRICT)
    assert verdict.reason == reason
    assert verdict.keep is (reason == "contains_label")


def test_all_needs_each_and_any_needs_one() -> None:
    all_of, any_of = (kind(labels=(DIVING, Number(value=20))) for kind in (All, AnyOf))
    assert verify("He is diving; the score is 20.", "", all_of, "direct", True, STRICT).keep
    assert verify("He is diving; the score is 50.", "", all_of, "direct", True, STRICT).reason == "wrong_number"
    assert verify("He is diving; the score is 50.", "", any_of, "direct", True, STRICT).keep


def test_an_answer_cut_off_at_the_limit_is_rejected() -> None:
    assert verify("It is rising", "", a_label(), "direct", False, STRICT).reason == "cut_off"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("As the label says, it is rising.", "gives_away_hint"),
        ("According to the hint it is rising.", "gives_away_hint"),
        ("The answer is rising.", "copies_hint"),
    ],
)
def test_a_rationalization_that_reveals_or_only_copies_its_hint_is_rejected(text: str, reason: str) -> None:
    assert verify(text, "", a_label(), "rationalized", True, STRICT).reason == reason
    assert verify(text, "", a_label(), "direct", True, STRICT).keep


def test_a_part_of_the_label_has_a_score_and_is_rejected() -> None:
    verdict = verify("There is an apple.", "", a_label("eating apple pie"), "direct", True, STRICT)
    assert verdict.score == pytest.approx(1 / 3)
    assert not verdict.keep


def test_a_verdict_has_the_spans_that_decided() -> None:
    verdict = verify("The man was diving there.", "", DIVING, "direct", True, STRICT)
    assert verdict.spans == ((12, 18),)
    assert verdict.extracted == "diving"


@pytest.mark.parametrize(
    ("text", "label", "reason", "place"),
    [
        ("He runs. He is not diving. So.", DIVING, "label_denied", "He is not diving"),
        ("He runs. Perhaps he is diving. So.", DIVING, "label_open", "Perhaps he is diving"),
        ("Running, jumping, swimming, diving.", DIVING, "lists_classes", "Running, jumping, swimming, diving"),
        ("He was diving. The answer is jumping.", DIVING, "other_answer", "jumping"),
        ("No, he sits.", a_label("yes"), "other_answer", "No"),
        ("I choose A.", CHOICE, "wrong_option", "A"),
    ],
)
def test_a_reject_has_the_span_of_what_decided(text: str, label: Label, reason: str, place: str) -> None:
    verdict = verify(text, "", label, "direct", True, STRICT)
    assert verdict.reason == reason
    assert [text[start:end] for start, end in verdict.spans] == [place]


def test_a_revealed_hint_has_the_span_of_its_phrase() -> None:
    text = "He leaps and, as the label says, is diving."
    verdict = verify(text, "", DIVING, "rationalized", True, STRICT)
    assert (verdict.reason, [text[start:end] for start, end in verdict.spans]) == ("gives_away_hint", ["the label says"])


@pytest.mark.parametrize(
    ("text", "label", "strict", "paper", "code"),
    [
        ("He is driving.", DIVING, False, True, True),  # look-alike, ratio 92
        ("She is making it.", Keywords(text="baking"), False, True, False),  # ratio 83: over 80, not over 85
        ("He runs.", Keywords(text="running"), True, False, False),  # word forms
        ("He is not eating apple pie.", Keywords(text="eating apple pie"), False, True, True),  # negation
        ("Anything at all.", Keywords(text="put down"), False, True, True),  # a label of stop words is in every text
        ("He chops wood.", Keywords(text="smashing", aliases=("chopping wood",)), True, False, False),  # aliases
        ("Eating. An apple. A pie.", Keywords(text="eating apple pie"), False, True, True),  # distance
        ("On a scale of 1 to 100 it is 40.", Number(value=95), False, False, True),  # 100 is within 10 % of 95, not within 5 %
        ("On a scale of 1 to 100 it is 40.", Number(value=98), False, True, True),
        ("A 3.5 somersault, scored 70.", Number(value=3.5), False, True, True),  # any number
        ("It is 1,000.", Number(value=1000), True, False, False),  # 1 and 0
        ("Eighty.", Number(value=80), True, False, False),
        ("0.45, in 3 steps", Timestamp(time_s=9, duration_s=20), False, False, False),  # seconds, and the last number
        ("5 seconds", Timestamp(time_s=5, duration_s=20), True, False, False),  # units
        ("At 0.32.", Timestamp(time_s=5, duration_s=20), False, False, True),  # .07 of the clip: within .1, not within .05
        ("From 0.0 to 0.5 of a normalized clip.", TimeRange(start_s=0, end_s=10, duration_s=20), True, False, False),  # touches 0
        ("From 0.1 to 0.5 of a normalized clip.", TimeRange(start_s=2, end_s=10, duration_s=20), True, True, True),
        ("[0.72, 0.72, 0.80, 0.80]", Box(box=(0.6, 0.6, 0.7, 0.7)), False, True, True),  # disjoint, read as centre and size
        ("[0.52, 0.52, 0.62, 0.62]", Box(box=(0.5, 0.5, 0.6, 0.6)), False, True, True),  # IoU 0.47
        ("(0.5, 0.5, 0.6, 0.6)", Box(box=(0.5, 0.5, 0.6, 0.6)), True, False, False),  # round brackets
        ("He dives, jumps and runs.", STEPS, False, True, True),  # one sentence serves every order
    ],
)
def test_where_the_published_rules_go_wrong(text: str, label: Label, strict: bool, paper: bool, code: bool) -> None:
    kept = tuple(verify(text, "", label, "direct", True, spec).keep for spec in (STRICT, PAPER, CODE))
    assert kept == (strict, paper, code)


def test_published_ratios_and_tolerances_are_the_published_ones() -> None:
    assert [verify("washing", "", Keywords(text="watching"), "direct", True, spec).keep for spec in (PAPER, CODE)] == [
        True,
        False,
    ]  # 80.0
    assert [verify("105", "", Number(value=100), "direct", True, spec).keep for spec in (PAPER, CODE)] == [True, True]
    assert [verify("110", "", Number(value=100), "direct", True, spec).keep for spec in (PAPER, CODE)] == [False, True]
    assert [
        verify("0.1 to 0.3", "", TimeRange(start_s=2, end_s=10, duration_s=20), "direct", True, spec).keep for spec in (PAPER, CODE)
    ] == [
        False,
        False,
    ]  # IoU of exactly one half is not above it
    assert not verify("none", "", Number(value=0), "direct", True, CODE).keep  # the original raises and loses the clip


def test_a_label_without_words_is_refused() -> None:
    for value in ({"kind": "keywords", "text": "?!"}, {"kind": "sequence", "items": ["a", " "]}, {"kind": "all", "labels": []}):
        with pytest.raises(ValueError, match=r"no word|empty"):
            labels.parse(value)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"kind": "time_range", "start_s": 5, "end_s": 2, "duration_s": 9}, "start_s 5 is not before end_s 2; swap them"),
        ({"kind": "box", "box": [0.5, 0.5, 1.5, 0.9]}, "leaves the frame"),
        ({"kind": "box", "box": [0.5, 0.5, 0.1, 0.9]}, "no area; is it of another format"),
        ({"kind": "number", "value": float("nan")}, "finite number"),
        ({"kind": "choice", "option": "D", "options": {"A": "x", "B": "y"}}, "option 'D' is not among the options A, B"),
        ({"kind": "timestamp", "time_s": 30, "duration_s": 20}, "not within the clip's 20 s"),
        ({"kind": "nmber", "value": 1}, "label kind 'nmber' is not known"),
        ({"kind": "number", "valu": 1}, "value is missing"),
        ({"text": "x"}, "has no kind"),
        (5, "not an object"),
    ],
)
def test_an_invalid_label_raises_one_line_with_the_remedy(value: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message) as error:
        labels.parse(value)
    assert "\n" not in str(error.value)


TEXTS = st.one_of(
    st.text(), st.lists(st.sampled_from("he is not diving or maybe 5 s to 0:07 [.1, B. the answer: % -".split())).map(" ".join)
)
WORDS = st.text(st.characters(categories=("Lu", "Ll", "Nd")), min_size=1, max_size=9).filter(
    lambda text: any(c.isalnum() for c in text)
)
PHRASES = st.lists(
    st.one_of(WORDS, st.sampled_from("put down the in not or eating pie maybe is he".split())), min_size=1, max_size=5
).map(" ".join)
SHARES = st.floats(0, 1).map(lambda value: round(value, 3))


@st.composite
def random_labels(draw: Any) -> Label:
    kind = draw(st.sampled_from(labels.LABEL_KINDS))
    if kind == "keywords":
        return Keywords(text=draw(PHRASES))
    if kind == "choice":
        return Choice(option="B", options={"A": draw(PHRASES), "B": draw(PHRASES), "C": draw(PHRASES)})
    if kind == "number":
        return Number(value=draw(st.floats(-1e6, 1e6).map(lambda value: round(value, 3))))
    if kind == "timestamp":
        return Timestamp(time_s=20 * draw(SHARES), duration_s=20)
    if kind == "time_range":
        start, length = draw(SHARES), draw(SHARES)
        return TimeRange(start_s=10 * start, end_s=10 * start + 1 + 8 * length, duration_s=20)
    if kind == "box":
        x, y, w, h = (0.1 + 0.4 * draw(SHARES) for _ in range(4))
        return Box(box=(x, y, w, h), format="xywh")
    if kind == "same_or_not":
        return SameOrNot(same=draw(st.booleans()))
    if kind in ("sentences", "sequence"):
        items = tuple(draw(st.lists(PHRASES, min_size=1, max_size=3, unique=True)))
        return Sentences(items=items, ordered=draw(st.booleans())) if kind == "sentences" else ClassSequence(items=items)
    if kind == "reference":
        return labels.Reference(text=draw(PHRASES))
    parts = (Keywords(text=draw(PHRASES)), Number(value=draw(st.integers(1, 99))))
    return All(labels=parts) if kind == "all" else AnyOf(labels=parts)


@given(TEXTS, TEXTS, random_labels(), st.sampled_from(["direct", "rationalized"]), st.sampled_from([STRICT, PAPER, CODE]))
def test_no_text_raises(text: str, question: str, label: Label, mode: Any, spec: VerifySpec) -> None:
    verdict = verify(text, question, label, mode, True, spec)
    assert 0 <= verdict.score <= 1
    assert all(0 <= start <= end <= len(text) for start, end in verdict.spans)


@pytest.mark.parametrize(
    ("text", "same", "keep"),
    [
        ("The objects are the same.", True, True),
        ("The objects are not the same.", True, False),
        ("The objects are not the same.", False, True),
        ("They are the same. No, they are not the same.", False, True),
        ("They're the same.", True, True),
        ("They aren't the same.", False, False),
        ("They are different.", False, False),
    ],
)
def test_the_published_rule_for_same_or_not_takes_the_last_mention(text: str, same: bool, keep: bool) -> None:
    assert verify(text, "?", SameOrNot(same=same), "direct", True, CODE).keep is keep


def test_the_published_stop_words_empty_a_label() -> None:
    """As with spaCy's list: "put into" has no word left, so every answer contains it."""
    assert verify("A dog sleeps.", "?", Keywords(text="put into"), "direct", True, CODE).keep
    assert not verify("A dog sleeps.", "?", Keywords(text="put cup into"), "direct", True, CODE).keep


def test_a_word_that_a_label_repeats_may_stand_once() -> None:
    assert verify("0", "", Keywords(text="0 0"), "direct", True, STRICT).reason in ("contains_label", "label_missing")


@given(random_labels())
def test_a_label_pasted_as_the_answer_is_kept(label: Label) -> None:
    assert verify(label.text, "", label, "direct", True, STRICT).keep


@given(
    st.sampled_from([case for case in CASES["keywords"] if not case["hint"] and case["text"].isascii() and "id" not in case]),
    st.sampled_from([str.upper, str.lower, str.title, lambda text: text.replace(" ", "  "), lambda text: f"  {text} \n"]),
    st.sampled_from(["", "!", " ..."]),
)
def test_case_spacing_and_punctuation_do_not_change_the_verdict(case: dict[str, Any], change: Any, end: str) -> None:
    label = labels.parse(case["label"])
    verdict = verify(change(case["text"]) + end, case["question"], label, "direct", True, STRICT)
    assert verdict.keep is case["keep"]


@given(st.text(st.characters(max_codepoint=127)))
def test_the_faster_pattern_for_ascii_finds_the_same_words(text: str) -> None:
    assert words(text) == words(text + " é")[:-1]


@pytest.mark.parametrize("word", "boxxing fixxed throwwing playying crawlling openning listenning gallopping climbbing".split())
def test_a_word_that_is_misspelt_by_doubling_is_another_word(word: str) -> None:
    right = re.sub(r"(.)\1(?=ing|ed)", r"\1", word)
    assert verify(f"He is {word}.", "?", Keywords(text=right), "direct", True, STRICT).reason == "label_missing"


@pytest.mark.parametrize(
    ("word", "stem"),
    [
        tuple(pair.split("-"))
        for pair in "stopped-stop quitting-quit fuelled-fuel beginning-begin unplugging-unplug trekking-trek".split()
    ],
)
def test_a_letter_that_is_doubled_by_rule_is_a_form(word: str, stem: str) -> None:
    assert verify(f"He is {word} now.", "?", Keywords(text=stem), "direct", True, STRICT).keep


VOCABULARY = "the person stands near a wooden table and walks slowly towards him, while others watch. not B 5 s 0:05 diving".split()
WORDS_AT_MOST = 10_000
PROSE = " ".join(random.Random(0).choices(VOCABULARY, k=WORDS_AT_MOST))
HOSTILE = {
    "loop": "he dives and " * 3333,
    "sentences": " ".join(f"He number{i} dives." for i in range(3333)),
    "distinct words": " ".join(f"w{i}x" for i in range(WORDS_AT_MOST)),
    "prose": PROSE,
    "reasoning": f"<think>{PROSE}</think> diving",
    "one word": "a" * 60_000,
    "blanks": " " * 60_000 + "x",
    "line ends": "\n" * 60_000,
    "numbers": " ".join(map(str, range(WORDS_AT_MOST))),
    "list of numbers": ",".join(map(str, range(WORDS_AT_MOST))),
    "number words": "one hundred " * 5000,
    "clock times": "0:" * 5000,
    "shares": " ".join(f"a{i} {i % 100}%" for i in range(5000)),
    "brackets": "[" * 60_000,
    "braces": '{"a": ' * WORDS_AT_MOST,
    "tags": "<think>" * 8000,
    "boxes": "\\boxed{" * 8000,
    "turns": "\nHuman: x" * 5000,
    "marks": "- diving: no\n" * 5000,
    "quote marks": "> - " * 2000,
    "hyphens": "-".join(["diving"] * WORDS_AT_MOST),
    "pronouns": "it the ball them " * 2500,
    "alternatives": "B or " * 5000,
    "modals": "he should dive " * 3333,
    "digits": "9" * 60_000,
    "han": "跳舞三" * 5000,
}


@pytest.mark.waits
@pytest.mark.parametrize("name", HOSTILE)
def test_a_verdict_is_bounded(name: str) -> None:
    """10 ms at 10,000 words on an idle core: processor time, and a wide margin, because tests share their cores."""
    for label in (DIVING, CHOICE, Number(value=5), MOMENT, STRETCH, PLACE, STEPS, STORY):
        verify("He dives at 5 s.", "When?", label, "direct", True, STRICT)  # loads the dictionary
        start = time.process_time()
        verify(HOSTILE[name], "When?", label, "direct", True, STRICT)
        assert time.process_time() - start < 0.3
