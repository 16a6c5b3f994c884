"""Counts how often a piece was begun, so that one that takes its GPU actor down ends as failed rows and not as an endless retry."""

from collections import Counter
from typing import Any

import ray

PIECE_TRIES = 4
"""Ray retries what dies with its actor; a lost node and an impatient operator must not cost a piece its place."""
ANSWER_TIMEOUT_S = 60.0


@ray.remote(num_cpus=0, max_restarts=-1, max_task_retries=-1)
class Watch:
    """One a step; if it dies, it begins to count anew."""

    def __init__(self) -> None:
        self._begun: Counter[str] = Counter()

    def begin(self, piece_id: str) -> int:
        self._begun[piece_id] += 1
        return self._begun[piece_id]


def begin(watch: Any, piece_id: str) -> int:
    """How often the piece has been begun, this time included."""
    times: int = ray.get(watch.begin.remote(piece_id), timeout=ANSWER_TIMEOUT_S)
    return times
