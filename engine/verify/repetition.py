"""Reject an answer that repeats itself in a loop, or that breaks off in the middle of a sentence."""

from collections import Counter

from engine.language.answer import Answer
from engine.language.scope import FINITE_VERBS, PERSON_PRONOUNS, THING_PRONOUNS

LOOPS = 4
"""Repetitions in a row that make a loop; for four or more words, and for whole sentences, three do."""
LONGEST = 24
"""Maximum words of the repeated part."""
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
    """
    words = answer.words
    for size in range(1, min(LONGEST, len(words) // 3) + 1):
        matching = 0  # words at the end that equal the word `size` words before them
        while matching < len(words) - size and words[-1 - matching] == words[-1 - matching - size]:
            matching += 1
        loops = LOOPS if size < 4 else 3
        if matching >= (size * (loops - 1) if size > 1 else LOOPS):
            return len(words) - size, len(words)
    distinct = len(set(words))
    if len(words) > 2 * LOOPS and distinct <= len(words) / 3:
        return 0, LOOPS
    if distinct <= VARIED * len(words):
        ranges = {tuple(words[first:end]): (first, end) for first, end in answer.sentences if end - first >= 3}
        sentences = Counter(tuple(words[first:end]) for first, end in answer.sentences if end - first >= 3)
        sentence, times = sentences.most_common(1)[0] if sentences else ((), 0)
        return ranges[sentence] if times >= 3 else None
    return None


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
