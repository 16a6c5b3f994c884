"""Reject an answer that enumerates many classes: it names the label, but does not choose it."""

from collections.abc import Sequence
from itertools import pairwise

import regex

from engine.language.answer import Answer
from engine.language.vocabulary import FUNCTION_WORDS
from engine.language.words import label_words, same_word

MANY_ACTIONS, MANY_THINGS = 3, 5
"""Other list items that make an answer an enumeration. More things than actions may be listed: a man, a dog, a ball are a scene."""
ITEM_WORDS = 3
"""Maximum words of a list item."""
_SEPARATOR = regex.compile(r"[,;/|•\n]|[.](?=\s)|\s[-–—](?=\s)")


def enumeration_around(answer: Answer, span: tuple[int, int], label_texts: Sequence[str]) -> tuple[int, int] | None:
    """The word range of the list around a span of the text, if it enumerates too many items beside those of the label.

    >>> answer = Answer("running, jumping, swimming, diving, cooking")
    >>> enumeration_around(answer, (28, 34), ["diving"]), enumeration_around(Answer("He runs and dives."), (12, 17), ["dives"])
    ((0, 5), None)
    """
    items = _items(answer)
    if len(items) <= MANY_ACTIONS:
        return None
    starts_ends = ((answer.word_spans[first][0], answer.word_spans[end - 1][1]) for first, end in items)
    own_index = next((i for i, (start, end) in enumerate(starts_ends) if start <= span[0] < end), None)
    if own_index is None:
        return None
    first, last = own_index, own_index
    while first and _is_short(items[first - 1]):
        first -= 1
    while last + 1 < len(items) and _is_short(items[last + 1]):
        last += 1
    own_words = [word for text in label_texts for word in label_words(text)]
    others = [
        item
        for i, item in enumerate(items[first : last + 1], first)
        if i != own_index and not _shares_word(answer, item, own_words)
    ]
    actions = sum(answer.words[start].endswith("ing") for start, _ in others)
    if actions >= MANY_ACTIONS or len(others) >= MANY_THINGS:
        return items[first][0], items[last][1]
    return None


def _items(answer: Answer) -> list[tuple[int, int]]:
    """Word ranges between separators, "and" and "or", without their leading function words and numbers."""
    separated = {answer.next_word(match.end()) for match in _SEPARATOR.finditer(answer.text)}
    conjunctions = {i for i, word in enumerate(answer.words) if word in ("and", "or")}
    starts = sorted({0, *separated, *conjunctions} - {len(answer.words)})
    items = []
    for first, end in pairwise([*starts, len(answer.words)]):
        while first < end - 1 and (
            answer.words[first] in FUNCTION_WORDS or answer.words[first].isdigit() or answer.words[first] == "or"
        ):
            first += 1
        items.append((first, end))
    return items


def _is_short(item: tuple[int, int]) -> bool:
    return item[1] - item[0] <= ITEM_WORDS


def _shares_word(answer: Answer, item: tuple[int, int], own_words: Sequence[str]) -> bool:
    return any(same_word(answer.words[i], word) for i in range(*item) for word in own_words if word not in FUNCTION_WORDS)
