"""An answer that lists many classes contains each of them and says none."""

from collections.abc import Sequence
from itertools import pairwise

import regex

from engine.language.text import Said
from engine.language.vocabulary import FUNCTION_WORDS
from engine.language.words import label_words, same_word

MANY_ACTIONS, MANY_THINGS = 3, 5
"""Items beside the label's own. Things are listed more often than actions: a man, a dog and a ball are a scene."""
ITEM_WORDS = 3
_SEPARATOR = regex.compile(r"[,;/|•\n]|[.](?=\s)|\s[-–—](?=\s)")


def lists_others(said: Said, place: tuple[int, int], own: Sequence[str]) -> str:
    """The list around a place of the text, where it names too much beside one's own; else "".

    >>> said = Said("running, jumping, swimming, diving, cooking")
    >>> lists_others(said, (28, 34), ["diving"]), lists_others(Said("He runs and dives."), (12, 17), ["dives"])
    ('running, jumping, swimming, diving, cooking', '')
    """
    items = _items(said)
    here = next((i for i, (a, b) in enumerate(items) if said.spans[a][0] <= place[0] < said.spans[b - 1][1]), None)
    if here is None:
        return ""
    first, last = here, here
    while first and _is_short(said, items[first - 1]):
        first -= 1
    while last + 1 < len(items) and _is_short(said, items[last + 1]):
        last += 1
    known = [word for text in own for word in label_words(text)]
    beside = [item for i, item in enumerate(items[first : last + 1], first) if i != here and not _is_known(said, item, known)]
    actions = sum(said.words[a].endswith("ing") for a, _ in beside)
    if actions >= MANY_ACTIONS or len(beside) >= MANY_THINGS:
        return said.stretch(items[first][0], items[last][1] - 1)
    return ""


def _items(said: Said) -> list[tuple[int, int]]:
    """Stretches of words between separators, and, or; each without the small words before it."""
    ends = {said.word_from(match.end()) for match in _SEPARATOR.finditer(said.text)}
    starts = sorted({0, *ends, *(i for i, word in enumerate(said.words) if word in ("and", "or"))} - {len(said.words)})
    edges = list(pairwise([*starts, len(said.words)]))
    trimmed = []
    for a, b in edges:
        while a < b - 1 and (said.words[a] in FUNCTION_WORDS or said.words[a].isdigit() or said.words[a] == "or"):
            a += 1
        trimmed.append((a, b))
    return trimmed


def _is_short(said: Said, item: tuple[int, int]) -> bool:
    return item[1] - item[0] <= ITEM_WORDS


def _is_known(said: Said, item: tuple[int, int], known: Sequence[str]) -> bool:
    return any(same_word(said.words[i], word) for i in range(*item) for word in known if word not in FUNCTION_WORDS)
