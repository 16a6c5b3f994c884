"""Phrases beside a statement that take it back ("... is ruled out"), or make it one of two alternatives ("... or ...")."""

from collections.abc import Sequence

from engine.language.negation import DISMISSING
from engine.language.scope import BRIDGES, CLAUSE_STARTS, FINITE_VERBS, PERSON_PRONOUNS

OCCURRENCE = frozenset(
    "the a an what happening shown visible present seen taking "
    "occurring correct right performed depicted it possible here being in "
    "case likely evident done true fit match apply hold happen occur appear".split()
)
"""Words after "is not" with which a statement is denied, and not a detail of it: "diving is not shown"."""
AUXILIARIES = frozenset("is was are were be can could has have does do did been seems appears to being".split())
FILLERS = frozenset("therefore clearly definitely very thus also highly".split())
"""Adverbs that may stand before a dismissal."""
BOUNDARIES = FINITE_VERBS | PERSON_PRONOUNS | CLAUSE_STARTS
"""Words at which an alternative ends."""
AFTER_WORDS, ALTERNATIVE_WORDS, BEFORE_WORDS = 5, 11, 3
"""How many words behind a statement are searched for a dismissal; behind and before it for an "or"."""


def dismissed_after(words: Sequence[str], end: int) -> bool:
    """Whether the words from position `end` on deny what stands before them: "... is not what happens", "... is ruled out".

    >>> dismissed_after("diving is ruled out".split(), 1), dismissed_after("the man diving is not wearing a cap".split(), 3)
    (True, False)
    """
    following_words = list(words[end : end + AFTER_WORDS])
    has_auxiliary = False
    for i, word in enumerate(following_words):
        following = following_words[i + 1] if i + 1 < len(following_words) else ""
        if word.endswith("n't") or word == "cannot" or (has_auxiliary and word in ("not", "never", "no")):
            return following in OCCURRENCE or not following or following in AUXILIARIES
        is_out = (word == "ruled" and following == "out") or following_words[i : i + 4] == ["out", "of", "the", "question"]
        if has_auxiliary and (word in DISMISSING or is_out):
            return True
        if word in AUXILIARIES:
            has_auxiliary = True
        elif word not in FILLERS:
            return False
    return False


def is_alternative(words: Sequence[str], breaks: Sequence[bool], first: int, last: int) -> bool:
    """Whether the words first..last are one side of an "or".

    >>> is_alternative("he is diving or swimming".split(), [False] * 5, 2, 2)
    True
    >>> is_alternative("or he is diving".split(), [False] * 4, 3, 3)
    False
    """
    for i in range(first - 1, max(-1, first - 1 - BEFORE_WORDS), -1):
        if words[i] == "or":
            return i > 0
        if breaks[i + 1] or words[i] in BOUNDARIES:
            break
    is_listed = last + 1 < len(words) and breaks[last + 1]
    item_words = 0
    for i in range(last + 1, min(len(words), last + 1 + ALTERNATIVE_WORDS)):
        if words[i] == "either":
            return False  # the alternatives start here
        if words[i] == "or":
            return is_listed or i == last + 1
        item_words = 0 if breaks[i] else item_words + 1
        if item_words > 2 or words[i] in BOUNDARIES or words[i] in BRIDGES:
            return False
    return False
