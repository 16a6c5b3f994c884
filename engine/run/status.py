"""What a run has done, is doing and will do next, from its store alone; its failed clips, and trying them again.

This needs neither Ray nor a model nor the videos. Pieces are read in parallel, and only a bounded number is in memory at a time.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial

from engine.generate.ledger import Ledger, balance, total
from engine.ingest.pieces import stretches
from engine.rows import FAILURES, Unused
from engine.run import plan
from engine.run.lease import Lease, lease_state
from engine.run.plan import INGEST, Kind, Step
from engine.run.seals import SEAL, Seal
from engine.run.work import INDEX, RESUME, pieces_of, read_index, read_piece, read_seals, run_config, spans_by_part, unused_of
from engine.store.files import FileRecord, Store
from engine.store.parallel import parallel_map
from engine.store.troubles import StorageError

DAMAGED = "damaged"
"""What --retry calls pieces that are gone, or differ from the step's index."""
WRITE_PIECES: frozenset[Kind] = frozenset({"generate", "evaluate"})
"""Kinds of steps that write pieces."""


@dataclass(frozen=True, kw_only=True)
class Begun:
    """A step with pieces and without a seal: Begun(step="cycle-000/generate", written=3, planned=12, accounts=Ledger(...))"""

    step: str
    written: int
    """Pieces."""
    planned: int
    """Pieces."""
    accounts: Ledger


@dataclass(frozen=True, kw_only=True)
class Status:
    """Status(sealed={"ingest": Seal(...)}, begun=[Begun(...)], next_step=Step(...), holder="process 7 on a (since ...)")"""

    sealed: Mapping[str, Seal]
    begun: list[Begun]
    next_step: Step | None
    """The step that is being done, or that would be done next; None: the run is complete."""
    holder: str
    """The driver that holds the lease, as far as can be known without waiting; "": none does."""
    has_report: bool
    """The folder has a report.html, which every command writes at its end."""


def status(store: Store) -> Status:
    """Raises ValueError where there is no run."""
    config, sealed = run_config(store), read_seals(store)
    steps = plan.so_far(config, sealed)
    unsealed = [step for step in steps if step.name not in sealed]
    writing = [step for step in unsealed if step.kind in WRITE_PIECES]
    folders = parallel_map(lambda step: (step, store.names(pieces_of(step.name))), writing)
    piece_clips = config.generate.piece_clips
    begun = [_begun(store, step, names, _planned(step, names, sealed, piece_clips)) for step, names in folders if names]
    lease = lease_state(store)
    # a driver that is to stop early (starloop generate) leaves out steps that selftrain would do first: its own step comes first
    next_step = next((step for step in unsealed if step.name == lease.step), unsealed[0] if unsealed else None)
    has_report = "report.html" in store.names("")
    return Status(sealed=sealed, begun=begun, next_step=next_step, holder=lease.holder, has_report=has_report)


def _begun(store: Store, step: Step, names: list[str], planned: int) -> Begun:
    paths = [f"{pieces_of(step.name)}/{name}" for name in names]
    accounts = total(parallel_map(lambda path: balance(read_piece(store, path)), paths))
    return Begun(step=step.name, written=len(paths), planned=planned, accounts=accounts)


def _planned(step: Step, names: list[str], sealed: Mapping[str, Seal], piece_clips: int) -> int:
    """How many pieces the step will have written; 0 before ingest is sealed."""
    part_sizes = sealed[INGEST].facts["parts"][step.split] if INGEST in sealed else []
    written = spans_by_part(names)
    return sum(1 for number, size in enumerate(part_sizes) for _ in stretches(size, piece_clips, written.get(number, ())))


@dataclass(frozen=True, slots=True)
class Failed:
    """A clip, an example or an episode that a step could not use: Failed("cycle-000/train", "talk-7", "truncated", "... ")"""

    step: str
    name: str
    """clip_id, example_id or episode_id."""
    kind: str
    detail: str


def failures(store: Store) -> Iterator[Failed]:
    """What failed, step by step in the order of the plan: clips that could not be answered, and what could not be trained on."""
    for step in plan.so_far(run_config(store), read_seals(store)):
        for attempts in parallel_map(partial(read_piece, store), _pieces(store, step)):
            failed = (attempt for attempt in attempts if attempt.outcome == "failed")
            yield from (Failed(step.name, attempt.clip_id, attempt.reason, attempt.detail) for attempt in failed)
        yield from (Failed(step.name, row.example_id, row.reason, row.detail) for row in _unused(store, step))


def _unused(store: Store, step: Step) -> list[Unused]:
    """What the step's table of unused examples holds; a step that stopped has left one too."""
    if step.kind not in ("select", "train") or store.read(path := unused_of(step.name)) is None:
        return []
    return [Unused.from_row(row) for row in store.read_table(path).to_pylist()]


