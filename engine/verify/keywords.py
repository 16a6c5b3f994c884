"""Keyword labels: the text holds the label's words in any of their forms, near each other, and asserts them."""

from collections.abc import Sequence

from engine.labels import Keywords
from engine.language.answer import Answer
from engine.language.retraction import dismissed_after, is_alternative
from engine.language.scope import DENIED, OPEN
from engine.language.words import label_words, same_word
from engine.rows import Verdict
from engine.verify.enumeration import enumeration_around
from engine.verify.occurrences import are_whole_words, label_word_positions, occurrences
from engine.verify.pattern import LabelPattern, patterns_of

NO_CONCLUSION = frozenset(
    "clear obvious simple below as that shown given based found in derived evident yes no not because on it this".split()
)
"""Words behind "the answer is" that do not start a conclusion."""
MAX_CONCLUSION_WORDS = 8
"""A longer conclusion is an explanation: it need not name the label."""
YES_NO = (("yes",), ("no",))


def mentions(text: str, label: Keywords) -> bool:
    """Whether the label's words occur in the text, asserted or not."""
    answer = Answer(text)
    patterns = (pattern for label_text in (label.text, *label.aliases) for pattern in patterns_of(label_text))
    return any(_pattern_verdict(answer, pattern).reason != "label_missing" for pattern in patterns)


def verify_keywords(answer: Answer, label: Keywords, others: Sequence[str] = ()) -> Verdict:
    """`others`: texts that the answer may name beside this label, such as other parts of an `all` label."""
    label_text_words = label_words(label.text)
    if label_text_words in YES_NO and (position := _yes_no_position(answer)) is not None:
        word = answer.words[position]
        keep = (word,) == label_text_words
        reason = "contains_label" if keep else "other_answer"
        return Verdict(keep=keep, reason=reason, score=float(keep), extracted=word, spans=(answer.word_spans[position],))
    best: Verdict | None = None
    for text in (label.text, *label.aliases):
        for pattern in patterns_of(text):
            verdict = _pattern_verdict(answer, pattern)
            if verdict.keep:
                return _unless_elsewhere_answered(answer, verdict, label, others)
            if best is None or verdict.score > best.score or (verdict.score == best.score and best.reason == "label_missing"):
                best = verdict
    assert best is not None
    return best


def _yes_no_position(answer: Answer) -> int | None:
    """The position of the text's yes or no: at the start of its conclusion, else of its first sentence that starts with one."""
    starts = ([answer.conclusion[0]] if answer.conclusion else []) + [first for first, _ in answer.sentences]
    for i in starts:
        if (
            answer.words[i : i + 1] in YES_NO
            and answer.words[i + 1 : i + 2] not in (("one",), ("and",), ("or",))
            and answer.stances[i] != DENIED
        ):
            return i
    return None


def _unless_elsewhere_answered(answer: Answer, verdict: Verdict, label: Keywords, others: Sequence[str]) -> Verdict:
    """The kept verdict, or a reject if the text enumerates classes or concludes with another answer."""
    texts = (label.text, *label.aliases)
    if any(answer.words == label_words(text) for text in texts):
        return verdict
    if enumeration := enumeration_around(answer, verdict.spans[0], [*texts, *others]):
        return _rejected(answer, "lists_classes", *enumeration)
    if answer.conclusion and not others:
        first, end = answer.conclusion
        if 0 < end - first <= MAX_CONCLUSION_WORDS and answer.words[first] not in NO_CONCLUSION and len(answer.words[first]) > 1:
            conclusion = answer.part(first, end)
            if not any(_pattern_verdict(conclusion, pattern).keep for text in texts for pattern in patterns_of(text)):
                return _rejected(answer, "other_answer", first, end)
    return verdict


def _rejected(answer: Answer, reason: str, first: int, end: int) -> Verdict:
    """A reject because of a word range of the answer."""
    span = answer.span_of(first, end - 1)
    return Verdict(keep=False, reason=reason, score=0.0, extracted=answer.text[span[0] : span[1]], spans=(span,))


def _pattern_verdict(answer: Answer, pattern: LabelPattern) -> Verdict:
    """The last occurrence decides between asserted and denied; those that are left open count only if there is no other."""
    if not pattern.content:
        return _phrase_verdict(answer, pattern)
    positions = [label_word_positions(answer, pattern.words[i]) for i in pattern.content]
    score = sum(map(bool, positions)) / len(positions)
    missing = Verdict(keep=False, reason="label_missing", score=score, extracted="")
    if score < 1:
        return missing
    last: Verdict | None = None
    for chosen in occurrences(answer, pattern, positions):
        verdict = _occurrence_verdict(answer, pattern, chosen)
        if last is None or verdict.reason != "label_open":
            last = verdict
    return last or _phrase_verdict(answer, pattern)


def _occurrence_verdict(answer: Answer, pattern: LabelPattern, chosen: list[int]) -> Verdict:
    """Whether the sentence asserts the words at the chosen positions."""
    first, end = answer.sentence_of(max(chosen))
    sentence, breaks, own = answer.words[first:end], answer.breaks(first, end), frozenset(pattern.words)
    flags = answer.stances_in(first, end, own)
    in_sentence = [i - first for i in chosen if i >= first]
    chosen_flags = {flags[i] for i in in_sentence}
    lowest, highest = min(chosen), max(chosen)
    if answer.is_quoted(lowest):
        return _rejected(answer, "label_open", first, end)
    if DENIED in chosen_flags or dismissed_after(sentence, max(in_sentence) + 1):
        return _rejected(answer, "label_denied", first, end)
    if OPEN in chosen_flags or ("or" not in own and is_alternative(sentence, breaks, min(in_sentence), max(in_sentence))):
        return _rejected(answer, "label_open", first, end)
    spans = tuple(sorted(answer.word_spans[i] for i in chosen))
    return Verdict(keep=True, reason="contains_label", score=1.0, extracted=answer.excerpt(lowest, highest), spans=spans)


def _phrase_verdict(answer: Answer, pattern: LabelPattern) -> Verdict:
    """The verdict on the label's words side by side. The last occurrence decides; open ones do not overrule an asserted one."""
    size, own = len(pattern.words), frozenset(pattern.words)
    verdict = Verdict(keep=False, reason="label_missing", score=0.0, extracted="")
    for i in range(len(answer.words) - size + 1):
        if not all(same_word(answer.words[i + k], word) for k, word in enumerate(pattern.words)):
            continue
        if not are_whole_words(answer, pattern, range(i, i + size)):
            continue
        first, end = answer.sentence_of(i)
        flags = {*answer.stances_in(first, end, own)[i - first : i + size - first]}
        if DENIED in flags:
            verdict = _rejected(answer, "label_denied", first, end)
        elif OPEN in flags and not verdict.keep:
            verdict = _rejected(answer, "label_open", first, end)
        elif OPEN not in flags:
            spans = tuple(answer.word_spans[i + k] for k in range(size))
            extracted = answer.excerpt(i, i + size - 1)
            verdict = Verdict(keep=True, reason="contains_label", score=1.0, extracted=extracted, spans=spans)
    return verdict
