"""Hints and questions as Video-STaR's release writes them: labels with their keys, times as shares of the clip.

The release joins a label's parts by full stops and its values by commas. Its rules read times as shares of the clip, 0 to 1, and
boxes in square brackets with decimals: so hints have this form, and a question about times says so.
"""

import re
from collections.abc import Iterator
from itertools import groupby

from engine.labels import (
    All,
    AnyOf,
    Box,
    Choice,
    ClassSequence,
    Label,
    SameOrNot,
    Sentences,
    TimeRange,
    Timestamp,
    bracketed,
    corners,
    share,
)

SHARES = re.compile(r"\b(?:0(?:\.0)? (?:to|and) 1(?:\.0)?|shares? of)\b", re.IGNORECASE)
"""In a question that already says how times are meant."""
SECONDS = re.compile(r"\bin seconds\b", re.IGNORECASE)
IN_SHARES = "as shares of the video's length, from 0 to 1"


def published_hint(label: Label) -> str:
    """The label with its keys, without the full stop at its end, which the prompt has.

    >>> from engine.labels import Keywords, Number
    >>> published_hint(All(labels=(ClassSequence(key="action_sequence", items=("Back", "Entry")), Number(key="score", value=65.6))))
    'action sequence: Back, Entry. score: 65.6'
    >>> published_hint(TimeRange(key="temporal_range", start_s=2, end_s=5, duration_s=8)), published_hint(Keywords(text="diving"))
    ('temporal range: 0.25, 0.625', 'diving')
    """
    parts = ((key, [value for _, value in same]) for key, same in groupby(_values(label), lambda part: part[0]))
    hint = ". ".join(f"{key}: {', '.join(values)}" if key else ", ".join(values) for key, values in parts)
    return hint.replace("_", " ").rstrip(".")


def _values(label: Label) -> Iterator[tuple[str, str]]:
    """Key and value of each part; those side by side with one key are one value."""
    if isinstance(label, All):
        for part in label.labels:
            yield from _values(part)
    elif isinstance(label, AnyOf):
        yield from _values(label.labels[0])
    else:
        yield label.key, _value(label)


def _value(label: Label) -> str:
    match label:
        case Choice():
            return label.options[label.option]
        case Timestamp():
            return share(label.time_s, label.duration_s)
        case TimeRange():
            return f"{share(label.start_s, label.duration_s)}, {share(label.end_s, label.duration_s)}"
        case Box():
            return bracketed(corners(label.box, label.format))
        case Sentences() | ClassSequence():
            return ", ".join(label.items)
        case SameOrNot():
            return "The objects are the same" if label.same else "the objects are NOT the same"
    return label.text


def in_shares(question: str, label: Label) -> str:
    """The question, and that times are shares, where its label has times and it does not say so.

    >>> label = TimeRange(start_s=2, end_s=5, duration_s=8)
    >>> in_shares("When does he jump? Give the start and the end in seconds.", label)
    "When does he jump? Give the start and the end as shares of the video's length, from 0 to 1."
    >>> in_shares("When does he jump?", label)
    "When does he jump? Give times as shares of the video's length, from 0 to 1."
    """
    if not _has_times(label) or SHARES.search(question):
        return question
    if SECONDS.search(question):
        return SECONDS.sub(IN_SHARES, question)
    return f"{question.rstrip()} Give times {IN_SHARES}."


def _has_times(label: Label) -> bool:
    if isinstance(label, All | AnyOf):
        return any(map(_has_times, label.labels))
    return isinstance(label, Timestamp | TimeRange)
