"""Multiple choice: the one option that the text settles on, by its letter or by its words."""

from collections.abc import Collection

import regex

from engine.labels import Choice, Keywords
from engine.language.negation import DENIED, OPEN, dismissed_after
from engine.language.text import Said
from engine.language.words import fold, label_words
from engine.rows import Verdict
from engine.verify.keywords import contains

_AFTER_KEY = regex.compile(r"\s*[).:\]]")
_CHOSEN = regex.compile(
    r"\b(?:correct|right|best|final|my|only)\s+(?:remaining\s+)?(?:option|choice)\s*(?:left\s+)?(?:is|:)"
    r"|\bI(?:'d|'ll| would| will)?\s+(?:choose|pick|select|go\s+with|opt\s+for)\b",
    regex.IGNORECASE,
)
EXPLAINED_WORDS = 4
_CUES = frozenset("option choice letter answer is".split())
_ARTICLES = frozenset("a i".split())
_BECAUSE = frozenset("because since as which for so and".split())


def has_option(said: Said, label: Choice) -> Verdict:
    if (cues := list(_CHOSEN.finditer(said.text))) and (first := said.word_from(cues[-1].end())) < len(said.words):
        end = said.sentence_of(first)[1]
        if given := _given(Said(said.stretch(first, end - 1)), label, after_cue=True):
            return _verdict(said, label, given)
    if said.answer:
        first, end = said.answer
        if end - first == 1 and end < len(said.words) and (behind := said.sentence_of(end)[1]) - end <= EXPLAINED_WORDS:
            end = behind  # "The answer is B. the cup"
        if given := _given(Said(said.stretch(first, end - 1)), label, after_cue=True):
            return _verdict(said, label, given)
    if given := _given(said, label, after_cue=False):
        return _verdict(said, label, given)
    return Verdict(keep=False, reason="no_answer", score=0.0, extracted="")


def _verdict(said: Said, label: Choice, given: set[str]) -> Verdict:
    keep = given == {label.option}
    reason = "contains_label" if keep else "wrong_option" if len(given) == 1 else "no_single_answer"
    extracted = " ".join(sorted(given))
    return Verdict(keep=keep, reason=reason, score=float(keep), extracted=extracted, found=_places(said, label) if keep else ())


def _given(said: Said, label: Choice, after_cue: bool) -> set[str]:
    """The options that the text asserts: those whose letter it names, and where it names none those whose words it says."""
    by_key, by_text = _keys(said, label, after_cue), _texts(said, label)
    if not by_key:
        return by_text
    if len(by_key) == 1 and by_text and not by_key <= by_text and not _only_explained(said, label, by_text):
        return by_key | by_text  # "B. running", where A is running
    return by_key


def _keys(said: Said, label: Choice, after_cue: bool) -> set[str]:
    """Options whose letter is named and not denied; none where the text goes through all of them and denies too few."""
    keys = {fold(key): key for key in label.options}
    named: dict[str, list[int]] = {}
    for i, word in enumerate(said.words):
        if word in keys and _is_key(said, i, after_cue, keys):
            named.setdefault(word, []).append(i)
    meant = {keys[word] for word, places in named.items() if _is_asserted(said, places[-1], keys)}
    if set(named) == set(keys) and len(keys) > 2 and len(meant) > 1:
        return set()
    return meant


def _is_key(said: Said, i: int, after_cue: bool, keys: Collection[str]) -> bool:
    """Whether a word is an option's letter, and not the article, a pronoun, a count, or a part of a word."""
    if len(said.words) == 1:
        return True
    if len(said.compound(i)) > 1:
        return False
    start, end = said.spans[i]
    marked = bool(_AFTER_KEY.match(said.text, end)) or said.text[max(0, start - 1) : start] in ("(", "[", "*", '"', "'")
    before = said.words[i - 1] if i else ""
    if before in ("option", "choice", "letter") or marked:
        return True
    if said.words[i] in _ARTICLES:
        behind = said.words[i + 1 : i + 3]
        closes = not behind or behind[0] in _BECAUSE or behind[0] in keys or (behind[0] in ("or", "and") and behind[-1] in keys)
        return closes and (i == 0 or before in _CUES or after_cue)
    if len(said.words[i]) > 1 or said.words[i].isdigit():
        return before in _CUES or (after_cue and i == 0)
    return True


def _is_asserted(said: Said, i: int, keys: Collection[str]) -> bool:
    first, end = said.sentence_of(i)
    behind = next((j for j in range(i + 1, end) if said.words[j] not in keys and said.words[j] not in ("and", "or", "both")), end)
    return said.marks[i] not in (DENIED, OPEN) and not dismissed_after(said.words[first:end], behind - first)


def _texts(said: Said, label: Choice) -> set[str]:
    """Options whose words are said and meant: to the letter before in any form; one within another that is said does not count."""
    exact = {key for key, text in label.options.items() if _is_phrase(said, text)}
    options = {key: Keywords(text=text) for key, text in label.options.items()}
    meant = {key for key, option in options.items() if contains(said, option, others=tuple(label.options.values())).keep}
    meant = (meant & exact) or meant
    inside = {key: set(label_words(text)) for key, text in label.options.items()}
    return {key for key in meant if not any(inside[key] < inside[other] for other in meant)}


def _is_phrase(said: Said, text: str) -> bool:
    wish = label_words(text)
    return any(said.words[i : i + len(wish)] == wish for i in range(len(said.words) - len(wish) + 1))


def _only_explained(said: Said, label: Choice, by_text: set[str]) -> bool:
    """Whether the other options' words come in other sentences than the letter: reasons, not the answer."""
    if len(said.sentences) < 2:
        return False
    opening = Said(said.stretch(said.sentences[0][0], said.sentences[0][1] - 1))
    return not any(contains(opening, Keywords(text=label.options[key])).keep for key in by_text)


def _places(said: Said, label: Choice) -> tuple[tuple[int, int], ...]:
    folded, keys = fold(label.option), {fold(key) for key in label.options}
    named = tuple(said.spans[i] for i, word in enumerate(said.words) if word == folded and _is_key(said, i, False, keys))
    return named or contains(said, Keywords(text=label.options[label.option]), others=tuple(label.options.values())).found
