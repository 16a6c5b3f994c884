"""A keyword label, parsed: which of its words an answer must hold, and how they must stand to each other."""

from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

from engine.language.vocabulary import FUNCTION_WORDS, PARTICLES
from engine.language.words import is_unspaced, label_words

MIN_COMPOUND_LETTERS = 5
"""Minimum letters of two neighbouring words that may also be written as one."""
NEVER_JOINED = FUNCTION_WORDS | (PARTICLES.keys() - {"off", "up", "down"}) | {"to"}
"""Words that are never joined to a neighbour; "run up" and "take off" may be."""


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


@lru_cache(maxsize=1 << 16)
def patterns_of(text: str) -> tuple[LabelPattern, ...]:
    """The pattern of a label's text as written, and with each two neighbouring words joined ("sky diving", "skydiving")."""
    words = label_words(text)
    joined = [
        (*words[:i], first + second, *words[i + 2 :])
        for i, (first, second) in enumerate(pairwise(words))
        if len(first + second) >= MIN_COMPOUND_LETTERS
        and first.isalpha()
        and second.isalpha()
        and not {first, second} & NEVER_JOINED
    ]
    return tuple(_pattern(spelling) for spelling in (words, *joined))


def _pattern(words: tuple[str, ...]) -> LabelPattern:
    content = [i for i, word in enumerate(words) if word not in FUNCTION_WORDS and word not in PARTICLES]
    if not content or any(is_unspaced(word) for word in words):
        return LabelPattern(words, (), (), ())
    particles, prepositions = [], []
    for i, word in enumerate(words):
        if word not in PARTICLES or not i:
            continue
        noun = next((j for j in content if j > i), None)
        if i - 1 == content[0]:
            particles.append((i - 1, i))
        elif noun is not None:
            prepositions.append((i, noun))
        else:
            particles.append((content[0], i))
    required = sorted([*content, *(particle for _, particle in particles)])
    return LabelPattern(words, tuple(required), tuple(particles), tuple(prepositions))
