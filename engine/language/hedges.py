"""Words beside the negators that deny what follows ("instead of") or leave it open ("may", "unless", "hard to say")."""

from collections.abc import Sequence

from engine.language.negators import denies
from engine.language.scope import DENIED, NEGATING_PAIRS, OPEN, PERSON_PRONOUNS, THING_PRONOUNS, Scope
from engine.language.unreal import DEPICTIONS, PRINTS, is_omitted
from engine.language.words import lemmas

HEDGES = frozenset(
    "might may maybe perhaps possibly either whether if unless could potentially possible usually typically normally".split()
)
MODAL_NOUN_BEFORE = frozenset("a an the in of on his her their its my all early late last next since until".split())
"""Words after which "may" is a month and "might" is strength."""
UNCERTAIN = frozenset(
    "unsure uncertain unclear unknown doubtful options choices possibilities candidates alternatives resembles resembling reminds "
    "remind reminiscent".split()
)
"""Words that leave the rest of their sentence open."""
DIFFICULT = frozenset("hard difficult tough impossible wrong incorrect inaccurate misleading mistake error stretch".split())
"""Words that leave the rest open before "to": hard to tell, wrong to say, a mistake to call."""
STRIVING = frozenset("work try train fight push pull struggle concentrate focus swing pedal paddle".split())
"""Verbs that are done hard."""
MISSING = frozenset("miss overlook deny mistake".split())
"""Verbs with which DIFFICULT asserts: hard to miss."""
PROOFS = frozenset("evidence sign signs indication trace traces hint proof".split())
"""What there may be little of."""
ASKING_PAIRS = frozenset(
    tuple(pair.split()) for pair in "asked about,ask about,asks about,asking about,question about,question of".split(",")
)
EXCEPTING = frozenset("except excepting excluding".split())
"""Words that deny what follows: "everything except (B)"."""
LESS_REACH = 6
"""Maximum words from "less" to its "than": "less running than walking"."""
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
SUBJECTS = PERSON_PRONOUNS | THING_PRONOUNS | {"the"}
CONDITIONAL = frozenset(["had", "were", "should"])
"""At a clause's head before a subject: "had she jumped, she would be wet"."""
STOPPING = frozenset("stop stops stopped stopping quit quits".split())
DISMISSING = frozenset(
    "unlikely wrong incorrect false absent excluded impossible missing inaccurate untrue forbidden prohibited banned over "
    "contradicted refuted rejected".split()
)
"""Words that dismiss a statement: "it is wrong that", "... is unlikely"."""
CONTRADICTING = frozenset("contradict contradicts ruled dismissed eliminated".split())
"""The same before what they dismiss, or with an "out"."""

OPENERS = (
    HEDGES
    | UNCERTAIN
    | DIFFICULT
    | PROOFS
    | EXCEPTING
    | CONDITIONAL
    | STOPPING
    | DISMISSING
    | PREFERRING.keys()
    | {pair[1] for pair in (*NEGATING_PAIRS, *ASKING_PAIRS)}
    | frozenset("than less in one shows showing depicts of possible though".split())
)
"""All words at which `open_scope` may open one."""


def open_scope(words: Sequence[str], breaks: Sequence[bool], i: int, following: str) -> Scope | None:
    """The scope of a word that is no negator but denies what follows ("instead of"), or leaves it open."""
    word = words[i]
    if word in ("over", "to") and not PREFERRING[word].isdisjoint(words[max(0, i - PREFERENCE_REACH) : max(0, i - 1)]):
        return Scope(DENIED, "preposition", i)
    if i and (words[i - 1], word) in NEGATING_PAIRS and not _is_wrong_to_say(words, i):
        return Scope(DENIED, "preposition", i)
    if word in EXCEPTING and following != "that" and not rejects(words):
        return Scope(DENIED, "preposition", i)
    if word == "than" and words[i - 1] not in ("other", "else") and "less" not in words[max(0, i - LESS_REACH) : i]:
        return Scope(OPEN, "maybe" if following in PERSON_PRONOUNS else "preposition", i) if _is_compared(following) else None
    if word == "less" and following.endswith("ing") and "than" in words[i : i + LESS_REACH]:
        return Scope(DENIED, "verb", i)
    if word == "in" and i and words[i - 1] in ("as", "like"):
        return Scope(OPEN, "preposition", i)  # "squares, as in chess"
    if word in CONDITIONAL and following in SUBJECTS and (i == 0 or breaks[i]):
        return Scope(OPEN, "maybe", i)
    if word in UNCERTAIN or (word == "one" and tuple(words[i + 1 : i + 4]) == ("of", "the", "following")):
        return Scope(OPEN, "unsure", i)
    if word in ("shows", "showing", "depicts", "of") and not DEPICTIONS.isdisjoint(words[max(0, i - 6) : i]):
        return Scope(OPEN, "unsure", i)
    if word == "to" and i and words[i - 1] == "according" and not PRINTS.isdisjoint(words[i + 1 : i + 4]):
        return Scope(OPEN, "unsure", i)  # "according to the caption, he dives"
    if (i and (words[i - 1], word) in ASKING_PAIRS) or (word == "possible" and following.endswith("s")):
        return Scope(OPEN, "unsure", i)
    is_effort = word == "hard" and i > 0 and not lemmas(words[i - 1]).isdisjoint(STRIVING)  # "working hard to lift it"
    if (
        word in DIFFICULT
        and not is_effort
        and following == "to"
        and words[i + 2 : i + 3]
        and not {*words[i + 2 : i + 4]} & (MISSING | {"anything"})
    ):
        return Scope(OPEN, "unsure", i)
    if word in PROOFS and i and words[i - 1] in ("little", "scant"):
        return Scope(DENIED, "verb", i, bridged=True)
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


def rejects(words: Sequence[str]) -> bool:
    """Whether a sentence rejects all but its exception: "everything except B is wrong", "nothing fits except B"."""
    return any(word in DISMISSING or word in CONTRADICTING or denies(word) for word in words)


def _is_compared(word: str) -> bool:
    """Whether an action stands behind a "than": "faster than running", "better than he runs"."""
    return word.endswith("ing") or word in PERSON_PRONOUNS


def _is_wrong_to_say(words: Sequence[str], i: int) -> bool:
    """Whether "anything but" at position i follows a denial: "wrong to say anything but that he is"."""
    before = words[max(0, i - 5) : i - 1]
    return words[i] == "but" and any(word in DIFFICULT or denies(word) for word in before)
