"""What failed in a run, from its store alone: clips, examples and damaged files, each with what to do; and trying them again.

This needs neither Ray nor a model nor the videos. Pieces are read in parallel, and only a bounded number is in memory at a time.
"""

from collections.abc import Iterable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial

from engine.generate.ledger import balance
from engine.generate.one_model import restore_note
from engine.rows import FAILURES, Attempt, Outcome, Unused
from engine.run import plan
from engine.run.collected import COLLECTED, uncollected
from engine.run.damage import Damage, damage_by_contents, damage_by_sizes, damage_of_note, read_or_damage, recorded
from engine.run.lease import Lease
from engine.run.plan import WRITE_PIECES, Step
from engine.run.seals import SEAL, Seal
from engine.run.work import RESUME, indexed, is_index, pieces_of, read_rows, read_seals, run_config, unused_of
from engine.store.files import RESTORE, FileRecord, Store
from engine.store.parallel import parallel_map

DAMAGED = "damaged"
"""What --retry calls files that are not what their step wrote."""


@dataclass(frozen=True, slots=True)
class Failed:
    """A clip, an example or an episode that a step could not use: Failed("cycle-000/train", "talk-7", "truncated", "... ")

    The kind "damaged" is for a file of the run.
    """

    step: str
    name: str
    """clip_id, example_id or episode_id; of a damaged file its path."""
    kind: str
    detail: str


def failures(store: Store) -> Iterator[Failed]:
    """What failed, step by step in the order of the plan: clips that could not be answered, and what could not be trained on.

    Contents of pieces are compared with their records, other files by their sizes.
    """
    sealed = read_seals(store)
    for step in plan.so_far(run_config(store), sealed):
        seal = sealed.get(step.name)
        pieces, damage = _pieces(store, step, seal)
        if seal is not None and step.kind not in WRITE_PIECES:
            damage = damage_by_sizes(store, [seal])
        elif seal is not None and (note := damage_of_note(store, seal)) is not None:
            damage = [*damage, note]
        yield from map(_failed_file, damage)
        for attempts in parallel_map(partial(read_or_damage, store, step.name, Attempt), pieces):
            if isinstance(attempts, Damage):
                yield _failed_file(attempts)
                continue
            failed = (attempt for attempt in attempts if attempt.outcome == "failed")
            yield from (Failed(step.name, attempt.clip_id, attempt.reason, attempt.detail) for attempt in failed)
        if unused_of(step.name) not in {file.path for file in damage}:
            yield from (Failed(step.name, row.example_id, row.reason, row.detail) for row in _unused(store, step))


def _failed_file(damage: Damage) -> Failed:
    return Failed(damage.step, damage.path, DAMAGED, f"it {damage.detail}; {RESTORE}")


def _unused(store: Store, step: Step) -> list[Unused]:
    """What the step's table of unused examples holds; a step that stopped has left one too."""
    if step.kind not in ("select", "train") or store.read(path := unused_of(step.name)) is None:
        return []
    return [Unused.from_row(row) for row in store.read_table(path).to_pylist()]


def _pieces(store: Store, step: Step, seal: Seal | None) -> tuple[list[str | FileRecord], list[Damage]]:
    """The step's piece files: their paths, and once the step is sealed, their records; and the damage of its index."""
    if step.kind not in WRITE_PIECES:
        return [], []
    records, damage = recorded(store, seal) if seal is not None else ([], [])
    if seal is not None and not damage:
        return list(records), []
    folder = pieces_of(step.name)
    return [f"{folder}/{name}" for name in store.names(folder)], damage


@dataclass(frozen=True, kw_only=True)
class Retried:
    """What will be made again, because of `failed` clips: Retried(step="cycle-000/generate", failed=3, pieces=2, clips=64)"""

    step: str
    failed: int
    """Clips; of a select step examples and episodes, which it is done again for."""
    pieces: int
    """0: the step writes none, or only its index is damaged; it is done again as a whole."""
    clips: int
    """Clips in these pieces; 0 for damaged pieces, where the number is unknown."""


@dataclass(frozen=True, slots=True)
class Restored:
    """Notes of models that were written again from the seals, and nothing is done again.

    Restored(["cycle-000/generate/model.json"])
    """

    paths: list[str]


@dataclass(frozen=True, kw_only=True)
class _Again:
    """What is deleted of a step, beside its seal and its index, so that it is done again: pieces, or the whole folder.

    _Again(paths=("cycle-000/generate/pieces/00000-00064-032-9f3c.parquet",), failed=1, pieces=1, clips=32)
    """

    paths: tuple[str, ...]
    failed: int
    pieces: int
    clips: int


def _damaged(store: Store, step: Step, seal: Seal | None) -> _Again | None:
    """What is damaged of a step; None where nothing is. A step without pieces is done again as a whole."""
    if step.kind not in WRITE_PIECES:
        is_damaged = seal is not None and damage_by_contents(store, seal)
        return _Again(paths=(step.name,), failed=0, pieces=0, clips=0) if is_damaged else None
    pieces, damage = _pieces(store, step, seal)
    outcomes = parallel_map(partial(read_or_damage, store, step.name, Attempt), pieces)
    paths = tuple(outcome.path for outcome in outcomes if isinstance(outcome, Damage))
    return _Again(paths=paths, failed=0, pieces=len(paths), clips=0) if damage or paths else None


