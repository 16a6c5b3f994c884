"""Does a sentence assert a word, deny it, or leave it open? Scopes of negation and hedging, for English."""

from collections.abc import Sequence
from typing import NamedTuple

PLAIN, DENIED, OPEN = 0, 1, 2

NOT = frozenset(
    "not cannot never without hardly scarcely barely rarely seldom unlike lacks lacking fails failed failing refuses refused "
    "refusing avoids avoided avoiding denies denied pretend pretends pretended pretending unlikely isnt arent wasnt werent dont "
    "doesnt didnt cant couldnt wont wouldnt hasnt havent "
    "nicht kein keine keinen ne não non не 没 不 未 無 无 别 別".split()
)
SUBJECTS = frozenset("no none nobody nothing neither nor nowhere".split())
"""Negators that stand before the verb: the verb that follows is denied too."""
PHRASES = frozenset(
    tuple(pair.split())
    for pair in (
        "instead of,rather than,opposed to,far from,lack of,absence of,rules out,ruled out,rule out,ruling out,confused with,"
        "mistaken for,anything but"
    ).split(",")
)
PREPOSITIONS = frozenset("without unlike instead rather opposed far lack absence lacks lacking confused mistaken".split())
AFFIRMING_AFTER = {
    "not": frozenset("only just merely simply solely least mention".split()),
    "no": frozenset("doubt question matter other wonder".split()),
    "none": frozenset(["other"]),
    "nothing": frozenset(["other", "but", "except"]),
    "without": frozenset("doubt question".split()),
}
"""Words that turn a negator around: not only, no doubt."""
GOING_ON = frozenset("stop stops stopped help resist".split())
"""So do these: he cannot stop laughing."""

MAYBE = frozenset("might may maybe perhaps possibly either whether if could potentially possible".split())
THINGS_BEFORE = frozenset("a an the in of on his her their its my all early late last next since until".split())
"""After these may is a month and might is strength."""
UNSURE = frozenset(
    "unsure uncertain unclear unknown doubtful options choices possibilities candidates alternatives resembles resembling reminds "
    "remind reminiscent".split()
)
"""These leave open whatever comes after them in their sentence."""
KNOWING = frozenset("sure certain clear obvious evident possible able tell say determine determined know known discern".split())
"""Denied, they leave open what comes after them: not sure, cannot tell."""
HARD = frozenset("hard difficult tough impossible wrong incorrect inaccurate misleading".split())
"""With "to" behind them they do the same: hard to tell, wrong to say."""
ASKING = frozenset(
    tuple(pair.split()) for pair in "asked about,ask about,asks about,asking about,question about,question of".split(",")
)
DEPICTIONS = frozenset("poster painting drawing billboard statue".split())
"""What these show does not happen."""
SEEN = frozenset("be see seen".split())
"""After could, may and can: perception, not doubt."""

CLAUSE = frozenset(
    "but however yet although though while whereas because since so therefore thus hence then instead rather".split()
)
FINITE = frozenset("is are was were has".split())
PERSONS = frozenset("he she they we i".split())
THINGS = frozenset("it this that there".split())
BRIDGES = frozenset(
    "think believe suppose seem seems appear appears indicate indicates suggest suggests evidence sign signs indication case true "
    "mean means claim that if whether who which where like imply implies proof".split()
)
"""Between a negator and a clause of its own, they let the negation through: not think that he is."""

SEEMING = frozenset("looks look looked looking appears appear appeared seems seem seemed".split())
TRYING = frozenset("tries try trying tried attempts attempt attempting attempted about going".split())
ENDING = frozenset("stop stops stopped stopping quit quits".split())
WISHING = frozenset("wants want wanted wishes plans planning intends hopes".split())
DISMISSED = frozenset("unlikely wrong incorrect false absent excluded impossible missing inaccurate untrue".split())
EXISTING = frozenset(
    "the a what happening shown visible present seen taking occurring correct right performed depicted it possible here being in "
    "case likely evident done true fit match apply hold happen occur appear".split()
)
AUXILIARIES = frozenset("is was are were be can could has have does do did been seems appears to being".split())


class Scope(NamedTuple):
    flag: int
    kind: str
    began: int
    """The negator's or hedger's last word."""
    bridged: bool = False
    free: bool = False
    """Whether the verb that a negated subject may have has come."""


