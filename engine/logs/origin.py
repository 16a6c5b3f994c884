"""Where a log record comes from: run, step, pool, piece. Whoever does the work says it once, and each record has it.

A process has an origin (the driver's step, for all its threads), and a thread may have one of its own (the piece that it works on).
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import Any

CYCLE = re.compile(r"(?:^|/)cycle-(\d+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Origin(run="s3://bucket/runs/first", step="cycle-001/generate", pool="decode", piece="9f3c..."); "" is what is not known."""

    run: str = ""
    """URI."""
    step: str = ""
    pool: str = ""
    """The kind of process: driver, train, or the stage of a flow: decode, generate, write."""
    piece: str = ""
    """Its id."""

    @property
    def cycle(self) -> int | None:
        """
        >>> Origin(step="cycle-001/generate").cycle, Origin(step="base/evaluate").cycle
        (1, None)
        """
        match = CYCLE.search(self.step)
        return int(match[1]) if match else None

    def fields(self) -> dict[str, Any]:
        """What is known, by name.

        >>> Origin(step="cycle-001/train", pool="train").fields()
        {'cycle': 1, 'step': 'cycle-001/train', 'pool': 'train'}
        """
        values = {"run": self.run, "cycle": self.cycle, "step": self.step, "pool": self.pool, "piece": self.piece}
        return {name: value for name, value in values.items() if value not in ("", None)}


_of_process = Origin()
_of_thread: ContextVar[Origin | None] = ContextVar("origin", default=None)


def here() -> Origin:
    """The origin of what this thread logs; of the process where the thread has none of its own."""
    return _of_thread.get() or _of_process


@contextmanager
def at(origin: Origin) -> Iterator[None]:
    """The origin of what this thread logs, and of the asynchronous work that it begins, within the block."""
    token = _of_thread.set(origin)
    try:
        yield
    finally:
        _of_thread.reset(token)


@contextmanager
def process_at(**changes: str) -> Iterator[None]:
    """Change fields of the process's origin within the block, for all its threads: process_at(step="cycle-000/train")."""
    global _of_process
    before = _of_process
    _of_process = replace(before, **changes)
    try:
        yield
    finally:
        _of_process = before
