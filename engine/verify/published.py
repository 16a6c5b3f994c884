"""Video-STaR's verifiers as published, failure modes included: `paper` (section 2.3, appendix A.1) and `code` (the release).

They differ in the ratio of similar words (>= 80, > 85) and in the tolerance (5 %, 10 %). Both use what only the release defines:
IoU above 0.5, corners read as centre and size, time ranges strictly within 0 to 1, similarity thresholds of 0.6 and 0.25, and
models beside it (engine/verify/tools.py). The release's own tagger of times is not here: any number counts as one.
"""

import math
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import regex
from rapidfuzz import fuzz

from engine.labels import (
    All,
    AnyOf,
    Box,
    Choice,
    ClassSequence,
    Keywords,
    Label,
    Number,
    Reads,
    Reference,
    SameOrNot,
    Sentences,
    TimeRange,
    Timestamp,
    corners,
)
from engine.language.answer import Answer
from engine.language.words import unfolded_words, words
from engine.rows import Verdict
from engine.verify.box import box_iou
from engine.verify.reference import verify_reference
from engine.verify.time_range import range_iou
from engine.verify.tools import Tools

_NUMBER = regex.compile(r"[-+]?\d*\.\d+|[-+]?\d+")
_BOX = regex.compile(r"\[(\d+\.\d+,\s*\d+\.\d+,\s*\d+\.\d+,\s*\d+\.\d+)\]")
MIN_IOU = 0.5
UNORDERED_THRESHOLD, ORDERED_THRESHOLD = 0.6, 0.25
"""Minimum similarity, or entailment, of sentences."""
SURE_SPAN = 0.6
"""The score above which a time range is looked for in the span alone."""
_SAME = regex.compile(r"(?:\b(?:be|is|are|am|was|were|been|being)|['’](?:s|re|m))\s+(not\s+)?the\s+same\b", regex.IGNORECASE)
_PART_END = regex.compile(r"[^\w\s'’-]+|\b(?:and|or|but|nor|yet)\b", regex.IGNORECASE)
"""Ends a part of a sentence. The release takes punctuation and conjunctions as spaCy's parse calls them."""


@dataclass(frozen=True, slots=True)
class Constants:
    """Constants in which paper and code differ: Constants(ratio=80, inclusive=True, tolerance=0.05)."""

    ratio: float
    """0..100: rapidfuzz ratio from which on two words count as the same."""
    inclusive: bool
    """Whether a ratio of exactly `ratio` counts."""
    tolerance: float
    """For a number a share of its value, for a moment a share of the clip."""


PAPER = Constants(ratio=80, inclusive=True, tolerance=0.05)
CODE = Constants(ratio=85, inclusive=False, tolerance=0.10)


@dataclass(frozen=True)
class Reading:
    """An answer with what it is judged by: Reading("The cup.", "What is in the box?", CODE, Tools())."""

    text: str
    question: str
    constants: Constants
    tools: Tools

    def read(self, reads: Reads) -> str:
        """The text, or the span of it that answers the question; the text too where there is no model for spans."""
        if reads == "text" or (span := self.tools.span(self.question, self.text)) is None:
            return self.text
        return span.text


def verify(reading: Reading, label: Label) -> Verdict:
    match label:
        case Keywords():
            return _words(reading.read(label.reads), label.text, reading)
        case Choice():
            return _words(reading.text, label.options[label.option], reading)
        case Number():
            return _number(reading.text, label, reading.constants)
        case Timestamp():
            return _timestamp(reading.text, label, reading.constants)
        case TimeRange():
            return _range(reading, label)
        case Box():
            return _box(reading.text, label)
        case Sentences():
            return _sentences(reading, label)
        case ClassSequence():
            return _sentences(reading, Sentences(items=label.items, ordered=True))
        case SameOrNot():
            return _same_or_not(reading.text, label)
        case Reference():
            return verify_reference(reading.text, words(reading.text), label)
        case All():
            verdicts = [verify(reading, part) for part in label.labels]
            return next((verdict for verdict in verdicts if not verdict.keep), verdicts[-1])
        case AnyOf():
            verdicts = [verify(reading, part) for part in label.labels]
            return next((verdict for verdict in verdicts if verdict.keep), verdicts[-1])


def _words(text: str, label_text: str, reading: Reading) -> Verdict:
    """Each label word, without stop words and words of one or two letters, has a similar word anywhere in the text.

    Negation and order are ignored, and a label of stop words only is contained in every text. Numbers are words as they are
    spelled: 3.0 has three letters, and 3 has one.
    """
    constants, stop_words = reading.constants, reading.tools.stop_words
    label_content, text_content = (
        [word for word in map(str.casefold, unfolded_words(words_of)) if word not in stop_words and len(word) > 2]
        for words_of in (label_text, text)
    )
    ratios = [max((fuzz.ratio(word, other) for other in text_content), default=0.0) for word in label_content]
    matches = [ratio >= constants.ratio if constants.inclusive else ratio > constants.ratio for ratio in ratios]
    score = sum(matches) / len(matches) if matches else 1.0
    return _verdict(all(matches), "label_missing", score, " ".join(label_content))