def stances(words: Sequence[str], breaks: Sequence[bool], own: frozenset[str] = frozenset()) -> bytearray:
    """For each word of a sentence PLAIN, DENIED or OPEN. `own`: words of the label itself, which deny nothing ("not moving").

    >>> list(stances("it is not sinking but rising".split(), [False] * 6)), list(stances("he may be diving".split(), [False] * 4))
    ([0, 0, 0, 1, 0, 0], [0, 0, 2, 2])
    """
    flags = bytearray(len(words))
    scope: Scope | None = None
    for i, word in enumerate(words):
        following = words[i + 1] if i + 1 < len(words) else ""
        if scope and _ends(scope, words, breaks, i, following):
            scope = None
        if scope:
            flags[i] = scope.flag
            if word in BRIDGES and i - scope.began <= 4:
                scope = scope._replace(bridged=True)
            if scope.flag == DENIED and word in KNOWING and i - scope.began <= 3:
                scope = Scope(OPEN, "unsure", i)
            if word in FINITE:
                scope = scope._replace(free=True)
        if scope and scope.flag == DENIED and (words[i - 1], word) in (("other", "than"), ("anything", "but")):
            scope = None  # cannot be anything but this
            continue
        if word not in own and (opened := _opened(words, breaks, i, following)):
            scope = scope if scope and scope.kind == "unsure" and opened.flag == OPEN else opened
    for i, j in _taken_back(words):
        for at in range(i, j):
            flags[at] = flags[at] or OPEN
    if _does_not_know(words):
        return bytearray(flag or OPEN for flag in flags)
    if words and words[-1] in ("maybe", "perhaps", "possibly") and words[-1] not in own:
        return bytearray(flag or OPEN for flag in flags)
    return flags


def _taken_back(words: Sequence[str]) -> list[tuple[int, int]]:
    """Stretches that a "but" behind them takes back: it looks like ... but, he tries to ... but."""
    found = []
    for i, word in enumerate(words):
        tries = word in TRYING and words[i + 1 : i + 2] in (("to",), ["to"])
        if word in SEEMING or tries:
            end = next((j for j in range(i + 1, len(words)) if words[j] in ("but", "however", "actually")), 0)
            if end:
                found.append((i, end))
    return found


def _does_not_know(words: Sequence[str]) -> bool:
    """Whether a sentence ends in "but I do not know"."""
    for i in range(max(2, len(words) - 2), len(words)):
        if words[i] in KNOWING and any(
            word.endswith("n't") or word in ("not", "cannot", "never") for word in words[max(0, i - 3) : i]
        ):
            return words[i] in ("know", "tell", "sure", "certain", "say")
    return False


def _opened(words: Sequence[str], breaks: Sequence[bool], i: int, following: str) -> Scope | None:
    word = words[i]
    if word in NOT or word in SUBJECTS or word.endswith("n't"):
        after = AFFIRMING_AFTER.get("not" if word.endswith("n't") else word, frozenset())
        if (
            following in after
            or following in GOING_ON
            or (i and words[i - 1] in HARD)
            or (following in ("a", "any", "the") and i + 2 < len(words) and words[i + 2] in after)
        ):
            return None
        if word == "no" and (following in PERSONS or following in THINGS or (i + 1 < len(words) and breaks[i + 1])):
            return None  # an interjection
        kind = "subject" if word in SUBJECTS else "preposition" if word in PREPOSITIONS else "verb"
        return Scope(DENIED, kind, i)
    if i and (words[i - 1], word) in PHRASES:
        return Scope(DENIED, "preposition", i)
    if word in UNSURE or (word == "one" and tuple(words[i + 1 : i + 4]) == ("of", "the", "following")):
        return Scope(OPEN, "unsure", i)
    if word in ("shows", "showing", "depicts", "of") and not DEPICTIONS.isdisjoint(words[max(0, i - 6) : i]):
        return Scope(OPEN, "unsure", i)
    if (i and (words[i - 1], word) in ASKING) or (word == "possible" and following.endswith("s")):
        return Scope(OPEN, "unsure", i)
    if word in HARD and following == "to":
        return Scope(OPEN, "unsure", i)
    if word in DISMISSED and following == "that":
        return Scope(DENIED, "unsure", i)
    if word in ENDING and following.endswith("ing") and not any(_denies(other) for other in words[max(0, i - 2) : i]):
        return Scope(DENIED, "verb", i)
    if word in WISHING and following == "to":
        return Scope(OPEN, "maybe", i)
    if word == "would" and "if" in words[:i]:
        return Scope(OPEN, "maybe", i)
    if word in ("may", "might") and i and words[i - 1] in THINGS_BEFORE:
        return None
    if word in MAYBE and not (following in SEEN and any(seen in words[i + 1 : i + 3] for seen in ("see", "seen"))):
        return Scope(OPEN, "maybe", i)
    return None