def _failed(store: Store, step: Step, seal: Seal | None, kind: str) -> _Again | None:
    """The pieces in which clips failed as `kind`, or a select step that left examples out as that; None where there are none.

    Raises StorageError where a piece is damaged: without its index, which is deleted here, nobody would notice that again.
    """
    if step.kind == "select":
        left_out = sum(row.reason == kind for row in _unused(store, step))
        return _Again(paths=(step.name,), failed=left_out, pieces=0, clips=0) if left_out else None
    if step.kind not in WRITE_PIECES:
        return None
    folder = pieces_of(step.name)
    pieces: list[str | FileRecord] = (
        list(uncollected(store, step.name, list(indexed(store, seal).values())))
        if seal is not None
        else [f"{folder}/{name}" for name in store.names(folder)]
    )
    counts = [row for row in parallel_map(partial(_failed_in, store, kind), pieces) if row[1]]
    failed, clips = sum(row[1] for row in counts), sum(row[2] for row in counts)
    return _Again(paths=tuple(row[0] for row in counts), failed=failed, pieces=len(counts), clips=clips) if counts else None


def _failed_in(store: Store, kind: str, piece: str | FileRecord) -> tuple[str, int, int]:
    """A piece's path, how many of its clips failed as `kind`, and how many clips it has."""
    attempts = read_rows(store, Outcome, piece)
    failed = sum(attempt.outcome == "failed" and attempt.reason == kind for attempt in attempts)
    return piece if isinstance(piece, str) else piece.path, failed, balance(attempts).clips


def _restored(store: Store, sealed: Iterable[Seal], is_dry: bool) -> list[str]:
    """Write the damaged notes of models again: their seals hold all of them. Returns their paths."""
    notes = ((seal, damage_of_note(store, seal)) for seal in sealed)
    damaged = [(seal, note.path) for seal, note in notes if note is not None]
    for seal, _ in () if is_dry else damaged:
        restore_note(store, seal.step, seal.facts["model"])
    return [path for _, path in damaged]


def retry(store: Store, kind: str, rewind: bool, is_dry: bool = False) -> Retried | Restored | None:
    """Delete the pieces with failures of that kind, so that the next command makes them again; None where there are none.

    A select step that left out examples as that kind is deleted as a whole. The kind "damaged" is for files that are gone, or that
    differ from what their step wrote: notes of models are written again, pieces are deleted, and a step without pieces as a whole.

    Steps that follow from such a piece, through their inputs or through an accuracy, are deleted too if `rewind`; else ValueError
    says so and nothing is deleted. Other steps stay. Steps are deleted from the last to the first, the seal of each before its
    files: whenever this is interrupted, the run can go on. `is_dry`: nothing is deleted or written, and no lease is taken.
    """
    if kind not in (*FAILURES, DAMAGED):
        raise ValueError(f"no kind of failure is called {kind!r}; known are {', '.join((*FAILURES, DAMAGED))}")
    config = run_config(store)
    with nullcontext() if is_dry else Lease(store) as lease:
        sealed = read_seals(store)
        steps = plan.so_far(config, sealed)
        restored = _restored(store, sealed.values(), is_dry) if kind == DAMAGED else []
        for step in steps:
            seal = sealed.get(step.name)
            again = _damaged(store, step, seal) if kind == DAMAGED else _failed(store, step, seal, kind)
            if again is not None:
                break
        else:
            return Restored(restored) if restored else None
        later = plan.following(step, steps)
        begun = [other for other in later if other.name in sealed or _is_begun(store, other)]
        _refuse_used(step, begun, kind, rewind)
        if lease is not None:
            lease.confirm()
            lease.begin(step.name)
            _undo(store, step, later, again.paths)
        return Retried(step=step.name, failed=again.failed, pieces=again.pieces, clips=again.clips)


def _undo(store: Store, step: Step, later: list[Step], paths: Iterable[str]) -> None:
    """Delete the later steps, from the last to the first, and then the step's seal, its indexes and these paths."""
    for other in reversed(later):
        store.delete(f"{other.name}/{SEAL}")
        store.delete(other.name)
    indexes = [name for name in store.names(step.name) if is_index(name)]
    for name in (SEAL, *indexes, COLLECTED):
        store.delete(f"{step.name}/{name}")
    for _ in parallel_map(store.delete, paths):
        pass


def _is_begun(store: Store, step: Step) -> bool:
    """True if an unsealed step has pieces or a checkpoint."""
    return bool(store.names(pieces_of(step.name))) or store.read(f"{step.name}/{RESUME}") is not None


def _refuse_used(step: Step, later: list[Step], kind: str, rewind: bool) -> None:
    """Raises ValueError if steps that follow from this one are done or begun, and --rewind does not allow to delete them."""
    what = (
        "files that are damaged" if kind == DAMAGED else f"{'examples' if step.kind == 'select' else 'clips'} that failed as {kind}"
    )
    otherwise = "" if kind == DAMAGED else ", or the next cycle tries them anyway"
    if later and not rewind:
        raise ValueError(
            f"{step.name} has {what}, and {later[-1].name} follows from it; --rewind undoes the "
            f"steps that follow from it too ({len(later)}){otherwise}"
        )
