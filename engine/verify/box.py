"""Box labels: the box that the text gives as its answer overlaps the label's enough."""

from typing import NamedTuple

import regex

from engine.labels import Box, BoxFormat, corners
from engine.language.answer import Answer
from engine.language.relevance import most_relevant
from engine.language.times import is_asserted, word_at
from engine.rows import Verdict

Coordinates = tuple[float, float, float, float]
_VALUE = r"[-+]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][-+]?\d+)?\s*%?"
_SEP = r"(?:\s*[,;]\s*|\s+)"
_BRACKETED = regex.compile(
    rf"[\[(<{{]\s*({_VALUE})\s*\)?{_SEP}({_VALUE})\s*[\])]?{_SEP}[\[(]?\s*({_VALUE})\s*\)?{_SEP}({_VALUE})\s*[\])>}}]"
)
_BARE = regex.compile(rf"(?<![\d.])({_VALUE})\s*[,;]\s*({_VALUE})\s*[,;]\s*({_VALUE})\s*[,;]\s*({_VALUE})(?![\d])(?!\s*,\s*[\d.])")
_SPACED = regex.compile(rf"^\s*({_VALUE})\s+({_VALUE})\s+({_VALUE})\s+({_VALUE})\s*\.?\s*$")
_UNSEPARATED = regex.compile(r"(?<![\d.])" + r"\s+".join([r"((?:0?\.\d+|[01]\.\d+|\d+(?:\.\d+)?\s?%))"] * 4) + r"(?![\d.]*\d)")
"""Four shares side by side: "0.1 0.2 0.5 0.6", "10% 20% 50% 60%"."""
_PAIR = regex.compile(rf"[\[(]\s*({_VALUE}){_SEP}({_VALUE})\s*[\])]")
_CENTRE = regex.compile(rf"\bcent(?:er|re)(?:ed|d)?\b[^\[(]{{0,20}}[\[(]\s*({_VALUE}){_SEP}({_VALUE})\s*[\])]", regex.IGNORECASE)
_CORNERS = regex.compile(r"(?:bottom|lower)[\s-]*right", regex.IGNORECASE)
_TO = regex.compile(r"\s*(?:,?\s*(?:to|and|through)\b|-+>?|–|—|→)\s*", regex.IGNORECASE)
"""Between two corners: "(0.1, 0.2) to (0.5, 0.6)"."""
_NAMES = {
    spelling: name
    for name, spellings in {
        "x1": "xmin x1 left", "y1": "ymin y1 top", "x2": "xmax x2 right", "y2": "ymax y2 bottom", "w": "width w", "h": "height h",
        "cx": "xcenter xcentre centerx centrex cx xc", "cy": "ycenter ycentre centery centrey cy yc", "x": "x", "y": "y",
    }.items()
    for spelling in spellings.split()
}  # fmt: skip
_NAMED = regex.compile(
    rf"[\"']?\b({'|'.join('_?'.join(name) for name in _NAMES)})\b[\"']?\s*(?:=|:|is|at)?\s*({_VALUE})", regex.IGNORECASE
)
_NAME_ORDERS: tuple[tuple[tuple[str, ...], BoxFormat], ...] = (
    (("x1", "y1", "x2", "y2"), "xyxy"),
    (("cx", "cy", "w", "h"), "cxcywh"),
    (("x", "y", "w", "h"), "xywh"),
    (("x1", "y1", "w", "h"), "xywh"),
)
EPSILON = 1e-9
"""Slack for rounding: the threshold is inclusive."""
FRAME_SLACK = 0.05
"""Share of the frame by which an answer's box may leave it."""
CONCLUSION_SLACK = 3
"""Characters by which a box may start before the conclusion's first word: its brackets."""
FORMAT_BEFORE, FORMAT_AFTER = 40, 30
"""Characters around a box in which the text may name its format."""


class StatedBox(NamedTuple):
    """A box in the text: StatedBox((0.1, 0.2, 0.3, 0.4), "xyxy", span=(3, 23))."""

    coordinates: Coordinates
    format: BoxFormat
    span: tuple[int, int]


def verify_box(answer: Answer, question: str, label: Box) -> Verdict:
    asserted = [box for box in boxes(answer.text, label.format) if is_asserted(answer, word_at(answer, box.span[0]))]
    if not asserted:
        return Verdict(keep=False, reason="no_answer", score=0.0, extracted="")
    box = _answered_box(answer, question, asserted)
    extracted = answer.text[box.span[0] : box.span[1]]
    x1, y1, x2, y2 = corners(box.coordinates, box.format)
    if x1 >= x2 or y1 >= y2:
        return Verdict(keep=False, reason="no_area", score=0.0, extracted=extracted, spans=(box.span,))
    if min(x1, y1) < -FRAME_SLACK or max(x2, y2) > 1 + FRAME_SLACK:
        return Verdict(keep=False, reason="outside_frame", score=0.0, extracted=extracted, spans=(box.span,))
    iou = box_iou((x1, y1, x2, y2), corners(label.box, label.format))
    keep = iou >= label.iou - EPSILON
    return Verdict(keep=keep, reason="contains_label" if keep else "low_iou", score=iou, extracted=extracted, spans=(box.span,))


