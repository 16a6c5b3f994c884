"""What a clip's kept samples say, as values that can be counted: "5 s", "five seconds" and "0:05" are one answer. Pure.

A kept answer agrees with its label, so samples can say different things only where the label leaves room: a tolerance, an overlap,
or one of several labels. All kept answers to other labels count as the same.
"""

from collections import Counter
from collections.abc import Sequence

from engine.labels import All, AnyOf, Box, Label, Number, TimeRange, Timestamp, corners
from engine.language.answer import Answer as Text
from engine.language.numbers import numbers
from engine.language.ranges import half_open_range, ranges
from engine.language.times import moments, named_moments
from engine.rows import Answer, Attempt, Clip
from engine.verify.box import boxes
from engine.verify.number import agrees
from engine.verify.verdict import PARTS, VerifySpec, verify

BY_RULES = "contains_label"
"""The reason of an answer that the rules keep: its detail is what it says. That of others is a judge's or a person's."""
DECIMALS = 3
Value = tuple[float, ...]


def votes(clip: Clip, samples: Sequence[Attempt | Answer]) -> dict[int, int]:
    """For each kept sample, by its number, how many say the same; 0 for one that the rules did not keep."""
    values = {
        attempt.sample: value_of(attempt.detail, clip.question, clip.label) for attempt in samples if attempt.reason == BY_RULES
    }
    counts = Counter(values.values())
    return {attempt.sample: counts[values[attempt.sample]] if attempt.sample in values else 0 for attempt in samples}


def value_of(detail: str, question: str, label: Label) -> Value:
    """What an answer that the rules kept says, in numbers; () where all kept answers say the same, or none can be read.

    `detail`: the stretch of the answer that decided.

    >>> label = Timestamp(time_s=5.0, duration_s=20.0)
    >>> [value_of(detail, "When does he dive?", label) for detail in ("5 s", "five seconds", "0:05", "5.5 s")]
    [(5.0,), (5.0,), (5.0,), (5.5,)]
    """
    return tuple(round(value, DECIMALS) for value in _read(detail, question, label))


def _read(detail: str, question: str, label: Label) -> Value:
    match label:
        case Number():
            return _number(detail, label)
        case Timestamp():
            return _moment(Text(detail, question), question, label)
        case TimeRange():
            return _range(Text(detail, question), question, label)
        case Box():
            stated = boxes(detail, label.format)
            return corners(stated[0].coordinates, stated[0].format) if stated else ()
        case All():
            details = detail.split(PARTS)
            if len(details) != len(label.labels):
                return ()
            return tuple(value for own, part in zip(details, label.labels, strict=True) for value in _read(own, question, part))
        case AnyOf():
            named = (n for n, part in enumerate(label.labels) if verify(detail, question, part, "direct", True, VerifySpec()).keep)
            number = next(named, None)
            return () if number is None else (number, *_read(detail, question, label.labels[number]))
    return ()


def _number(detail: str, label: Number) -> Value:
    """A number in another unit, and "none", which leave no number in `detail` that agrees with the label, count as its value."""
    stated = numbers(Text(detail))
    return (stated[0].value,) if stated and agrees(stated[0].value, label) else (label.value,)


def _moment(text: Text, question: str, label: Timestamp) -> Value:
    stated = moments(text, question, label.duration_s) or named_moments(text, label.duration_s)
    return (stated[-1].time_s,) if stated else ()


def _range(text: Text, question: str, label: TimeRange) -> Value:
    stated = ranges(text, question, label.duration_s)
    pair = stated[0] if stated else half_open_range(text, question, label.duration_s)
    return (pair[0].time_s, pair[1].time_s) if pair else ()
