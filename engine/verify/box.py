"""A place in the frame: the box that the text gives as its answer overlaps the label's enough."""

import regex

from engine.labels import Box, BoxFormat, corners
from engine.language.relevance import most_relevant
from engine.language.text import Said
from engine.language.times import asserted, word_at
from engine.rows import Verdict

Four = tuple[float, float, float, float]
_VALUE = r"[-+]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][-+]?\d+)?\s*%?"
_SEP = r"(?:\s*[,;]\s*|\s+)"
_BRACKETED = regex.compile(
    rf"[\[(<{{]\s*({_VALUE})\s*\)?{_SEP}({_VALUE})\s*[\])]?{_SEP}[\[(]?\s*({_VALUE})\s*\)?{_SEP}({_VALUE})\s*[\])>}}]"
)
_BARE = regex.compile(rf"(?<![\d.])({_VALUE})\s*[,;]\s*({_VALUE})\s*[,;]\s*({_VALUE})\s*[,;]\s*({_VALUE})(?![\d])(?!\s*,\s*[\d.])")
_SPACED = regex.compile(rf"^\s*({_VALUE})\s+({_VALUE})\s+({_VALUE})\s+({_VALUE})\s*\.?\s*$")
_PAIR = regex.compile(rf"[\[(]\s*({_VALUE}){_SEP}({_VALUE})\s*[\])]")
_CENTRE = regex.compile(rf"\bcent(?:er|re)(?:ed|d)?\b[^\[(]{{0,20}}[\[(]\s*({_VALUE}){_SEP}({_VALUE})\s*[\])]", regex.IGNORECASE)
_CORNERS = regex.compile(r"(?:bottom|lower)[\s-]*right", regex.IGNORECASE)
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
_ORDERS: tuple[tuple[tuple[str, ...], BoxFormat], ...] = (
    (("x1", "y1", "x2", "y2"), "xyxy"),
    (("cx", "cy", "w", "h"), "cxcywh"),
    (("x", "y", "w", "h"), "xywh"),
    (("x1", "y1", "w", "h"), "xywh"),
)
EPSILON = 1e-9


def has_box(said: Said, question: str, label: Box) -> Verdict:
    found = [one for one in boxes(said.text, label.format) if asserted(said, word_at(said, one[2][0]))]
    if not found:
        return Verdict(keep=False, reason="no_answer", score=0.0, extracted="")
    start = said.spans[said.answer[0]][0] if said.answer else 0
    after = [one for one in found if said.answer and one[2][0] >= start - 3]
    asked = [found[at] for at in most_relevant(said, question, [word_at(said, one[2][0]) for one in found])]
    box, form, place = after[0] if after else asked[-1]
    extracted = said.text[place[0] : place[1]]
    x1, y1, x2, y2 = corners(box, form)
    if x1 >= x2 or y1 >= y2:
        return Verdict(keep=False, reason="no_area", score=0.0, extracted=extracted, found=(place,))
    if min(x1, y1) < -0.05 or max(x2, y2) > 1.05:
        return Verdict(keep=False, reason="outside_frame", score=0.0, extracted=extracted, found=(place,))
    iou = overlap((x1, y1, x2, y2), corners(label.box, label.format))
    keep = iou >= label.iou - EPSILON
    return Verdict(keep=keep, reason="contains_label" if keep else "low_iou", score=iou, extracted=extracted, found=(place,))


def boxes(text: str, form: BoxFormat) -> list[tuple[Four, BoxFormat, tuple[int, int]]]:
    """Four numbers in brackets, or side by side, or by name; names, and the name of a format after them, go before `form`.

    >>> boxes("at [0, .2, 0.3, 1]", "xyxy"), boxes("x: 10%, y: 20%, w: 30%, h: 40%", "xyxy")[0][:2]
    ([((0.0, 0.2, 0.3, 1.0), 'xyxy', (3, 18))], ((0.1, 0.2, 0.3, 0.4), 'xywh'))
    """
    if named := _named(text):
        return [named]
    if (pairs := list(_PAIR.finditer(text))) and len(pairs) == 2 and _CORNERS.search(text):
        one, other = pairs
        four = (_number(one[1]), _number(one[2]), _number(other[1]), _number(other[2]))
        return [(four, "xyxy", (one.start(), other.end()))]
    matches = list(_BRACKETED.finditer(text)) or list(_BARE.finditer(text)) or list(_SPACED.finditer(text))
    return [((_number(m[1]), _number(m[2]), _number(m[3]), _number(m[4])), _declared(text, m) or form, m.span()) for m in matches]


def _named(text: str) -> tuple[Four, BoxFormat, tuple[int, int]] | None:
    last = {_NAMES[m[1].casefold().replace("_", "")]: m for m in _NAMED.finditer(text)}
    if (centre := _CENTRE.search(text)) and {"w", "h"} <= last.keys():
        span = (min(centre.start(1), last["w"].start()), max(last["w"].end(), last["h"].end()))
        return (_number(centre[1]), _number(centre[2]), _number(last["w"][2]), _number(last["h"][2])), "cxcywh", span
    for order, form in _ORDERS:
        if all(name in last for name in order):
            values = [_number(last[name][2]) for name in order]
            places = [last[name].span() for name in order]
            span = (min(start for start, _ in places), max(end for _, end in places))
            return (values[0], values[1], values[2], values[3]), form, span
    return None


def _declared(text: str, match: "regex.Match[str]") -> BoxFormat | None:
    near = text[max(0, match.start() - 40) : match.end() + 30].casefold()
    if regex.search(r"\bcxcywh\b|\bcent(?:er|re)[\s-]*(?:x|based|format)", near):
        return "cxcywh"
    if regex.search(r"\bxyxy\b|x1,?\s*y1,?\s*x2,?\s*y2|corner format|corners", near):
        return "xyxy"
    if regex.search(r"\bxywh\b|x,\s*y,\s*w(?:idth)?,\s*h(?:eight)?", near):
        return "xywh"
    return None


def _number(text: str) -> float:
    text = text.strip()
    return round(float(text.removesuffix("%")) / 100, 9) if text.endswith("%") else float(text)


def overlap(a: Four, b: Four) -> float:
    """Intersection over union of two boxes given by their corners.

    >>> round(overlap((0.5, 0.5, 0.6, 0.6), (0.52, 0.52, 0.62, 0.62)), 2), overlap((0, 0, 1, 1), (2, 2, 3, 3))
    (0.47, 0.0)
    """
    width = max(0.0, min(a[2], b[2]) - max(a[0], b[0]))
    height = max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
    areas = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1])
    return width * height / (areas - width * height)
