"""What a run has done, is doing and will do next, from its store alone; its failed clips, and trying them again.

Nothing here needs Ray, a model or the videos, and nothing holds more than a piece in memory.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from engine.config import RunConfig
from engine.generate.ledger import Ledger, balance, total
from engine.rows import FAILURES, Attempt
from engine.run import plan
from engine.run.lease import Lease, is_held, last_step
from engine.run.plan import INGEST, Step
from engine.run.seals import SEAL, Seal
from engine.run.work import INDEX, pieces_of, read_attempts, read_index, read_seals, run_config
from engine.store.files import FileRecord, Store
from engine.store.filesystems import StorageError

DAMAGED = "damaged"
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
    """What is being done, or else would be done next; None: the run is complete."""
    holder: str
    """Who works on it, as far as can be told without waiting; "" where nobody does."""


def status(store: Store) -> Status:
    """Raises ValueError where there is no run."""
    config, sealed = run_config(store), read_seals(store)
    steps = plan.so_far(config, sealed)
    begun = [_begun(store, config, step, sealed) for step in steps if step.kind in ASKING and step.name not in sealed]
    left = [step for step in steps if step.name not in sealed]
    at = last_step(store)  # a driver that is to stop earlier (starloop generate) leaves out what selftrain would do first
    next_step = next((step for step in left if step.name == at), left[0] if left else None)
    return Status(sealed=sealed, begun=[one for one in begun if one.written], next_step=next_step, holder=is_held(store))


def _begun(store: Store, config: RunConfig, step: Step, sealed: Mapping[str, Seal]) -> Begun:
    paths = [f"{pieces_of(step.name)}/{name}" for name in store.names(pieces_of(step.name))]
    sizes = sealed[INGEST].facts["parts"]["train" if step.kind == "generate" else "heldout"] if INGEST in sealed else []
    planned = sum(-(-size // config.generate.piece_clips) for size in sizes)
    accounts = total(balance(read_attempts(store, [path])) for path in paths)
    return Begun(step=step.name, written=len(paths), planned=planned, accounts=accounts)


def failures(store: Store) -> Iterator[tuple[str, Attempt]]:
    """(step, failed attempt), piece by piece, in the order of the plan."""
    for step in _asking(store):
        for _, failed in _failed(store, step):
            yield from ((step.name, attempt) for attempt in failed)


def _asking(store: Store) -> list[Step]:
    return [step for step in plan.so_far(run_config(store), read_seals(store)) if step.kind in ASKING]


def _pieces(store: Store, step: Step) -> list[str | FileRecord]:
    """Where the step's pieces lie; once it is sealed, also what they were."""
    index = read_index(store, step.name)
    folder = pieces_of(step.name)
    return list(index.values()) if index is not None else [f"{folder}/{name}" for name in store.names(folder)]


def _failed(store: Store, step: Step) -> Iterator[tuple[str, list[Attempt]]]:
    """Paths of pieces with failed clips, and these."""
    for piece in _pieces(store, step) if step.kind in ASKING else []:
        failed = [attempt for attempt in read_attempts(store, [piece]) if attempt.outcome == "failed"]
        if failed:
            yield _path(piece), failed


def _damaged(store: Store, step: Step) -> Iterator[str]:
    """Paths of pieces that are gone, or are not what they were."""
    for piece in _pieces(store, step) if step.kind in ASKING else []:
        try:
            read_attempts(store, [piece])
        except StorageError as error:
            if error.trouble not in ("missing", "replaced"):
                raise
            yield _path(piece)


def _path(piece: str | FileRecord) -> str:
    return piece if isinstance(piece, str) else piece.path


def _to_retry(store: Store, step: Step, kind: str) -> list[tuple[str, int]]:
    """Paths of pieces, and how many of their clips failed as kind."""
    if kind == DAMAGED:
        return [(path, 0) for path in _damaged(store, step)]
    counted = ((path, sum(attempt.reason == kind for attempt in failed)) for path, failed in _failed(store, step))
    return [(path, count) for path, count in counted if count]


@dataclass(frozen=True, kw_only=True)
class Retried:
    """Retried(step="cycle-000/generate", failed=3, pieces=2, clips=64): what will be made again, for the sake of `failed` clips."""

    step: str
    failed: int
    pieces: int
    clips: int
    """0: of damaged pieces nobody can say."""


def retry(store: Store, kind: str, rewind: bool) -> Retried | None:
    """Take away the pieces with failures of that kind, so that the next command makes them anew; None where there are none.

    The kind "damaged" is for pieces that are gone, or are not what the step's index says that they were.

    Where later steps have used such a piece, they go too if `rewind`; else nothing is done and ValueError says so. Steps go from
    the last to the first, each one's seal before its files: whenever this is interrupted, the run can go on.
    """
    if kind not in (*FAILURES, DAMAGED):
        raise ValueError(f"no kind of failure is called {kind!r}; known are {', '.join((*FAILURES, DAMAGED))}")
    config = run_config(store)
    with Lease(store) as lease:
        sealed = read_seals(store)
        steps = plan.so_far(config, sealed)
        found = ((number, _to_retry(store, step, kind)) for number, step in enumerate(steps))
        number, pieces = next(((number, pieces) for number, pieces in found if pieces), (0, []))
        if not pieces:
            return None
        step, later = steps[number], [other for other in steps[number + 1 :] if other.name in sealed]
        what = "pieces that are damaged" if kind == DAMAGED else f"clips that failed as {kind}"
        if later and not rewind:
            raise ValueError(
                f"{step.name} has {what}, and {later[-1].name} came after it; --rewind undoes the sealed "
                f"steps after it too ({len(later)}), or the next cycle tries them anyway"
            )
        lease.confirm()
        lease.begin(step.name)
        clips = 0 if kind == DAMAGED else sum(balance(read_attempts(store, [path])).clips for path, _ in pieces)
        for other in reversed(steps[number + 1 :]):
            store.delete(f"{other.name}/{SEAL}")
            store.delete(other.name)
        for name in (SEAL, INDEX):
            store.delete(f"{step.name}/{name}")
        for path, _ in pieces:
            store.delete(path)
        return Retried(step=step.name, failed=sum(count for _, count in pieces), pieces=len(pieces), clips=clips)
