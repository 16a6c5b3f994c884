"""What a run has done, is doing and will do next, and which of its files are damaged, from its store alone.

This needs neither Ray nor a model nor the videos. Of steps that are not sealed all pieces are read, in parallel, and only a bounded
number is in memory at a time; of sealed steps the index is read, and folders are listed.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial

from engine.generate.ledger import Ledger, balance, total
from engine.ingest.pieces import groups_of, stretches
from engine.rows import Outcome
from engine.run import plan
from engine.run.collected import collected_by_step
from engine.run.damage import Damage, damage_by_sizes, read_or_damage
from engine.run.lease import lease_state
from engine.run.logs import latest_logs
from engine.run.plan import INGEST, WRITE_PIECES, Step
from engine.run.seals import Seal
from engine.run.work import pieces_of, read_seals, run_config, spans_by_part
from engine.store.files import Store
from engine.store.parallel import parallel_map


@dataclass(frozen=True, kw_only=True)
class Begun:
    """A step with pieces and without a seal: Begun(step="cycle-000/generate", written=3, planned=12, accounts=Ledger(...))"""

    step: str
    written: int
    """Pieces."""
    planned: int
    """Pieces."""
    accounts: Ledger
    damage: list[Damage]
    """Pieces that cannot be read; their clips are not in the accounts."""


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
    damage: list[Damage]
    """Files of sealed steps that are gone or have another size, an index also with another content, and pieces that cannot be read.

    Other contents are not compared here: `starloop failures` reads all pieces."""
    logs: str
    """URI of the folder with the logs of the last command that left some; "": none did."""
    gap: str
    """A step that is sealed although one whose output it was made from is not, and the remedy; "": none is."""
    collected: Mapping[str, list[str]]
    """By step, the folders that `starloop gc` has deleted."""


def status(store: Store) -> Status:
    """Raises ValueError where there is no run."""
    config, sealed = run_config(store), read_seals(store)
    steps = plan.so_far(config, sealed)
    unsealed = [step for step in steps if step.name not in sealed]
    writing = [step for step in unsealed if step.kind in WRITE_PIECES]
    folders = parallel_map(lambda step: (step, _names(store, step, sealed)), writing)
    piece_clips = config.generate.piece_clips
    begun = [_begun(store, step, names, _planned(step, names, sealed, piece_clips)) for step, names in folders if names]
    lease = lease_state(store)
    # a driver that is to stop early (starloop generate) leaves out steps that selftrain would do first: its own step comes first
    next_step = next((step for step in unsealed if step.name == lease.step), unsealed[0] if unsealed else None)
    has_report = "report.html" in store.names("")
    damage = damage_by_sizes(store, sealed.values()) + [file for step in begun for file in step.damage]
    return Status(
        sealed=sealed,
        begun=begun,
        next_step=next_step,
        holder=lease.holder,
        has_report=has_report,
        damage=damage,
        logs=latest_logs(store),
        gap=plan.gap(config, sealed),
        collected=collected_by_step(store, sealed),
    )


def _begun(store: Store, step: Step, names: list[str], planned: int) -> Begun:
    paths = [f"{pieces_of(step.name)}/{name}" for name in names]
    damage: list[Damage] = []
    attempts = _without(damage, parallel_map(partial(read_or_damage, store, step.name, Outcome), paths, store.calls_at_once))
    return Begun(step=step.name, written=len(paths), planned=planned, accounts=total(map(balance, attempts)), damage=damage)


def _without(damage: list[Damage], pieces: Iterable[list[Outcome] | Damage]) -> Iterator[list[Outcome]]:
    """The pieces that could be read; the others are added to `damage`."""
    for piece in pieces:
        if isinstance(piece, Damage):
            damage.append(piece)
        else:
            yield piece


def _names(store: Store, step: Step, sealed: Mapping[str, Seal]) -> list[str]:
    """The names of the step's pieces, listed a hundred parts at a time; those of other files too."""
    num_parts = len(sealed[INGEST].facts["parts"][step.split]) if INGEST in sealed else 0
    return [name for begins in groups_of(num_parts) for name in store.names(pieces_of(step.name), begins)]


def _planned(step: Step, names: list[str], sealed: Mapping[str, Seal], piece_clips: int) -> int:
    """How many pieces the step will have written; 0 before ingest is sealed."""
    part_sizes = sealed[INGEST].facts["parts"][step.split] if INGEST in sealed else []
    written = spans_by_part(names)
    return sum(1 for number, size in enumerate(part_sizes) for _ in stretches(size, piece_clips, written.get(number, ())))
