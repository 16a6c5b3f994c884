"""Counts how often each piece was begun: a piece that kills its GPU actor becomes failed rows instead of an endless retry."""

from collections import Counter
from typing import Any

import ray

PIECE_TRIES = 4
"""Ray retries a piece whose actor died. More than one try, because a lost node or an operator may be the cause."""
ANSWER_TIMEOUT_S = 60.0


@ray.remote(num_cpus=0, max_restarts=-1, max_task_retries=-1)
class Watch:
    """Actor, one for each step. If it dies, counting starts again at zero."""

    def __init__(self) -> None:
        self._begun: Counter[str] = Counter()

    def begin(self, piece_id: str) -> int:
        self._begun[piece_id] += 1
        return self._begun[piece_id]


def begin(watch: Any, piece_id: str) -> int:
    """The number of times that the piece was begun, including this one."""
    times: int = ray.get(watch.begin.remote(piece_id), timeout=ANSWER_TIMEOUT_S)
    return times
