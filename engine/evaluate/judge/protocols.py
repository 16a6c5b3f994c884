"""What the judge of an evaluation set is asked, and what its reply means. Pure: a question in, texts out; a reply in, a mark out.

The protocols are those of Video-ChatGPT (2306.05424), which Video-STaR and PLLaVA report: a reply is a Python dictionary with a
yes or no and a score of 0 to 5, or with a score alone. The wording is our own; [evaluate.judge.wordings] takes the released one.
"""

import ast
import json
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from engine.judging import Wording

HIGHEST = 5
"""Score."""
_PAIR = "Question: {question}\nCorrect answer: {answer}\nPredicted answer: {prediction}\n\n"
_TWO = (
    "Question 1: {question}\nQuestion 2: {question_2}\nCorrect answer to both: {answer}\n"
    "Predicted answer to question 1: {prediction}\nPredicted answer to question 2: {prediction_2}\n\n"
)
_ONLY = "Reply with this Python dictionary alone, without any other text. Example: "


def _wording(task: str, user: str) -> Wording:
    return Wording(
        system=f"You score answers that a model gave to questions about videos. {task} Synonyms and other words for the same thing "
        "are as good as the words of the correct answer.",
        user=user,
    )


def _scored(task: str, what: str, form: str = _PAIR) -> Wording:
    score = f"Give a score for {what}: an integer from 0, the worst, to {HIGHEST}, the best. {_ONLY}{{'score': 4}}"
    return _wording(task, f"{form}{score}")


WORDINGS: Mapping[str, Wording] = {
    "qa": _wording(
        "Say whether the predicted answer means the same as the correct one.",
        f"{_PAIR}Say yes or no, and give a score for how well both match in meaning: an integer from 0 to {HIGHEST}, the best. "
        f"{_ONLY}{{'pred': 'yes', 'score': 4}}",
    ),
    "vcg_correctness": _scored(
        "Look at the facts alone: does the predicted answer state what the correct one states, without anything wrong or misread?",
        "its factual correctness",
    ),
    "vcg_detail": _scored(
        "Look at the details alone: does the predicted answer cover every main point of the correct one, and does it name "
        "specific things where a general remark would be easy?",
        "how complete and how specific it is",
    ),
    "vcg_context": _scored(
        "Look at the context alone: does the predicted answer fit what the video is about as a whole, its themes and its mood, "
        "without anything beside the point?",
        "how well it fits the context",
    ),
    "vcg_temporal": _scored(
        "Look at the order in time alone: does the predicted answer tell the events in the same order as the correct one?",
        "its order in time",
    ),
    "vcg_consistency": _scored(
        "You are given two questions that ask nearly the same, one correct answer to both, and the answer predicted to each. Say "
        "how consistent the two predicted answers are: with one another, and with the correct one.",
        "their consistency",
        _TWO,
    ),
}


@dataclass(frozen=True, slots=True)
class Question:
    """Question("qa", "msvd/12", "What does he play?", "guitar", "He plays a guitar.")"""

    protocol: str
    clip_id: str
    question: str
    answer: str
    """The label's."""
    prediction: str
    question_2: str = ""
    prediction_2: str = ""

    def text(self, template: str) -> str:
        """The template with its places filled in, in one pass: what a question holds is not replaced again."""
        names = ("question", "answer", "prediction", "question_2", "prediction_2")
        values = {f"{{{name}}}": str(getattr(self, name)) for name in names}
        return re.sub("|".join(map(re.escape, values)), lambda place: values[place[0]], template)


@dataclass(frozen=True, slots=True)
class Mark:
    """Mark(score=4, is_right=True)"""

    score: int
    is_right: bool | None = None
    """None in protocols without a yes or no."""


def refuse_unknown_wordings(wordings: Mapping[str, Wording]) -> None:
    """Raises ValueError for a protocol that is not known, and for a wording that leaves out what has to be judged."""
    for name, wording in wordings.items():
        if name not in WORDINGS:
            raise ValueError(f"[evaluate.judge.wordings.{name}]: known are {', '.join(WORDINGS)}")
        if missing := [place for place in ("{answer}", "{prediction}") if place not in wording.user]:
            raise ValueError(f"[evaluate.judge.wordings.{name}]: its user text has no {missing[0]}; mark its place")


def mark_of(protocol: str, reply: str) -> Mark | None:
    """What a reply says; None where it is not the dictionary that was asked for. A score with a fraction is cut, as published.

    >>> mark_of("qa", "{'pred': 'Yes', 'score': 4.8}"), mark_of("qa", '```json\\n{"pred": "no", "score": "1"}\\n```')
    (Mark(score=4, is_right=True), Mark(score=1, is_right=False))
    >>> mark_of("vcg_detail", "{''score': 3}"), mark_of("vcg_detail", "{'score': 9}"), mark_of("qa", "Both mean the same: 5.")
    (Mark(score=3, is_right=None), None, None)
    """
    marks = {mark for value in _dictionaries(reply) if (mark := _mark(value, protocol == "qa"))}
    return marks.pop() if len(marks) == 1 else None


def _mark(value: Mapping[Any, Any], has_verdict: bool) -> Mark | None:
    try:
        score = float(value.get("score", "none"))
    except (TypeError, ValueError):
        return None
    verdict = str(value.get("pred", "")).strip().lower()
    if not math.isfinite(score) or not 0 <= score <= HIGHEST or (has_verdict and verdict not in ("yes", "no")):
        return None
    return Mark(int(score), verdict == "yes" if has_verdict else None)


def _dictionaries(reply: str) -> Iterator[Mapping[Any, Any]]:
    """Of JSON or of Python, without reasoning in tags. Judges copy the example of the released prompts, {''score': 4.8}."""
    stated = re.sub(r"(?s)\A.*</think(?:ing)?>", "", reply)
    for match in re.finditer(r"\{[^{}]*\}", stated):
        text = match[0].replace("{''", "{'")
        for read in (json.loads, ast.literal_eval):
            try:
                value = read(text)
            except (ValueError, SyntaxError, RecursionError, MemoryError):
                continue
            if isinstance(value, dict):
                yield value
                break
