"""Which words of an English sentence are asserted, denied or left open: the scopes of negators and hedges.

A negator ("not") or hedge ("may") opens a scope; the words behind it get its stance until a clause boundary ends the scope.
"""

from collections.abc import Sequence

from engine.language.scope import (
    ASSERTED,
    BRIDGES,
    DENIED,
    FINITE_VERBS,
    NEGATING_PAIRS,
    OPEN,
    PERSON_PRONOUNS,
    THING_PRONOUNS,
    Scope,
    ScopeKind,
    ends_before,
)
from engine.language.supposition import supposed_scope
from engine.language.unreal import DEPICTIONS, Topic, is_omitted, topic_at

NEGATORS = frozenset(
    "not cannot never without hardly scarcely barely rarely seldom unlike lacks lacking avoids avoided avoiding "
    "pretend pretends pretended pretending unlikely isnt arent wasnt werent dont doesnt didnt cant couldnt wont wouldnt hasnt "
    "havent ne não non не 没 不 未 無 无 别 別".split()
)
POSTPOSED_NEGATORS = frozenset("nicht kein keine keinen niet geen inte ikke".split())
"""Negators of other languages that may stand behind what they deny: "Er tanzt nicht"."""
SUBJECT_NEGATORS = frozenset("no none nobody nothing neither nor nowhere".split())
"""Negators that can be the subject: the verb that follows is denied too."""
PREPOSITIONAL_NEGATORS = frozenset("without unlike instead rather opposed far lack absence lacks lacking confused mistaken".split())
"""Negators that deny a noun phrase and nothing behind it."""
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
DOUBT_REACH = 4
"""Maximum words from a negator to the doubt that it denies: "no reason at all to doubt"."""
PREFERRING = {
    "over": frozenset(
        "choose chooses chose chosen choosing pick picks picked select selects selected prefer prefers preferred favor favors "
        "favored favour favours favoured".split()
    ),
    "to": frozenset("prefer prefers preferred".split()),
}
"""Preposition -> verbs with which it denies what stands behind it: "I choose B over A"."""
PREFERENCE_REACH = 4
"""Maximum words from such a verb to its preposition."""
PERCEPTION = frozenset("be see seen".split())
"""Words after could, may and can that mean perception and no doubt: "could be seen"."""

SEEMING = frozenset("looks look looked looking appears appear appeared seems seem seemed".split())
CONCEDING = frozenset("although though while".split())
EVEN = (("even", "if"), ("even", "though"), ("even", "when"))
"""Words at a sentence's start whose clause ends at the next comma: what is unsure in it is sure behind it."""
TRYING = frozenset("tries try trying tried attempts attempt attempting attempted".split())
RETRACTING = frozenset("but however actually turned turns proved proves".split())
"""Words behind SEEMING and TRYING that take back what stands between: "what looked like ... turned out to be"."""
STOPPING = frozenset("stop stops stopped stopping quit quits".split())
DISMISSING = frozenset("unlikely wrong incorrect false absent excluded impossible missing inaccurate untrue".split())
"""Words that dismiss a statement: "it is wrong that", "... is unlikely"."""

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
    concession_end = _concession_end(words, breaks)
    for i, word in enumerate(words):
        following = words[i + 1] if i + 1 < len(words) else ""
        if scope and (ends_before(scope, words, breaks, i, following) or 0 < i == concession_end):
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
        if word not in own and (opened := _opened_scope(words, breaks, i, own, expected)):
            scope = _joined(scope, opened)
    for i, word in enumerate(words):
        if word in POSTPOSED_NEGATORS and word not in own and words[i + 1 : i + 2] not in (("nur",), ["nur"]):
            clause_start = max((j for j in range(i + 1) if breaks[j]), default=0)
            flags[clause_start:i] = bytes([DENIED]) * (i - clause_start)
    for first, end in _retracted_ranges(words):
        for i in range(first, end):
            flags[i] = flags[i] or OPEN
    if _admits_not_knowing(words):
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


def _retracted_ranges(words: Sequence[str]) -> list[tuple[int, int]]:
    """Word ranges that a later "but" takes back: "it looks like ... but", "he tries to ... but"."""
    ranges = []
    for i, word in enumerate(words):
        tries = word in TRYING and words[i + 1 : i + 2] in (("to",), ["to"])
        if word in SEEMING or tries:
            end = next((j for j in range(i + 1, len(words)) if words[j] in RETRACTING), 0)
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
        return None if topic in expected else TOPIC_SCOPES[topic]._replace(opened_at=i)
    if "unreal" not in expected and (supposed := supposed_scope(words, breaks, i)):
        return supposed
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


def _open_scope(words: Sequence[str], i: int, following: str) -> Scope | None:
    """The scope of a word that is no negator but denies what follows ("instead of"), or leaves it open."""
    word = words[i]
    if word in ("over", "to") and not PREFERRING[word].isdisjoint(words[max(0, i - PREFERENCE_REACH) : max(0, i - 1)]):
        return Scope(DENIED, "preposition", i)
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
    is_stopped = following.endswith("ing") and not any(denies(other) for other in words[max(0, i - 2) : i])
    if word in STOPPING and is_stopped and not (i and is_omitted(words, i - 1)):
        return Scope(DENIED, "verb", i)
    if word == "though" and i and words[i - 1] == "as":
        return Scope(OPEN, "maybe", i)
    if word in ("may", "might") and i and words[i - 1] in MODAL_NOUN_BEFORE:
        return None
    if word in HEDGES and not (following in PERCEPTION and any(verb in words[i + 1 : i + 3] for verb in ("see", "seen"))):
        return Scope(OPEN, "maybe", i)
    return None


def denies(word: str) -> bool:
    """Whether the word is a negator."""
    return (
        word in NEGATORS or word in SUBJECT_NEGATORS or word in POSTPOSED_NEGATORS or word.endswith("n't") or word.startswith("n'")
    )
