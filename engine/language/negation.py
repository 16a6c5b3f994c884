"""Which words of an English sentence are asserted, denied or left open: the scopes of negators and hedges.

A negator ("not") or hedge ("may") opens a scope; the words behind it get its stance until a clause boundary ends the scope.
"""

from collections.abc import Sequence
from typing import Literal, NamedTuple

ASSERTED, DENIED, OPEN = 0, 1, 2
"""Stances of a word. OPEN: mentioned, but neither asserted nor denied."""

NEGATORS = frozenset(
    "not cannot never without hardly scarcely barely rarely seldom unlike lacks lacking fails failed failing refuses refused "
    "refusing avoids avoided avoiding denies denied pretend pretends pretended pretending unlikely isnt arent wasnt werent dont "
    "doesnt didnt cant couldnt wont wouldnt hasnt havent "
    "nicht kein keine keinen ne não non не 没 不 未 無 无 别 別".split()
)
SUBJECT_NEGATORS = frozenset("no none nobody nothing neither nor nowhere".split())
"""Negators that can be the subject: the verb that follows is denied too."""
NEGATING_PAIRS = frozenset(
    tuple(pair.split())
    for pair in (
        "instead of,rather than,opposed to,far from,lack of,absence of,rules out,ruled out,rule out,ruling out,confused with,"
        "mistaken for,anything but"
    ).split(",")
)
PREPOSITIONAL_NEGATORS = frozenset("without unlike instead rather opposed far lack absence lacks lacking confused mistaken".split())
"""Negators that deny a noun phrase and nothing behind it."""
AFFIRMING_AFTER = {
    "not": frozenset("only just merely simply solely least mention".split()),
    "no": frozenset("doubt question matter other wonder".split()),
    "none": frozenset(["other"]),
    "nothing": frozenset(["other", "but", "except"]),
    "without": frozenset("doubt question".split()),
}
"""Words after a negator that cancel it: not only, no doubt."""
CONTINUING = frozenset("stop stops stopped help resist".split())
"""Words after any negator that cancel it: "cannot stop laughing" asserts laughing."""

HEDGES = frozenset("might may maybe perhaps possibly either whether if could potentially possible".split())
MODAL_NOUN_BEFORE = frozenset("a an the in of on his her their its my all early late last next since until".split())
"""Words after which "may" is a month and "might" is strength."""
UNCERTAIN = frozenset(
    "unsure uncertain unclear unknown doubtful options choices possibilities candidates alternatives resembles resembling reminds "
    "remind reminiscent".split()
)
"""Words that leave the rest of their sentence open."""
KNOWLEDGE = frozenset("sure certain clear obvious evident possible able tell say determine determined know known discern".split())
"""Words that leave the rest open when they are denied: not sure, cannot tell."""
DIFFICULT = frozenset("hard difficult tough impossible wrong incorrect inaccurate misleading".split())
"""Words that leave the rest open before "to": hard to tell, wrong to say."""
ASKING_PAIRS = frozenset(
    tuple(pair.split()) for pair in "asked about,ask about,asks about,asking about,question about,question of".split(",")
)
DEPICTIONS = frozenset("poster painting drawing billboard statue".split())
"""Pictures: what they show does not happen in the video."""
PERCEPTION = frozenset("be see seen".split())
"""Words after could, may and can that mean perception and no doubt: "could be seen"."""

CLAUSE_STARTS = frozenset(
    "but however yet although though while whereas because since so therefore thus hence then instead rather".split()
)
FINITE_VERBS = frozenset("is are was were has".split())
PERSON_PRONOUNS = frozenset("he she they we i".split())
THING_PRONOUNS = frozenset("it this that there".split())
BRIDGES = frozenset(
    "think believe suppose seem seems appear appears indicate indicates suggest suggests evidence sign signs indication case true "
    "mean means claim that if whether who which where like imply implies proof".split()
)
"""Words that carry a negation into the clause behind them: "do not think that he is"."""

SEEMING = frozenset("looks look looked looking appears appear appeared seems seem seemed".split())
TRYING = frozenset("tries try trying tried attempts attempt attempting attempted about going".split())
STOPPING = frozenset("stop stops stopped stopping quit quits".split())
WISHING = frozenset("wants want wanted wishes plans planning intends hopes".split())
DISMISSING = frozenset("unlikely wrong incorrect false absent excluded impossible missing inaccurate untrue".split())
"""Words that dismiss a statement: "it is wrong that", "... is unlikely"."""

ScopeKind = Literal["verb", "subject", "preposition", "maybe", "unsure"]


class Scope(NamedTuple):
    """The reach of one negator or hedge: Scope(stance=DENIED, kind="verb", opened_at=2)."""

    stance: int
    kind: ScopeKind
    """What ends it. verb: the clause's end or a finite verb; subject: the same, but the second finite verb; preposition: its noun
    phrase's end; maybe: the clause's end; unsure: "but", "however" or "yet"."""
    opened_at: int
    """Position of the last word of the negator or hedge."""
    bridged: bool = False
    """A bridge ("think that") followed, so the scope reaches into the next clause."""
    verb_passed: bool = False
    """A finite verb followed: a negated subject reaches over one of them only."""


