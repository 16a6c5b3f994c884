"""Choice labels: the one option that the text chooses, by letter or by words, is the label's."""

from collections.abc import Iterator
from functools import lru_cache

import regex

from engine.labels import Choice, Keywords
from engine.language.answer import Answer
from engine.language.cues import conclusion_start
from engine.language.words import fold, label_words
from engine.rows import Verdict
from engine.verify.keywords import Beside, verify_keywords
from engine.verify.letters import chosen_letters, is_letter, letter_positions

_CHOSEN = regex.compile(
    r"\b(?:correct|right|best|final|my|only)\s+(?:remaining\s+)?(?:option|choice)\s*(?:left\s+)?(?:is|:)"
    r"|\bI(?:'d|'ll| would| will)?\s+(?:choose|pick|select|go\s+with|opt\s+for)\b"
    r"|\bwhat\s+(?:he|she|it|they|the\s+\w+)\s+\w+\s+(?:is|are)\b"
    r"|\bleav(?:es|ing)\s+(?:us\s+)?(?:with\s+)?(?:only\s+)?(?=(?:option|choice|\(?[A-H]\b))",
    regex.IGNORECASE,
)
EXPLANATION_WORDS = 4
"""Maximum words behind a letter that are read with it: "The answer is B. the cup"."""
_HEADER = regex.compile(r"^\W*(?:(?:final\s+|correct\s+|best\s+)?(?:answer|option|choice)\s*(?:is\b|:)\W*)?", regex.IGNORECASE)
_MARKED_KEY = regex.compile(r"\W*\w+\s*(?:[).:\]*]|$)")
ORDINALS = "first second third fourth fifth sixth seventh eighth".split()
_NUMBERED = regex.compile(
    rf"\b(?:option|choice|answer|number)\s*(?:number\s*)?(\d)\b|\bthe\s+({'|'.join(ORDINALS)})\s+(?:one|option|choice|answer)\b",
    regex.IGNORECASE,
)
_NONE_OF = regex.compile(
    r"\W*(none|all)\s+of\s+(?:the\s+above|these|those|them|the\s+(?:others?|options|choices))", regex.IGNORECASE
)


def verify_choice(answer: Answer, label: Choice) -> Verdict:
    """The first part of the text that chooses decides: its first line if that is an option, behind "I choose", behind "the answer
    is", the whole text; else an option that it calls by its number.

    A key is an option's letter as the label writes it.
    """
    if opening := _opening_key(answer, label):
        return _verdict(answer, label, {opening})
    for part in _announced_parts(answer, label):
        if chosen := _chosen_keys(part, label, is_announced=True):
            return _verdict(answer, label, chosen)
    if chosen := _chosen_keys(answer, label, is_announced=False) or _keys_by_number(answer, label):
        return _verdict(answer, label, chosen)
    return Verdict(keep=False, reason="no_answer", score=0.0, extracted="")


def _opening_key(answer: Answer, label: Choice) -> str:
    """The key of the option that is the first of several lines, with or without its text; "" if that line is anything else.

    What stands behind it explains it: "B. walking\\nExplanation: A. dancing is wrong". A later announcement goes before it.
    """
    line_end = answer.text.strip().find("\n") + len(answer.text) - len(answer.text.lstrip())
    line = _HEADER.sub("", answer.text[:line_end]) if "\n" in answer.text.strip() else ""
    if not line or _CHOSEN.search(answer.text, line_end) or conclusion_start(answer.text[line_end:], answer.words):
        return ""
    line_words = label_words(line)
    for key, text in label.options.items():
        if line_words in ((fold(key),), (fold(key), *label_words(text))) and _MARKED_KEY.match(line):
            return key
    return ""


def _announced_parts(answer: Answer, label: Choice) -> Iterator[Answer]:
    """The texts behind the last "I choose" or the like, and behind "the answer is"."""
    if (cues := list(_CHOSEN.finditer(answer.text))) and (first := answer.next_word(cues[-1].end())) < len(answer.words):
        end = answer.sentence_of(first)[1]
        if not any("over" in label_words(text) for text in label.options.values()):  # "I choose B over A"
            end = next((i for i in range(first + 1, end) if answer.words[i] == "over"), end)
        yield answer.part(first, end)
    if answer.conclusion:
        first, end = answer.conclusion
        if end - first == 1 and end < len(answer.words):
            next_end = answer.sentence_of(end)[1]
            if next_end - end <= EXPLANATION_WORDS:
                end = next_end  # "The answer is B. the cup"
        yield answer.part(first, end)


