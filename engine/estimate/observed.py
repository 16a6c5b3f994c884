"""What a run has shown so far: seconds, shares, tokens and bytes of its sealed steps, and of the pieces of one under way."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from itertools import pairwise
from statistics import median
from typing import Any

from engine.estimate.assumptions import Assumptions
from engine.estimate.bands import Band, around
from engine.generate.ledger import balance, total
from engine.rows import Attempt
from engine.run.plan import WRITE_PIECES, Step
from engine.run.seals import Seal
from engine.run.work import RESUME, indexed, pieces_of, read_piece, spans_by_part
from engine.store.files import Store
from engine.store.parallel import parallel_map

FIRST_PIECES = 8
"""Pieces of a step that are read for its answers' tokens."""
FEWEST_PIECES = 3
"""Pieces from which on the times of a step under way say something."""
OWN_SPREAD = 0.15
"""Bounds around what a run has measured of itself, at least: another hour on another node."""
PAUSE_GAPS, PAUSE_S = 20, 60.0
"""A gap between two pieces is a pause, and left out, if it is longer than so many median gaps, and than so many seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """What a step took: Taken(step="cycle-000/generate", seconds=31.2, questions=480, rationalized=180, ...)"""

    step: str
    kind: str
    seconds: float
    questions: int = 0
    """That were asked, the rationalizations among them."""
    rationalized: int = 0
    """Rationalizations that were asked for."""
    clips: int = 0
    direct_kept: int = 0
    rationalized_kept: int = 0
    optimizer_steps: int = 0
    bytes_written: int = 0
    is_whole: bool = True
    """False: the first pieces of a step under way."""


@dataclass(frozen=True, kw_only=True)
class Observed:
    """Observed(sealed={"ingest": Seal(...)}, taken=[Taken(...)], tokens=[12, 31])"""

    sealed: Mapping[str, Seal] = field(default_factory=dict)
    taken: Sequence[Taken] = ()
    """Of the sealed steps, and of the pieces of the step under way at the end."""
    tokens: Sequence[float] = ()
    """Mean tokens of the answers of each piece that was read."""
    done: Mapping[str, int] = field(default_factory=dict)
    """What steps without a seal have done: clips of their pieces, or optimizer steps up to the latest checkpoint."""

    def left(self, step: str, units: float) -> float:
        """The share of a step's clips, or of its optimizer steps, that are still to be done."""
        if step in self.sealed:
            return 0.0
        return max(0.0, 1 - self.done.get(step, 0) / units) if units else 1.0

    def of(self, kind: str) -> list[Taken]:
        """Steps of a kind whose seconds are known; none that reused answers of another run, which takes no time."""
        reusing = {name for name, seal in self.sealed.items() if seal.counts.get("reused")}
        return [taken for taken in self.taken if taken.kind == kind and taken.seconds > 0 and taken.step not in reusing]


def observe(store: Store, sealed: Mapping[str, Seal], steps: Sequence[Step]) -> Observed:
    """Reads seals' indexes, a few pieces, and one listing of the step under way."""
    kinds = {step.name: step for step in steps}
    taken = [_of_seal(store, kinds[name], seal) for name, seal in sealed.items() if name in kinds]
    asking = [step for step in steps if step.kind in WRITE_PIECES]
    tokens: list[float] = []
    done: dict[str, int] = {}
    under_way = next((step for step in asking if step.name not in sealed), None)
    if under_way is not None:
        spans = spans_by_part(store.names(pieces_of(under_way.name)))
        done[under_way.name] = sum(span.count for of_part in spans.values() for span in of_part)
        taken += filter(None, [_of_pieces(store, under_way)])
    training = next((step for step in steps if step.kind == "train" and step.name not in sealed), None)
    if training is not None and (data := store.read(f"{training.name}/{RESUME}")):
        done[training.name] = int(json.loads(data)["step"])
    latest = next((step for step in asking if step.kind == "generate" and (step.name in sealed or step is under_way)), None)
    if latest is not None:
        names = store.names(pieces_of(latest.name))[:FIRST_PIECES]
        tokens = [mean for attempts in _read(store, latest.name, names) if (mean := _mean_tokens(attempts))]
    return Observed(sealed=sealed, taken=taken, tokens=tokens, done=done)


def with_measurements(assumed: Assumptions, observed: Observed) -> Assumptions:
    """The assumptions with the shares and tokens that the run has shown."""
    for name, cycles in (("direct_share", "cycle-000/"), ("later_direct_share", "")):
        taken = [done for done in observed.of("generate") if done.clips and done.step.startswith("cycle-000/") == bool(cycles)]
        if taken:
            where = ", ".join(done.step for done in taken)
            assumed = assumed.measured(name, _shares([done.direct_kept / done.clips for done in taken]), where)
    hinted = [done for done in observed.of("generate") if done.rationalized and done.is_whole]
    if hinted:
        shares = _shares([done.rationalized_kept / done.rationalized for done in hinted])
        assumed = assumed.measured("rationalized_share", shares, ", ".join(done.step for done in hinted))
    if observed.tokens:
        assumed = assumed.measured(
            "answer_tokens", around(observed.tokens, OWN_SPREAD), f"{len(observed.tokens)} pieces of this run"
        )
    return assumed


