"""Which frames of a video a model watches: pure functions of presentation times."""

import bisect
import random
from collections.abc import Sequence

ROUNDING_S = 1e-4
"""A moment this close before a frame is that frame's: containers and readers round times differently."""


def choose(times_s: Sequence[float], num_frames: int, start_s: float, end_s: float, jitter_seed: int | None = None) -> list[int]:
    """Indices of `num_frames` frames that stand for the window [start_s, end_s), in order; an index may repeat.

    The window is cut in equal parts; of each part, the frame on screen at its mid-point is taken (PLLaVA's evaluation rule), or,
    with a jitter seed, the one on screen at a random moment of it (its training rule). `times_s` are sorted presentation times,
    so a variable frame rate is as good as any. Returns [] where no frame begins before the window ends.

    >>> choose([i / 10 for i in range(100)], 4, 0.0, 10.0)
    [12, 37, 62, 87]
    >>> choose([0.0, 9.0], 4, 0.0, 10.0)
    [0, 0, 0, 0]
    >>> choose([0.0, 1.0], 2, 5.0, 6.0), choose([5.0], 2, 0.0, 3.0)
    ([1, 1], [])
    """
    if not times_s or times_s[0] >= end_s:
        return []
    part_s = (end_s - start_s) / num_frames
    rng = random.Random(jitter_seed) if jitter_seed is not None else None
    moments = (start_s + part_s * (i + (rng.random() if rng else 0.5)) for i in range(num_frames))
    return [max(0, bisect.bisect_right(times_s, moment + ROUNDING_S) - 1) for moment in moments]