def _answered_box(answer: Answer, question: str, asserted: list[StatedBox]) -> StatedBox:
    """The first box in the text's conclusion, else the last of those nearest to the words of the question."""
    if answer.conclusion:
        start = answer.word_spans[answer.conclusion[0]][0] - CONCLUSION_SLACK
        if concluded := [box for box in asserted if box.span[0] >= start]:
            return concluded[0]
    return asserted[most_relevant(answer, question, [word_at(answer, box.span[0]) for box in asserted])[-1]]


def boxes(text: str, label_format: BoxFormat) -> list[StatedBox]:
    """All boxes of the text: four numbers in brackets, side by side, or by name ("x: 10%, y: 20%, w: 30%, h: 40%").

    A box is read in the label's format, unless its names, or the name of a format beside it, say another.

    >>> boxes("at [0, .2, 0.3, 1]", "xyxy")
    [StatedBox(coordinates=(0.0, 0.2, 0.3, 1.0), format='xyxy', span=(3, 18))]
    >>> boxes("x: 10%, y: 20%, w: 30%, h: 40%", "xyxy")[0][:2]
    ((0.1, 0.2, 0.3, 0.4), 'xywh')
    """
    if named := _named_box(text):
        return [named]
    pairs = list(_PAIR.finditer(text))
    if len(pairs) == 2 and (_CORNERS.search(text) or _TO.fullmatch(text, pairs[0].end(), pairs[1].start())):
        first, second = pairs
        coordinates = (_number(first[1]), _number(first[2]), _number(second[1]), _number(second[2]))
        return [StatedBox(coordinates, "xyxy", (first.start(), second.end()))]
    matches = (
        list(_BRACKETED.finditer(text))
        or list(_BARE.finditer(text))
        or list(_SPACED.finditer(text))
        or list(_UNSEPARATED.finditer(text))
    )
    return [
        StatedBox((_number(m[1]), _number(m[2]), _number(m[3]), _number(m[4])), _declared_format(text, m) or label_format, m.span())
        for m in matches
    ]


def _named_box(text: str) -> StatedBox | None:
    """The box whose coordinates the text gives by name, each where it names it last."""
    last = {_NAMES[m[1].casefold().replace("_", "")]: m for m in _NAMED.finditer(text)}
    if (centre := _CENTRE.search(text)) and {"w", "h"} <= last.keys():
        span = (min(centre.start(1), last["w"].start()), max(last["w"].end(), last["h"].end()))
        return StatedBox((_number(centre[1]), _number(centre[2]), _number(last["w"][2]), _number(last["h"][2])), "cxcywh", span)
    for names, box_format in _NAME_ORDERS:
        if all(name in last for name in names):
            a, b, c, d = (_number(last[name][2]) for name in names)
            spans = [last[name].span() for name in names]
            return StatedBox((a, b, c, d), box_format, (min(start for start, _ in spans), max(end for _, end in spans)))
    return None


def _declared_format(text: str, match: "regex.Match[str]") -> BoxFormat | None:
    """The format that the text beside a box names."""
    near = text[max(0, match.start() - FORMAT_BEFORE) : match.end() + FORMAT_AFTER].casefold()
    if regex.search(r"\bcxcywh\b|\bcent(?:er|re)[\s-]*(?:x|based|format)", near):
        return "cxcywh"
    if regex.search(r"\bxyxy\b|x1,?\s*y1,?\s*x2,?\s*y2|corner format|corners", near):
        return "xyxy"
    if regex.search(r"\bxywh\b|x,\s*y,\s*w(?:idth)?,\s*h(?:eight)?", near):
        return "xywh"
    return None


def _number(text: str) -> float:
    """0.4 of "0.4" and of "40 %"."""
    text = text.strip()
    return round(float(text.removesuffix("%")) / 100, 9) if text.endswith("%") else float(text)


def box_iou(box: Coordinates, other: Coordinates) -> float:
    """Intersection over union of two boxes given by their corners.

    >>> round(box_iou((0.5, 0.5, 0.6, 0.6), (0.52, 0.52, 0.62, 0.62)), 2), box_iou((0, 0, 1, 1), (2, 2, 3, 3))
    (0.47, 0.0)
    """
    width = max(0.0, min(box[2], other[2]) - max(box[0], other[0]))
    height = max(0.0, min(box[3], other[3]) - max(box[1], other[1]))
    areas = (box[2] - box[0]) * (box[3] - box[1]) + (other[2] - other[0]) * (other[3] - other[1])
    return width * height / (areas - width * height)
