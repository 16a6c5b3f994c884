"""Video-STaR's verifiers as published, failure modes included: `paper` (section 2.3, appendix A.1) and `code` (the release).

They differ in the ratio of similar words (>= 80, > 85) and in the tolerance (5 %, 10 %). Both use what only the release defines:
IoU above 0.5, corners read as centre and size, time ranges strictly within 0 to 1, similarity thresholds of 0.6 and 0.25.
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
    Reference,
    Sentences,
    TimeRange,
    Timestamp,
    corners,
)
from engine.language.answer import Answer
from engine.language.similarity import Similarity
from engine.language.vocabulary import FUNCTION_WORDS
from engine.language.words import label_words, words
from engine.rows import Verdict
from engine.verify.box import box_iou
from engine.verify.reference import verify_reference
from engine.verify.time_range import range_iou

STOP_WORDS = FUNCTION_WORDS | frozenset(
    "about above across after again against all almost along also although always am among another any anyone anything "
    "around back because become before behind below beside between both bottom but call can cannot could did do does "
    "doing done down during each either else empty enough even ever every everything except few first front full get give "
    "go here how however i if just keep last least less made make many may me might more most move much must my name "
    "neither never next no nobody none nor not nothing now off often once one only other out over own part per perhaps "
    "please put quite rather re really same say see seem several show side since so something still such take than then "
    "there these those through together too top toward towards two under until up upon us using various very via well "
    "what when where which while who whole why will within without would yet isn't aren't wasn't don't doesn't didn't n't".split()
)
"""Stop words that the published matcher drops, negations, particles and light verbs among them: the greater part
of spaCy's English list."""
_NUMBER = regex.compile(r"[-+]?\d*\.\d+|[-+]?\d+")
_BOX = regex.compile(r"\[(\d+\.\d+,\s*\d+\.\d+,\s*\d+\.\d+,\s*\d+\.\d+)\]")
MIN_IOU = 0.5
UNORDERED_THRESHOLD, ORDERED_THRESHOLD = 0.6, 0.25
"""Minimum similarity of sentences."""


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


def verify(text: str, label: Label, constants: Constants, similarity: Similarity) -> Verdict:
    match label:
        case Keywords():
            return _words(text, label.text, constants)
        case Choice():
            return _words(text, label.options[label.option], constants)
        case Number():
            return _number(text, label, constants)
        case Timestamp():
            return _timestamp(text, label, constants)
        case TimeRange():
            return _range(text, label)
        case Box():
            return _box(text, label)
        case Sentences():
            return _sentences(text, label.items, label.ordered, similarity)
        case ClassSequence():
            return _sentences(text, label.items, True, similarity)
        case Reference():
            return verify_reference(text, words(text), label)
        case All():
            verdicts = [verify(text, part, constants, similarity) for part in label.labels]
            return next((verdict for verdict in verdicts if not verdict.keep), verdicts[-1])
        case AnyOf():
            verdicts = [verify(text, part, constants, similarity) for part in label.labels]
            return next((verdict for verdict in verdicts if verdict.keep), verdicts[-1])


def _words(text: str, label_text: str, constants: Constants) -> Verdict:
    """Each label word, without stop words and words of one or two letters, has a similar word anywhere in the text.

    Negation and order are ignored, and a label of stop words only is contained in every text.
    """
    label_content = [word for word in label_words(label_text) if word not in STOP_WORDS and len(word) > 2]
    text_content = [word for word in words(text) if word not in STOP_WORDS and len(word) > 2]
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


def _range(text: str, label: TimeRange) -> Verdict:
    """The last two neighbouring numbers with 0 < start < end < 1. The original finds numbers with a trained tagger."""
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


def _sentences(text: str, items: tuple[str, ...], ordered: bool, similarity: Similarity) -> Verdict:
    """Ordered: the indices of the most similar sentence of each item do not decrease; one sentence may serve all items."""
    parts = Answer(text).sentence_texts()
    if not parts:
        return _verdict(False, "no_answer", 0.0, "")
    scores = similarity(items, parts)
    best, best_index = scores.max(axis=1), scores.argmax(axis=1)
    if (best < (ORDERED_THRESHOLD if ordered else UNORDERED_THRESHOLD)).any():
        return _verdict(False, "label_missing", float(best.mean()), items[int(best.argmin())])
    return _verdict(not ordered or bool((np.diff(best_index) >= 0).all()), "wrong_order", float(best.mean()), "")


def _verdict(keep: bool, reject_reason: str, score: float, extracted: str) -> Verdict:
    return Verdict(keep=keep, reason="contains_label" if keep else reject_reason, score=score, extracted=extracted)
