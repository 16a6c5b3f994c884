"""What every step is given, what it returns, and how the files of a run's steps are read."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, field, fields
from functools import partial
from itertools import chain, count, groupby, islice
from shlex import quote
from typing import Any, TypeVar

import pyarrow as pa
from pydantic import ValidationError

from engine.config import HELDOUT, RunConfig
from engine.decode.decoder import DecodeLimits
from engine.decode.stage import DecodeSettings
from engine.ingest.clips import read_parts
from engine.ingest.pieces import Piece, Span, cut, group_of, groups_of, number_of, span_of
from engine.presets import one_line
from engine.rows import Answer, Attempt, Clip, Outcome, Trace
from engine.run.plan import CYCLE_KINDS, INGEST, Step, asks_elsewhere, name_of
from engine.run.seals import Seal, read_seal
from engine.store.files import FileRecord, Store
from engine.store.parallel import parallel_map
from models.base import EngineSpec, ModelSpec
from models.registry import BUILTIN, ELSEWHERE

PartOfAttempt = TypeVar("PartOfAttempt", Attempt, Outcome, Answer, Trace)
INDEX, OLD_INDEX = "index.pq", "index.parquet"
"""Lists a step's pieces with size and sha256. The seal records the index, and through it every piece. A split of more than a
hundred parts has an index for each hundred, whose name ends so. It is a Parquet file without that suffix: whatever loads the
.parquet files of a run finds data alone. Older runs have the second name."""
SEALS_AT_ONCE = 16
"""Seals that are read at once: of ingest, the base and three cycles, and two of the next cycle."""
RESUME, CHECKPOINTS = "resume.json", "checkpoints"
"""Files in the folder of a train step that is not sealed yet."""


@dataclass(frozen=True, kw_only=True)
class Progress:
    """How far a step is: done of total, in clips (generate, evaluate) or optimizer steps (train).

    Progress(step="cycle-000/generate", unit="clips", done=64, total=300, kept=60)
    """

    step: str
    unit: str
    """clips, steps or answers; "" while the step is starting."""
    done: int
    total: int
    before: int = 0
    """The part of `done` that an earlier command did. The fields below count this command's part only."""
    kept: int = 0
    failed: int = 0
    loss: float | None = None
    metrics: dict[str, float] = field(default_factory=dict)
    """What a tracker records of an optimizer step, by name; {} in other steps."""


@dataclass(frozen=True, kw_only=True)
class StepResult:
    """What a step leaves, for its seal."""

    files: list[str]
    """Their paths in the store."""
    counts: dict[str, int]
    """Rows by reason."""
    facts: dict[str, Any]
    """Values that later steps and the summary read."""