def stances(words: Sequence[str], breaks: Sequence[bool], own: frozenset[str] = frozenset()) -> bytearray:
    """ASSERTED, DENIED or OPEN for each word of a sentence.

    `breaks`: for each word, whether punctuation stands before it. `own`: words of the label, which open no scope ("not moving").

    >>> list(stances("it is not sinking but rising".split(), [False] * 6)), list(stances("he may be diving".split(), [False] * 4))
    ([0, 0, 0, 1, 0, 0], [0, 0, 2, 2])
    """
    flags = bytearray(len(words))
    scope: Scope | None = None
    for i, word in enumerate(words):
        following = words[i + 1] if i + 1 < len(words) else ""
        if scope and _ends_before(scope, words, breaks, i, following):
            scope = None
        if scope:
            flags[i] = scope.stance
            if word in BRIDGES and i - scope.opened_at <= 4:
                scope = scope._replace(bridged=True)
            if scope.stance == DENIED and word in KNOWLEDGE and i - scope.opened_at <= 3:
                scope = Scope(OPEN, "unsure", i)
            if word in FINITE_VERBS:
                scope = scope._replace(verb_passed=True)
        if scope and scope.stance == DENIED and (words[i - 1], word) in (("other", "than"), ("anything", "but")):
            scope = None  # "anything but" and "other than" assert what follows
            continue
        if word not in own and (opened := _opened_scope(words, breaks, i, following)):
            scope = scope if scope and scope.kind == "unsure" and opened.stance == OPEN else opened
    for first, end in _retracted_ranges(words):
        for i in range(first, end):
            flags[i] = flags[i] or OPEN
    if _admits_not_knowing(words):
        return bytearray(flag or OPEN for flag in flags)
    if words and words[-1] in ("maybe", "perhaps", "possibly") and words[-1] not in own:
        return bytearray(flag or OPEN for flag in flags)
    return flags


def _retracted_ranges(words: Sequence[str]) -> list[tuple[int, int]]:
    """Word ranges that a later "but" takes back: "it looks like ... but", "he tries to ... but"."""
    ranges = []
    for i, word in enumerate(words):
        tries = word in TRYING and words[i + 1 : i + 2] in (("to",), ["to"])
        if word in SEEMING or tries:
            end = next((j for j in range(i + 1, len(words)) if words[j] in ("but", "however", "actually")), 0)
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


def _opened_scope(words: Sequence[str], breaks: Sequence[bool], i: int, following: str) -> Scope | None:
    """The scope that the word at position i opens, or None."""
    if _denies(words[i]):
        return _denied_scope(words, breaks, i, following)
    return _open_scope(words, i, following)


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
    kind: ScopeKind = "subject" if word in SUBJECT_NEGATORS else "preposition" if word in PREPOSITIONAL_NEGATORS else "verb"
    return Scope(DENIED, kind, i)


def _open_scope(words: Sequence[str], i: int, following: str) -> Scope | None:
    """The scope of a word that is no negator but denies what follows ("instead of"), or leaves it open."""
    word = words[i]
    if i and (words[i - 1], word) in NEGATING_PAIRS:
        return Scope(DENIED, "preposition", i)
    if word in UNCERTAIN or (word == "one" and tuple(words[i + 1 : i + 4]) == ("of", "the", "following")):
        return Scope(OPEN, "unsure", i)
    if word in ("shows", "showing", "depicts", "of") and not DEPICTIONS.isdisjoint(words[max(0, i - 6) : i]):
        return Scope(OPEN, "unsure", i)
    if (i and (words[i - 1], word) in ASKING_PAIRS) or (word == "possible" and following.endswith("s")):
        return Scope(OPEN, "unsure", i)
    if word in DIFFICULT and following == "to":
        return Scope(OPEN, "unsure", i)
    if word in DISMISSING and following == "that":
        return Scope(DENIED, "unsure", i)
    if word in STOPPING and following.endswith("ing") and not any(_denies(other) for other in words[max(0, i - 2) : i]):
        return Scope(DENIED, "verb", i)
    if word in WISHING and following == "to":
        return Scope(OPEN, "maybe", i)
    if word == "would" and "if" in words[:i]:
        return Scope(OPEN, "maybe", i)
    if word in ("may", "might") and i and words[i - 1] in MODAL_NOUN_BEFORE:
        return None
    if word in HEDGES and not (following in PERCEPTION and any(verb in words[i + 1 : i + 3] for verb in ("see", "seen"))):
        return Scope(OPEN, "maybe", i)
    return None


def _ends_before(scope: Scope, words: Sequence[str], breaks: Sequence[bool], i: int, following: str) -> bool:
    """Whether the scope ends before the word at position i."""
    word, distance = words[i], i - scope.opened_at
    if scope.kind == "unsure":
        return word in ("but", "however", "yet") and distance > 1
    if word in CLAUSE_STARTS and (word, following) not in NEGATING_PAIRS and not (word == "yet" and distance == 1):
        return True
    if breaks[i] and distance > 1:
        return not _continues_list(words, i)
    if scope.kind == "maybe" or scope.bridged:
        return False
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


def _denies(word: str) -> bool:
    return word in NEGATORS or word in SUBJECT_NEGATORS or word.endswith("n't")


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
