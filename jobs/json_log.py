"""The command's log as JSON lines (--log-format json): records, progress, what the commands print, and the error that ends them."""

import io
import logging
import sys
import time
import traceback
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import IO, Any

from engine.logs.lines import LOGGERS, JsonHandler, chosen_format, json_line, values_of
from engine.logs.workers import WORKERS

WORKER_LINES, WINDOW_S = 100, 10.0
"""Warnings of Ray's processes that are printed in so many seconds: with storage away, a thousand processes warn at once."""


def is_json() -> bool:
    return chosen_format() == "json"


def write(message: str, stream: IO[str] | None = None, level: int = logging.INFO, **figures: Any) -> None:
    """Print one line, on standard output by default. `figures`: further keys."""
    record = logging.LogRecord("jobs", level, "", 0, message, None, None)
    record.figures = figures
    print(json_line(values_of(record)), file=stream or sys.stdout, flush=True)


def say(text: str, stream: IO[str] | None = None) -> None:
    """Print a line of a command that has no console, in the form that is chosen."""
    if is_json():
        write(text, stream)
    else:
        print(text, file=stream or sys.stdout, flush=True)


def complain(error: Exception, is_users: bool) -> None:
    """Print the error that ends the command, on standard error, with its traceback unless it is a user's."""
    trace = {} if is_users else {"exception": "".join(traceback.format_exception(error))}
    write(str(error) or type(error).__name__, sys.stderr, logging.ERROR, **trace)


class JsonFile(io.StringIO):
    """A file that prints each line that is written to it as a JSON line."""

    def write(self, text: str) -> int:
        super().write(text)
        *lines, rest = self.getvalue().split("\n")
        self.seek(0)
        self.truncate()
        super().write(rest)
        for line in filter(str.strip, lines):
            write(line.rstrip())
        return len(text)


class _NotTooMany(logging.Filter):
    """Lets WORKER_LINES records through in each WINDOW_S seconds; the first one of the next window says how many were left out."""

    def __init__(self) -> None:
        super().__init__()
        self._began, self._count = 0.0, 0

    def filter(self, record: logging.LogRecord) -> bool:
        now = time.monotonic()
        if now - self._began >= WINDOW_S:
            if self._count > WORKER_LINES:
                record.figures = {"left_out": self._count - WORKER_LINES}
            self._began, self._count = now, 0
        self._count += 1
        return self._count <= WORKER_LINES


@contextmanager
def everything_as_json() -> Iterator[None]:
    """Print what this process logs as JSON lines: our own records, warnings of libraries, and those of Ray's other processes."""
    handler, of_workers = JsonHandler(sys.stdout), JsonHandler(sys.stdout)
    of_workers.setLevel(logging.WARNING)
    of_workers.addFilter(_NotTooMany())
    with ExitStack() as stack:
        for name in LOGGERS:
            stack.enter_context(only_handled(logging.getLogger(name), handler, logging.INFO))
        stack.enter_context(only_handled(WORKERS, of_workers, logging.NOTSET, keep=True))
        for name in ("", "ray"):
            stack.enter_context(only_handled(logging.getLogger(name), handler, logging.WARNING))
        logging.captureWarnings(True)
        stack.callback(logging.captureWarnings, False)
        yield


@contextmanager
def only_handled(logger: logging.Logger, handler: logging.Handler, level: int, keep: bool = False) -> Iterator[None]:
    """Within the block a logger has this handler, the others only with `keep`, and passes nothing on."""
    before = logger.level, logger.propagate, logger.handlers[:]
    logger.handlers[:] = [*(before[2] if keep else []), handler]
    logger.propagate = False
    if level:
        logger.setLevel(level)
    try:
        yield
    finally:
        logger.level, logger.propagate, logger.handlers[:] = before
        logger.setLevel(before[0])  # it also forgets which levels were enabled
