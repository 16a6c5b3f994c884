"""What the report keeps of a sealed step, so that the step's pieces are read once: counts, endings, and some of the attempts.

A step of a hundred thousand clips has thousands of pieces, and each takes a millisecond to read. Digests lie below report/ in the
run's folder. They are made of the pieces alone: whoever deletes them has the pieces read again.
"""

import contextlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from engine.audit.audit import SEED, SIZE, Sample, sample_from, sample_of_value
from engine.audit.strata import Strata
from engine.report.chosen import NEVER, Endings
from engine.report.counts import StepCounts
from engine.report.split import SplitClips
from engine.rows import ATTEMPTS, Clip, Trace
from engine.run.seals import Seal
from engine.run.work import rows_in
from engine.store.files import FileRecord, Store
from engine.store.parallel import parallel_map
from engine.store.troubles import StorageError

FOLDER = "report"
VERSION = 2
"""Counts up where the same pieces give another digest."""
CANDIDATES = 8_192
"""Clips of a split whose attempts a digest holds. Most clips that are shown are among them; of the others the pieces are read."""
CODES = np.dtype("<i2")
FEWEST_CLIPS = 1_024
"""Steps of fewer clips have no digest: their pieces are read in a tenth of a second."""


@dataclass(frozen=True, kw_only=True)
class Digest:
    """What is known of a step without reading its pieces."""

    counts: StepCounts
    endings: Endings
    attempts: pa.Table
    """All attempts at the clips with the smallest hashes: rows as in pieces."""
    last_hash: int
    """The largest of these hashes."""
    sample: Sample | None
    """Of a generate step: the one that the report shows for people to read."""


def digest_of(
    store: Store, seal: Seal, clips: SplitClips, pieces: Mapping[int, Sequence[FileRecord]], names: Sequence[str]
) -> Digest:
    """Read all pieces of a step, which are given by the number of their part. `names`: the run's classes."""
    is_generate = seal.step.endswith("/generate")
    counts, strata = StepCounts(names, tells_answers=not is_generate), Strata(size=SIZE, seed=SEED)
    last_hash = int(np.sort(clips.hashes)[min(CANDIDATES, len(clips)) - 1]) if len(clips) else 0
    codes, numbers, tables = np.full(len(clips), NEVER, np.int16), dict[str, int](), list[pa.Table]()
    for part, start, of_part in clips.parts():
        is_candidate = clips.hashes[start : start + len(of_part)] <= last_hash
        ids = pa.array([clip.clip_id for clip, is_one in zip(of_part, is_candidate, strict=True) if is_one], pa.string())
        read = list(parallel_map(partial(_read, store, ids), pieces.get(part, ()), store.calls_at_once))
        traces = [trace for of_piece, _ in read for trace in of_piece]
        tables += _joined([table for _, table in read])
        endings = counts.add(of_part, traces)
        if is_generate:
            strata.add(of_part, traces)
        codes[start : start + len(of_part)] = _coded(of_part, endings, numbers)
    return Digest(
        counts=counts,
        endings=Endings(names=list(numbers), codes=codes),
        attempts=next(iter(_joined(tables)), ATTEMPTS.empty_table()),
        last_hash=last_hash,
        sample=sample_from(store, seal, strata) if is_generate else None,
    )


def _read(store: Store, ids: pa.Array, record: FileRecord) -> tuple[list[Trace], pa.Table]:
    """The traces of a piece, and all of its attempts at the clips of these ids."""
    table = store.read_table(record)
    return rows_in(table, Trace, store.url(record.path)), table.filter(pc.is_in(table["clip_id"], ids))


def _joined(tables: Sequence[pa.Table]) -> list[pa.Table]:
    """One table of all their rows, or none: a table of a piece takes 40 kB, whatever it holds."""
    with_rows = [table for table in tables if table.num_rows]
    return [pa.concat_tables(with_rows, promote_options="default").combine_chunks()] if with_rows else []


def _coded(clips: Sequence[Clip], endings: Mapping[str, str], numbers: dict[str, int]) -> list[int]:
    """The number of each clip's ending; new endings are added to `numbers`."""
    of_clips = (endings.get(clip.clip_id) for clip in clips)
    return [NEVER if ending is None else numbers.setdefault(ending, len(numbers)) for ending in of_clips]


def read_digest(store: Store, seal: Seal) -> Digest | None:
    """The digest of a step that is kept; None where there is none, or one of other answers, of another version, or damaged."""
    try:
        endings, attempts = (store.read_table(name) for name in _names(seal))
        head = json.loads((endings.schema.metadata or {})[b"starloop"])
        if (head["output"], head["version"]) != (seal.output, VERSION):
            return None
        return Digest(
            counts=StepCounts.of_value(head["counts"]),
            endings=Endings(names=head["endings"], codes=np.frombuffer(endings["codes"][0].as_py(), CODES)),
            attempts=attempts,
            last_hash=head["last_hash"],
            sample=sample_of_value(head["sample"]) if head["sample"] else None,
        )
    except (StorageError, ValueError, KeyError, TypeError):
        return None


def keep_digest(store: Store, seal: Seal, digest: Digest) -> None:
    """Keep the digest of a large step. Where the run cannot be written to, nothing is kept."""
    if len(digest.endings.codes) < FEWEST_CLIPS:
        return
    head: dict[str, Any] = {
        "output": seal.output,
        "version": VERSION,
        "counts": digest.counts.to_value(),
        "endings": digest.endings.names,
        "last_hash": digest.last_hash,
        "sample": asdict(digest.sample) if digest.sample else None,
    }
    codes = digest.endings.codes.astype(CODES).tobytes()  # an array of numpy would import pandas, which takes a second
    endings = pa.table({"codes": [codes]}).replace_schema_metadata({"starloop": json.dumps(head)})
    with contextlib.suppress(StorageError):
        for name, table in zip(_names(seal)[::-1], (digest.attempts, endings), strict=True):
            store.write_table(name, table)


def _names(seal: Seal) -> tuple[str, str]:
    """Not .parquet: what loads a run's tables finds none of these."""
    name = seal.step.replace("/", "-")
    return f"{FOLDER}/{name}.pq", f"{FOLDER}/{name}-attempts.pq"
