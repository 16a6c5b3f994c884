"""Counts how often each piece was begun: a piece that kills its GPU actor becomes failed rows instead of an endless retry."""

import logging
import os
import threading
from collections.abc import Callable, Iterator, Sequence
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
LOST_NODES = 4
"""Lost nodes that count as one try: more than one, because spot nodes come and go; they count, because a piece may fill a node."""
ANSWER_TIMEOUT_S = 60.0


@ray.remote(num_cpus=0, max_restarts=-1, max_task_retries=-1)
class Watch:
    """Actor, one for each step, on the driver's node. If its process dies, counting starts again at zero."""

    def __init__(self) -> None:
        self._begun: dict[str, list[str]] = {}
        """The nodes on which each piece was begun."""

    def begin(self, piece_id: str, node_id: str, finished: Sequence[str] = ()) -> int:
        for done in finished:
            self._begun.pop(done, None)
        self._begun.setdefault(piece_id, []).append(node_id)
        return self.begun(piece_id)

    def begun(self, piece_id: str) -> int:
        """How often the piece was begun; LOST_NODES tries whose nodes are gone count once: a cloud takes nodes away."""
        tries = self._begun.get(piece_id, [])
        if len(tries) < ALONE_AFTER:
            return len(tries)
        alive = {node["NodeID"] for node in ray.nodes() if node["Alive"]}
        on_living = sum(node_id in alive for node_id in tries)
        return on_living + (len(tries) - on_living) // LOST_NODES


def begin(watch: Any, piece_id: str, finished: Sequence[str] = ()) -> int:
    """The number of times that the piece was begun, including this one; 1 where the Watch does not answer: the step goes on.

    `finished`: pieces that did not kill their actor. Their counts are forgotten, because all pieces of a block are begun again
    where one of them kills it.
    """
    return max(1, _answer(watch.begin, piece_id, ray.get_runtime_context().get_node_id(), finished))


def begun(watch: Any, piece_id: str) -> int:
    """The number of times that the piece was begun; 0 where the Watch does not answer."""
    return _answer(watch.begun, piece_id)


def _answer(method: Any, piece_id: str, *arguments: Any) -> int:
    try:
        times: int = ray.get(method.remote(piece_id, *arguments), timeout=ANSWER_TIMEOUT_S)
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
