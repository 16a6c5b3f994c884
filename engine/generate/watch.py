"""Counts how often each piece was begun: a piece that kills its GPU actor becomes failed rows instead of an endless retry."""

import logging
from collections import Counter
from typing import Any

import ray
from ray.exceptions import ActorUnschedulableError, GetTimeoutError, RayActorError

log = logging.getLogger(__name__)

PIECE_TRIES = 4
"""Ray retries a piece whose actor died. More than one try, because a lost node or an operator may be the cause."""
ANSWER_TIMEOUT_S = 60.0


@ray.remote(num_cpus=0, max_restarts=-1, max_task_retries=-1)
class Watch:
    """Actor, one for each step, on the driver's node. If its process dies, counting starts again at zero."""

    def __init__(self) -> None:
        self._begun: Counter[str] = Counter()

    def begin(self, piece_id: str) -> int:
        self._begun[piece_id] += 1
        return self._begun[piece_id]


def begin(watch: Any, piece_id: str) -> int:
    """The number of times that the piece was begun, including this one; 1 where the Watch does not answer: the step goes on."""
    try:
        times: int = ray.get(watch.begin.remote(piece_id), timeout=ANSWER_TIMEOUT_S)
    except (GetTimeoutError, RayActorError, ActorUnschedulableError) as error:
        log.warning("how often piece %s was begun is not known (%s); it is answered all the same", piece_id, type(error).__name__)
        return 1
    return times
