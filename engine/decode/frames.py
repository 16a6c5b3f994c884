"""Which frames of a video a model watches: pure functions of presentation times."""

import bisect
import random
from collections.abc import Sequence

ROUNDING_S = 1e-4
"""A moment this close before a frame is that frame's: containers and readers round times differently."""


def moments(num_frames: int, start_s: float, end_s: float, jitter_seed: int | None = None) -> list[float]:
    """Seconds, ascending: the window [start_s, end_s) is cut in equal parts, and each gives its mid-point (PLLaVA's evaluation
    rule) or, with a jitter seed, a random moment of it (its training rule).

    >>> moments(4, 0.0, 10.0)
    [1.25, 3.75, 6.25, 8.75]
    """
    part_s = (end_s - start_s) / num_frames
    rng = random.Random(jitter_seed) if jitter_seed is not None else None
    return [start_s + part_s * (i + (rng.random() if rng else 0.5)) for i in range(num_frames)]


def is_by(time_s: float, moment_s: float) -> bool:
    """Whether a frame shown from time_s on is on screen at the moment, or was before."""
    return time_s <= moment_s + ROUNDING_S


def choose(times_s: Sequence[float], at_s: Sequence[float]) -> list[int]:
    """The index of the frame on screen at each moment; an index may repeat.

    `times_s` are sorted presentation times, so a variable frame rate is as good as any. Before the first frame, that one counts.

    >>> choose([i / 10 for i in range(100)], moments(4, 0.0, 10.0))
    [12, 37, 62, 87]
    >>> choose([0.0, 9.0], moments(4, 0.0, 10.0)), choose([0.0, 1.0], moments(2, 5.0, 6.0))
    ([0, 0, 0, 0], [1, 1])
    """
    return [max(0, bisect.bisect_right(times_s, moment + ROUNDING_S) - 1) for moment in at_s]


def window(start_s: float | None, end_s: float | None, length_s: float) -> tuple[float, float] | None:
    """A clip's window cut to a video of length_s seconds; None where nothing of the video lies in it.

    >>> window(None, None, 3.0), window(1.0, 9.0, 3.0), window(4.0, 9.0, 3.0), window(None, None, 0.0)
    ((0.0, 3.0), (1.0, 3.0), None, (0.0, 0.001))
    """
    start = start_s or 0.0
    end = length_s if end_s is None else min(length_s, end_s)
    if start >= end and (start > 0 or length_s > 0):
        return None
    return start, max(end, start + 1e-3)
