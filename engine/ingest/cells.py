"""One cell of a table, as a text or as seconds: which values are empty, and which are no text."""

import re
from decimal import Decimal
from typing import Any

EMPTY = frozenset({"", "nan", "NaN", "-nan", "-NaN", "NaT", "<NA>"})
"""Texts that pandas and numpy write for an empty cell, and that nobody writes for anything else."""
EMPTY_OR_NAME = frozenset({"None", "null", "NULL", "NA", "N/A", "n/a", "#N/A"})
"""Texts that pandas reads as an empty cell, and that may also be the name of a class."""
EXACT = 2**53
"""Whole numbers from here on are not exact as floats."""
NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)(e[+-]?\d+)?", re.IGNORECASE | re.ASCII)


def is_empty(value: Any) -> bool:
    """Whether a cell says nothing: None, not a number, no text, or what pandas writes for these.

    >>> [is_empty(value) for value in (None, float("nan"), " ", "NaN", "Nan bread", "None", 0)]
    [True, True, True, True, False, False, False]
    """
    return value.strip() in EMPTY if isinstance(value, str) else value is None or value != value  # NaN, NaT


def whole(value: Any) -> Any:
    """A whole number as an int, anything else as it is: pandas makes a column of ids a column of floats if one of them is missing.

    Raises ValueError for a whole number so large that a float has lost its last digits.

    >>> whole(7.0), whole(0.5), whole("7.0")
    (7, 0.5, '7.0')
    """
    if not isinstance(value, float | Decimal) or value % 1:
        return value
    if isinstance(value, float) and abs(value) >= EXACT:
        raise ValueError(f"{value!r} is a number that has lost its last digits; write it as a text")
    return int(value)


def text_of(value: Any) -> str:
    """The text of a cell, "" if it is empty.

    Raises ValueError for what is no text: a list, an object, a truth value, bytes, a NUL, a number that has lost digits.

    >>> text_of(7), text_of(7.0), text_of(" 007 "), text_of(0.1), text_of(None)
    ('7', '7', '007', '0.1', '')
    """
    if value is None or is_empty(value):
        return ""
    if isinstance(value, list | dict | bool | bytes):
        raise ValueError(f"{str(value)[:200]!r} is not a text; write it as one")
    text = value.strip() if isinstance(value, str) else str(whole(value))
    if not text.isprintable() and any(letter == "\0" or "\ud800" <= letter <= "\udfff" for letter in text):
        raise ValueError(f"{text[:200]!r} is not a text: it holds a NUL or half a character; correct it")
    return text


def optional_text(value: Any) -> str:
    """The text of a cell that may be empty: there, None, null and NA mean that it is.

    >>> optional_text("NA"), optional_text("Namibia")
    ('', 'Namibia')
    """
    text = text_of(value)
    return "" if text in EMPTY_OR_NAME else text


def seconds_of(value: Any) -> float | None:
    """The seconds in a cell; None if it is empty. Raises ValueError for anything else than a number that is not negative."""
    if isinstance(value, list | dict | bool | bytes):
        raise ValueError(f"{str(value)[:200]!r} is not a number of seconds")
    text = optional_text(value) if not isinstance(value, float) else repr(value) if value == value else ""
    if not text:
        return None
    if not NUMBER.fullmatch(text):
        point = text.replace(",", ".", 1)
        raise ValueError(f"{text!r} is not a number of seconds" + (f"; write {point}" if NUMBER.fullmatch(point) else ""))
    seconds = float(text)
    if not 0 <= seconds < float("inf"):
        raise ValueError(f"{text!r} is not a time in a video")
    return seconds
