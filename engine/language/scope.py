"""How far a negator or hedge reaches: its scope, and the words that end it."""

from collections.abc import Sequence
from typing import Literal, NamedTuple

from engine.language.vocabulary import DIGITS

ASSERTED, DENIED, OPEN = 0, 1, 2
"""Stances of a word. OPEN: mentioned, but neither asserted nor denied."""

NEGATING_PAIRS = frozenset(
    tuple(pair.split())
    for pair in (
        "instead of,rather than,opposed to,far from,lack of,absence of,rules out,ruled out,rule out,ruling out,confused with,"
        "mistaken for,anything but"
    ).split(",")
)
CLAUSE_STARTS = frozenset(
    "but however yet although though while whereas because since so therefore thus hence then instead rather sondern".split()
)
FINITE_VERBS = frozenset("is are was were has".split())
PERSON_PRONOUNS = frozenset("he she they we i".split())
THING_PRONOUNS = frozenset("it this that there".split())
TIMES = frozenset("at from after within around who".split())
"""Words that end an infinitive: "will land after five seconds" asserts the time, "wants to see who is diving" the diving."""
BRIDGES = frozenset(
    "think believe suppose seem seems appear appears indicate indicates suggest suggests evidence sign signs indication case true "
    "mean means claim that if whether who which where like imply implies proof".split()
)
"""Words that carry a negation into the clause behind them: "do not think that he is"."""

ScopeKind = Literal["verb", "subject", "preposition", "infinitive", "maybe", "unsure", "doubt"]


class Scope(NamedTuple):
    """The reach of one negator or hedge: Scope(stance=DENIED, kind="verb", opened_at=2)."""

    stance: int
    kind: ScopeKind
    """What ends it. verb: the clause's end or a finite verb; subject: the same, but the second finite verb; preposition: its noun
    phrase's end; infinitive: as verb, or the next verb of the subject ("wants to win and dances"), a time or a place;
    maybe, doubt: the clause's end; unsure: "but", "however" or "yet"."""
    opened_at: int
    """Position of the last word of the negator or hedge."""
    bridged: bool = False
    """A bridge ("think that") followed, so the scope reaches into the next clause."""
    verb_passed: bool = False
    """A finite verb followed: a negated subject reaches over one of them only."""


def ends_before(scope: Scope, words: Sequence[str], breaks: Sequence[bool], i: int, following: str) -> bool:
    """Whether the scope ends before the word at position i."""
    word, distance = words[i], i - scope.opened_at
    if scope.kind == "unsure":
        return word in ("but", "however", "yet") and distance > 1
    if word in CLAUSE_STARTS and (word, following) not in NEGATING_PAIRS and not (word == "yet" and distance == 1):
        return True
    if breaks[i] and distance > 1:
        return not _continues_list(words, i)
    if scope.kind in ("maybe", "doubt") or scope.bridged:
        return False
    if scope.kind == "infinitive" and _ends_infinitive(word, following):
        return True
    if (
        scope.kind == "preposition"
        and distance > 2
        and words[scope.opened_at + 1] in ("a", "an", "the", "any", "his", "her", "their")
    ):
        return distance > 3 or word.endswith("ing")
    starts = (
        word in PERSON_PRONOUNS
        or (word in THING_PRONOUNS and following in FINITE_VERBS)
        or (word.endswith(("'s", "'re", "'m")) and _is_pronoun(word))
    )
    if starts and distance > 1:
        return True
    return word in FINITE_VERBS and distance > 1 and (scope.kind != "subject" or scope.verb_passed)


def _ends_infinitive(word: str, following: str) -> bool:
    if word == "and":
        return following.endswith("ed") or (following.endswith("s") and not following.endswith("ss"))
    is_means = word == "by" and following.endswith("ing")
    return is_means or word in FINITE_VERBS or word in TIMES or word in DIGITS or word[0].isdigit()


def _is_pronoun(word: str) -> bool:
    return word.partition("'")[0] in PERSON_PRONOUNS | THING_PRONOUNS | {"who"}


def _continues_list(words: Sequence[str], i: int) -> bool:
    """Whether the words from position i on are further items of a list that ends with "or"."""
    for word in words[i : i + 8]:
        if word in ("or", "nor"):
            return True
        if word in CLAUSE_STARTS or word in FINITE_VERBS or word in PERSON_PRONOUNS or word in THING_PRONOUNS or _is_pronoun(word):
            return False
    return False