@dataclass(frozen=True, kw_only=True)
class Work:
    """What every step is given."""

    step: Step
    identity: str
    """Digest of the step, its configuration and the outputs of its inputs."""
    config: RunConfig
    store: Store
    report: Callable[[Progress], None]
    epoch: int = 0
    """Of the driver's lease; 0 where there is none."""
    reviews: tuple[FileRecord, ...] = ()
    """Of a select step: the files with people's words about answers (engine/audit/reviews.py)."""
    check: Callable[[], None] = lambda: None
    """Raises where the step has to stop, also while it makes no progress: nobody else may wait for ever."""
    at_work: Callable[[], None] = lambda: None
    """Tells that its processes are at work, where there is no progress that can be counted yet."""

    def part_sizes(self) -> dict[str, list[int]]:
        """Clips in each part, by split."""
        sizes: dict[str, list[int]] = self._ingested().facts["parts"]
        return sizes

    def needs(self) -> tuple[str, ...]:
        """The models that the published rules take for the run's labels; () in runs of a version that did not look."""
        return tuple(self._ingested().facts.get("needs", ()))

    def _ingested(self) -> Seal:
        sealed = read_seal(self.store, INGEST)
        assert sealed is not None, "nothing is planned before ingest is sealed"
        return sealed

    def parts(self, split: str) -> Iterator[tuple[str, list[Clip]]]:
        """The split's clips, part by part."""
        return read_parts(self.store, split, self._ingested().files)

    def pieces(self) -> Iterator["PlannedPiece"]:
        """The pieces of the step's split, in order, the written ones among them; those of a hundred parts are listed at a time."""
        for begins, parts in groupby(self.parts(self.step.split), lambda part: group_of(number_of(part[0]))):
            written = spans_by_part(self.store.names(pieces_of(self.step.name), begins))
            for path, clips in parts:
                for piece, is_written in cut(path, clips, self.config.generate.piece_clips, written.get(number_of(path), ())):
                    yield PlannedPiece(piece, clips[piece.start : piece.start + piece.count], is_written)

    def groups(self) -> dict[str, str]:
        """The path of the index of each hundred parts of the step's split, by how the names of their pieces begin."""
        groups = groups_of(len(self.part_sizes()[self.step.split]))
        return {begins: f"{self.step.name}/{f'{begins}-' if len(groups) > 1 else ''}{INDEX}" for begins in groups}

    def written(self) -> Iterator[Span]:
        """The spans that the names of the step's files tell, in no order; whether they are of these clips, `pieces` finds out."""
        for begins in self.groups():
            spans = map(span_of, self.store.names(pieces_of(self.step.name), begins))
            yield from (span for span in spans if span and group_of(span.part_number) == begins)

    def flow_name(self) -> str:
        """How Ray's dashboard names the step's dataset: run, cycle and step."""
        return f"{self.store.url().rstrip('/').rsplit('/', 1)[-1]}/{self.step.name}"

    def model(self) -> ModelSpec:
        """The adapter that the plan names, on the base; before the first cycle the instruct model, the promoted one of the run that
        this one continues, or one on another machine."""
        config = self.config
        if asks_elsewhere(config, self.step):
            return config.spec(config.generate.openai.name)
        generates = self.step.kind == "generate"
        alpha = config.generate.lora_alpha if generates else config.evaluate.lora_alpha
        prompts = "" if generates else config.prompts_of(self.step.split)
        if self.step.model:
            return config.spec(config.model.base, self.store.url(f"{self.step.model}/model"), alpha, prompts)
        if config.parent.model:
            return config.spec(config.model.base, config.parent.model, alpha, prompts)
        return config.spec(config.model.instruct or config.model.base, None, alpha, prompts)

    def engine(self) -> EngineSpec:
        """What answers this step's questions."""
        generate, gpus = self.config.generate, self.config.cluster.generator_gpus
        if asks_elsewhere(self.config, self.step):
            return generate.engine_spec(0.0)
        own = generate.model_copy(update={"engine": BUILTIN.name}) if generate.engine in ELSEWHERE else generate
        return own.engine_spec(gpus)

    def decoding(self) -> DecodeSettings:
        return decoding_of(self.config)

    def stop_if(self, reason: str | None) -> None:
        """Raises ValueError if there is a reason to stop the step."""
        if reason:
            raise ValueError(
                f"{self.step.name} stopped: {reason}; `starloop failures {quote(self.config.run.uri)}` lists them with what to do, "
                "`--retry KIND` lets them be tried again; or raise the limit"
            )


@dataclass(frozen=True, slots=True)
class PlannedPiece:
    """A piece of a step, its clips, and whether it is in the store."""

    piece: Piece
    clips: list[Clip]
    is_written: bool

    def to_row(self) -> dict[str, Any]:
        """What travels through the stages: the piece's fields and the name of its file."""
        return asdict(self.piece) | {"file_name": self.piece.file_name}


def spans_by_part(paths: Iterable[str]) -> dict[int, list[Span]]:
    """The spans that pieces' paths name, by the number of their part; other files are left out."""
    spans: dict[int, list[Span]] = {}
    for span in filter(None, map(span_of, paths)):
        spans.setdefault(span.part_number, []).append(span)
    return spans


def run_config(store: Store) -> RunConfig:
    data = store.read("config.json")
    if data is None:
        raise ValueError(f"no run at {store.uri}: it has no config.json; name the folder or URI that run.uri named")
    try:
        return RunConfig.model_validate_json(data)
    except ValidationError as error:
        raise ValueError(f"{store.url('config.json')} is not what a run writes ({one_line(error)}); restore it") from None


def read_seals(store: Store) -> dict[str, Seal]:
    """All seals of a run, by step, in the order of the plan. A cycle without any seal is the end."""
    sets = [evaluation_set.name for evaluation_set in run_config(store).sets]
    base = [INGEST, *(name_of(-1, "evaluate", name) for name in sets)]
    of_a_cycle = [(kind, HELDOUT) for kind in CYCLE_KINDS] + [("evaluate", name) for name in sets[1:]]
    steps = chain(base, (name_of(cycle, kind, name) for cycle in count() for kind, name in of_a_cycle))
    seals = parallel_map(lambda step: (step, read_seal(store, step)), steps, at_once=SEALS_AT_ONCE)
    sealed = _present(islice(seals, len(base)))
    while cycle := _present(islice(seals, len(of_a_cycle))):
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


