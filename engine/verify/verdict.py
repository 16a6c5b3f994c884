"""Keep an answer or not, with the reason. Never raises: what cannot be parsed is rejected, and so reaches rationalization."""

from dataclasses import dataclass
from typing import Literal

from engine.labels import All, AnyOf, Box, Choice, ClassSequence, Keywords, Label, Number, Sentences, TimeRange, Timestamp
from engine.language import similarity
from engine.language.text import Said
from engine.language.words import label_words
from engine.rows import Mode, Verdict
from engine.verify import published
from engine.verify.box import has_box
from engine.verify.choice import has_option
from engine.verify.keywords import contains
from engine.verify.leakage import copies_hint, gives_away_hint
from engine.verify.number import has_number
from engine.verify.repetition import breaks_off, is_loop
from engine.verify.sentences import has_sentences
from engine.verify.sequence import has_sequence
from engine.verify.time_range import has_time_range
from engine.verify.timestamp import has_timestamp

WORDED = (Keywords, Choice, Sentences, ClassSequence)
"""Kinds of label that are the same if their words are; a number has a sign too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifySpec:
    """VerifySpec(preset="strict")

    strict: what an answer says and means, not what it only mentions. paper, code: as published.
    """

    preset: Literal["strict", "paper", "code"] = "strict"
    sentence_model: str = ""
    """Folder or hub id of a sentence-transformers model; "": ROUGE-L."""


def verify(text: str, question: str, label: Label, mode: Mode, finished: bool, spec: VerifySpec) -> Verdict:
    """`finished` is False where the answer was cut off at the token limit."""
    alike = similarity.of(spec.sentence_model)
    match spec.preset:
        case "paper":
            return published.verify(text, label, published.PAPER, alike)
        case "code":
            return published.verify(text, label, published.CODE, alike)
    said = Said(text)
    if not said.words:
        return _rejected("empty_answer", text.strip()[:40])
    if not finished:
        return _rejected("cut_off", text[-40:])
    if mode == "rationalized":
        if giveaway := gives_away_hint(text):
            return _rejected("gives_away_hint", giveaway)
        if copies_hint(said, question, label):
            return _rejected("copies_hint", text[:80])
    if said.words == label_words(label.text) and (isinstance(label, WORDED) or text.strip() == label.text):
        return Verdict(keep=True, reason="contains_label", score=1.0, extracted=text.strip(), found=((0, len(text)),))
    verdict = _decided(said.settled, question, label, alike, ())
    if verdict.keep and (repeated := is_loop(said)):
        return _rejected("repetition", repeated)
    if verdict.keep and breaks_off(said) and said.words[-1] not in label_words(label.text):
        return _rejected("cut_off", text[-40:])
    return verdict


def _decided(said: Said, question: str, label: Label, alike: similarity.Similarity, others: tuple[str, ...]) -> Verdict:
    """The rule of the label's kind. `others`: texts of the labels beside it."""
    match label:
        case Keywords():
            return contains(said, label, others)
        case Choice():
            return has_option(said, label)
        case Number():
            return has_number(said, question, label)
        case Timestamp():
            return has_timestamp(said, question, label)
        case TimeRange():
            return has_time_range(said, question, label)
        case Box():
            return has_box(said, question, label)
        case Sentences():
            return has_sentences(said, label, alike)
        case ClassSequence():
            return has_sequence(said, label)
        case All() | AnyOf():
            beside = (*others, *(part.text for part in label.labels))
            verdicts = [_decided(said, question, part, alike, beside) for part in label.labels]
            return _all(verdicts) if isinstance(label, All) else max(verdicts, key=lambda one: (one.keep, one.score))


def _all(verdicts: list[Verdict]) -> Verdict:
    score = sum(verdict.score for verdict in verdicts) / len(verdicts)
    for verdict in verdicts:
        if not verdict.keep:
            return Verdict(keep=False, reason=verdict.reason, score=score, extracted=verdict.extracted, found=verdict.found)
    extracted = " | ".join(verdict.extracted for verdict in verdicts)
    found = tuple(sorted({place for verdict in verdicts for place in verdict.found}))
    return Verdict(keep=True, reason="contains_label", score=score, extracted=extracted, found=found)


def _rejected(reason: str, extracted: str) -> Verdict:
    return Verdict(keep=False, reason=reason, score=0.0, extracted=extracted)
