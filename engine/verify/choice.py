"""Choice labels: the one option that the text chooses, by letter or by words, is the label's."""

from collections.abc import Collection, Iterator

import regex

from engine.labels import Choice, Keywords
from engine.language.answer import Answer
from engine.language.retraction import dismissed_after
from engine.language.scope import DENIED, OPEN
from engine.language.words import fold, label_words
from engine.rows import Verdict
from engine.verify.keywords import verify_keywords

_AFTER_KEY = regex.compile(r"\s*[).:\]]")
_CHOSEN = regex.compile(
    r"\b(?:correct|right|best|final|my|only)\s+(?:remaining\s+)?(?:option|choice)\s*(?:left\s+)?(?:is|:)"
    r"|\bI(?:'d|'ll| would| will)?\s+(?:choose|pick|select|go\s+with|opt\s+for)\b",
    regex.IGNORECASE,
)
EXPLANATION_WORDS = 4
"""Maximum words behind a letter that are read with it: "The answer is B. the cup"."""
_LETTER_CUES = frozenset("option choice letter answer is".split())
COMPARING = frozenset("than beats".split())
"""Words before the letter that another one is preferred to."""
_ARTICLES = frozenset("a i".split())
_BECAUSE = frozenset("because since as which for so and".split())


def verify_choice(answer: Answer, label: Choice) -> Verdict:
    """The first part of the text that chooses decides: behind "I choose", behind "the answer is", the whole text.

    A key is an option's letter as the label writes it.
    """
    for part in _announced_parts(answer, label):
        if chosen := _chosen_keys(part, label, is_announced=True):
            return _verdict(answer, label, chosen)
    if chosen := _chosen_keys(answer, label, is_announced=False):
        return _verdict(answer, label, chosen)
    return Verdict(keep=False, reason="no_answer", score=0.0, extracted="")


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
    by_letter, by_words = _keys_by_letter(answer, label, is_announced), _keys_by_words(answer, label)
    if not by_letter:
        return by_words
    if len(by_letter) == 1 and by_words and not by_letter <= by_words and not _are_reasons(answer, label, by_words):
        return by_letter | by_words  # "B. running", where A is running
    return by_letter


def _keys_by_letter(answer: Answer, label: Choice, is_announced: bool) -> set[str]:
    """Keys of the options whose letter is asserted; none if the text goes through all options and rejects too few of them."""
    keys = {fold(key): key for key in label.options}
    positions: dict[str, list[int]] = {}
    for i, word in enumerate(answer.words):
        if word in keys and _is_option_letter(answer, i, is_announced, keys):
            positions.setdefault(word, []).append(i)
    asserted = {keys[letter] for letter, occurrences in positions.items() if _is_asserted(answer, occurrences[-1], keys)}
    if set(positions) == set(keys) and len(keys) > 2 and len(asserted) > 1:
        return set()
    return asserted


def _is_option_letter(answer: Answer, i: int, is_announced: bool, letters: Collection[str]) -> bool:
    """Whether the word at position i is an option's letter and not the article, a pronoun, a count or a part of a word."""
    if len(answer.words) == 1:
        return True
    if len(answer.hyphenated_with(i)) > 1:
        return False
    start, end = answer.word_spans[i]
    is_marked = bool(_AFTER_KEY.match(answer.text, end)) or answer.text[max(0, start - 1) : start] in ("(", "[", "*", '"', "'")
    before = answer.words[i - 1] if i else ""
    if before in ("option", "choice", "letter") or is_marked:
        return True
    if answer.words[i] in _ARTICLES:
        following = answer.words[i + 1 : i + 3]
        ends_phrase = (
            not following
            or following[0] in _BECAUSE
            or following[0] in letters
            or (following[0] in ("or", "and") and following[-1] in letters)
        )
        return ends_phrase and (i == 0 or before in _LETTER_CUES or is_announced)
    if len(answer.words[i]) > 1 or answer.words[i].isdigit():
        return before in _LETTER_CUES or (is_announced and i == 0)
    return True


def _is_asserted(answer: Answer, i: int, letters: Collection[str]) -> bool:
    """Whether the letter at position i is neither denied nor left open, nor dismissed behind a list of letters."""
    first, end = answer.sentence_of(i)
    before = [word for word in answer.words[max(first, i - 2) : i] if word not in ("option", "choice")]
    if before and before[-1] in COMPARING:
        return False
    skipped = {*letters, "and", "or", "both"}
    list_end = next((j for j in range(i + 1, end) if answer.words[j] not in skipped), end)
    return answer.stances[i] not in (DENIED, OPEN) and not dismissed_after(answer.words[first:end], list_end - first)


def _keys_by_words(answer: Answer, label: Choice) -> set[str]:
    """Keys of the options whose words are asserted.

    Options that occur literally go before those in other forms. An option whose words are a subset of another asserted option's is
    ignored.
    """
    option_texts = tuple(label.options.values())
    literal = {key for key, text in label.options.items() if _has_literally(answer, text)}
    asserted = {
        key for key, text in label.options.items() if verify_keywords(answer, Keywords(text=text), others=option_texts).keep
    }
    asserted = (asserted & literal) or asserted
    option_words = {key: set(label_words(text)) for key, text in label.options.items()}
    return {key for key in asserted if not any(option_words[key] < option_words[other] for other in asserted)}


def _has_literally(answer: Answer, text: str) -> bool:
    option_words = label_words(text)
    size = len(option_words)
    return any(answer.words[i : i + size] == option_words for i in range(len(answer.words) - size + 1))


def _are_reasons(answer: Answer, label: Choice, by_words: set[str]) -> bool:
    """Whether the words of these options occur only behind the first sentence, as reasons for the letter."""
    if len(answer.sentences) < 2:
        return False
    opening = answer.part(*answer.sentences[0])
    return not any(verify_keywords(opening, Keywords(text=label.options[key])).keep for key in by_words)


def _option_spans(answer: Answer, label: Choice, key: str) -> tuple[tuple[int, int], ...]:
    """Spans of an option's letter, else of its words."""
    letter, letters = fold(key), {fold(other) for other in label.options}
    spans = tuple(
        answer.word_spans[i]
        for i, word in enumerate(answer.words)
        if word == letter and _is_option_letter(answer, i, False, letters)
    )
    if spans:
        return spans
    verdict = verify_keywords(answer, Keywords(text=label.options[key]), others=tuple(label.options.values()))
    return verdict.spans if verdict.keep else ()
