"""Where the words of a label occur in an answer, and whether they stand to each other as in the label.

`chosen`, everywhere below: one position in the answer for each content word of the pattern, in the pattern's order.
"""

from collections.abc import Sequence
from itertools import pairwise

from engine.language.answer import Answer
from engine.language.scope import CLAUSE_STARTS
from engine.language.vocabulary import ARTICLES, COMPOUNDS, OPPOSITE, PARTICLES, PLACES
from engine.language.words import same_word
from engine.verify.pattern import LabelPattern

REACH = 8
"""Maximum words from one label word to the next, itself included: words further apart belong to different statements."""
PARTICLE_REACH, PREPOSITION_REACH = 5, 4
"""Maximum words from a verb to its particle, and from a noun back to its preposition."""
MIN_SPLIT_LETTERS = 6
"""Minimum letters of a label word that an answer may write as two words."""
BESIDE = frozenset("by next beside near behind under top front alongside".split())
"""Prepositions between verb and noun behind which the noun is where it happens, and not its object."""
PASSIVE = frozenset("is are was were be been being get gets got".split())
OTHER_PREPOSITIONS = (PLACES | PARTICLES.keys() | {"to"}) - {"of"}


def label_word_positions(answer: Answer, word: str) -> list[int]:
    """Positions of a label's word: in any form, as a synonymous particle, written as two words, or as a pronoun for it."""
    if word in PARTICLES:
        return sorted({i for synonym in (word, *PARTICLES[word]) for i in answer.positions_of(synonym)})
    positions = answer.positions_of(word) or (answer.split_positions_of(word) if len(word) >= MIN_SPLIT_LETTERS else [])
    if not answer.referents:
        return positions
    pronouns = (pronoun for pronoun, phrase in answer.referents.items() if any(i in phrase for i in positions))
    return sorted({*positions, *pronouns})


def occurrences(answer: Answer, pattern: LabelPattern, positions: Sequence[Sequence[int]]) -> list[list[int]]:
    """All ways in which the content words stand together in one sentence, in the order of the text; each is one `chosen`.

    `positions`: for each content word, where it occurs.
    """
    together = []
    for anchor in positions[0]:
        first, end = answer.sentence_of(anchor)
        others = [[i for i in candidates if first <= i < end] for candidates in positions[1:]]
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
        if len(between) >= REACH or not CLAUSE_STARTS.isdisjoint(between):
            return False
        if _starts_other_action(between) or "who" in between or "whose" in between:
            return False
        if not BESIDE.isdisjoint(between) and BESIDE.isdisjoint(pattern.words) and between[0] not in BESIDE:
            return False
    position_of = dict(zip(pattern.content, chosen, strict=True))
    if not _has_same_roles(answer, pattern, position_of):
        return False
    for verb, particle in pattern.particles:
        start, stop = position_of[verb], position_of[particle]
        if not 0 < stop - start <= PARTICLE_REACH or OPPOSITE.get(pattern.words[particle]) in answer.words[start:stop]:
            return False
    if not all(_is_governed(answer, pattern.words[i:noun], position_of[noun]) for i, noun in pattern.prepositions):
        return False
    return all(
        _is_governed(answer, pattern.words[i:noun], position_of[noun]) or _leads(answer, pattern.words[i], position_of[noun])
        for i, noun in pattern.directions
    )


def _has_same_roles(answer: Answer, pattern: LabelPattern, position_of: dict[int, int]) -> bool:
    """Whether subject and object of the label's -ing form have not changed places. Passive sentences pass.

    `position_of`: index in the pattern -> position in the answer.
    """
    verb = next((i for i in pattern.content if pattern.words[i].endswith("ing")), None)
    if verb is None:
        return True
    verb_position = position_of[verb]
    objects = [position for i, position in position_of.items() if i > verb and pattern.words[i] not in PARTICLES]
    if verb == pattern.content[0]:
        before = answer.words[max(0, verb_position - 2) : verb_position]
        if not answer.words[verb_position].endswith("ing") and not PASSIVE.isdisjoint(before):
            return True  # "are flipped one by one": no object stands behind it
        behind = answer.words[verb_position + 1 : verb_position + 4]
        has_other_object = (
            bool(behind)
            and behind[0] in ARTICLES
            and not answer.gap_before(verb_position + 1).strip()
            and not any(verb_position < position <= verb_position + 4 for position in objects)
        )
        return not (objects and max(objects) < verb_position and has_other_object)  # "puts the book down and takes the phone"
    subjects = [position for i, position in position_of.items() if i < verb]
    is_passive = "by" in answer.words[verb_position + 1 : verb_position + 4]
    return is_passive or not objects or not (min(objects) < verb_position < max(subjects))


def _starts_other_action(between: Sequence[str]) -> bool:
    """Whether another verb with its own object starts between two words: "closes [the cupboard and leaves the] drawer"."""
    for i, word in enumerate(between[:-1]):
        if word == "and" and not ARTICLES.isdisjoint(between[:i]) and between[i + 1] not in ARTICLES:
            return True
    return False


def _is_governed(answer: Answer, before_noun: Sequence[str], noun_position: int) -> bool:
    """Whether the preposition or a synonym stands before the noun, without another preposition between them.

    `before_noun`: the label's words from the preposition to the noun, which may be between them: ("away", "from").
    """
    preposition = before_noun[0]
    synonyms = (preposition, *PARTICLES[preposition])
    for i in range(noun_position - 1, max(-1, noun_position - 1 - PREPOSITION_REACH), -1):
        if answer.words[i] in synonyms:
            return "out" not in answer.words[max(0, i - 1) : noun_position] or "out" in synonyms
        if answer.words[i] in OTHER_PREPOSITIONS and answer.words[i] not in before_noun:
            return False
    return False


def _leads(answer: Answer, direction: str, verb_position: int) -> bool:
    """Whether the word is a verb with the direction behind it: "passes the ball forward" for "forward pass"."""
    if verb_position and answer.words[verb_position - 1] in ARTICLES:
        return False  # a noun
    for word in answer.words[verb_position + 1 : verb_position + 1 + PARTICLE_REACH]:
        if word in (direction, *PARTICLES[direction]):
            return True
        if word in OTHER_PREPOSITIONS or word in ("and", "or"):
            return False
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
