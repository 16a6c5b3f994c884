"""Whether an action in an answer is done by somebody else than the question asks about, if the answer names both."""

from collections.abc import Collection, Sequence
from functools import lru_cache

from engine.language.answer import Answer
from engine.language.scope import CLAUSE_STARTS, PERSON_PRONOUNS
from engine.language.unreal import NAMES
from engine.language.vocabulary import ARTICLES, NOUN_BEFORE
from engine.language.words import label_words, lemmas
from engine.verify.roles import is_passive
from engine.verify.state import is_grammatical, is_preposition

ASIDE = frozenset("unlike whose".split())
"""Words before somebody who is not the person in question."""
GENERIC = frozenset("person people someone somebody individual individuals subject actor".split())
"""Names for a person that fit everybody."""
ALIKE = tuple(
    frozenset(names.split()) for names in ("man guy gentleman male", "woman lady female", "baby infant toddler", "child kid")
)
"""Names for one and the same person."""
SUBJECT_STARTS = frozenset("the a an his her their".split())
POSSESSIVE = frozenset("his her their".split())
BODY = frozenset("hand hands finger fingers arm arms foot feet leg legs body head mouth lips eyes face back".split())
"""Parts of the person, behind POSSESSIVE; others there are somebody else."""
PERCEIVING = frozenset("watch listen film record hear observe cheer applaud teach".split())
OTHERS = frozenset("others someone somebody people another them him her".split())
"""Behind PERCEIVING: those who do what is perceived."""
DOING = frozenset("does do did performs perform performed".split())
OBJECT_PRONOUNS = frozenset("him her them".split())
VIEWERS = frozenset("i we you one camera video clip footage film recording".split())
NAMED = NAMES | frozenset(
    "task exercise sport process footage film recording movement motion scenario image images frame frames".split()
)
"""Subjects that say what somebody does, and do nothing: "the answer is"."""
AGENT_REACH = 3
"""Maximum words between a passive and its "by": "is fed cake by"."""
SUBJECT_REACH = 10
"""Words before a verb among which its subject is looked for."""


def is_of_another(answer: Answer, i: int) -> bool:
    """Whether the verb at position i has another subject than the question: "the girl throws it, and the boy catches it".

    Only where the text names both: a boy in the question may be called a child in the answer.

    >>> answer = Answer("The girl throws the ball and the boy catches it.", "What does the boy do?")
    >>> is_of_another(answer, 2), is_of_another(answer, 7)
    (True, False)
    """
    first, _ = answer.sentence_of(i)
    clause_start = _clause_start(answer, first, i)
    before = answer.words[clause_start:i]
    if _is_perceived(before):
        return True
    if before[-1:] and before[-1] in OBJECT_PRONOUNS and answer.words[i].endswith("ing"):
        return False  # "the video shows her swimming"
    if before[:1] and before[0] in ARTICLES and before[-1] == "to" and len(before) == 3:
        return False  # "with scissors and a comb to cut hair"
    if clause_start > first and answer.words[clause_start - 1] == "who":
        antecedent = _clause_start(answer, first, clause_start - 1)
        before = answer.words[antecedent : clause_start - 1]
        clause_start = antecedent
        if not POSSESSIVE.isdisjoint(before) or "another" in before:
            return True
    if not ASIDE.isdisjoint(before) or (clause_start > first and answer.words[clause_start - 1] in ASIDE):
        return True
    question_subject = _asked_subject(answer.question)
    if question_subject and before[-2:-1] and before[-2] in ARTICLES and _perceives(before[-5:-2]):
        return before[-1] != question_subject[-1]  # "listens to her brother [playing]"
    subject = _subject(before)
    if agent := _agent(answer, i):
        subject, clause_start = agent, i
    has_owner = any(word in POSSESSIVE for word in before[:1]) and not {"doing", "do"}.isdisjoint(label_words(answer.question))
    if subject and has_owner and subject[-1] not in BODY and before[-1] in (subject[-1], "is", "are", "was", "were"):
        return True
    if (subject[-1:] == ["others"] or before[:1] == ("others",)) and _asks_about_one(answer.question):
        return True
    if not question_subject or not subject or subject[-1] in NAMED or _is_the_same(subject[-1], question_subject[-1]):
        return False
    if subject[-1] in BODY and before[:1] and before[0] in POSSESSIVE:
        return False
    mentioned = [j for j in _mentions(answer.words, question_subject) if not clause_start <= j < i]
    if subject[-1] != question_subject[-1]:
        return bool(mentioned) and subject[-1] not in GENERIC and bool(before) and _is_subject(answer.words, mentioned)
    foreign = set(subject[:-1]) - set(question_subject)
    return bool(foreign) and bool(mentioned) and not set(question_subject[:-1]) <= set(subject) and len(question_subject) > 1


