"""Words that govern a statement which is only supposed, wished for, imitated, or was believed earlier: none of it happens now."""

from collections.abc import Sequence

from engine.language.scope import DENIED, OPEN, Scope
from engine.language.vocabulary import ARTICLES, PEOPLE

SUPPOSING = frozenset("suppose supposing imagine assume assuming".split())
"""At the start of a clause, or behind "let us" as the words of LETTING do: what follows is only supposed."""
LETTING = SUPPOSING | {"say", "pretend"}
BELIEVED = frozenset("thought expected assumed believed supposed guessed figured".split())
"""Behind "I" and "we": an answer that the text has given up."""
REVISED = frozenset("counted chose considered picked saw took read".split())
"""The same where EARLY stands beside it: "I first counted 3"."""
GUESSES = frozenset("guess answer thought impression assumption idea instinct".split())
EARLY = frozenset("first initial initially original originally earlier".split())
"""Before GUESSES that "was" follows."""
OTHERS = frozenset("people others many some most viewers someone anyone everyone".split())
"""Subjects of OPINING."""
WRITERS = frozenset("i we i'd we'd i'll".split())
"""Subjects behind which an opinion is the text's own."""
OPINING = frozenset("say says think thinks guess guesses assume assumes believe believes expect expects".split())
"""Behind OTHERS: their opinion, which is not the text's."""
THINKING = frozenset("thinks believes assumes guesses supposes suspects imagines".split())
"""Before a clause: somebody's opinion, too."""
WISHING = frozenset("wish wishes wished wishing hope hopes hoped hoping pray prays prayed praying".split())
"""Before a clause, or "for"."""
MIMICKING = frozenset(
    "mimic mimics mimicked mimicking imitate imitates imitated imitating emulate emulates emulated emulating simulate simulates "
    "simulated simulating fake fakes faked faking feign feigns feigned feigning".split()
)
PREPARING = frozenset("ready prepare prepares prepared preparing wait waits waited waiting".split())
"""Before "for" and a verb."""
GOVERNORS = LETTING | BELIEVED | REVISED | WISHING | MIMICKING | OPINING | THINKING | {"was", "were", "used", "for"}
"""All words at which such a scope may start."""
CLAUSE_SUBJECTS = frozenset("a an that he she they it the this there his her their".split())
HABITUAL = PEOPLE | {"i", "we", "who"}
"""Before "used to": a habit of the past. A tool is "used to" do something now."""
REACH, OPINION_REACH = 3, 5
"""Maximum words from "I" to its verb, from "first" to "was", from "too" to "for"; from "many" to "say"."""


def supposed_scope(words: Sequence[str], breaks: Sequence[bool], i: int) -> Scope | None:
    """The scope of the word at position i, or None.

    >>> texts = "he wishes he were dancing", "i thought he was dancing", "he used to dance", "a spoon used to stir"
    >>> [bool(supposed_scope(text.split(), [False] * 5, i)) for text, i in zip(texts, (1, 1, 1, 2), strict=True)]
    [True, True, True, False]
    """
    word, before = words[i], words[max(0, i - REACH) : i]
    if word not in GOVERNORS:
        return None
    following = words[i + 1] if i + 1 < len(words) else ""
    if word == "for":
        return _purpose_scope(before, following, i)
    if word in ("was", "were"):
        is_supposed = i > 1 and before[-1] in GUESSES and not EARLY.isdisjoint(before)
    elif word == "used":
        return Scope(OPEN, "infinitive", i) if following == "to" and before and before[-1] in HABITUAL else None
    elif word in MIMICKING:
        return Scope(OPEN, "verb", i) if not before or before[-1] not in ARTICLES else None
    elif _is_opinion(words, breaks, i, following):
        is_supposed = True
    elif word in WISHING:
        is_supposed = following in CLAUSE_SUBJECTS or following == "for"
    elif word in BELIEVED | REVISED:
        is_revised = word in BELIEVED or not EARLY.isdisjoint(words[max(0, i - REACH - 2) : i + 3])
        is_supposed = is_revised and not {"i", "we", "i'd", "we'd"}.isdisjoint(before)
    else:
        is_start = word in SUPPOSING and (i == 0 or breaks[i])
        is_supposed = following in CLAUSE_SUBJECTS and (is_start or before[-1:] in (("us",), ("let's",), ["us"], ["let's"]))
    return Scope(OPEN, "maybe", i) if is_supposed else None


def _is_opinion(words: Sequence[str], breaks: Sequence[bool], i: int, following: str) -> bool:
    """Whether the word at position i governs what somebody thinks: "many would say", "her friend thinks that"."""
    first = max(0, i - OPINION_REACH)
    start = next((j for j in range(i, first, -1) if breaks[j]), first)  # of the verb's own clause
    subject = next((word for word in reversed(words[start:i]) if word in OTHERS | WRITERS), "")
    return subject not in WRITERS and (
        (words[i] in OPINING and bool(subject)) or (words[i] in THINKING and following in CLAUSE_SUBJECTS)
    )


def _purpose_scope(before: Sequence[str], following: str, i: int) -> Scope | None:
    """The scope of a "for": "too tired for dancing", "ready for dancing"."""
    if not following.endswith("ing") or not before:
        return None
    if "too" in before[:-1]:
        return Scope(DENIED, "preposition", i)
    return Scope(OPEN, "preposition", i) if before[-1] in PREPARING else None
