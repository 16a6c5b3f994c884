"""Counts how often each piece was begun: a piece that kills its GPU actor becomes failed rows instead of an endless retry."""

import logging
import os
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any

import ray
from ray.exceptions import ActorUnschedulableError, GetTimeoutError, RayActorError

from models.base import EngineDied

log = logging.getLogger(__name__)
Row = dict[str, Any]

PIECE_TRIES = 4
"""Ray retries a piece whose actor died. More than one try, because a lost node or an operator may be the cause."""
ALONE_AFTER = 2
"""Tries that a piece shares with the others in flight; in later ones it is alone, so that they are not taken for the cause."""
ANSWER_TIMEOUT_S = 60.0


@ray.remote(num_cpus=0, max_restarts=-1, max_task_retries=-1)
class Watch:
    """Actor, one for each step, on the driver's node. If its process dies, counting starts again at zero."""

    def __init__(self) -> None:
        self._begun: Counter[str] = Counter()

    def begin(self, piece_id: str) -> int:
        self._begun[piece_id] += 1
        return self._begun[piece_id]

    def begun(self, piece_id: str) -> int:
        return self._begun[piece_id]


def begin(watch: Any, piece_id: str) -> int:
    """The number of times that the piece was begun, including this one; 1 where the Watch does not answer: the step goes on."""
    return max(1, _answer(watch.begin, piece_id))


def begun(watch: Any, piece_id: str) -> int:
    """The number of times that the piece was begun; 0 where the Watch does not answer."""
    return _answer(watch.begun, piece_id)


def _answer(method: Any, piece_id: str) -> int:
    try:
        times: int = ray.get(method.remote(piece_id), timeout=ANSWER_TIMEOUT_S)
    except (GetTimeoutError, RayActorError, ActorUnschedulableError) as error:
        log.warning("how often piece %s was begun is not known (%s); it is answered all the same", piece_id, type(error).__name__)
        return 0
    return times


class Door:
    """Lets the pieces in flight of one actor in: many at the same time, or a single one."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._inside, self._alone = 0, 0
        """Pieces that are in, and pieces that are in alone or wait for it."""

    @contextmanager
    def enter(self, alone: bool) -> Iterator[None]:
        with self._changed:
            self._alone += alone
            self._changed.wait_for(lambda: not self._inside if alone else not self._alone)
            self._inside += 1
        try:
            yield
        finally:
            with self._changed:
                self._inside -= 1
                self._alone -= alone
                self._changed.notify_all()


def ending_with_its_engine(call: Callable[[Any, Row], Row]) -> Callable[[Any, Row], Row]:
    """An actor's method, after which its process ends where the model's engine has died: Ray starts it anew, with its pieces."""

    @wraps(call)
    def called(actor: Any, row: Row) -> Row:
        try:
            return call(actor, row)
        except EngineDied as error:
            log.error("%s; this actor ends, and its pieces are begun again", error)
            os._exit(1)

    return called