def _number(text: str, label: Number, constants: Constants) -> Verdict:
    """Any number of the text may match. The original raises for a text without numbers and for a label of 0."""
    stated = [float(number) for number in _NUMBER.findall(text)]
    if not stated or label.value == 0:
        return _verdict(False, "no_answer", 0.0, "")
    best = min(abs(number - label.value) / label.value for number in stated)
    return _verdict(best <= constants.tolerance, "wrong_number", 1 / (1 + abs(best)), ", ".join(f"{number:g}" for number in stated))


def _timestamp(text: str, label: Timestamp, constants: Constants) -> Verdict:
    """The last number of the text, as a share of the clip."""
    stated = [float(number) for number in _NUMBER.findall(text)]
    if not stated:
        return _verdict(False, "no_answer", 0.0, "")
    error = abs(stated[-1] - label.time_s / label.duration_s)
    return _verdict(error <= constants.tolerance, "wrong_time", max(0.0, 1 - error), f"{stated[-1]:g}")


def _range(reading: Reading, label: TimeRange) -> Verdict:
    """The last two neighbouring numbers with 0 < start < end < 1, of the span where its model is sure, else of the text."""
    span = reading.tools.span(reading.question, reading.text)
    text = span.text if span is not None and span.score > SURE_SPAN else reading.text
    stated = [float(number) for number in _NUMBER.findall(text)]
    pairs = [(a, b) for a, b in pairwise(stated) if 0 < a < b < 1]
    if not pairs:
        return _verdict(False, "no_answer", 0.0, "")
    start, end = pairs[-1]
    iou = range_iou(start, end, label.start_s / label.duration_s, label.end_s / label.duration_s)
    return _verdict(iou > MIN_IOU, "low_iou", iou, f"{start:g}-{end:g}")


def _box(text: str, label: Box) -> Verdict:
    """Corners are read as centre and size, so boxes that do not touch may pass."""
    box_texts = _BOX.findall(text)
    if not box_texts:
        return _verdict(False, "no_answer", 0.0, "")
    a, b, c, d = (float(value) for value in box_texts[-1].split(","))
    answer_box, label_box = corners((a, b, c, d), "cxcywh"), corners(corners(label.box, label.format), "cxcywh")
    iou = box_iou(answer_box, label_box) if c > 0 and d > 0 else 0.0
    return _verdict(iou > MIN_IOU, "low_iou", iou if math.isfinite(iou) else 0.0, box_texts[-1])


def _sentences(reading: Reading, label: Sentences) -> Verdict:
    """Ordered: the indices of the most similar sentence of each item do not decrease; one sentence may serve all items."""
    entails = reading.tools.entails if label.compare == "entailment" else None
    text = reading.read(label.reads)
    parts = Answer(text).sentence_texts() if entails is None else parts_of(text)
    if not parts:
        return _verdict(False, "no_answer", 0.0, "")
    scores = (entails or reading.tools.similarity)(label.items, parts)
    best, best_index = scores.max(axis=1), scores.argmax(axis=1)
    if (best < (ORDERED_THRESHOLD if label.ordered else UNORDERED_THRESHOLD)).any():
        return _verdict(False, "label_missing", float(best.mean()), label.items[int(best.argmin())])
    return _verdict(not label.ordered or bool((np.diff(best_index) >= 0).all()), "wrong_order", float(best.mean()), "")


def parts_of(text: str) -> list[str]:
    """
    >>> parts_of("He runs, jumps and dives. It ends.")
    ['He runs', 'jumps', 'dives', 'It ends']
    """
    return [part for part in (part.strip() for part in _PART_END.split(text)) if len(part) > 1]


def _same_or_not(text: str, label: SameOrNot) -> Verdict:
    """The last "are the same", or "are not the same". "Aren't the same" is neither, and a text without both confirms nothing."""
    mentions = list(_SAME.finditer(text))
    if not mentions:
        return _verdict(False, "no_answer", 0.0, "")
    keep = (mentions[-1][1] is None) == label.same
    return _verdict(keep, "other_answer", float(keep), mentions[-1][0])


def _verdict(keep: bool, reject_reason: str, score: float, extracted: str) -> Verdict:
    return Verdict(keep=keep, reason="contains_label" if keep else reject_reason, score=score, extracted=extracted)
