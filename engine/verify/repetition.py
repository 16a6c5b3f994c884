"""Reject an answer that repeats itself in a loop, or that breaks off in the middle of a sentence."""

from collections import Counter
from collections.abc import Sequence

import numpy as np

from engine.language.answer import Answer
from engine.language.scope import FINITE_VERBS, PERSON_PRONOUNS, THING_PRONOUNS

LOOPS = 4
"""Repetitions in a row that make a loop at the end; for four or more words, and for whole sentences, three do."""
LONGEST = 24
"""Maximum words of the repeated part."""
LONG_RUN = 40
"""Words of a loop anywhere in an answer three times as long: shorter ones before the end are lists and emphasis."""
RECENT = 400
"""Words at the end that are looked at as a whole: a longer text has fewer distinct words without repeating itself."""
VARIED = 0.75
"""Share of distinct words above which no sentence can occur three times."""
DANGLING = frozenset(
    "the a an and or but because of which whose if than is are was were am that's to from with into their his he she they "
    "we".split()
)
"""Words with which no answer ends."""


def repeated_range(answer: Answer) -> tuple[int, int] | None:
    """The word range of a part that the answer repeats in a loop; None if it does not.

    >>> repeated_range(Answer("he dives and he dives and he dives and he dives and")), repeated_range(Answer("very very high"))
    ((9, 12), None)
    >>> repeated_range(Answer("he dives and " * 40 + "then he swims away with two friends"))
    (0, 3)
    """
    words = answer.words
    for size in range(1, min(LONGEST, len(words) // 3) + 1):
        repeated = size * ((LOOPS if size < 4 else 3) - 1) if size > 1 else LOOPS
        if len(words) >= size + repeated and words[-repeated:] == words[-repeated - size : -size]:
            return len(words) - size, len(words)
    if len(words) >= 3 * LONG_RUN and (run := _long_run(words)):
        return run
    recent = words[-RECENT:]
    distinct = len(set(recent))
    if len(recent) > 2 * LOOPS and distinct <= len(recent) / 3:
        return len(words) - len(recent), len(words) - len(recent) + LOOPS
    return _repeated_sentence(answer) if distinct <= VARIED * len(recent) else None


def _long_run(words: Sequence[str]) -> tuple[int, int] | None:
    """The first turn of a loop of at least LONG_RUN words, wherever it stands."""
    numbers: dict[str, int] = {}
    codes = np.fromiter((numbers.setdefault(word, len(numbers)) for word in words), np.int32, len(words))
    for size in range(1, min(LONGEST, len(words) // 3) + 1):
        differing = np.flatnonzero(codes[size:] != codes[:-size])
        edges = np.concatenate(([-1], differing, [len(codes) - size]))
        runs = np.diff(edges) - 1  # words in a row that equal the word `size` words before them
        longest = int(runs.argmax())
        if runs[longest] + size >= max(LONG_RUN, 3 * size):
            first = int(edges[longest]) + 1
            return first, first + size
    return None


def _repeated_sentence(answer: Answer) -> tuple[int, int] | None:
    """The last of three or more equal sentences among the recent ones."""
    start = len(answer.words) - RECENT
    recent = [(first, end) for first, end in answer.sentences if end - first >= 3 and first >= start]
    ranges = {answer.words[first:end]: (first, end) for first, end in recent}
    if len(ranges) > len(recent) - 2:
        return None
    sentence, times = Counter(answer.words[first:end] for first, end in recent).most_common(1)[0]
    return ranges[sentence] if times >= 3 else None


def breaks_off(answer: Answer) -> bool:
    """Whether the last word cannot end an answer. "Yes, he is" and "..., isn't he?" are whole.

    >>> breaks_off(Answer("The person is diving because the")), breaks_off(Answer("The person is diving"))
    (True, False)
    """
    before, last = answer.words[-2:] if len(answer.words) > 1 else ("", "")
    is_ellipsis = (before in PERSON_PRONOUNS | THING_PRONOUNS and last in FINITE_VERBS) or (
        before.endswith("n't") and last in PERSON_PRONOUNS
    )
    return last in DANGLING and not (is_ellipsis and answer.text.rstrip()[-1] in ".!?")
