"""Pins how the answer is found within a text, and how labels and languages are read: structure, remarks, articles, word forms."""

import json
from pathlib import Path

import pytest

from engine.labels import Choice, Keywords, Label, Number, TimeRange
from engine.language import hedges, parse
from engine.language.answer import Answer
from engine.language.structure.stated import LONGEST_CHARS, stated
from engine.language.words import refuse_unknown_language
from engine.verify.verdict import VerifySpec, verify

STRICT = VerifySpec()
DIVING = Keywords(text="diving")
CHOICE = Choice(option="B", options={"A": "running", "B": "diving", "C": "swimming"})


@pytest.mark.parametrize(
    ("text", "label", "reason"),
    [
        ("<think>It is diving.</think> swimming", DIVING, "label_missing"),
        ("<think>Is it diving? It is.", DIVING, "no_answer"),
        ("<think>He swims.</think><answer>diving</answer>", DIVING, "contains_label"),
        ("He may swim. \\boxed{\\text{diving}}", DIVING, "contains_label"),
        ("~~diving~~ swimming", DIVING, "label_missing"),
        ('{"label": "swimming", "rejected": ["diving"]}', DIVING, "label_missing"),
        ('{"diving": 0.2, "swimming": 0.8}', DIVING, "label_missing"),
        ("{'diving': True, 'swimming': False}", DIVING, "contains_label"),
        ('[{"label": "diving", "score": 0.1}, {"label": "swimming", "score": 0.9}]', DIVING, "label_missing"),
        ("| diving | no |\n| swimming | yes |", DIVING, "label_missing"),
        ("[ ] diving\n[x] swimming", DIVING, "label_missing"),
        ("diving: 10%, swimming: 90%", DIVING, "label_missing"),
        ("Location: diving board\nAction: talking", DIVING, "label_missing"),
        ("A: no\nB: yes\nC: no", CHOICE, "contains_label"),
        ('{"count": 3, "confidence": 5}', Number(value=5), "wrong_number"),
        ('{"start_time": 2, "end_time": 6}', TimeRange(start_s=2, end_s=6, duration_s=9), "contains_label"),
    ],
)
def test_only_what_the_structure_states_counts(text: str, label: Label, reason: str) -> None:
    assert verify(text, "What is it?", label, "direct", True, STRICT).reason == reason


@pytest.mark.parametrize("text", ["<think>a</think> diving.", "~~a~~ diving | ✗", '{"a": "b", "not": "c"}', ""])
def test_structure_moves_no_offset(text: str) -> None:
    answer_text = stated(text, is_by_words=True)
    assert len(answer_text) == len(text)
    assert all(letter in (" ", text[i]) for i, letter in enumerate(answer_text))


def test_reasoning_in_tags_does_not_count_towards_the_bound() -> None:
    reasoning = " ".join(f"step{i}" for i in range(LONGEST_CHARS))
    assert verify(f"<think>{reasoning}</think> diving", "?", DIVING, "direct", True, STRICT).keep
    assert not verify(f"diving. {reasoning}", "?", DIVING, "direct", True, STRICT).keep


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("He opens a bottle of water.", "contains_label"),
        ("He opens a bottle of wine.", "other_answer"),
        ("He opens a bottle, not a wine one.", "contains_label"),
        ("opening bottle (not wine)", "contains_label"),
    ],
)
def test_a_remark_in_a_label_excludes(text: str, reason: str) -> None:
    label = Keywords(text="opening bottle (not wine)", aliases=("opening bottle",))
    assert verify(text, "?", label, "direct", True, STRICT).reason == reason


@pytest.mark.parametrize(
    "label",
    [
        "putting a cup that can't roll onto a slanted surface, so it stays where it is",
        "lifting a cup with a box on it",
        "poking a cup so that it falls over",
        "moving a cup across a surface without it falling down",
        "trying to pour a cup into a box, but missing so it spills next to it",
    ],
)
def test_articles_of_a_filled_template_may_change(label: str) -> None:
    text = f"The person is {label.replace(' a ', ' the ')}."
    assert verify(text, "?", Keywords(text=label), "direct", True, STRICT).keep


@pytest.mark.parametrize(
    ("language", "label", "text", "keep"),
    [
        ("de", "Zwiebel schneiden", "Die Frau schneidet eine Zwiebel.", True),
        ("de", "Zwiebel schneiden", "Die Frau schneidet keine Zwiebel.", False),
        ("es", "cortar cebolla", "El hombre está cortando una cebolla.", True),
        ("fr", "manger pomme", "Les enfants mangent une pomme.", True),
        ("ru", "резать лук", "Мужчина режет лук.", True),
        ("ru", "резать лук", "Мужчина не режет лук.", False),
        ("ar", "يرقص", "الرجل لا يرقص.", False),
        ("en", "Zwiebel schneiden", "Die Frau schneidet eine Zwiebel.", False),
    ],
)
def test_forms_of_another_language(language: str, label: str, text: str, keep: bool) -> None:
    assert verify(text, "?", Keywords(text=label), "direct", True, VerifySpec(language=language)).keep is keep


def test_what_is_not_known_or_not_there_is_refused() -> None:
    with pytest.raises(ValueError, match=r"verify.language 'xx' is none that simplemma knows"):
        refuse_unknown_language("xx")
    with pytest.raises(ValueError, match="write spacy:MODEL"):
        parse.of("stanza:en")


def test_no_other_words_open_a_scope() -> None:
    """The lists of openers only save time: a word that is missing there would be passed over in silence."""
    lines = (Path(__file__).parents[1] / "verdicts" / "keywords.jsonl").read_text(encoding="utf-8").splitlines()
    for answer in (Answer(json.loads(line)["text"]) for line in lines):
        for first, end in answer.sentences:
            words, breaks = answer.words[first:end], answer.breaks(first, end)
            for i, word in enumerate(words):
                following = words[i + 1] if i + 1 < len(words) else ""
                assert word in hedges.OPENERS or hedges.open_scope(words, breaks, i, following) is None, (word, words)


def test_a_fragment_behind_a_colon_is_parsed_alone() -> None:
    parsed: list[str] = []
    answer = Answer("At 0:05, action : flying kite, location", "?", lambda text: parsed.append(text) or ())
    answer.parsed(answer.words.index("kite"))
    answer.parsed(answer.words.index("action"))
    assert parsed == ["flying kite, location", "At 0:05, action : flying kite, location"]
