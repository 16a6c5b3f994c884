"""What every step is given, and what it gives back."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import chain, count, islice
from typing import Any

import pyarrow as pa

from engine.config import RunConfig
from engine.decode.process import Budget
from engine.decode.stage import Decoding
from engine.ingest.clips import read_parts
from engine.ingest.pieces import Piece, cut
from engine.rows import Attempt, Clip
from engine.run.plan import BASE, CYCLE_KINDS, INGEST, Step, name_of
from engine.run.seals import Seal, read_seal
from engine.store.files import FileRecord, Store
from engine.store.parallel import parallel_map
from models.base import ModelSpec

INDEX = "index.parquet"
"""Names a step's pieces, with size and sha256 of each: the seal names it, and so all of them."""
SEALS_AT_ONCE = 16
"""Seals that are read at once: of ingest, the base and three cycles, and two of the next cycle."""
RESUME, CHECKPOINTS = "resume.json", "checkpoints"
"""In a train step's folder, while it is not sealed."""


@dataclass(frozen=True, kw_only=True)
class Progress:
    """How far a step is: done of total, in clips (generate, evaluate) or optimizer steps (train).

    Progress(step="cycle-000/generate", unit="clips", done=64, total=300, kept=60)
    """

    step: str
    unit: str
    """"" while the step is starting."""
    done: int
    total: int
    before: int = 0
    """Of those done, the ones that an earlier command has done. What follows is about the others."""
    kept: int = 0
    failed: int = 0
    loss: float | None = None


@dataclass(frozen=True, kw_only=True)
class Made:
    """What a step made."""

    files: list[str]
    """Their paths in the store."""
    counts: dict[str, int]
    """Rows by reason."""
    facts: dict[str, Any]
    """What later steps and the summary need."""


@dataclass(frozen=True, kw_only=True)
class Work:
    """What every step is given."""

    step: Step
    identity: str
    """Digest of what is asked for: the step, its configuration, its inputs' outputs."""
    config: RunConfig
    store: Store
    report: Callable[[Progress], None]

    def part_sizes(self) -> dict[str, list[int]]:
        """Clips in each part, by split."""
        sizes: dict[str, list[int]] = self._ingested().facts["parts"]
        return sizes

    def _ingested(self) -> Seal:
        sealed = read_seal(self.store, INGEST)
        assert sealed is not None, "nothing is planned before ingest is sealed"
        return sealed

    def parts(self, split: str) -> Iterator[tuple[str, list[Clip]]]:
        """The split's clips, part by part."""
        return read_parts(self.store, split, self._ingested().files)

    def pieces(self, split: str) -> Iterator[Piece]:
        for path, clips in self.parts(split):
            yield from cut(path, clips, self.config.generate.piece_clips)

    def model(self) -> ModelSpec:
        """The adapter that the plan names, on the base; before the first cycle the instruct model."""
        config = self.config
        alpha = config.generate.lora_alpha if self.step.kind == "generate" else config.evaluate.lora_alpha
        if self.step.model:
            return config.spec(config.model.base, self.store.url(f"{self.step.model}/model"), alpha)
        return config.spec(config.model.instruct or config.model.base)

    def decoding(self) -> Decoding:
        return decoding_of(self.config)

    def stop_if(self, reason: str | None) -> None:
        """Raises ValueError with the reason why the step had better not go on, if there is one."""
        if reason:
            raise ValueError(
                f"{self.step.name} stopped: {reason}; `starloop failures {self.config.run.uri}` lists them with what to do, "
                "`--retry KIND` lets them be tried again; or raise the limit"
            )


def run_config(store: Store) -> RunConfig:
    data = store.read("config.json")
    if data is None:
        raise ValueError(f"no run at {store.uri}: it has no config.json")
    try:
        return RunConfig.model_validate_json(data)
    except ValueError as error:
        reason = str(error).splitlines()[-2 if "https://" in str(error) else -1].strip()
        raise ValueError(f"{store.url('config.json')} is not what a run writes ({reason}); restore it") from None


def read_seals(store: Store) -> dict[str, Seal]:
    """All seals of a run, by step, in the order of the plan. A cycle without any seal is the end."""
    steps = chain([INGEST, BASE], (name_of(cycle, kind) for cycle in count() for kind in CYCLE_KINDS))
    seals = parallel_map(lambda step: (step, read_seal(store, step)), steps, at_once=SEALS_AT_ONCE)
    sealed = _present(islice(seals, 2))
    while cycle := _present(islice(seals, len(CYCLE_KINDS))):
        sealed |= cycle
    return sealed


def _present(seals: Iterable[tuple[str, Seal | None]]) -> dict[str, Seal]:
    return {step: seal for step, seal in seals if seal is not None}


def pieces_of(step: str) -> str:
    """
    >>> pieces_of("cycle-000/generate")
    'cycle-000/generate/pieces'
    """
    return f"{step}/pieces"


def read_index(store: Store, step: str) -> dict[str, FileRecord] | None:
    """The records of a sealed step's pieces, by path; None if it is not sealed. Raises StorageError if the index has changed."""
    seal = read_seal(store, step)
    if seal is None:
        return None
    rows = (row for record in seal.files if record.path.endswith(INDEX) for row in store.read_table(record).to_pylist())
    return {row["path"]: FileRecord(**row) for row in rows}


def read_piece(store: Store, piece: str | FileRecord) -> list[Attempt]:
    """The attempts of one piece file; given a record, only if the file is still as recorded. Raises StorageError."""
    return attempts_of(store.read_table(piece))


def attempts_of(table: pa.Table) -> list[Attempt]:
    """The rows of a piece file."""
    return [Attempt(**row) for row in table.to_pylist()]


def read_attempts(store: Store, pieces: Iterable[str | FileRecord]) -> list[Attempt]:
    """The attempts of a few pieces, all in memory; for many pieces use parallel_map(partial(read_piece, store), pieces)."""
    return [attempt for attempts in parallel_map(partial(read_piece, store), pieces) for attempt in attempts]


def decoding_of(config: RunConfig) -> Decoding:
    limits = config.limits
    budget = Budget(
        timeout_s=limits.decode_timeout_s,
        memory_bytes=limits.decode_memory_bytes,
        read_bytes=limits.read_bytes,
        frame_pixels=limits.frame_pixels,
        decode_pixels=limits.decode_pixels,
    )
    return Decoding(backend=config.generate.decoder, budget=budget, storage=config.access(), keep_bytes=limits.keep_bytes)
