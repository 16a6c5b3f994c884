"""A log record as a line of text, or as a JSON object in one line; and back from JSON.

Loki's `json` stage and Cloud Logging's agent read the keys `time`, `severity` and `message` without configuration.
"""

import json
import logging
import math
import os
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import IO, Any, Literal

from engine.logs.origin import Origin, here

Format = Literal["text", "json"]
FORMAT = "STARLOOP_LOG_FORMAT"
"""Environment variable that stands for --log-format."""
LOGGERS = ("engine", "models", "jobs")
"""The roots of our own loggers."""
BEGINS = '{"time": "'
"""How each of our JSON lines begins: a process's standard error has other lines too."""


_form: Format = "text"


def choose_format(form: str) -> None:
    """The form of this process's log from here on. Raises ValueError for another one than the two."""
    global _form
    if form not in ("text", "json"):
        raise ValueError(f"{form!r} is not text or json")
    _form = "json" if form == "json" else "text"


def chosen_format() -> Format:
    return _form


def values_of(record: logging.LogRecord) -> dict[str, Any]:
    """What a record says, by the keys of docs/logs.md.

    A record may carry a `origin` of its own, and `figures`: further keys, such as a step's counts.
    """
    origin: Origin = getattr(record, "origin", None) or here()
    values: dict[str, Any] = {
        "time": utc(record.created),
        "severity": record.levelname,
        "level": record.levelname,
        "logger": record.name,
        "message": record.getMessage(),
        **origin.fields(),
        **getattr(record, "figures", {}),
    }
    if trace := trace_of(record):
        values["exception"] = trace
    return values


def trace_of(record: logging.LogRecord) -> str:
    """The traceback of a record's exception; "" where it has none."""
    if record.exc_info and record.exc_info[0] is not None:
        return logging.Formatter().formatException(record.exc_info)
    return record.exc_text or ""


def json_line(values: Mapping[str, Any]) -> str:
    r"""One line of ASCII, whatever the values are.

    >>> json_line({"message": "two\nlines of \u2028 text", "loss": float("nan")})
    '{"message": "two\\nlines of \\u2028 text", "loss": null}'
    """
    return json.dumps({name: None if _is_unwritable(value) else value for name, value in values.items()}, default=str)


def _is_unwritable(value: Any) -> bool:
    return isinstance(value, float) and not math.isfinite(value)


def text_line(record: logging.LogRecord) -> str:
    """Time, level, origin and message; a traceback follows in lines of its own."""
    origin: Origin = getattr(record, "origin", None) or here()
    parts = [part for part in (origin.step, "" if origin.pool == "driver" else origin.pool, origin.piece) if part]
    where = f" [{' '.join(parts)}]" if parts else ""
    trace = trace_of(record)
    return f"{utc(record.created)} {record.levelname:<7}{where} {record.getMessage()}{f'{os.linesep}{trace}' if trace else ''}"


def line_of(record: logging.LogRecord, form: Format) -> str:
    return json_line(values_of(record)) if form == "json" else text_line(record)


def record_of(line: str) -> logging.LogRecord | None:
    """The record that one of our JSON lines was made of; None for any other line."""
    if not line.startswith(BEGINS):
        return None
    try:
        values = json.loads(line)
        created = datetime.fromisoformat(values["time"]).timestamp()
        origin = Origin(**{name: str(values.get(name, "")) for name in ("run", "step", "pool", "piece")})
        return logging.makeLogRecord(
            {
                "name": values["logger"],
                "levelno": logging.getLevelNamesMapping()[values["level"]],
                "levelname": values["level"],
                "msg": values["message"],
                "created": created,
                "exc_text": values.get("exception"),
                "origin": origin,
            }
        )
    except (ValueError, KeyError, TypeError):  # another program's line that begins alike, or one that was cut
        return None


def utc(seconds: float) -> str:
    """
    >>> utc(0.25)
    '1970-01-01T00:00:00.250Z'
    """
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class JsonHandler(logging.StreamHandler[IO[str]]):
    """Writes JSON lines. It has no formatter: ray.init sets its own one on all handlers of Ray's logger."""

    def format(self, record: logging.LogRecord) -> str:
        return json_line(values_of(record))
