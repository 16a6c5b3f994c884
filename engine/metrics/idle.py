"""What the generators of a step waited for: every second of every generator is busy or idle for one of five causes.

starting        until a generator's process has its model: waiting for its CPUs and GPUs, imports, loading
no_input        no piece was decoded; at the end of a flow, none is left
output_blocked  a decoded piece was there, and Ray Data gave it out to nobody, because what follows does not take the results
handover        a decoded piece was there and was on its way: Ray's own time between two calls
dead            from the last piece that a process finished to the moment at which its replacement has the model; the work that was
                lost with it is in here

A flow of `actors` generators that lasts t seconds has actors x t seconds, and busy and idle seconds together are as many.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from engine.metrics.clock import Worked

KEPT_INTERVALS = 1000
Add = Callable[[str, float], None]


@dataclass
class Slot:
    """An actor of the flow, as the driver knows it."""

    process: str
    ended: float


@dataclass(frozen=True, slots=True)
class Pool:
    """How a stage's actors are at one moment."""

    alive: int
    """Actors whose process has built its object, dead ones that come back included."""
    restarting: int
    is_blocked: bool
    """Pieces wait for them, and Ray Data holds them back; or their results are not taken."""


@dataclass
class IdleAccount:
    """Of one flow after another of a step. `add` receives a cause and seconds, `busy` receives seconds.

    account.begins(0.0); account.observe(1.0, Pool(1, 0, False)); account.piece(worked); account.ends(9.0)
    """

    actors: int
    add: Add
    busy: Callable[[float], None]
    _slots: dict[str, Slot] = field(default_factory=dict)
    _began: float | None = None
    """None: nothing is under way."""
    _alive_at: list[float] = field(default_factory=list)
    """When the first, second ... actor was alive first."""
    _blocked: list[tuple[float, float]] = field(default_factory=list)
    """Intervals in which results were not taken, in order."""
    _observed_at: float = 0.0
    _pool: Pool = Pool(0, 0, False)

    def begins(self, at: float) -> None:
        """A flow begins, or the next part of it, for which all actors are built anew."""
        if self._began is not None:
            self.ends(at)
        self._slots, self._alive_at, self._blocked = {}, [], []
        self._began = self._observed_at = at
        self._pool = Pool(0, 0, False)

    def observe(self, at: float, pool: Pool) -> None:
        """The pool as it is now; it was so since the last observation, as far as it is known."""
        if pool.is_blocked and self._pool.is_blocked:
            if self._blocked and self._blocked[-1][1] == self._observed_at:
                self._blocked[-1] = (self._blocked[-1][0], at)
            else:
                self._blocked = [*self._blocked[-KEPT_INTERVALS:], (self._observed_at, at)]
        self._alive_at += [at] * (min(pool.alive, self.actors) - len(self._alive_at))
        self._observed_at, self._pool = at, pool

    def piece(self, worked: Worked) -> None:
        assert self._began is not None, "a piece comes while its flow runs"
        slot = self._slots.get(worked.actor)
        if slot is None:
            self._idle("starting", worked.ready - self._began)
        elif slot.process != worked.process:
            self._idle("dead", worked.ready - slot.ended)
        self._gap(max(worked.idle_from, self._began), worked.begun, worked.input_ready)
        self.busy(worked.busy_s)
        self._slots[worked.actor] = Slot(worked.process, max(worked.ended, slot.ended if slot else 0.0))

    def ends(self, at: float) -> None:
        """The flow is over: what is left of each actor's time."""
        assert self._began is not None, "nothing ends twice"
        dead = self._pool.restarting
        for slot in sorted(self._slots.values(), key=lambda slot: slot.ended):
            self._idle("dead" if dead > 0 else "no_input", at - slot.ended)  # the dead one is the one that ended first
            dead -= 1
        for number in range(len(self._slots), self.actors):
            alive = self._alive_at[number] if number < len(self._alive_at) else at
            self._idle("starting", alive - self._began)
            self._idle("no_input", at - alive)
        self._began = None

    def _gap(self, start: float, end: float, input_ready: float) -> None:
        ready = min(max(input_ready, start), end)
        self._idle("no_input", ready - start)
        blocked = sum(max(0.0, min(end, to) - max(ready, since)) for since, to in self._blocked)
        self._idle("output_blocked", blocked)
        self._idle("handover", end - ready - blocked)

    def _idle(self, cause: str, seconds: float) -> None:
        if seconds > 0:
            self.add(cause, seconds)


def shares(seconds: dict[str, float], busy_s: float, causes: Sequence[str]) -> float:
    """The share of these causes in all seconds.

    >>> shares({"starting": 10.0, "no_input": 1.0}, 39.0, ("no_input",))
    0.02
    """
    whole = busy_s + sum(seconds.values())
    return sum(seconds.get(cause, 0.0) for cause in causes) / whole if whole else 0.0
