"""Whether an answer is kept, with the reason. Nothing raises: what cannot be parsed is rejected, and so rationalized."""

from dataclasses import dataclass
from typing import Literal

from engine.labels import (
    All,
    AnyOf,
    Box,
    Choice,
    ClassSequence,
    Keywords,
    Label,
    Number,
    Reference,
    SameOrNot,
    Sentences,
    TimeRange,
    Timestamp,
)
from engine.language import parse, similarity
from engine.language.answer import Answer
from engine.language.structure.stated import stated
from engine.language.words import ENGLISH, fold, label_words
from engine.rows import Mode, Verdict
from engine.verify import published, tools
from engine.verify.box import verify_box
from engine.verify.choice import verify_choice
from engine.verify.judging import JudgeSpec
from engine.verify.keywords import YES_NO, Beside, verify_keywords
from engine.verify.leakage import copies_hint, revealing_span
from engine.verify.number import verify_number
from engine.verify.reference import verify_reference
from engine.verify.repetition import breaks_off, repeated_range
from engine.verify.same_or_not import verify_same_or_not
from engine.verify.sentences import verify_sentences
from engine.verify.sequence import verify_sequence
from engine.verify.time_range import verify_time_range
from engine.verify.timestamp import verify_timestamp
from engine.verify.turns import next_turn
from engine.verify.unseen import unseen_span

COMPARED_BY_WORDS = (Keywords, Choice, Sentences, ClassSequence, SameOrNot, Reference)
"""Kinds of label for which an answer with the same words is the label itself; a number also has a sign."""
EXCERPT_CHARS, LONG_EXCERPT_CHARS = 40, 80
"""Characters of a rejected answer in `Verdict.extracted`."""
PARTS = " | "
"""Between what the parts of an `all` label found, in `Verdict.extracted`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifySpec:
    """VerifySpec(preset="strict")

    strict: the answer must assert the label, not only mention it. paper, code: Video-STaR's rules (engine/verify/published.py).
    """

    preset: Literal["strict", "paper", "code"] = "strict"
    sentence_model: str = ""
    """Folder or hub id of a sentence-transformers model; "": ROUGE-L."""
    parser: str = ""
    """A dependency parser as verify.parser names it; "": none."""
    language: str = ENGLISH
    """Code of the answers' language, for the dictionary forms of its words."""
    judge: JudgeSpec | None = None
    """Of the stage "judge"; None: there is none."""
    span_model: str = ""
    """Of the published rules: folder or hub id of a model for extractive question answering."""
    entailment_model: str = ""
    """Of the published rules: folder or hub id of a model for natural language inference."""
    stop_words: tools.StopWords = "own"
    """Of the published rules."""

    @property
    def tools(self) -> tools.ToolSpec:
        """What the published rules use beside the text."""
        return tools.ToolSpec(
            sentence_model=self.sentence_model,
            span_model=self.span_model,
            entailment_model=self.entailment_model,
            stop_words=self.stop_words,
        )


def verify(text: str, question: str, label: Label, mode: Mode, finished: bool, spec: VerifySpec) -> Verdict:
    """The verdict on one answer. `finished` is False if the answer was cut off at the token limit."""
    if spec.preset != "strict":
        constants = published.PAPER if spec.preset == "paper" else published.CODE
        return published.verify(published.Reading(text, question, constants, tools.of(spec.tools)), label)
    sentence_similarity = similarity.of(spec.sentence_model)
    answer = Answer(text, question, parse.of(spec.parser), spec.language)
    if not answer.words:
        return _rejected("empty_answer", text.strip()[:EXCERPT_CHARS])
    if turn := next_turn(text, label):
        return _rejected("runs_on", text[turn[0] :][:LONG_EXCERPT_CHARS], turn)
    last = (max(0, len(text) - EXCERPT_CHARS), len(text))
    if not finished:
        return _rejected("cut_off", text[-EXCERPT_CHARS:], last)
    is_label = answer.words == label_words(label.text) and (isinstance(label, COMPARED_BY_WORDS) or text.strip() == label.text)
    if not is_label and (repeated := repeated_range(answer)):
        first, end = repeated
        return _rejected("repetition", " ".join(answer.words[first:end]), answer.span_of(first, end - 1))
    if span := unseen_span(text):
        return _rejected("unseen", text[span[0] : span[1]], span)
    if mode == "rationalized":
        if span := revealing_span(text):
            return _rejected("gives_away_hint", text[span[0] : span[1]], span)
        if copies_hint(answer, question, label):
            return _rejected("copies_hint", text[:LONG_EXCERPT_CHARS], (0, len(text)))
    if is_label:
        return Verdict(keep=True, reason="contains_label", score=1.0, extracted=text.strip(), spans=((0, len(text)),))
    stated_answer = _stated(answer, label)
    if not stated_answer.words:
        return _rejected("no_answer", "")
    verdict = _kind_verdict(stated_answer.corrected, question, label, sentence_similarity, Beside())
    if verdict.keep and breaks_off(answer) and answer.words[-1] not in _own_words(label):
        return _rejected("cut_off", text[-EXCERPT_CHARS:], last)
    return verdict


