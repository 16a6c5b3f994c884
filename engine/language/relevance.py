"""Of several numbers, times or boxes in a text: which one is about what was asked?"""

import itertools
from bisect import bisect_left
from collections.abc import Sequence

from engine.language.text import Said
from engine.language.vocabulary import FUNCTION_WORDS, PEOPLE
from engine.language.words import label_words, lemmas

ASKING = (
    FUNCTION_WORDS
    | PEOPLE
    | frozenset(
        "what when where which who how many much long far often time times moment second seconds start end begin does do did "
        "happen occur video clip frame give answer from between range interval during bounding box as normalized please action "
        "event place take first last number in on to there".split()
    )
)
"""Words of a question that do not say what it is about."""


def most_relevant(said: Said, question: str, words: Sequence[int]) -> list[int]:
    """Which of the things that begin at these words have most of the question's words nearest to them; all where none has any.

    Each word of the text belongs to the nearest of them in its line and sentence.

    >>> said = Said("0:02 - she takes a knife\\n0:09 - she cuts an onion")
    >>> most_relevant(said, "When does she cut the onion?", [0, 6])
    [1]
    """
    asked = frozenset(form for word in label_words(question) if word not in ASKING for form in lemmas(word))
    scores = [0] * len(words)
    for first, end in _lines(said):
        inside = list(range(bisect_left(words, first), bisect_left(words, end)))
        if not inside:
            continue
        met: set[tuple[int, str]] = set()
        for i in range(first, end):
            if not asked.isdisjoint(lemmas(said.words[i])):
                later = bisect_left(inside, i, key=lambda at: words[at])
                nearest = min(inside[max(0, later - 1) : later + 1], key=lambda at: (abs(words[at] - i), at))
                met.add((nearest, min(asked & lemmas(said.words[i]))))
        for nearest, _ in met:
            scores[nearest] += 1
    best = max(scores, default=0)
    return [at for at, score in enumerate(scores) if score == best]


def _lines(said: Said) -> list[tuple[int, int]]:
    """Sentences, cut where a line ends."""
    ends = [i for i in range(1, len(said.words)) if "\n" in said.gap(i)]
    edges = sorted({0, *ends, *(first for first, _ in said.sentences), len(said.words)})
    return list(itertools.pairwise(edges))
