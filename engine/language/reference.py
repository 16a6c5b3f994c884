"""What "it" and "them" refer to: a noun phrase before them that is not the subject of their own clause."""

from collections.abc import Callable, Sequence

from engine.language.scope import CLAUSE_STARTS
from engine.language.vocabulary import ARTICLES, PHRASE_ENDS, PLACES, PRONOUNS

MAX_PHRASE_WORDS = 6
NEW_SUBJECTS = frozenset("who he she they we i with".split())
"""Behind them the subject of the sentence is no longer that of the clause: "the ball rolls to the boy, who kicks it"."""
ENDS = PHRASE_ENDS | CLAUSE_STARTS
TOOLS = frozenset("knife scissors spoon fork brush sponge cloth towel rag peeler hammer pen saw spatula whisk tool".split())
"""What a person takes to work on another thing: "takes a knife and cuts it"."""


def referents(
    words: Sequence[str], sentences: Sequence[tuple[int, int]], gap_before: Callable[[int], str]
) -> dict[int, tuple[range, ...]]:
    """The position of each "it" and "them" -> the noun phrases that it may refer to.

    That is the last one before the pronoun; behind a tool the one before it too. `gap_before`: the characters before a word.
    """
    if PRONOUNS.isdisjoint(words):
        return {}
    referents: dict[int, tuple[range, ...]] = {}
    phrases, starts = _noun_phrases(words, gap_before), {first for first, _ in sentences}
    for i, word in enumerate(words):
        if word not in PRONOUNS or not i:
            continue
        if words[i + 1 : i + 2] in (("is",), ("was",)) and {*words[i + 2 : i + 4]} & ARTICLES:
            continue  # "it is a ..." refers to nothing
        sentence = max(first for first in starts if first <= i)
        before = [phrase for phrase in phrases if phrase.stop <= i and not _is_subject(phrase, words, sentence, i, referents)]
        agreeing = [phrase for phrase in before if _is_plural(words[phrase[-1]]) == (word == "them")] or before
        if agreeing and sum(sentence > first >= agreeing[-1].start for first in starts) <= 1:
            referents[i] = (*agreeing[-2:-1], agreeing[-1]) if words[agreeing[-1][-1]] in TOOLS else (agreeing[-1],)
    return referents


def _is_subject(phrase: range, words: Sequence[str], sentence: int, i: int, referents: dict[int, tuple[range, ...]]) -> bool:
    """Whether the phrase is the subject of the clause of the pronoun at position i."""
    return phrase.start == sentence and phrase.start not in referents and NEW_SUBJECTS.isdisjoint(words[phrase.stop : i])


def _is_plural(word: str) -> bool:
    return word in ("people", "children", "men", "women") or (word.endswith("s") and not word.endswith(("ss", "us", "is")))


def _noun_phrases(words: Sequence[str], gap_before: Callable[[int], str]) -> list[range]:
    """Articles with the words that follow them. Phrases behind a preposition of place are left out: they name a location."""
    phrases = []
    for i, word in enumerate(words):
        if word in ARTICLES and not (i and words[i - 1] in PLACES):
            end = i + 1
            while end < min(len(words), i + MAX_PHRASE_WORDS) and (words[end] == "of" or words[end] not in ENDS):
                if gap_before(end).strip() not in ("", "-"):
                    break
                end += 1
            if end > i + 1:
                phrases.append(range(i, end))
    return phrases
