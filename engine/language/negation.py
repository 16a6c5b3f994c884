"""Which words of an English sentence are asserted, denied or left open: the scopes of negators and hedges.

A negator ("not") or hedge ("may") opens a scope; the words behind it get its stance until a clause boundary ends the scope.
"""

from collections.abc import Sequence

from engine.language import hedges, supposition, unreal
from engine.language.hedges import DIFFICULT, open_scope
from engine.language.negators import NEGATORS, POSTPOSED_NEGATORS, PREPOSITIONAL_NEGATORS, SUBJECT_NEGATORS, denies
from engine.language.scope import (
    ASSERTED,
    BRIDGES,
    DENIED,
    FINITE_VERBS,
    OPEN,
    PERSON_PRONOUNS,
    THING_PRONOUNS,
    Scope,
    ScopeKind,
    ends_before,
    is_in_relative,
    resumption,
)
from engine.language.supposition import supposed_scope
from engine.language.unreal import Topic, topic_at

DOUBTING = frozenset("doubt doubts doubted doubting deny denies denied denying".split())
"""Words that deny what stands behind them, and that assert it if they are denied themselves."""
DISPUTING = frozenset("dispute disputes disputed disputing disagree disagrees refute refutes refuted disbelieve".split())
"""The same before "that"."""
UNDOUBTING = frozenset("without beyond little".split())
"""Words beside the negators that deny a doubt."""
AFFIRMING_AFTER = {
    "not": frozenset("only just merely simply solely least mention".split()),
    "no": frozenset("doubt question matter other wonder".split()),
    "none": frozenset(["other"]),
    "nothing": frozenset(["other", "but", "except"]),
    "without": frozenset("doubt question".split()),
    "nicht": frozenset(["nur"]),
}
"""Words after a negator that cancel it: not only, no doubt."""
CONTINUING = frozenset("stop stops stopped help resist".split())
"""Words after any negator that cancel it: "cannot stop laughing" asserts laughing."""
KNOWLEDGE = frozenset("sure certain clear obvious evident possible able tell say determine determined know known discern".split())
"""Words that leave the rest open when they are denied: not sure, cannot tell."""
CONVINCED = frozenset("sure certain confident".split())
EVEN_CHANCE = 50
"""Per cent below which a statement is rather wrong than right."""
DOUBT_REACH = 4
"""Maximum words from a negator to the doubt that it denies: "no reason at all to doubt"."""
SEEMING = frozenset("looks look looked looking appears appear appeared seems seem seemed".split())
FIRST = frozenset("first initially".split())
"""Before SEEMING: "at first glance it looks like"."""
CONCEDING = frozenset("although though while".split())
EVEN = (("even", "if"), ("even", "though"), ("even", "when"))
"""Words at a sentence's start whose clause ends at the next comma: what is unsure in it is sure behind it."""
TRYING = frozenset("tries try trying tried attempts attempt attempting attempted order".split())
"""Before "to": "tries to", "in order to"."""
DONE = frozenset("does do did".split())
"""Behind "which he" at a sentence's end: what was asked for or wished for happens."""
TENTATIVE = SEEMING | TRYING
UNCONVINCING = SEEMING | CONVINCED | {"likely"}
RETRACTING = frozenset("but however actually turned turns proved proves".split())
"""Words behind SEEMING and TRYING that take back what stands between: "what looked like ... turned out to be"."""
OPENERS = (
    NEGATORS
    | SUBJECT_NEGATORS
    | POSTPOSED_NEGATORS
    | DOUBTING
    | DISPUTING
    | hedges.OPENERS
    | unreal.OPENERS
    | supposition.GOVERNORS
    | {"would"}
)
"""All words at which a scope may open, besides contractions of "not" and "will"."""
OWN = OPENERS | TENTATIVE | unreal.PRINTS | unreal.DEPICTIONS | frozenset("maybe perhaps possibly".split())
"""Words of a label that change stances, besides contractions."""
TOPIC_SCOPES: dict[Topic, Scope] = {
    "omitted": Scope(DENIED, "infinitive", 0),
    "unreal": Scope(OPEN, "infinitive", 0),
    "mention": Scope(OPEN, "verb", 0),
}


