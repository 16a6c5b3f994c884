"""A log in memory, within bounds: its first and its last lines; and the handler that fills it."""

import contextlib
import logging
import threading
from collections import deque
from collections.abc import Callable, Iterator

from engine.logs.lines import Format, json_line

HEAD_BYTES, TAIL_BYTES = 1 << 20, 2 << 20
"""What is kept of the beginning and of the end of each log."""


class Kept:
    """The first and the last lines of a log: Kept(head_bytes=1 << 20, tail_bytes=2 << 20)"""

    def __init__(self, head_bytes: int = HEAD_BYTES, tail_bytes: int = TAIL_BYTES) -> None:
        self._head_left, self._tail_left = head_bytes, tail_bytes
        self._largest = min(head_bytes, tail_bytes)
        self._head: list[bytes] = []
        self._tail: deque[bytes] = deque()
        self.num_left_out = 0
        """Lines between the head and the tail."""
        self._lock = threading.Lock()

    def add(self, line: str) -> None:
        data = line.encode(errors="backslashreplace")[: self._largest - 1] + b"\n"
        with self._lock:
            if len(data) <= self._head_left:
                self._head.append(data)
                self._head_left -= len(data)
                return
            self._head_left = 0  # what comes after a line of the tail belongs into the tail
            self._tail.append(data)
            self._tail_left -= len(data)
            while self._tail_left < 0:
                self._tail_left += len(self._tail.popleft())
                self.num_left_out += 1

    def data(self, form: Format = "text") -> bytes:
        """All lines, and a line that says how many are left out."""
        with self._lock:
            head, tail, count = list(self._head), list(self._tail), self.num_left_out
        message = f"{count} lines are left out here"
        gap = json_line({"message": message}) if form == "json" else f"... {message} ..."
        return b"".join([*head, *([f"{gap}\n".encode()] if count else []), *tail])


class Keeping(logging.Handler):
    """Adds the lines of its records to a log."""

    def __init__(self, kept: Kept, level: int, line: Callable[[logging.LogRecord], str]) -> None:
        super().__init__(level)
        self._kept, self._line = kept, line

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self._kept.add(self._line(record))
        except Exception:  # a record whose arguments do not fit its message, for one
            self.handleError(record)


@contextlib.contextmanager
def handled(logger: logging.Logger, handler: logging.Handler, level: int = logging.NOTSET) -> Iterator[None]:
    """Add a handler within the block; `level`: what the logger lets through at least, NOTSET for what it does already."""
    before, is_raised = logger.level, bool(level) and not logger.isEnabledFor(level)
    if is_raised:
        logger.setLevel(level)
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        if is_raised:
            logger.setLevel(before)