def _verdict(answer: Answer, label: Choice, chosen: set[str]) -> Verdict:
    keep = chosen == {label.option}
    reason = "contains_label" if keep else "wrong_option" if len(chosen) == 1 else "no_single_answer"
    spans = sorted({span for key in chosen for span in _option_spans(answer, label, key)})
    return Verdict(keep=keep, reason=reason, score=float(keep), extracted=" ".join(sorted(chosen)), spans=tuple(spans))


def _chosen_keys(answer: Answer, label: Choice, is_announced: bool) -> set[str]:
    """Keys of the options that the text asserts by letter; without any letter, by words."""
    by_letter = _keys_by_letter(answer, label, is_announced)
    if len(by_letter) > 1:
        return by_letter
    by_words = _keys_by_words(answer, label)
    if not by_letter:
        return by_words
    if by_words and not by_letter <= by_words and not _are_reasons(answer, label, by_words):
        return by_letter | by_words  # "B. running", where A is running
    return by_letter


def _keys_by_letter(answer: Answer, label: Choice, is_announced: bool) -> set[str]:
    """Keys of the options that are chosen by letter; none if the text goes through all options and rejects too few of them."""
    keys = {fold(key): key for key in label.options}
    positions = letter_positions(answer, keys, is_announced)
    chosen = {keys[letter] for letter in chosen_letters(answer, keys, positions)}
    if set(positions) == set(keys) and len(keys) > 2 and len(chosen) > 1:
        return set()
    return chosen


def _keys_by_words(answer: Answer, label: Choice) -> set[str]:
    """Keys of the options whose words are asserted.

    Options that occur literally go before those in other forms. An option whose words are a subset of another asserted option's is
    ignored.
    """
    beside = _beside(label)
    asserted = {key for key, text in label.options.items() if verify_keywords(answer, _keywords(text), beside).keep}
    asserted = {key for key in asserted if _has_literally(answer, label.options[key])} or asserted
    asserted = {key for key in asserted if not _is_compared_with(answer, label.options[key])} or asserted
    option_words = {key: set(label_words(text)) for key, text in label.options.items()}
    return {key for key in asserted if not any(option_words[key] < option_words[other] for other in asserted)}


@lru_cache(maxsize=1 << 12)
def _keywords(text: str) -> Keywords:
    return Keywords(text=text)


def _is_compared_with(answer: Answer, text: str) -> bool:
    """Whether the option is what another one is compared with: the cube of "The ball is larger than the cube"."""
    option_words = label_words(text)
    starts = [i for i in range(len(answer.words)) if answer.words[i : i + len(option_words)] == option_words]
    return bool(starts) and all("than" in answer.words[max(0, i - 2) : i] for i in starts)


def _keys_by_number(answer: Answer, label: Choice) -> set[str]:
    """Keys of the options that the text calls "Option 2", "the second one", or that are "none of these" in other words."""
    keys = list(label.options)
    numbers = {int(match[1]) if match[1] else ORDINALS.index(match[2].casefold()) + 1 for match in _NUMBERED.finditer(answer.text)}
    chosen = {keys[number - 1] for number in numbers if 0 < number <= len(keys)}
    if not chosen and (match := _NONE_OF.match(answer.text.strip())):
        chosen = {
            key for key, text in label.options.items() if (other := _NONE_OF.match(text)) and other[1].lower() == match[1].lower()
        }
    return chosen


def _has_literally(answer: Answer, text: str) -> bool:
    option_words = label_words(text)
    size = len(option_words)
    return any(answer.words[i : i + size] == option_words for i in range(len(answer.words) - size + 1))


def _are_reasons(answer: Answer, label: Choice, by_words: set[str]) -> bool:
    """Whether the words of these options occur only behind the first sentence, as reasons for the letter."""
    if len(answer.sentences) < 2:
        return False
    opening = answer.part(*answer.sentences[0])
    return not any(verify_keywords(opening, Keywords(text=label.options[key]), Beside()).keep for key in by_words)


def _beside(label: Choice) -> Beside:
    """The other options; a conclusion may name one by its letter."""
    return Beside(tuple(label.options.values()), is_words=False)


def _option_spans(answer: Answer, label: Choice, key: str) -> tuple[tuple[int, int], ...]:
    """Spans of an option's letter, else of its words."""
    letter, letters = fold(key), {fold(other) for other in label.options}
    spans = tuple(
        answer.word_spans[i] for i, word in enumerate(answer.words) if word == letter and is_letter(answer, i, letters, False)
    )
    if spans:
        return spans
    verdict = verify_keywords(answer, Keywords(text=label.options[key]), _beside(label))
    return verdict.spans if verdict.keep else ()
