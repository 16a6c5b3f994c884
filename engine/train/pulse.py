"""Says how far an optimizer step is that takes long: until its first record nobody else knows whether anything is done."""

import time
from collections.abc import Callable

from engine.quantities import quantity

EVERY_S = 20.0
"""Seconds between two lines."""


class Pulse:
    """Pulse(listener.note, num_steps=9): its lines are "step 1 of 9: 12 of 32 micro-batches are decoded"."""

    def __init__(self, note: Callable[[str], None], num_steps: int, every_s: float = EVERY_S) -> None:
        self._note, self._num_steps, self._every_s = note, num_steps, every_s
        self._last = time.monotonic()

    def tell(self, step: int, done: int, total: int, what: str) -> None:
        """One line where the last one is long ago. `step`: from 0."""
        now = time.monotonic()
        if now - self._last >= self._every_s:
            self._last = now
            are = "is" if total == 1 else "are"
            self._note(f"step {step + 1} of {self._num_steps}: {done} of {quantity(total, 'micro-batch')} {are} {what}")

    def restart(self) -> None:
        """A step is done, and its record tells so."""
        self._last = time.monotonic()