def unused_of(step: str) -> str:
    """The table of what a select or train step could not use (Unused of engine/rows.py).

    >>> unused_of("cycle-000/train")
    'cycle-000/train/unused.parquet'
    """
    return f"{step}/unused.parquet"


def read_index(store: Store, step: str) -> dict[str, FileRecord] | None:
    """The records of a sealed step's pieces, by path; None if it is not sealed. Raises StorageError if the index has changed."""
    seal = read_seal(store, step)
    return None if seal is None else indexed(store, seal)


def indexed(store: Store, seal: Seal, begins: str = "") -> dict[str, FileRecord]:
    """The records of the pieces of a seal's index, by path; {} where it has none. Raises StorageError if the index has changed.

    `begins`: how the names of a hundred parts' pieces begin; of several indexes only theirs is read.
    """
    ends = tuple(f"/{start}{name}" for name in (INDEX, OLD_INDEX) for start in (f"{begins}-", ""))
    files = (record for record in seal.files if (record.path.endswith(ends) if begins else is_index(record.path)))
    indexes = (records_of(store, index) for index in files)
    return {record.path: record for records in indexes for record in records}


def is_index(path: str) -> bool:
    """
    >>> is_index("cycle-000/generate/index.pq"), is_index("cycle-000/generate/012-index.parquet"), is_index("a/seal.json")
    (True, True, False)
    """
    return path.endswith((INDEX, OLD_INDEX))


def records_of(store: Store, index: FileRecord) -> list[FileRecord]:
    """What an index records. Raises StorageError if it has changed."""
    return [FileRecord(**row) for row in store.read_table(index).to_pylist()]


def read_piece(store: Store, piece: str | FileRecord) -> list[Attempt]:
    """The attempts of one piece file; given a record, only if the file is still as recorded. Raises StorageError.

    Raises ValueError for a piece with the columns of another version.
    """
    return read_rows(store, Attempt, piece)


def read_rows(store: Store, row: type[PartOfAttempt], piece: str | FileRecord) -> list[PartOfAttempt]:
    """As `read_piece`, of all columns or of those that an Outcome, an Answer or a Trace has."""
    columns = None if row is Attempt else [column.name for column in fields(row)]
    return rows_in(store.read_table(piece, columns), row, store.url(piece if isinstance(piece, str) else piece.path))


def rows_in(table: pa.Table, row: type[PartOfAttempt], url: str) -> list[PartOfAttempt]:
    """The rows of a piece's table. Raises ValueError for the columns of another version."""
    columns = table.column_names if row is Attempt else [column.name for column in fields(row)]
    try:
        return [row.from_row(values) for values in table.select(columns).to_pylist()]  # type: ignore[misc]  # each of them has it
    except (KeyError, TypeError) as error:
        raise ValueError(
            f"{url} has other columns than this version of Starloop writes ({error}); go on with the version that began the run, "
            "or choose another run.uri"
        ) from None


def attempts_of(table: pa.Table) -> list[Attempt]:
    """The rows of a piece file."""
    return [Attempt.from_row(row) for row in table.to_pylist()]


def read_attempts(store: Store, pieces: Iterable[str | FileRecord]) -> list[Attempt]:
    """The attempts of a few pieces, all in memory; for many pieces use parallel_map(partial(read_piece, store), pieces)."""
    return [attempt for attempts in parallel_map(partial(read_piece, store), pieces) for attempt in attempts]


def decoding_of(config: RunConfig) -> DecodeSettings:
    limits = config.limits
    bounds = DecodeLimits(
        timeout_s=limits.decode_timeout_s,
        memory_bytes=limits.decode_memory_bytes,
        read_bytes=limits.read_bytes,
        frame_pixels=limits.frame_pixels,
        decode_pixels=limits.decode_pixels,
    )
    return DecodeSettings(
        backend=config.generate.decoder,
        limits=bounds,
        storage=config.access(),
        tolerance_s=config.model.frame_tolerance_s,
        signs=config.select.near_copies != "ignore",
        keep_bytes=limits.keep_bytes,
    )
