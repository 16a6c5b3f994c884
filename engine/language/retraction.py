"""Phrases beside a statement that take it back ("... is ruled out"), or make it one of two alternatives ("... or ...")."""

import re
from collections.abc import Sequence

from engine.language.hedges import DISMISSING
from engine.language.scope import BRIDGES, CLAUSE_STARTS, FINITE_VERBS, PERSON_PRONOUNS
from engine.language.supposition import BELIEVED, EARLY, GUESSES

OCCURRENCE = frozenset(
    "the a an what happening shown visible present seen taking "
    "occurring correct right performed depicted it possible here being in "
    "case likely evident done true fit match apply hold happen occur appear part included featured".split()
)
"""Words after "is not" with which a statement is denied, and not a detail of it: "diving is not shown"."""
AUXILIARIES = frozenset("is was are were be can could would has have does do did been seems seemed appears looks to being".split())
FRONTED = frozenset((subject, verb, "not") for subject in ("it", "this", "that") for verb in ("is", "was")) | {
    ("it", "isn't"),
    ("it", "wasn't"),
}
"""What stands behind a denied predicate that comes first: "a dive it is not"."""
EXPECTING = frozenset("expect i'd you'd one'd".split())
"""Words of "is what I'd expect"."""
FILLERS = frozenset("therefore clearly definitely very thus also highly".split())
"""Adverbs that may stand before a dismissal."""
BOUNDARIES = FINITE_VERBS | PERSON_PRONOUNS | CLAUSE_STARTS
"""Words at which an alternative ends."""
COMPARATIVE = re.compile(r"\w{3,}er$|more$|less$|worse$")
AFTER_WORDS, ALTERNATIVE_WORDS, BEFORE_WORDS = 5, 11, 3
"""How many words behind a statement are searched for a dismissal; behind and before it for an "or"."""


def dismissed_after(words: Sequence[str], end: int) -> bool:
    """Whether the words from position `end` on deny what stands before them: "... is not what happens", "... is ruled out".

    >>> dismissed_after("diving is ruled out".split(), 1), dismissed_after("the man diving is not wearing a cap".split(), 3)
    (True, False)
    """
    following_words = list(words[end : end + AFTER_WORDS])
    if following_words[:2] == ["comes", "later"] or tuple(following_words) in FRONTED:
        return True
    if (
        following_words[:1] == ["was"]
        and not EARLY.isdisjoint(following_words[1:3])
        and not GUESSES.isdisjoint(following_words[2:4])
    ):
        return True  # "... was my first thought"
    if following_words[:1] == ["i"] and not BELIEVED.isdisjoint(following_words[1:2]):
        return True  # "it was karaoke, I thought"
    if following_words[following_words[:1] == ["that"] :][:2] == ["would", "have"]:
        return True
    if following_words[:2] == ["would", "be"] and following_words[2:] and COMPARATIVE.match(following_words[2]):
        return True  # "... would be faster"
    if following_words[:2] == ["is", "what"] and not EXPECTING.isdisjoint(following_words):
        return True
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
        if words[i] in ("not", "nor", "neither"):
            return False  # they are others'
        if words[i] == "or":
            return is_listed or i == last + 1
        item_words = 0 if breaks[i] else item_words + 1
        if item_words > 2 or words[i] in BOUNDARIES or words[i] in BRIDGES:
            return False
    return False
