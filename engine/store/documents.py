"""JSON files of a run, and of what belongs to it: the one writer, which writes no NaN.

A bare NaN or Infinity is no JSON: jq, browsers and databases refuse the whole file.
"""

import json
import math
from typing import Any


def to_json(value: Any, indent: int | None = None) -> bytes:
    """The bytes of a JSON file. Raises ValueError naming the place of a number that is not finite.

    >>> to_json({"loss": [0.5, float("nan")]})
    Traceback (most recent call last):
    ValueError: loss[1] is nan, which is no number of JSON
    """
    try:
        return json.dumps(value, indent=indent, ensure_ascii=False, allow_nan=False).encode()
    except UnicodeEncodeError:  # half a character of UTF-16, which can only be escaped
        return json.dumps(value, indent=indent, allow_nan=False).encode()
    except ValueError:
        place, number = _not_finite(value, "")
        raise ValueError(f"{place} is {number}, which is no number of JSON") from None


def _not_finite(value: Any, place: str) -> tuple[str, float]:
    """Where the first number is that is not finite, and which: ("loss[1]", nan)."""
    if isinstance(value, float):
        return (place, value) if not math.isfinite(value) else ("", 0.0)
    if isinstance(value, dict):
        inner = [(item, f"{place}.{key}" if place else str(key)) for key, item in value.items()]
    else:
        inner = [(item, f"{place}[{index}]") for index, item in enumerate(value)] if isinstance(value, list | tuple) else []
    return next((result for item, at in inner if (result := _not_finite(item, at))[0]), ("", 0.0))
