"""What Video-STaR's builders have in common: boxes in a padded square, shares of a clip, choices that a clip's id decides.

The release draws frames, boxes and roundings at random at each run; here a clip's id decides them, so that a file is read alike
each time.
"""

import hashlib
import re
from collections.abc import Sequence
from typing import Any, TypeVar

from engine.ingest.cells import text_of
from engine.labels import Keywords, Label, Reads, SameOrNot, Sentences, bracketed, share

T = TypeVar("T")
Corners = tuple[float, float, float, float]
_END = re.compile(r"(?<=[.!?])\s+")


def drawn(choices: Sequence[T], clip_id: str, purpose: str = "") -> T:
    """One of the choices, by the clip's id and what it is for.

    >>> drawn("abc", "dive-1"), drawn("abc", "dive-1") == drawn("abc", "dive-1")
    ('b', True)
    """
    return choices[int.from_bytes(hashlib.sha256(f"{purpose}/{clip_id}".encode()).digest()[:6], "big") % len(choices)]


def in_square(box: Sequence[float], width: float, height: float) -> Corners:
    """Corners in pixels -> shares of the frame padded to a square, moved into it.

    Raises ValueError for a box or a frame without area.

    >>> in_square((0, 0, 100, 50), 100, 50)
    (0.0, 0.25, 1.0, 0.75)
    """
    x1, y1, x2, y2 = (float(value) for value in box)
    if not width > 0 or not height > 0:
        raise ValueError(f"its frame of {width:g} x {height:g} pixels has no area")
    side = max(width, height)
    across, down = (side - width) / 2, (side - height) / 2
    shares = [(x1 + across) / side, (y1 + down) / side, (x2 + across) / side, (y2 + down) / side]
    left, top, right, bottom = (round(min(max(value, 0.0), 1.0), 4) for value in shares)
    if left >= right or top >= bottom:
        raise ValueError(f"its box {list(box)} has no area in {width:g} x {height:g} pixels")
    return left, top, right, bottom


def written(box: Corners) -> str:
    """A box in a question."""
    return bracketed(box)


def moment(time_s: float, start_s: float, end_s: float) -> str:
    """A time as a share of the stretch from start to end. Raises ValueError outside of it, and for an empty one.

    >>> moment(5, 4, 8)
    '0.25'
    """
    if not start_s < end_s:
        raise ValueError(f"its stretch from {start_s:g} to {end_s:g} s is empty")
    if not start_s <= time_s <= end_s:
        raise ValueError(f"{time_s:g} s is not within {start_s:g} to {end_s:g} s")
    return share(time_s - start_s, end_s - start_s)


def sentences(text: str) -> tuple[str, ...]:
    """
    >>> sentences("He stops. Then he turns!")
    ('He stops.', 'Then he turns!')
    """
    return tuple(_END.split(text.strip()))


def spelled(value: Any) -> str:
    """A value as Python spells it, and so the release's prompts and matcher: 3.0 keeps its decimal.

    >>> spelled(3.0), spelled(" a cup ")
    ('3.0', 'a cup')
    """
    return str(float(value)) if isinstance(value, float) else text_of(value)


def sentence_label(key: str, text: str, reads: Reads = "text") -> Sentences:
    return Sentences(key=key, items=sentences(text), reads=reads)


def comparison(first: str, second: str) -> tuple[Label, ...]:
    """Of two objects: both names, and whether they are the same."""
    return (
        Keywords(key="first_object", text=first),
        Keywords(key="second_object", text=second),
        SameOrNot(key="same_or_not", same=first == second),
    )
