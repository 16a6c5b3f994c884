"""Keyword labels: the text holds the label's words in any of their forms, near each other, and asserts them."""

from collections.abc import Sequence
from dataclasses import dataclass

from engine.labels import Keywords
from engine.language.answer import Answer
from engine.language.cues import named_class_start
from engine.language.retraction import dismissed_after, is_alternative
from engine.language.scope import ASSERTED, CLAUSE_STARTS, DENIED, OPEN
from engine.language.vocabulary import ARTICLES
from engine.language.words import label_words, same_word
from engine.rows import Verdict
from engine.verify.actor import is_of_another
from engine.verify.enumeration import enumeration_around
from engine.verify.event import is_at_another_time, is_event
from engine.verify.occurrences import are_whole_words, label_word_positions, occurrences
from engine.verify.parsed import is_refuted
from engine.verify.pattern import LabelPattern, excluded_words, patterns_of
from engine.verify.state import ADJECTIVES, is_property

NO_CONCLUSION = frozenset(
    "clear obvious simple below as that shown given based found in derived evident yes no not because on it this".split()
)
"""Words behind "the answer is" that do not start a conclusion."""
MAX_CONCLUSION_WORDS = 8
"""A longer conclusion is an explanation: it need not name the label."""
YES_NO = (("yes",), ("no",))
EXCLUDED_REACH = 3
"""Words beside an occurrence of the label among which an excluded word belongs to it: "opens a bottle of wine"."""
SKIPPED = frozenset("a an the".split())
"""Words that a label and an answer may have or not: "putting a cup on the table"."""


def mentions(text: str, label: Keywords) -> bool:
    """Whether the label's words occur in the text, asserted or not."""
    answer = Answer(text)
    patterns = (pattern for label_text in (label.text, *label.aliases) for pattern in patterns_of(label_text))
    return any(_pattern_verdict(answer, pattern).reason != "label_missing" for pattern in patterns)


@dataclass(frozen=True)
class Beside:
    """What an answer may name beside a label: the other parts of an `all` or `any` label."""

    texts: tuple[str, ...] = ()
    is_words: bool = True
    """Whether each of them is named by its words. A number has many forms, so a conclusion without its text may name it."""


def verify_keywords(answer: Answer, label: Keywords, beside: Beside) -> Verdict:
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
            if verdict.keep and (excluded := _excluded_word(answer, verdict, label)) is not None:
                verdict = _rejected(answer, "other_answer", excluded, excluded + 1)
            if verdict.keep:
                return _unless_elsewhere_answered(answer, verdict, label, beside)
            if best is None or verdict.score > best.score or (verdict.score == best.score and best.reason == "label_missing"):
                best = verdict
    assert best is not None
    return best


def _excluded_word(answer: Answer, verdict: Verdict, label: Keywords) -> int | None:
    """The position of a word beside the label's that it excludes: wine, for "opening bottle (not wine)"; None without one."""
    excluded = excluded_words(label.text)
    if not excluded or not verdict.spans or answer.words == label_words(label.text):
        return None
    first, last = (answer.next_word(start) for start, _ in (verdict.spans[0], verdict.spans[-1]))
    sentence_start, sentence_end = answer.sentence_of(first)
    beside = range(max(sentence_start, first - EXCLUDED_REACH), min(sentence_end, last + 1 + EXCLUDED_REACH))
    own = {start for start, _ in verdict.spans}  # "tying knot (not on a tie)": the verb is no tie
    is_excluded = (
        i for i in beside if answer.word_spans[i][0] not in own and any(same_word(answer.words[i], word) for word in excluded)
    )
    return next((i for i in is_excluded if answer.stances[i] not in (DENIED, OPEN)), None)


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


def _unless_elsewhere_answered(answer: Answer, verdict: Verdict, label: Keywords, beside: Beside) -> Verdict:
    """The kept verdict, or a reject if the text enumerates classes or concludes with another answer."""
    texts = (label.text, *label.aliases)
    if any(answer.words == label_words(text) for text in texts):
        return verdict
    named = (*texts, *beside.texts)
    if enumeration := enumeration_around(answer, verdict.spans[0], named):
        return _rejected(answer, "lists_classes", *enumeration)
    if answer.conclusion and beside.is_words:
        first, end = answer.conclusion
        if 0 < end - first <= MAX_CONCLUSION_WORDS and answer.words[first] not in NO_CONCLUSION and len(answer.words[first]) > 1:
            conclusion = answer.part(first, end)
            if not any(_pattern_verdict(conclusion, pattern).keep for text in named for pattern in patterns_of(text)):
                return _rejected(answer, "other_answer", first, end)
    if beside.is_words and (other_class := _other_class(answer, verdict, named)):
        return _rejected(answer, "other_answer", *other_class)
    return verdict


def _other_class(answer: Answer, verdict: Verdict, texts: Sequence[str]) -> tuple[int, int] | None:
    """The word range of another class by which the text names what it has described: "... So the action is walking"."""
    start = named_class_start(answer.text, answer.words)
    first = answer.next_word(start)
    if not start or first == len(answer.words) or answer.stances[first] != ASSERTED:
        return None
    if any(same_word(answer.words[first], word) for text in texts for word in label_words(text)):
        return None
    sentence_end = answer.sentence_of(first)[1]
    end = next((i for i in range(first + 1, sentence_end) if answer.words[i] in CLAUSE_STARTS), sentence_end)  # reasons follow
    occurrence = answer.next_word(verdict.spans[0][0])
    if first <= occurrence < end or occurrence >= sentence_end:
        return None
    named = answer.part(first, end)
    is_label = any(_pattern_verdict(named, pattern).reason != "label_missing" for text in texts for pattern in patterns_of(text))
    return None if is_label else (first, end)