def _shares(values: Sequence[float]) -> Band:
    return around(values, OWN_SPREAD).at_most(1.0)


def _of_seal(store: Store, step: Step, seal: Seal) -> Taken:
    facts: Mapping[str, Any] = seal.facts
    written = sum(record.size for record in seal.files)
    if step.kind not in WRITE_PIECES:
        steps = seal.counts.get("steps", 0)
        return Taken(step=step.name, kind=step.kind, seconds=seal.seconds, optimizer_steps=steps, bytes_written=written)
    written += sum(record.size for record in indexed(store, seal).values())
    answered = facts["clips"] - sum(facts["failed"].values())
    is_direct_only = step.kind == "evaluate" or step.final or not facts["rationalized_kept"]
    rationalized = 0 if is_direct_only else answered - facts["direct_kept"]
    direct = facts.get("direct") or answered  # older runs have no count: they have one sample of each clip
    return Taken(
        step=step.name,
        kind=step.kind,
        seconds=seal.seconds,
        questions=direct + rationalized,
        rationalized=rationalized,
        clips=facts["clips"],
        direct_kept=facts["direct_kept"],
        rationalized_kept=facts["rationalized_kept"],
        bytes_written=written,
    )


def _of_pieces(store: Store, step: Step) -> Taken | None:
    """Questions and seconds of the first pieces of a step that is not sealed; None where they are too few."""
    times = written_at(store, pieces_of(step.name))
    if len(times) < FEWEST_PIECES:
        return None
    first = sorted(times, key=lambda name: times[name])
    per_piece = [(balance(attempts), attempts) for attempts in _read(store, step.name, first[:FIRST_PIECES])]
    if any(attempt.origin for _, attempts in per_piece for attempt in attempts):
        return None  # the answers of another run, which were copied
    accounts = total(ledger for ledger, _ in per_piece)
    answers = [attempt for _, attempts in per_piece for attempt in attempts if attempt.outcome != "failed"]
    rationalized = sum(attempt.mode == "rationalized" for attempt in answers)
    share = (len(times) - 1) / len(per_piece)
    """The first piece's questions were answered before the first moment that is known."""
    return Taken(
        step=step.name,
        kind=step.kind,
        seconds=busy_s(list(times.values())),
        questions=round(len(answers) * share),
        rationalized=round(rationalized * share),
        clips=accounts.clips,
        direct_kept=accounts.direct_kept,
        rationalized_kept=accounts.rationalized_kept,
        is_whole=False,
    )


def busy_s(times: Sequence[float]) -> float:
    """Seconds from the first to the last of the moments, without pauses.

    >>> busy_s([0.0, 10.0, 20.0, 5000.0, 5010.0])
    30.0
    """
    ordered = sorted(times)
    gaps = [after - before for before, after in pairwise(ordered)]
    longest = max(PAUSE_S, PAUSE_GAPS * median(gaps)) if gaps else PAUSE_S
    return sum(gap for gap in gaps if gap <= longest)


def written_at(store: Store, folder: str) -> dict[str, float]:
    """When each file of a folder was written, in seconds since 1970, as the listing has it; files without a time are left out."""
    filesystem, root = store.storage.filesystem(store.uri)
    path = f"{root}/{folder}"
    if not store.names(folder):
        return {}
    entries = store.storage.patiently(f"cannot list {store.uri}/{folder}", lambda: filesystem.ls(path, detail=True))
    moments = {entry["name"].rsplit("/", 1)[-1]: _moment(entry) for entry in entries if entry["type"] == "file"}
    return {name: moment for name, moment in moments.items() if moment is not None and name.endswith(".parquet")}


def _moment(entry: Mapping[str, Any]) -> float | None:
    """Of an entry of fsspec's listing: a disk has mtime, S3 LastModified, Google mtime or updated, Azure last_modified."""
    for key in ("mtime", "LastModified", "updated", "last_modified"):
        value = entry.get(key)
        if isinstance(value, int | float):
            return float(value)
        if isinstance(value, datetime):
            return value.timestamp()
        if isinstance(value, str):
            return datetime.fromisoformat(value.replace("Z", "+00:00")).timestamp()
    return None


def _read(store: Store, step: str, names: Sequence[str]) -> list[list[Attempt]]:
    return list(parallel_map(partial(read_piece, store), (f"{pieces_of(step)}/{name}" for name in names)))


def _mean_tokens(attempts: Sequence[Attempt]) -> float:
    answered = [attempt.num_tokens for attempt in attempts if attempt.outcome != "failed"]
    return sum(answered) / len(answered) if answered else 0.0
