"""The library: what a notebook or a script imports from `engine`. Small, with defaults, and without torch or Ray.

    from engine import load_attempts, verify

docs/library.md shows each function at work. Everything else in the package is the program's own and changes without notice.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Generic, TypeVar

import pyarrow as pa
import pyarrow.compute as pc

from engine.export.kept import Source, default_cycle
from engine.ingest.clips import from_table
from engine.rows import ATTEMPTS, CLIPS, TAKEAWAYS, Attempt, Clip, Takeaway
from engine.run.collected import refuse_collected
from engine.run.plan import INGEST, TRAIN, name_of, so_far
from engine.run.seals import Seal
from engine.run.summary import summarize
from engine.run.work import attempts_of, indexed, read_seals, run_config
from engine.store.files import FileRecord, Store
from engine.store.filesystems import Storage
from engine.store.parallel import parallel_map
from engine.verify.library import verify

__all__ = ["Rows", "load_attempts", "load_clips", "load_examples", "load_summary", "verify"]

Row = TypeVar("Row", Attempt, Clip, Takeaway)
Options = Mapping[str, Mapping[str, Any]]
"""fsspec's options by protocol: {"s3": {"endpoint_url": "http://127.0.0.1:9000"}}. Credentials come from the environment."""
TABLE_ROWS = 1024


@dataclass(frozen=True)
class Rows(Generic[Row]):
    """Rows of a run that are read when they are asked for, as often as they are asked for.

    for row in rows: one after the other, a file or two in memory. rows.table(): all at once.
    """

    _tables: Callable[[], Iterator[pa.Table]]
    _rows_of: Callable[[pa.Table], list[Row]]
    _schema: pa.Schema

    def __iter__(self) -> Iterator[Row]:
        """The rows as dataclasses of engine/rows.py, in the order of the clips."""
        for table in self._tables():
            yield from self._rows_of(table)

    def batches(self) -> Iterator[pa.Table]:
        """The rows as pyarrow tables, a piece of the run in each."""
        return self._tables()

    def table(self) -> pa.Table:
        """All rows as one pyarrow table, in memory: `.table().to_pandas()` is a data frame."""
        return pa.concat_tables([self._schema.empty_table(), *self._tables()], promote_options="permissive")


def load_attempts(
    run: str, cycle: int | None = None, split: str = TRAIN, outcome: str | None = None, storage: Options | None = None
) -> Rows[Attempt]:
    """Every answer that a cycle's model gave: kept, rejected, and a row for each clip that failed.

    Args:
        run: Folder or URI of a run: "runs/demo", "s3://bucket/runs/demo".
        cycle: Whose answers; default: the cycle whose model is promoted, or the latest one with rows where none is. -1: the
            base's, of an evaluation set.
        split: "train", or an evaluation set such as "heldout".
        outcome: "kept", "rejected" or "failed"; default: all.
        storage: fsspec's options by protocol, where a run's URI needs some.

    Returns:
        Rows of `Attempt`: clip_id, mode, outcome, reason, detail, text, score, judgements and others (engine/rows.py).

    Raises:
        ValueError: There is no such run, that step of it is not complete, or `starloop gc` has deleted its answers.
        StorageError: A file cannot be read, or is not what the step has sealed. It is raised while the rows are read.

        >>> attempts = load_attempts("runs/demo", outcome="rejected")  # doctest: +SKIP
        >>> Counter(attempt.reason for attempt in attempts)  # doctest: +SKIP
        Counter({'label_missing': 180})
    """
    store, sealed = _opened(run, storage)
    seal = _answers(store, sealed, default_cycle(sealed) if cycle is None else cycle, split)
    refuse_collected(store, seal.step)
    if outcome not in (None, "kept", "rejected", "failed"):
        raise ValueError(f"outcome {outcome!r} is not one; choose kept, rejected or failed")

    def tables() -> Iterator[pa.Table]:
        for table in parallel_map(store.read_table, sorted(indexed(store, seal).values(), key=_path_of), store.calls_at_once):
            yield table if outcome is None else table.filter(pc.equal(table["outcome"], outcome))

    return Rows(tables, attempts_of, ATTEMPTS)


