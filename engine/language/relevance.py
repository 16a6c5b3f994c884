"""Which of several numbers, times or boxes in a text is nearest to the words of the question."""

import itertools
from bisect import bisect_left
from collections.abc import Sequence

from engine.language.answer import Answer
from engine.language.vocabulary import FUNCTION_WORDS, PEOPLE
from engine.language.words import label_words, lemmas

QUESTION_WORDS = (
    FUNCTION_WORDS
    | PEOPLE
    | frozenset(
        "what when where which who how many much long far often time times moment second seconds start end begin does do did "
        "happen occur video clip frame give answer from between range interval during bounding box as normalized please action "
        "event place take first last number in on to there".split()
    )
)
"""Words of a question that do not name its topic."""


def most_relevant(answer: Answer, question: str, positions: Sequence[int]) -> list[int]:
    """Indices into `positions` (ascending) of those that most question words stand nearest to; all if no question word occurs.

    Each word of the text counts for the nearest position in its line and sentence, each question word once.

    >>> answer = Answer("0:02 - she takes a knife\\n0:09 - she cuts an onion")
    >>> most_relevant(answer, "When does she cut the onion?", [0, 6])
    [1]
    """
    topic = frozenset(form for word in label_words(question) if word not in QUESTION_WORDS for form in lemmas(word))
    scores = [0] * len(positions)
    for first, end in _lines(answer):
        inside = list(range(bisect_left(positions, first), bisect_left(positions, end)))
        if not inside:
            continue
        matches: set[tuple[int, str]] = set()
        for i in range(first, end):
            if not topic.isdisjoint(lemmas(answer.words[i])):
                later = bisect_left(inside, i, key=lambda index: positions[index])
                nearest = min(
                    inside[max(0, later - 1) : later + 1], key=lambda index: _distance(answer, i, positions[index], index)
                )
                matches.add((nearest, min(topic & lemmas(answer.words[i]))))
        for nearest, _ in matches:
            scores[nearest] += 1
    best = max(scores, default=0)
    return [index for index, score in enumerate(scores) if score == best]


def _distance(answer: Answer, i: int, position: int, index: int) -> tuple[bool, int, int]:
    """How far a word is from a position: another item of a list, behind an "and" or a comma, is further than any other word."""
    first, last = sorted((i, position))
    between = range(first + 1, last + 1)
    is_other_item = any(answer.words[j] == "and" or "," in answer.gap_before(j) for j in between)
    return is_other_item, last - first, index


def _lines(answer: Answer) -> list[tuple[int, int]]:
    """Word ranges of the sentences, cut at line ends."""
    line_starts = [i for i in range(1, len(answer.words)) if "\n" in answer.gap_before(i)]
    edges = sorted({0, *line_starts, *(first for first, _ in answer.sentences), len(answer.words)})
    return list(itertools.pairwise(edges))