def _rejected(answer: Answer, reason: str, first: int, end: int) -> Verdict:
    """A reject because of a word range of the answer."""
    span = answer.span_of(first, end - 1)
    return Verdict(keep=False, reason=reason, score=0.0, extracted=answer.text[span[0] : span[1]], spans=(span,))


def _pattern_verdict(answer: Answer, pattern: LabelPattern) -> Verdict:
    """The last occurrence decides between asserted and denied; those that are left open count only if there is no other."""
    if not pattern.content:
        return _phrase_verdict(answer, pattern)
    verbs = (pattern.verb, pattern.imperative)  # no pronoun stands for them
    positions = [label_word_positions(answer, pattern.words[i], not pattern.is_joined, i not in verbs) for i in pattern.content]
    score = sum(map(bool, positions)) / len(positions)
    missing = Verdict(keep=False, reason="label_missing", score=score, extracted="")
    if score < 1:
        return missing
    verdict: Verdict | None = None
    for chosen in reversed(occurrences(answer, pattern, positions)):
        verdict = _occurrence_verdict(answer, pattern, chosen)
        if verdict.reason != "label_open":
            return verdict
    return verdict or _phrase_verdict(answer, pattern)


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
    if DENIED in chosen_flags or dismissed_after(sentence, answer.hyphenated_with(highest).stop - first):
        return _rejected(answer, "label_denied", first, end)
    if OPEN in chosen_flags or ("or" not in own and is_alternative(sentence, breaks, min(in_sentence), max(in_sentence))):
        return _rejected(answer, "label_open", first, end)
    if pattern.verb is None and (is_of_another(answer, min(chosen)) or _is_state(answer, pattern, chosen)):
        return _rejected(answer, "label_open", first, end)
    if (verb := pattern.verb) is not None:
        position = chosen[pattern.content.index(verb)]
        nouns = [i for i in chosen if i != position]
        subjects = [pattern.words[i] for i in pattern.nouns if i < verb]
        objects = [pattern.words[i] for i in pattern.nouns if i > verb]
        if not is_event(answer, position, subjects, objects) or (answer.parser and is_refuted(answer, position, nouns, own)):
            return _rejected(answer, "label_open", first, end)
    spans = tuple(sorted(answer.word_spans[i] for i in chosen))
    return Verdict(keep=True, reason="contains_label", score=1.0, extracted=answer.excerpt(lowest, highest), spans=spans)


def _is_state(answer: Answer, pattern: LabelPattern, chosen: list[int]) -> bool:
    """Whether the text says of a label like "peel potato" only that the thing is, or was, in that state: "the peeled potatoes"."""
    if pattern.imperative is None:
        return False
    position, own = chosen[pattern.content.index(pattern.imperative)], pattern.words[pattern.imperative]
    others = [i for i in chosen if i != position]
    if answer.words[position] == own and own not in ADJECTIVES:  # a noun: "the hammer throw" is one, "the egg has a crack" none
        return bool(others) and max(others) < position and answer.words[position - 1] in ARTICLES
    is_refused = bool(answer.parser) and is_refuted(answer, position, others, frozenset(pattern.words))
    return is_refused or is_property(answer, position, ()) or is_at_another_time(answer, position)


def _phrase_verdict(answer: Answer, pattern: LabelPattern) -> Verdict:
    """The verdict on the label's words side by side, with whatever articles.

    The last occurrence decides; open ones do not overrule an asserted one.
    """
    own = frozenset(pattern.words)
    label_words = [word for word in pattern.words if word not in SKIPPED] or list(pattern.words)
    kept = [i for i, word in enumerate(answer.words) if word not in SKIPPED or label_words[0] in SKIPPED]
    verdict = Verdict(keep=False, reason="label_missing", score=0.0, extracted="")
    for start in range(len(kept) - len(label_words) + 1):
        if not same_word(answer.words[kept[start]], label_words[0], answer.language):
            continue
        places = kept[start : start + len(label_words)]
        i, size = places[0], places[-1] + 1 - places[0]
        if not all(same_word(answer.words[place], word, answer.language) for place, word in zip(places, label_words, strict=True)):
            continue
        first, end = answer.sentence_of(i)
        is_split = i + size > end and size > len(pattern.words)  # only articles of the label's own are skipped over a full stop
        if is_split or not are_whole_words(answer, pattern, range(i, i + size)):
            continue
        flags = {*answer.stances_in(first, end, own)[i - first : i + size - first]}
        if DENIED in flags:
            verdict = _rejected(answer, "label_denied", first, end)
        elif OPEN in flags and not verdict.keep:
            verdict = _rejected(answer, "label_open", first, end)
        elif OPEN not in flags:
            spans = tuple(answer.word_spans[place] for place in places)
            extracted = answer.excerpt(i, i + size - 1)
            verdict = Verdict(keep=True, reason="contains_label", score=1.0, extracted=extracted, spans=spans)
    return verdict