def load_examples(run: str, cycle: int | None = None, storage: Options | None = None) -> Rows[Takeaway]:
    """What a cycle trains on: at most one kept answer of each clip, with the clip's label and the verdict on the answer.

    Args:
        run: Folder or URI of a run.
        cycle: Whose select step; default: the cycle whose model is promoted, or the latest one with rows where none is.
        storage: fsspec's options by protocol, where a run's URI needs some.

    Returns:
        Rows of `Takeaway`, with the columns that `starloop export-data` writes (docs/take_away.md).

    Raises:
        ValueError: There is no such run, or the cycle has chosen nothing yet.
        StorageError: A file cannot be read, or is not what the step has sealed. It is raised while the rows are read.

        >>> load_examples("s3://bucket/runs/demo").table().to_pandas()  # doctest: +SKIP
    """
    store, sealed = _opened(run, storage)
    source = Source(store=store, config=run_config(store), sealed=sealed, cycle=default_cycle(sealed) if cycle is None else cycle)

    def tables() -> Iterator[pa.Table]:
        waiting: list[dict[str, Any]] = []
        for row in source.rows(TRAIN):
            waiting.append(row.to_row())
            if len(waiting) == TABLE_ROWS:
                yield pa.Table.from_pylist(waiting, schema=TAKEAWAYS)
                waiting.clear()
        yield pa.Table.from_pylist(waiting, schema=TAKEAWAYS)

    return Rows(tables, lambda table: [Takeaway.from_row(row) for row in table.to_pylist()], TAKEAWAYS)


def load_clips(run: str, split: str = TRAIN, storage: Options | None = None) -> Rows[Clip]:
    """The clips of a run's manifest, as the ingest step has fixed them.

    Args:
        run: Folder or URI of a run.
        split: "train", or an evaluation set such as "heldout".
        storage: fsspec's options by protocol, where a run's URI needs some.

    Returns:
        Rows of `Clip`: clip_id, video, start_s and end_s in seconds, question, label and others (engine/rows.py).

    Raises:
        ValueError: There is no such run, no such split, or the ingest step is not complete.
        StorageError: A file cannot be read, or is not what the step has sealed. It is raised while the rows are read.

        >>> next(iter(load_clips("runs/demo", split="heldout"))).label.text  # doctest: +SKIP
        'rising'
    """
    store, sealed = _opened(run, storage)
    if INGEST not in sealed:
        raise ValueError(f"the ingest step of {store.url()} is not complete; run `starloop selftrain`, which continues it")
    records = [record for record in sealed[INGEST].files if record.path.startswith(f"ingest/{split}/")]
    if not records:
        splits = sorted({record.path.split("/")[1] for record in sealed[INGEST].files if record.path.count("/") > 1})
        raise ValueError(f"{store.url()} has no clips of split {split!r}; it has {', '.join(splits)}")
    return Rows(partial(_tables_of, store, records), from_table, CLIPS)


def load_summary(run: str, storage: Options | None = None) -> dict[str, Any]:
    """The figures of a run so far: accuracies with intervals, and for each cycle its counts by reason, losses and seconds.

    Args:
        run: Folder or URI of a run.
        storage: fsspec's options by protocol, where a run's URI needs some.

    Returns:
        What summary.json of a finished run holds; docs/scripts.md has the keys.

    Raises:
        ValueError: There is no such run.
        StorageError: It cannot be read.

        >>> load_summary("runs/demo")["best_accuracy"]  # doctest: +SKIP
        0.97
    """
    store, sealed = _opened(run, storage)
    return summarize(run_config(store), sealed)


def _opened(run: str, storage: Options | None) -> tuple[Store, dict[str, Seal]]:
    store = Store(run.rstrip("/") or run, Storage(storage or {}))
    return store, read_seals(store)


def _answers(store: Store, sealed: Mapping[str, Seal], cycle: int, split: str) -> Seal:
    """The step whose answers a cycle has: a last cycle may have chosen from those of the one before."""
    step = name_of(cycle, "evaluate", split)
    if split == TRAIN:
        planned = {step.name: step for step in so_far(run_config(store), sealed)}
        selected = planned.get(name_of(cycle, "select"))
        generated = [name for name in selected.inputs if name.endswith("/generate")] if selected else []
        step = generated[-1] if generated else name_of(cycle, "generate")
    if step not in sealed:
        known = [name for name in sealed if "/generate" in name or "/evaluate" in name]
        raise ValueError(f"{store.url()} has no complete step {step}; it has {', '.join(known) or 'none with answers'}")
    return sealed[step]


def _tables_of(store: Store, records: list[FileRecord]) -> Iterator[pa.Table]:
    return parallel_map(store.read_table, records, store.calls_at_once)


def _path_of(record: FileRecord) -> str:
    return record.path
