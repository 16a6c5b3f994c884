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
        "mistaken for,anything but,everything but,short of,let alone,compared with,compared to"
    ).split(",")
)
CLAUSE_STARTS = frozenset(
    "but however yet although though while whereas because since so therefore thus hence then instead rather sondern".split()
)
NOT_STARTING = NEGATING_PAIRS | {("so", "far"), ("so", "much"), ("so", "many")}
"""Pairs whose first word is one of CLAUSE_STARTS and starts no clause."""
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

RELATIVES = frozenset("who whom which that".split())
INVERTED = frozenset("does do did is are was were has have can could will would".split())
"""Auxiliaries before their subject, behind a negator at the clause's head: "at no point does he"."""
SUBJECT_STARTS = frozenset("the a an his her their this that he she it they we i you anyone anybody someone".split())
INVERSION_REACH = 16
"""Maximum words from such a negator to the auxiliary."""
INSERTED_REACH = 20
"""Maximum words of an insertion, or of a relative clause up to its verb."""
INCOMPLETE = INVERTED | frozenset("not isn't aren't wasn't doesn't don't didn't cannot can't be been being never".split())
"""Words with which no clause ends: commas behind them enclose an insertion."""

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
    if _is_inserted(scope, words, breaks, i) or i <= _inversion(scope, words):
        return False
    if word == "than" and words[scope.opened_at] == "less":
        return True
    if word in CLAUSE_STARTS and (word, following) not in NOT_STARTING and not (word == "yet" and distance == 1):
        return True
    if breaks[i] and distance > 1:
        is_of_several = scope.kind == "subject" and words[scope.opened_at + 1] == "of"  # "none of A, B and C"
        return not _continues_list(words, i, ("or", "nor", "and") if is_of_several else ("or", "nor"))
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
    if scope.kind == "subject" and is_in_relative(scope, words, i):
        return False
    starts = (
        word in PERSON_PRONOUNS
        or (word in THING_PRONOUNS and following in FINITE_VERBS)
        or (word.endswith(("'s", "'re", "'m")) and _is_pronoun(word))
    )
    if starts and distance > 1:
        return True
    return word in FINITE_VERBS and distance > 1 and (scope.kind != "subject" or scope.verb_passed)


def _is_inserted(scope: Scope, words: Sequence[str], breaks: Sequence[bool], i: int) -> bool:
    """Whether the word is in an insertion, or right behind it: "is not, at least in this clip, dancing"."""
    first = max(scope.opened_at, i - INSERTED_REACH)
    edges = [j for j in range(i, first, -1) if breaks[j]][:2]
    if edges[:1] == [i] and words[i - 1] not in INCOMPLETE:
        edges = edges[1:]  # it may be the insertion's end
    return bool(edges) and words[edges[0] - 1] in INCOMPLETE


def resumption(scope: Scope, words: Sequence[str], breaks: Sequence[bool], i: int) -> int:
    """The position of a negated subject's verb behind an insertion that starts at i: "no student, young or old, is"; else 0."""
    if scope.kind != "subject" or scope.verb_passed or not breaks[i]:
        return 0
    edges = (k for k in range(i + 1, min(len(words), i + INSERTED_REACH)) if breaks[k])
    return next((k for k in edges if words[k] in INVERTED), 0)


def _inversion(scope: Scope, words: Sequence[str]) -> int:
    """The position of the subject of "at no point [...] does he", where the negator stands before its clause; -1 if it does not."""
    if scope.kind not in ("subject", "verb") or scope.stance != DENIED:
        return -1
    for i in range(scope.opened_at + 1, min(len(words) - 1, scope.opened_at + 1 + INVERSION_REACH)):
        if words[i] in INVERTED and words[i + 1] in SUBJECT_STARTS:
            return i + 1
        if words[i] in FINITE_VERBS:
            return -1
    return -1


def is_in_relative(scope: Scope, words: Sequence[str], i: int) -> bool:
    """Whether the word is the subject or the finite verb of a relative clause: "nobody who is outside dances"."""
    between = words[max(scope.opened_at + 1, i - INSERTED_REACH) : i]
    start = next((k for k in range(len(between) - 1, -1, -1) if between[k] in RELATIVES), None)
    return start is not None and FINITE_VERBS.isdisjoint(between[start:])


def _ends_infinitive(word: str, following: str) -> bool:
    if word == "and":
        return following.endswith("ed") or (following.endswith("s") and not following.endswith("ss"))
    is_means = word == "by" and following.endswith("ing")
    return is_means or word in FINITE_VERBS or word in TIMES or word in DIGITS or word[0].isdigit()


def _is_pronoun(word: str) -> bool:
    return word.partition("'")[0] in PERSON_PRONOUNS | THING_PRONOUNS | {"who"}


def _continues_list(words: Sequence[str], i: int, conjunctions: tuple[str, ...]) -> bool:
    """Whether the words from position i on are further items of a list that ends with one of the conjunctions."""
    for word in words[i : i + 8]:
        if word in conjunctions:
            return True
        if word in CLAUSE_STARTS or word in FINITE_VERBS or word in PERSON_PRONOUNS or word in THING_PRONOUNS or _is_pronoun(word):
            return False
    return False
