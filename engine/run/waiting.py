"""Says what a step waits for while nothing of it gets done: CPUs and GPUs that others hold, a cluster that has to grow, a model."""

import logging
import threading
from collections.abc import Callable, Mapping
from types import TracebackType

import ray

log = logging.getLogger(__name__)

SETTLE_S, FIRST_S, THEN_S = 1.0, 5.0, 60.0
"""Seconds in which the processes of the step before give back what they held; until the first line; between two lines."""


class Waiting:
    """with Waiting("cycle-000/generate", {"CPU": 4, "GPU": 2}) as waiting: ... waiting.progress() when something is done"""

    def __init__(self, step: str, needed: Mapping[str, float]) -> None:
        self._step, self._needed = step, {kind: amount for kind, amount in needed.items() if amount}
        self._has_progress = threading.Event()
        self._free: dict[str, float] = {}
        """What was free when the step began: later it is the step's own processes that hold it."""
        self._thread = threading.Thread(target=self._watch, name="waiting", daemon=True)

    def __enter__(self) -> "Waiting":
        self._free = dict(ray.available_resources())
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._has_progress.set()
        self._thread.join(SETTLE_S)  # it may be asking a cluster that does not answer

    def progress(self) -> None:
        """Something of the step is done: it no longer waits."""
        self._has_progress.set()

    def _watch(self) -> None:
        if self._has_progress.wait(SETTLE_S):
            return
        for kind, amount in _resources(ray.available_resources).items():
            self._free[kind] = max(amount, self._free.get(kind, 0.0))
        waited_s, wait_s = SETTLE_S, FIRST_S - SETTLE_S
        while not self._has_progress.wait(wait_s):
            waited_s, wait_s = waited_s + wait_s, THEN_S
            log.info(
                "%s: nothing is done after %.0f s; %s",
                self._step,
                waited_s,
                awaited(self._needed, self._free, _resources(ray.cluster_resources)),
            )


def _resources(request: Callable[[], Mapping[str, float]]) -> Mapping[str, float]:
    try:
        return request()
    except Exception:  # Ray is just being shut down
        return {}


def awaited(needed: Mapping[str, float], free: Mapping[str, float], total: Mapping[str, float]) -> str:
    """What a step waits for. `free`: when it began; `total`: of the cluster now.

    >>> awaited({"CPU": 2, "GPU": 8}, {"CPU": 16, "GPU": 4}, {"CPU": 16, "GPU": 4})
    'it needs 8 GPUs at once and the cluster has 4: it waits until the cluster grows'
    >>> awaited({"CPU": 2}, {"CPU": 1}, {"CPU": 16})
    'it needs 2 CPUs and 1 of 16 were free when it began: it waits for another job'
    >>> awaited({"CPU": 2}, {"CPU": 16}, {"CPU": 16})
    'its processes start and load the model, or storage has not answered yet'
    """
    for kind, amount in needed.items():
        if total.get(kind, 0) < amount:
            return (
                f"it needs {amount:g} {kind}s at once and the cluster has {total.get(kind, 0):g}: it waits until the cluster grows"
            )
    for kind, amount in needed.items():
        if free.get(kind, 0) < amount:
            return (
                f"it needs {amount:g} {kind}s and {free.get(kind, 0):g} of {total[kind]:g} were free when it began: it waits for "
                "another job"
            )
    return "its processes start and load the model, or storage has not answered yet"