def _is_the_same(noun: str, other: str) -> bool:
    return noun != other and any({noun, other} <= names for names in ALIKE)


def _agent(answer: Answer, i: int) -> list[str]:
    """Who does it in a passive: ["barber"] of "cut by the barber" and "is given a cut by the barber"; [] without one."""
    behind = answer.words[i + 1 : i + 2 + AGENT_REACH]
    if answer.words[i].endswith(("ing", "s")) or "by" not in behind:
        return []
    by = behind.index("by")
    has_object = by > 0 and is_passive(answer, i) and not any(map(is_preposition, behind[:by])) and "and" not in behind[:by]
    agent = answer.words[i + 2 + by : i + 5 + by]
    return _subject(agent) if (by == 0 or has_object) and agent[:1] and agent[0] in ARTICLES else []


def _is_perceived(before: Sequence[str]) -> bool:
    """Whether the verb behind these words is what others do, and the person watches: "she watches others [dancing]"."""
    if not before or before[-1] not in OTHERS or not VIEWERS.isdisjoint(before):
        return False
    return _perceives(before[-4:-1])


def _perceives(words: Sequence[str]) -> bool:
    return any(not lemmas(word).isdisjoint(PERCEIVING) for word in words)


def _mentions(words: Sequence[str], question_subject: Sequence[str]) -> list[int]:
    """Positions of the subject's noun, and of its adjectives before a "one": "shorter" in "the shorter one" for a shorter woman."""
    *adjectives, noun = question_subject
    names = (noun, noun + "'s")
    return [
        j for j, word in enumerate(words) if word in names or (word in adjectives and words[j + 1 : j + 2] in (("one",), ["one"]))
    ]


def _is_subject(words: Sequence[str], positions: Collection[int]) -> bool:
    """Whether one of the words follows an article, as a noun phrase."""
    return any(j and words[j - 1] in ARTICLES | NOUN_BEFORE for j in positions)


def _clause_start(answer: Answer, first: int, i: int) -> int:
    """The first word of the verb's clause: behind punctuation, a conjunction, or the "who" of a relative clause."""
    breaks = answer.breaks(*answer.sentence_of(i))
    inserted = next((j for j in range(i - 1, first, -1) if breaks[j - first]), None) if breaks[i - first] else None
    if inserted and not {"whom", "which", "whose"}.isdisjoint(answer.words[inserted : inserted + 3]):
        return _clause_start(answer, first, inserted)
    for j in range(i - 1, max(first, i - SUBJECT_REACH) - 1, -1):
        if answer.words[j] in CLAUSE_STARTS or answer.words[j] in ("and", "who", "whose", "as", "unlike"):
            return j + 1 if answer.words[j] != "unlike" else j
        if breaks[j - first]:
            return j
    return first


def _subject(before: Sequence[str]) -> list[str]:
    """The noun with its adjectives and what describes it, the noun last: ["red", "shirt", "man"] of "the man in the red shirt".

    Empty for a pronoun, and where no article starts a noun phrase.
    """
    starts = (i for i, word in enumerate(before) if word in SUBJECT_STARTS and not (i and is_preposition(before[i - 1])))
    start = next(starts, None)
    if start is None or any(word in PERSON_PRONOUNS for word in before):
        return []
    ends = (i for i in range(start + 1, len(before)) if is_grammatical(before[i]) or before[i] in DOING)
    end = next(ends, len(before))
    end = next((i for i in range(start + 1, end) if before[i].endswith(("ing", "ly"))), end)
    phrase = list(before[start + 1 : end])
    details = [word for word in before[end:] if not is_grammatical(word)] if before[end : end + 1] in (("in",), ("with",)) else []
    return [*phrase[:-1], *details, phrase[-1]] if phrase else []


@lru_cache(maxsize=1 << 12)
def _asks_about_one(question: str) -> bool:
    """Whether the question is about one person: "What is he doing?", "What does the man do?"; not "What are they doing?"."""
    words = label_words(question)
    verb = next((i for i, word in enumerate(words) if word in ("is", "does", "was")), len(words))
    behind = words[verb + 1 : verb + 2]
    return bool(behind) and behind[0] in ("he", "she", *SUBJECT_STARTS)


@lru_cache(maxsize=1 << 12)
def _asked_subject(question: str) -> tuple[str, ...]:
    """The subject of the question: ("red", "shirt", "man") of "What is the man in the red shirt doing?"; () for anybody."""
    words = label_words(question)
    start = next((i + 1 for i, word in enumerate(words) if word in ("is", "are", "does", "do", "did", "was", "were", "will")), None)
    if start is None:
        return ()
    end = next((i for i in range(len(words) - 1, start - 1, -1) if words[i] in ("doing", "do", "happening", "performing")), None)
    subject = _subject(words[start : end if end is not None else start])
    return () if not subject or subject[-1] in GENERIC else tuple(subject)