def _ends(scope: Scope, words: Sequence[str], breaks: Sequence[bool], i: int, following: str) -> bool:
    """Whether a scope ends before word i."""
    word, distance = words[i], i - scope.began
    if scope.kind == "unsure":
        return word in ("but", "however", "yet") and distance > 1
    if word in CLAUSE and (word, following) not in PHRASES and not (word == "yet" and distance == 1):
        return True
    if breaks[i] and distance > 1:
        return not _lists_on(words, i)
    if scope.kind == "maybe" or scope.bridged:
        return False
    if scope.kind == "preposition" and distance > 2 and words[scope.began + 1] in ("a", "an", "the", "any", "his", "her", "their"):
        return distance > 3 or word.endswith("ing")
    starts = (
        word in PERSONS or (word in THINGS and following in FINITE) or (word.endswith(("'s", "'re", "'m")) and _is_pronoun(word))
    )
    if starts and distance > 1:
        return True
    return word in FINITE and distance > 1 and (scope.kind != "subject" or scope.free)


def _denies(word: str) -> bool:
    return word in NOT or word in SUBJECTS or word.endswith("n't")


def _is_pronoun(word: str) -> bool:
    return word.partition("'")[0] in PERSONS | THINGS | {"who"}


def _lists_on(words: Sequence[str], i: int) -> bool:
    """Whether the words from i on are further items of a list that ends in or."""
    for word in words[i : i + 8]:
        if word in ("or", "nor"):
            return True
        if word in CLAUSE or word in FINITE or word in PERSONS or word in THINGS or _is_pronoun(word):
            return False
    return False


def dismissed_after(words: Sequence[str], end: int) -> bool:
    """Whether the words from `end` on take back what stands before them: "... is not what happens", "... is ruled out".

    >>> dismissed_after("diving is ruled out".split(), 1), dismissed_after("the man diving is not wearing a cap".split(), 3)
    (True, False)
    """
    rest = list(words[end : end + 5])
    seen_auxiliary = False
    for at, word in enumerate(rest):
        following = rest[at + 1] if at + 1 < len(rest) else ""
        if word.endswith("n't") or word == "cannot" or (seen_auxiliary and word in ("not", "never", "no")):
            return following in EXISTING or not following or following in AUXILIARIES
        if seen_auxiliary and (word in DISMISSED or (word == "ruled" and following == "out")):
            return True
        if word in AUXILIARIES:
            seen_auxiliary = True
        elif word not in ("therefore", "clearly", "definitely", "very", "thus", "also", "highly"):
            return False
    return False


def alternative(words: Sequence[str], breaks: Sequence[bool], first: int, last: int) -> bool:
    """Whether the words first..last are one side of an "or".

    >>> alternative("he is diving or swimming".split(), [False] * 5, 2, 2)
    True
    >>> alternative("or he is diving".split(), [False] * 4, 3, 3)
    False
    """
    for i in range(first - 1, max(-1, first - 4), -1):
        if words[i] == "or":
            return i > 0
        if breaks[i + 1] or words[i] in FINITE or words[i] in PERSONS or words[i] in CLAUSE:
            break
    listed = last + 1 < len(words) and breaks[last + 1]
    item = 0
    for i in range(last + 1, min(len(words), last + 12)):
        if words[i] == "or":
            return listed or i == last + 1
        item = 0 if breaks[i] else item + 1
        if item > 2 or words[i] in FINITE or words[i] in PERSONS or words[i] in CLAUSE or words[i] in BRIDGES:
            return False
    return False
