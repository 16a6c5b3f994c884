"""A keyword label, parsed: which of its words an answer must hold, and how they must stand to each other."""

import re
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from itertools import pairwise

from engine.language.vocabulary import FUNCTION_WORDS, PARTICLES, PREPOSITIONS, VERBS_TOO
from engine.language.words import is_unspaced, label_words

MIN_COMPOUND_LETTERS = 5
"""Minimum letters of two neighbouring words that may also be written as one."""
NEVER_JOINED = FUNCTION_WORDS | (PARTICLES.keys() - {"off", "up", "down"}) | {"to"}
"""Words that are never joined to the word before them, nor to the word behind, except particles at a label's head ("back flip")."""


_EXCLUSION = re.compile(r"\(\s*not\s+([^()]*)\)", re.IGNORECASE)
"""A remark like "(not wine)"; "(without moving)" and "(soccer)" are none."""


@dataclass(frozen=True)
class LabelPattern:
    """LabelPattern(words=("put", "down", "the", "cup"), content=(0, 1, 3), particles=((0, 1),), prepositions=()).

    The numbers are indices into `words`.
    """

    words: tuple[str, ...]
    content: tuple[int, ...]
    """Words that an answer must hold; if there are none, it must hold all words side by side."""
    particles: tuple[tuple[int, int], ...]
    """(verb, particle): turn on."""
    prepositions: tuple[tuple[int, int], ...]
    """(preposition, noun): into the cup."""
    directions: tuple[tuple[int, int], ...] = ()
    """(direction, noun) at the label's head: back flip, over the fence."""
    nouns: tuple[int, ...] = ()
    """Content words that are no particles."""
    is_joined: bool = False
    """Two words of the label are one here. They are not looked for as two, because another pattern has them so."""

    @cached_property
    def verb(self) -> int | None:
        """The index of the label's -ing form; None without one."""
        return next((i for i in self.content if self.words[i].endswith("ing")), None)

    @cached_property
    def imperative(self) -> int | None:
        """The index of the word that is the verb if the label is an order ("peel potato"), and a noun if not ("hammer throw")."""
        return self.content[0] if self.verb is None and len(self.content) > 1 else None


@lru_cache(maxsize=1 << 16)
def excluded_words(text: str) -> tuple[str, ...]:
    """The words that a remark in a label excludes.

    >>> excluded_words("skiing (not slalom or crosscountry)"), excluded_words("shooting goal (soccer)")
    (('slalom', 'crosscountry'), ())
    """
    remarks = " ".join(match[1] for match in _EXCLUSION.finditer(text))
    return tuple(word for word in label_words(remarks) if word not in FUNCTION_WORDS and word not in ("or", "in"))


@lru_cache(maxsize=1 << 16)
def patterns_of(text: str) -> tuple[LabelPattern, ...]:
    """The patterns of a label: as written, with two neighbouring words joined ("sky diving", "skydiving"), and with one of two
    verbs alone ("trimming or shaving beard").
    """
    words = label_words(_EXCLUSION.sub(" ", text)) or label_words(text)
    at = next((i for i in range(1, len(words) - 1) if words[i] == "or" and {words[i - 1][-3:], words[i + 1][-3:]} == {"ing"}), 0)
    either = [(*words[: at - 1], verb, *words[at + 2 :]) for verb in (words[at - 1], words[at + 1])] if at else []
    joined = [
        (*words[:i], first + second, *words[i + 2 :])
        for i, (first, second) in enumerate(pairwise(words))
        if len(first + second) >= MIN_COMPOUND_LETTERS
        and not first.endswith("ing")
        and first.isalpha()
        and second.isalpha()
        and second not in NEVER_JOINED
        and (first not in NEVER_JOINED or (not i and first in PARTICLES))
    ]
    return (*map(_pattern, (words, *either)), *(replace(_pattern(spelling), is_joined=True) for spelling in joined))


def _pattern(words: tuple[str, ...]) -> LabelPattern:
    """At the label's head, where no verb stands before it, a particle is the verb itself or describes the noun behind it."""
    content = [i for i, word in enumerate(words) if word not in FUNCTION_WORDS and word not in PARTICLES]
    if not content or any(is_unspaced(word) for word in words):
        return LabelPattern(words, (), (), ())
    head = next((i for i in content if not words[i].endswith("ly")), content[0])
    if verbs := [i for i in range(head) if words[i] in VERBS_TOO]:
        head = verbs[0]
        content = sorted([*content, head])
    particles, prepositions, directions = [], [], []
    for i, word in enumerate(words):
        if (word not in PARTICLES and word not in PREPOSITIONS) or i in content:
            continue
        noun = next((j for j in content if j > i), None)
        if word in PREPOSITIONS:
            if noun is not None and i > head:
                prepositions.append((i, noun))
        elif i < head:
            directions.append((i, head))
        elif i - 1 == head:
            particles.append((head, i))
        elif noun is not None:
            prepositions.append((i, noun))
        else:
            particles.append((next((j for j in reversed(content) if head < j < i and words[j].endswith("ing")), head), i))
    required = sorted([*content, *(particle for _, particle in particles)])
    return LabelPattern(words, tuple(required), tuple(particles), tuple(prepositions), tuple(directions), tuple(content))
