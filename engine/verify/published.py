"""Video-STaR's verifiers as published, with constants and failure modes: `paper` (section 2.3, appendix A.1), `code` (the release).

They differ in the look-alike ratio (>= 80, > 85) and in the tolerance (5 %, 10 %). What only the release has is the same in both:
IoU above 0.5, corners read as centre and size, ranges strictly within 0 to 1, 0.6 and 0.25 of a similarity.
"""

import math
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import regex
from rapidfuzz import fuzz

from engine.labels import All, AnyOf, Box, Choice, ClassSequence, Keywords, Label, Number, Sentences, TimeRange, Timestamp, corners
from engine.language.similarity import Similarity
from engine.language.text import Said
from engine.language.vocabulary import FUNCTION_WORDS
from engine.language.words import label_words, words
from engine.rows import Verdict
from engine.verify import box, time_range

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
"""Stop words as the published matcher drops them: negations, particles and light verbs among them. It uses spaCy's English list, of
which this is the greater part, not the whole."""
_NUMBER = regex.compile(r"[-+]?\d*\.\d+|[-+]?\d+")
_BOX = regex.compile(r"\[(\d+\.\d+,\s*\d+\.\d+,\s*\d+\.\d+,\s*\d+\.\d+)\]")
IOU = 0.5
UNORDERED, ORDERED = 0.6, 0.25


@dataclass(frozen=True, slots=True)
class Constants:
    """Where paper and code differ."""

    ratio: float
    inclusive: bool
    tolerance: float
    """Of a number relative to it, of a moment as a share of the clip."""


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
        case All():
            verdicts = [verify(text, part, constants, similarity) for part in label.labels]
            return next((verdict for verdict in verdicts if not verdict.keep), verdicts[-1])
        case AnyOf():
            verdicts = [verify(text, part, constants, similarity) for part in label.labels]
            return next((verdict for verdict in verdicts if verdict.keep), verdicts[-1])


def _words(text: str, wanted: str, constants: Constants) -> Verdict:
    """Every label word but stop words and words of two letters has a look-alike anywhere in the text.

    It sees neither negation nor order, and a label of stop words only is contained in any text.
    """
    wish = [word for word in label_words(wanted) if word not in STOP_WORDS and len(word) > 2]
    said = [word for word in words(text) if word not in STOP_WORDS and len(word) > 2]
    ratios = [max((fuzz.ratio(word, other) for other in said), default=0.0) for word in wish]
    found = [ratio >= constants.ratio if constants.inclusive else ratio > constants.ratio for ratio in ratios]
    score = sum(found) / len(found) if found else 1.0
    return _verdict(all(found), "label_missing", score, " ".join(wish))


def _number(text: str, label: Number, constants: Constants) -> Verdict:
    """Any number of the text will do; the original raises for a text without one, and for a value of 0."""
    found = [float(number) for number in _NUMBER.findall(text)]
    if not found or label.value == 0:
        return _verdict(False, "no_answer", 0.0, "")
    best = min(abs(number - label.value) / label.value for number in found)
    return _verdict(best <= constants.tolerance, "wrong_number", 1 / (1 + abs(best)), ", ".join(f"{number:g}" for number in found))


def _timestamp(text: str, label: Timestamp, constants: Constants) -> Verdict:
    """The last number of the text, as a share of the clip."""
    found = [float(number) for number in _NUMBER.findall(text)]
    if not found:
        return _verdict(False, "no_answer", 0.0, "")
    error = abs(found[-1] - label.time_s / label.duration_s)
    return _verdict(error <= constants.tolerance, "wrong_time", max(0.0, 1 - error), f"{found[-1]:g}")


def _range(text: str, label: TimeRange) -> Verdict:
    """The last two neighbours with 0 < start < end < 1; the original finds numbers by a trained tagger, which is not at hand."""
    found = [float(number) for number in _NUMBER.findall(text)]
    pairs = [(a, b) for a, b in pairwise(found) if 0 < a < b < 1]
    if not pairs:
        return _verdict(False, "no_answer", 0.0, "")
    start, end = pairs[-1]
    iou = time_range.overlap(start, end, label.start_s / label.duration_s, label.end_s / label.duration_s)
    return _verdict(iou > IOU, "low_iou", iou, f"{start:g}-{end:g}")


def _box(text: str, label: Box) -> Verdict:
    """Corners are built and read as centre and size: boxes that do not touch may pass."""
    found = _BOX.findall(text)
    if not found:
        return _verdict(False, "no_answer", 0.0, "")
    a, b, c, d = (float(value) for value in found[-1].split(","))
    said, gold = corners((a, b, c, d), "cxcywh"), corners(corners(label.box, label.format), "cxcywh")
    iou = box.overlap(said, gold) if c > 0 and d > 0 else 0.0
    return _verdict(iou > IOU, "low_iou", iou if math.isfinite(iou) else 0.0, found[-1])


def _sentences(text: str, items: tuple[str, ...], ordered: bool, similarity: Similarity) -> Verdict:
    """Ordered: the likeliest sentence of each item, at indices that do not fall; one sentence may serve all of them."""
    parts = Said(text).sentence_texts()
    if not parts:
        return _verdict(False, "no_answer", 0.0, "")
    scores = similarity(items, parts)
    best, at = scores.max(axis=1), scores.argmax(axis=1)
    if (best < (ORDERED if ordered else UNORDERED)).any():
        return _verdict(False, "label_missing", float(best.mean()), items[int(best.argmin())])
    return _verdict(not ordered or bool((np.diff(at) >= 0).all()), "wrong_order", float(best.mean()), "")


def _verdict(keep: bool, otherwise: str, score: float, extracted: str) -> Verdict:
    return Verdict(keep=keep, reason="contains_label" if keep else otherwise, score=score, extracted=extracted)
