"""Where the words of a label occur in an answer, and whether they stand to each other as in the label.

`chosen`, everywhere below: one position in the answer for each content word of the pattern, in the pattern's order.
"""

from collections.abc import Sequence
from itertools import pairwise

from engine.language.answer import Answer
from engine.language.scope import CLAUSE_STARTS
from engine.language.vocabulary import ARTICLES, COMPOUNDS, PARTICLES
from engine.language.words import same_word
from engine.verify.pattern import LabelPattern
from engine.verify.roles import has_same_roles

REACH = 8
"""Maximum words from one label word to the next, itself included: words further apart belong to different statements."""
MIN_SPLIT_LETTERS = 6
"""Minimum letters of a label word that an answer may write as two words."""
BESIDE = frozenset("by next beside near behind under top front alongside".split())
"""Prepositions between verb and noun behind which the noun is where it happens, and not its object."""
ADJECTIVES_TOO = frozenset(["top", "front"])
"""Of these the ones that are prepositions only before "of": not in "on the top shelf"."""


def label_word_positions(answer: Answer, word: str, may_be_split: bool = True, may_be_pronoun: bool = True) -> list[int]:
    """Positions of a label's word: in any form, as a synonymous particle, written as two words, or as a pronoun for it."""
    if word in PARTICLES:
        return sorted({i for synonym in (word, *PARTICLES[word]) for i in answer.positions_of(synonym)})
    positions = answer.positions_of(word)
    if not positions and may_be_split and len(word) >= MIN_SPLIT_LETTERS:
        positions = answer.split_positions_of(word)
    if not may_be_pronoun or not answer.referents:
        return positions
    referents = answer.referents.items()
    pronouns = (pronoun for pronoun, phrases in referents if any(i in phrase for phrase in phrases for i in positions))
    return sorted({*positions, *pronouns})


def occurrences(answer: Answer, pattern: LabelPattern, positions: Sequence[Sequence[int]]) -> list[list[int]]:
    """All ways in which the content words stand together in one sentence, in the order of the text; each is one `chosen`.

    `positions`: for each content word, where it occurs.
    """
    together = []
    for anchor in positions[0]:
        first, end = answer.sentence_of(anchor)
        others = [[i for i in candidates if first <= i < end] for candidates in positions[1:]]
        others = [[i for i in candidates if i != anchor] or candidates for candidates in others]  # "tying tie"
        if not all(others) or (not others and anchor in answer.referents):
            continue
        nearest = [anchor, *(min(candidates, key=lambda i: (abs(i - anchor), i)) for candidates in others)]
        ahead = [anchor, *(min(candidates, key=lambda i: (i < anchor, abs(i - anchor))) for candidates in others)]
        for chosen in (nearest, ahead):
            if _stand_together(answer, pattern, chosen) and are_whole_words(answer, pattern, chosen):
                together.append(chosen)
                break
    return sorted(together, key=max)


def _stand_together(answer: Answer, pattern: LabelPattern, chosen: list[int]) -> bool:
    """Whether the words are near each other and have the same grammatical relations as in the label."""
    for first, second in pairwise(sorted(chosen)):
        between = answer.words[first + 1 : second]
        if len(between) >= REACH or any(_starts_clause(between, k) for k in range(len(between))):
            return False
        if _starts_other_action(between) or "who" in between or "whose" in between:
            return False
        is_beside = any(
            word in BESIDE and (word not in ADJECTIVES_TOO or "of" in between[k + 1 : k + 2]) for k, word in enumerate(between)
        )
        if is_beside and BESIDE.isdisjoint(pattern.words) and between[0] not in BESIDE:
            return False
    return has_same_roles(answer, pattern, dict(zip(pattern.content, chosen, strict=True)))


def _starts_clause(between: Sequence[str], k: int) -> bool:
    """Whether a new clause starts with the word: not with the "but" of "not the pear but the apple", nor with "and then"."""
    if between[k] == "then" and between[k - 1 : k] in (("and",), ["and"]):
        return False
    return between[k] in CLAUSE_STARTS and not (between[k] == "but" and ("not" in between[:k] or "nothing" in between[:k]))


def _starts_other_action(between: Sequence[str]) -> bool:
    """Whether another verb with its own object starts between two words: "closes [the cupboard and leaves the] drawer"."""
    for i, word in enumerate(between[:-1]):
        if word == "and" and not ARTICLES.isdisjoint(between[:i]) and between[i + 1] not in ARTICLES:
            return True
    return False


def are_whole_words(answer: Answer, pattern: LabelPattern, chosen: Sequence[int]) -> bool:
    """Whether no word is a part of a compound that the label does not name: diving of sky-diving, dog of hot dog."""
    for i in chosen:
        for pair, other in ((answer.words[i - 1 : i + 1], i - 1), (answer.words[i : i + 2], i + 1)):
            if pair in COMPOUNDS and other not in chosen and answer.words[other] not in pattern.words:
                return False
        parts = answer.hyphenated_with(i)
        has_foreign_part = any(
            j not in chosen and not any(same_word(answer.words[j], word) for word in pattern.words) for j in parts
        )
        if has_foreign_part and not any(same_word("".join(answer.words[j] for j in parts), word) for word in pattern.words):
            return False
    return True