def _pieces(store: Store, step: Step) -> list[str | FileRecord]:
    """The step's piece files: their paths, and once the step is sealed, their records."""
    if step.kind not in WRITE_PIECES:
        return []
    index = read_index(store, step.name)
    folder = pieces_of(step.name)
    return list(index.values()) if index is not None else [f"{folder}/{name}" for name in store.names(folder)]


@dataclass(frozen=True, kw_only=True)
class Retried:
    """What will be made again, because of `failed` clips: Retried(step="cycle-000/generate", failed=3, pieces=2, clips=64)"""

    step: str
    failed: int
    """Clips; of a select step examples and episodes, which it is done again for."""
    pieces: int
    """0: the step writes none, and is done again as a whole."""
    clips: int
    """Clips in these pieces; 0 for damaged pieces, where the number is unknown."""


@dataclass(frozen=True, slots=True)
class _Piece:
    """A piece that is to be made again: _Piece("cycle-000/generate/pieces/00000-00064-032-9f3c.parquet", failed=1, clips=32)"""

    path: str
    failed: int
    clips: int


def _damaged(store: Store, piece: str | FileRecord) -> _Piece | None:
    """The piece, if it cannot be read or differs from its record."""
    try:
        read_piece(store, piece)
    except StorageError as error:
        if error.trouble not in ("missing", "replaced"):
            raise
        return _Piece(piece if isinstance(piece, str) else piece.path, failed=0, clips=0)
    return None


def _failed(store: Store, kind: str, piece: str | FileRecord) -> _Piece | None:
    """The piece, if clips in it failed as `kind`."""
    attempts = read_piece(store, piece)
    failed = sum(attempt.outcome == "failed" and attempt.reason == kind for attempt in attempts)
    path = piece if isinstance(piece, str) else piece.path
    return _Piece(path, failed, balance(attempts).clips) if failed else None


def _to_retry(store: Store, step: Step, kind: str) -> list[_Piece]:
    check = partial(_damaged, store) if kind == DAMAGED else partial(_failed, store, kind)
    return [piece for piece in parallel_map(check, _pieces(store, step)) if piece is not None]


def retry(store: Store, kind: str, rewind: bool) -> Retried | None:
    """Delete the pieces with failures of that kind, so that the next command makes them again; None where there are none.

    A select step that left out examples as that kind is deleted as a whole. The kind "damaged" is for pieces that are gone, or
    that differ from the step's index.

    Steps that follow from such a piece, through their inputs or through an accuracy, are deleted too if `rewind`; else ValueError
    says so and nothing is deleted. Other steps stay. Steps are deleted from the last to the first, the seal of each before its
    files: whenever this is interrupted, the run can go on.
    """
    if kind not in (*FAILURES, DAMAGED):
        raise ValueError(f"no kind of failure is called {kind!r}; known are {', '.join((*FAILURES, DAMAGED))}")
    config = run_config(store)
    with Lease(store) as lease:
        sealed = read_seals(store)
        steps = plan.so_far(config, sealed)
        to_retry = ((step, _to_retry(store, step, kind), _left_out(store, step, kind)) for step in steps)
        step, pieces, left_out = next((row for row in to_retry if row[1] or row[2]), (steps[0], [], 0))
        if not pieces and not left_out:
            return None
        later = plan.following(step, steps)
        begun = [other for other in later if other.name in sealed or _is_begun(store, other)]
        _refuse_used(step, begun, kind, rewind)
        lease.confirm()
        lease.begin(step.name)
        for other in reversed(later):
            store.delete(f"{other.name}/{SEAL}")
            store.delete(other.name)
        for name in (SEAL, INDEX):
            store.delete(f"{step.name}/{name}")
        for _ in parallel_map(store.delete, [piece.path for piece in pieces] or [step.name]):
            pass
        failed, clips = left_out + sum(piece.failed for piece in pieces), sum(piece.clips for piece in pieces)
        return Retried(step=step.name, failed=failed, pieces=len(pieces), clips=clips)


def _left_out(store: Store, step: Step, kind: str) -> int:
    """How many examples and episodes a select step left out as `kind`."""
    return sum(row.reason == kind for row in _unused(store, step)) if step.kind == "select" else 0


def _is_begun(store: Store, step: Step) -> bool:
    """True if an unsealed step has pieces or a checkpoint."""
    return bool(store.names(pieces_of(step.name))) or store.read(f"{step.name}/{RESUME}") is not None


def _refuse_used(step: Step, later: list[Step], kind: str, rewind: bool) -> None:
    """Raises ValueError if steps that follow from this one are done or begun, and --rewind does not allow to delete them."""
    what = (
        "pieces that are damaged"
        if kind == DAMAGED
        else f"{'examples' if step.kind == 'select' else 'clips'} that failed as {kind}"
    )
    if later and not rewind:
        raise ValueError(
            f"{step.name} has {what}, and {later[-1].name} follows from it; --rewind undoes the "
            f"steps that follow from it too ({len(later)}), or the next cycle tries them anyway"
        )
