"""What the judge says about each answer: right or not and a score of 0 to 5, or Video-ChatGPT's five dimensions."""

import re
from collections.abc import Sequence

import numpy as np

from engine.evaluate.judge.asker import Asker
from engine.evaluate.judge.protocols import Question
from engine.evaluate.metrics import VCG
from engine.evaluate.scores import Array, Means, Row, Source
from engine.rows import Attempt, Clip

CONSISTENCY = VCG.index("consistency")
OF_GROUP = {"generic": (0, 1, 2), "temporal": (3,), "consistency": (CONSISTENCY,)}
"""Dimensions that the benchmark scores, by the file that a question is in, which is the clip's group."""
HALF = re.compile(r"(.+)[/:#_-]q?([12])")
"""The ids of two clips that ask the same in two ways end in 1 and in 2."""


def build(source: str, means: Means) -> Source:
    assert means.asker is not None, "a set with judged metrics and no judge is refused before the run begins"
    if source == "qa":
        return Source(2, Answers(means.asker).measure)
    return Source(len(VCG), Dimensions(means.asker, means.dimensions).measure)


def question_of(protocol: str, clip: Clip, attempt: Attempt, second: tuple[str, str] = ("", "")) -> Question:
    """`second`: question and answer of the other half of a pair."""
    return Question(protocol, clip.clip_id, clip.question, clip.label.text, attempt.text, *second)


class Answers:
    """Columns: 1 for yes and 0 for no, then the score. A clip that failed has no and 0; a reply that says neither has no value."""

    def __init__(self, asker: Asker) -> None:
        self._asker = asker

    def measure(self, rows: Sequence[Row]) -> Array:
        values = np.zeros((len(rows), 2))
        answered = [number for number, (_, attempt) in enumerate(rows) if attempt.outcome != "failed"]
        marks = self._asker.marks([question_of("qa", *rows[number]) for number in answered])
        for number, mark in zip(answered, marks, strict=True):
            values[number] = (np.nan, np.nan) if mark is None else (float(bool(mark.is_right)), mark.score)
        return values


class Dimensions:
    """A column for each dimension; NaN where a clip is not scored in it.

    Two clips that are a pair have one score of consistency, which the second one gets.
    """

    def __init__(self, asker: Asker, wanted: frozenset[int]) -> None:
        self._asker, self._wanted = asker, wanted
        self._halves: dict[str, Row] = {}
        """Of pairs whose other half has not come yet."""

    def measure(self, rows: Sequence[Row]) -> Array:
        values = np.full((len(rows), len(VCG)), np.nan)
        places, questions = list[tuple[int, int]](), list[Question]()
        for number, row in enumerate(rows):
            for dimension in self._dimensions(row[0]):
                question = self._pair(row) if dimension == CONSISTENCY else question_of(f"vcg_{VCG[dimension]}", *row)
                if question is None:
                    continue
                values[number, dimension] = 0.0
                if not _has_failed(question):
                    places.append((number, dimension))
                    questions.append(question)
        for place, mark in zip(places, self._asker.marks(questions), strict=True):
            values[place] = np.nan if mark is None else mark.score
        return values

    def _dimensions(self, clip: Clip) -> list[int]:
        own = OF_GROUP.get(clip.group.partition("/")[0], tuple(range(CONSISTENCY)))
        return [dimension for dimension in own if dimension in self._wanted]

    def _pair(self, row: Row) -> Question | None:
        """None for the first half. Raises ValueError for a clip that is no half of a pair."""
        clip, _ = row
        half = HALF.fullmatch(clip.clip_id)
        if half is None:
            raise ValueError(
                f"clip {clip.clip_id!r} is to be scored in consistency, and is no half of a pair: the ids of its two clips "
                "are the same up to /1 and /2"
            )
        other = self._halves.pop(half[1], None)
        if other is None:
            self._halves[half[1]] = row
            return None
        first, second = sorted([other, row], key=lambda own: own[0].clip_id)
        failed = "failed" in (first[1].outcome, second[1].outcome)
        question = question_of("vcg_consistency", *first, (second[0].question, second[1].text))
        return question if not failed else Question("", clip.clip_id, "", "", "")


def _has_failed(question: Question) -> bool:
    return not question.protocol
