"""What a run has done, is doing and will do next, from its store alone; its failed clips, and trying them again.

Nothing here needs Ray, a model or the videos, and nothing holds more than a piece in memory.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from engine import plan
from engine.config import RunConfig
from engine.generate.ledger import Ledger, balance, total
from engine.lease import Lease, is_held
from engine.loop import read_seals
from engine.plan import INGEST, Step
from engine.rows import FAILURES, Attempt
from engine.seals import SEAL, Seal
from engine.store import Store
from engine.work import INDEX, pieces_of, read_attempts

ASKING = frozenset({"generate", "evaluate"})
"""Kinds of steps that leave pieces."""


@dataclass(frozen=True, kw_only=True)
class Begun:
    """A step with pieces and without a seal: Begun(step="cycle-000/generate", written=3, planned=12, accounts=Ledger(...))"""

    step: str
    written: int
    planned: int
    accounts: Ledger


@dataclass(frozen=True, kw_only=True)
class Status:
    """Status(sealed={"ingest": Seal(...)}, begun=[Begun(...)], next_step=Step(...), holder="process 7 on a (since ...)")"""

    sealed: Mapping[str, Seal]
    begun: list[Begun]
    next_step: Step | None
    """None: the run is complete."""
    holder: str
    """Who works on it, as far as can be told without waiting; "" where nobody does."""


def status(store: Store) -> Status:
    """Raises ValueError where there is no run."""
    config, sealed = run_config(store), read_seals(store)
    steps = plan.so_far(config, sealed)
    begun = [_begun(store, config, step, sealed) for step in steps if step.kind in ASKING and step.name not in sealed]
    next_step = next((step for step in steps if step.name not in sealed), None)
    for one in begun:  # a run that was stopped earlier (starloop generate) has begun what is not the first step without a seal
        if one.written and (next_step is None or next_step.kind == "evaluate"):
            next_step = next(step for step in steps if step.name == one.step)
            break
    return Status(sealed=sealed, begun=[one for one in begun if one.written], next_step=next_step, holder=is_held(store))


def _begun(store: Store, config: RunConfig, step: Step, sealed: Mapping[str, Seal]) -> Begun:
    paths = [f"{pieces_of(step.name)}/{name}" for name in store.names(pieces_of(step.name))]
    sizes = sealed[INGEST].facts["parts"]["train" if step.kind == "generate" else "heldout"] if INGEST in sealed else []
    planned = sum(-(-size // config.generate.piece_clips) for size in sizes)
    accounts = total(balance(read_attempts(store, [path])) for path in paths)
    return Begun(step=step.name, written=len(paths), planned=planned, accounts=accounts)


def run_config(store: Store) -> RunConfig:
    data = store.read("config.json")
    if data is None:
        raise ValueError(f"no run at {store.uri}: it has no config.json")
    return RunConfig.model_validate_json(data)


def failures(store: Store) -> Iterator[tuple[str, Attempt]]:
    """(step, failed attempt), piece by piece, in the order of the plan."""
    for step in _asking(store):
        for _, failed in _failed(store, step):
            yield from ((step.name, attempt) for attempt in failed)


def _asking(store: Store) -> list[Step]:
    return [step for step in plan.so_far(run_config(store), read_seals(store)) if step.kind in ASKING]


def _failed(store: Store, step: Step) -> Iterator[tuple[str, list[Attempt]]]:
    """Pieces with failed clips, and these."""
    folder = pieces_of(step.name)
    for name in store.names(folder) if step.kind in ASKING else []:
        failed = [attempt for attempt in read_attempts(store, [f"{folder}/{name}"]) if attempt.outcome == "failed"]
        if failed:
            yield f"{folder}/{name}", failed


def _failed_pieces(store: Store, step: Step, kind: str) -> list[tuple[str, int]]:
    """Paths of pieces with clips that failed as kind, and how many."""
    counted = ((path, sum(attempt.reason == kind for attempt in failed)) for path, failed in _failed(store, step))
    return [(path, count) for path, count in counted if count]


@dataclass(frozen=True, kw_only=True)
class Retried:
    """Retried(step="cycle-000/generate", failed=3, pieces=2, clips=64): what will be made again, for the sake of `failed` clips."""

    step: str
    failed: int
    pieces: int
    clips: int


def retry(store: Store, kind: str, rewind: bool) -> Retried | None:
    """Take away the pieces with failures of that kind, so that the next command makes them anew; None where there are none.

    Where later steps have used such a piece, they go too if `rewind`; else nothing is done and ValueError says so. Steps go from
    the last to the first, each one's seal before its files: whenever this is interrupted, the run can go on.
    """
    if kind not in FAILURES:
        raise ValueError(f"no kind of failure is called {kind!r}; known are {', '.join(FAILURES)}")
    config = run_config(store)
    with Lease(store) as lease:
        sealed = read_seals(store)
        steps = plan.so_far(config, sealed)
        found = ((number, _failed_pieces(store, step, kind)) for number, step in enumerate(steps))
        number, pieces = next(((number, pieces) for number, pieces in found if pieces), (0, []))
        if not pieces:
            return None
        step, later = steps[number], [other for other in steps[number + 1 :] if other.name in sealed]
        if later and not rewind:
            raise ValueError(
                f"{step.name} has clips that failed as {kind}, and {later[-1].name} came after it; --rewind undoes the sealed "
                f"steps after it too ({len(later)}), or the next cycle tries them anyway"
            )
        lease.confirm()
        clips = sum(balance(read_attempts(store, [path])).clips for path, _ in pieces)
        for other in reversed(steps[number + 1 :]):
            store.delete(f"{other.name}/{SEAL}")
            store.delete(other.name)
        for name in (SEAL, INDEX):
            store.delete(f"{step.name}/{name}")
        for path, _ in pieces:
            store.delete(path)
        return Retried(step=step.name, failed=sum(count for _, count in pieces), pieces=len(pieces), clips=clips)