def _stated(answer: Answer, label: Label) -> Answer:
    """What the answer's structure states, at unchanged offsets: no reasoning, no rejected candidates."""
    texts = label.options.values() if isinstance(label, Choice) else [label.text]
    is_yes_or_no = any(label_words(text) in YES_NO for text in texts)
    text = stated(answer.text, isinstance(label, COMPARED_BY_WORDS), is_yes_or_no)
    return answer if text == answer.text else answer.with_text(text)


def _own_words(label: Label) -> frozenset[str]:
    """Words with which an answer to the label may end: its own, and the letters of its options ("B, not A")."""
    letters = [fold(key) for key in label.options] if isinstance(label, Choice) else []
    return frozenset((*label_words(label.text), *letters))


def _kind_verdict(
    answer: Answer, question: str, label: Label, sentence_similarity: similarity.Similarity, beside: Beside
) -> Verdict:
    """The verdict by the rule of the label's kind. `beside`: what an `all` or `any` label holds beside it."""
    match label:
        case Keywords():
            return verify_keywords(answer, label, beside)
        case Choice():
            return verify_choice(answer, label)
        case Number():
            return verify_number(answer, question, label)
        case Timestamp():
            return verify_timestamp(answer, question, label)
        case TimeRange():
            return verify_time_range(answer, question, label)
        case Box():
            return verify_box(answer, question, label)
        case Sentences():
            return verify_sentences(answer, label, sentence_similarity)
        case ClassSequence():
            return verify_sequence(answer, label)
        case SameOrNot():
            return verify_same_or_not(answer, label)
        case Reference():
            return verify_reference(answer.text, answer.words, label)
        case All() | AnyOf():
            texts = (*beside.texts, *(part.text for part in label.labels))
            of_all = Beside(texts, beside.is_words and all(isinstance(part, Keywords) for part in label.labels))
            verdicts = [_kind_verdict(answer, question, part, sentence_similarity, of_all) for part in label.labels]
            return (
                _combined(verdicts) if isinstance(label, All) else max(verdicts, key=lambda verdict: (verdict.keep, verdict.score))
            )


def _combined(verdicts: list[Verdict]) -> Verdict:
    """The verdict of an `all` label: that of its first rejected part, else kept with the spans of all parts."""
    score = sum(verdict.score for verdict in verdicts) / len(verdicts)
    for verdict in verdicts:
        if not verdict.keep:
            return Verdict(keep=False, reason=verdict.reason, score=score, extracted=verdict.extracted, spans=verdict.spans)
    extracted = PARTS.join(verdict.extracted for verdict in verdicts)
    spans = tuple(sorted({span for verdict in verdicts for span in verdict.spans}))
    return Verdict(keep=True, reason="contains_label", score=score, extracted=extracted, spans=spans)


def _rejected(reason: str, extracted: str, *spans: tuple[int, int]) -> Verdict:
    return Verdict(keep=False, reason=reason, score=0.0, extracted=extracted, spans=spans)