def stances(
    words: Sequence[str], breaks: Sequence[bool], own: frozenset[str] = frozenset(), expected: frozenset[Topic] = frozenset()
) -> bytearray:
    """ASSERTED, DENIED or OPEN for each word of a sentence.

    `breaks`: for each word, whether punctuation stands before it. `own`: words of the label, which open no scope ("not moving").
    `expected`: topics of the question, which open none either: "he will dive" answers "What will he do?".

    >>> list(stances("it is not sinking but rising".split(), [False] * 6)), list(stances("he may be diving".split(), [False] * 4))
    ([0, 0, 0, 1, 0, 0], [0, 0, 2, 2])
    """
    flags = bytearray(len(words))
    scope: Scope | None = None
    resumed_at = -1
    concession_end = _concession_end(words, breaks)
    may_open = [(word in OPENERS or "'" in word) and word not in own for word in words]
    for i, word in enumerate(words) if any(may_open) else ():
        if not scope and not may_open[i]:
            continue
        following = words[i + 1] if i + 1 < len(words) else ""
        resumed_at = (
            max(resumed_at, resumption(scope, words, breaks, i))
            if scope and scope.kind == "subject" and i > resumed_at
            else resumed_at
        )
        if scope and i < resumed_at:
            flags[i] = scope.stance
            continue
        if scope and i > resumed_at and (ends_before(scope, words, breaks, i, following) or 0 < i == concession_end):
            scope = None
        if scope:
            flags[i] = scope.stance
            if word in BRIDGES and i - scope.opened_at <= 4:
                scope = scope._replace(bridged=True)
            if scope.stance == DENIED and word in KNOWLEDGE and i - scope.opened_at <= 3:
                scope = Scope(OPEN, "unsure", i)
            if word in FINITE_VERBS and not is_in_relative(scope, words, i):
                scope = scope._replace(verb_passed=True)
        if scope and scope.stance == DENIED and (words[i - 1], word) in (("other", "than"), ("anything", "but")):
            scope = None  # "anything but" and "other than" assert what follows
            continue
        if may_open[i] and (opened := _opened_scope(words, breaks, i, own, expected)):
            scope = _joined(scope, opened)
    if len(words) > 3 and words[-3] in ("which", "and") and words[-2] in PERSON_PRONOUNS and words[-1] in DONE:
        flags = bytearray(ASSERTED if flag == OPEN else flag for flag in flags)  # "asks him to dive, which he does"
    for i, word in enumerate(words) if not POSTPOSED_NEGATORS.isdisjoint(words) else ():
        if word in POSTPOSED_NEGATORS and word not in own and words[i + 1 : i + 2] not in (("nur",), ["nur"]):
            clause_start = max((j for j in range(i + 1) if breaks[j]), default=0)
            flags[clause_start:i] = bytes([DENIED]) * (i - clause_start)
    for first, end in _retracted_ranges(words, own):
        for i in range(first, end):
            flags[i] = flags[i] or OPEN
    if _admits_not_knowing(words) or _is_unconvinced(words):
        return bytearray(flag or OPEN for flag in flags)
    if words and words[-1] in ("maybe", "perhaps", "possibly") and words[-1] not in own:
        return bytearray(flag or OPEN for flag in flags)
    return flags


def _concession_end(words: Sequence[str], breaks: Sequence[bool]) -> int:
    """The position behind the comma that ends an "although ..." at the sentence's start; 0 without one."""
    if words and (words[0] in CONCEDING or tuple(words[:2]) in EVEN):
        return next((i for i in range(len(words)) if breaks[i]), 0)
    return 0


def _joined(scope: Scope | None, opened: Scope) -> Scope | None:
    """The scope behind a word that opens one within another: "never fails to" asserts, and "maybe he wants to" stays a maybe."""
    if opened.kind == "doubt" and (opened.stance == ASSERTED or (scope and scope.stance == DENIED)):
        return None
    if not scope or (opened.kind != "infinitive" and not (scope.kind == "unsure" and opened.stance == OPEN)):
        return opened
    return None if scope.stance == opened.stance == DENIED else scope


def _retracted_ranges(words: Sequence[str], own: frozenset[str]) -> list[tuple[int, int]]:
    """Word ranges that a later "but" takes back: "it looks like ... but", "he tries to ... but"."""
    ranges = []
    for i, word in enumerate(words) if not TENTATIVE.isdisjoint(words) else ():
        tries = word in TRYING and words[i + 1 : i + 2] in (("to",), ["to"])
        if word not in own and (word in SEEMING or tries):
            is_conceded = word in SEEMING and not CONCEDING.isdisjoint(words[max(0, i - 3) : i])
            is_conceded = is_conceded or (word in SEEMING and not FIRST.isdisjoint(words[max(0, i - 5) : i]))
            end = next((j for j in range(i + 1, len(words)) if words[j] in RETRACTING), len(words) if is_conceded else 0)
            if end:
                ranges.append((i, end))
    return ranges


def _admits_not_knowing(words: Sequence[str]) -> bool:
    """Whether the sentence ends like "but I do not know"."""
    for i in range(max(2, len(words) - 2), len(words)):
        if words[i] in KNOWLEDGE and any(
            word.endswith("n't") or word in ("not", "cannot", "never") for word in words[max(0, i - 3) : i]
        ):
            return words[i] in ("know", "tell", "sure", "certain", "say")
    return False


def _is_unconvinced(words: Sequence[str]) -> bool:
    """Whether the sentence gives itself a low chance ("10 % sure"), or another statement the same ("just as likely")."""
    for i, word in enumerate(words[1:], 1) if not UNCONVINCING.isdisjoint(words) else ():
        before = words[i - 1]
        if word in CONVINCED and before.isdigit() and int(before[:4]) < EVEN_CHANCE:
            return True
        if word == "likely" and before in ("as", "equally"):
            return True
        if word in SEEMING and tuple(words[max(0, i - 2) : i]) == ("so", "it"):
            return True
    return False


def _opened_scope(
    words: Sequence[str], breaks: Sequence[bool], i: int, own: frozenset[str], expected: frozenset[Topic]
) -> Scope | None:
    """The scope that the word at position i opens, or None."""
    following = words[i + 1] if i + 1 < len(words) else ""
    if words[i] in DOUBTING or (words[i] in DISPUTING and following == "that"):
        return _doubting_scope(words, breaks, i)
    if denies(words[i]):
        return _denied_scope(words, breaks, i, following)
    if words[i] == "would" and "if" in words[:i]:
        return Scope(OPEN, "maybe", i)
    if (topic := topic_at(words, i, own)) and not (topic == "omitted" and following in CONTINUING):
        is_bridged = topic == "mention" and (following == "that" or not {"when", "how", "what"}.isdisjoint(words[i + 1 : i + 4]))
        return None if topic in expected else TOPIC_SCOPES[topic]._replace(opened_at=i, bridged=is_bridged)
    if "unreal" not in expected and (supposed := supposed_scope(words, breaks, i)):
        return supposed
    return open_scope(words, breaks, i, following)


def _denied_scope(words: Sequence[str], breaks: Sequence[bool], i: int, following: str) -> Scope | None:
    """The scope of a negator; None if the words around it cancel it."""
    word = words[i]
    after = AFFIRMING_AFTER.get("not" if word.endswith("n't") else word, frozenset())
    if (
        following in after
        or following in CONTINUING
        or (i and words[i - 1] in DIFFICULT)
        or (following in ("a", "any", "the") and i + 2 < len(words) and words[i + 2] in after)
    ):
        return None
    if word == "no" and (following in PERSON_PRONOUNS or following in THING_PRONOUNS or (i + 1 < len(words) and breaks[i + 1])):
        return None  # an interjection: "No, he dives"
    if word in POSTPOSED_NEGATORS and i + 1 < len(words) and breaks[i + 1]:
        return None
    kind: ScopeKind = "subject" if word in SUBJECT_NEGATORS else "preposition" if word in PREPOSITIONAL_NEGATORS else "verb"
    return Scope(DENIED, kind, i)


def _doubting_scope(words: Sequence[str], breaks: Sequence[bool], i: int) -> Scope:
    """The scope of a doubt: "no doubt" and "nobody would deny" assert what follows, whatever stands before them."""
    first = max((j for j in range(i + 1) if breaks[j]), default=0)
    before = words[max(first, i - DOUBT_REACH) : i]
    is_denied = any(denies(word) or word in UNDOUBTING for word in before)
    return Scope(ASSERTED if is_denied else DENIED, "doubt", i)
