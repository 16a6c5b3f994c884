"""A split's clips through decode, generate and write, then counted: what the generate and the evaluate step have in common."""

import json
from collections import Counter
from dataclasses import asdict
from itertools import islice
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from engine import flow
from engine.decode.stage import decode_piece
from engine.generate.generator import GenerateSpec, Generator, write_piece
from engine.generate.ledger import Ledger, balance, too_many_failed, total
from engine.generate.watch import Watch
from engine.run.work import INDEX, Progress, Work, attempts_of, pieces_of
from engine.store.files import FILES, FileRecord
from engine.store.parallel import parallel_map
from engine.store.weights import local
from models.registry import frame_spec

INDEX_ROWS = 512
"""Rows of an index that are written at once."""


def attempt_split(work: Work, spec: GenerateSpec, split: str) -> Ledger:
    """Decode, generate and write the pieces that are not in the store yet; count all of them, and leave their index."""
    name, folder = work.step.name, pieces_of(work.step.name)
    written = {path.removesuffix(".parquet") for path in work.store.names(folder)}
    there = sum(piece.count for piece in work.pieces(split) if piece.piece_id in written)
    done, clips, kept, failed = there, sum(work.part_sizes()[split]), 0, Counter[str]()
    work.report(Progress(step=name, unit="clips", done=done, total=clips, before=there))
    todo = (asdict(piece) for piece in work.pieces(split) if piece.piece_id not in written)
    if done < clips:
        watch = Watch.remote()  # type: ignore[attr-defined]  # the decorator adds it
        for row in flow.run(todo, _stages(work, spec, folder, watch)):
            done, kept = done + row["clips"], kept + row["kept"]
            failed.update(json.loads(row["failed"]))
            now = Progress(step=name, unit="clips", done=done, total=clips, before=there, kept=kept, failed=failed.total())
            work.report(now)
            work.stop_if(too_many_failed(failed, done - there, work.config.limits.failure_rate))
    ledger = _account(work, split)
    assert ledger.clips == clips, f"{name}: {clips} clips went in, {ledger.clips} came out"
    work.stop_if(too_many_failed(ledger.failed, ledger.clips, work.config.limits.failure_rate))
    return ledger


def _stages(work: Work, spec: GenerateSpec, folder: str, watch: Any) -> list[flow.Stage]:
    cluster = work.config.cluster
    frames = frame_spec(local(spec.model, work.config.access(), only=".json"))
    decoding = {"spec": frames, "decoding": work.decoding(), "store": work.store}
    return [
        flow.Stage(name="decode", work=decode_piece, args=decoding, cpus=cluster.decode_cpus),
        flow.Stage(
            name="generate",
            work=Generator,
            args={"spec": spec, "watch": watch},
            actors=cluster.generator_actors,
            cpus=cluster.generator_cpus,
            gpus=cluster.generator_gpus,
        ),
        flow.Stage(name="write", work=write_piece, args={"store": work.store, "folder": folder}, cpus=0),
    ]


def _account(work: Work, split: str) -> Ledger:
    """Read every piece back: what is counted and indexed is what is there."""
    folder = pieces_of(work.step.name)
    paths = (f"{folder}/{piece.piece_id}.parquet" for piece in work.pieces(split))
    ledger, sink = total([]), pa.BufferOutputStream()

    def read(path: str) -> tuple[FileRecord, Ledger]:
        table, record = work.store.read_table_with_record(path)
        return record, balance(attempts_of(table))

    pieces = parallel_map(read, paths)
    with pq.ParquetWriter(sink, FILES, compression="zstd") as index:
        while rows := list(islice(pieces, INDEX_ROWS)):
            index.write_table(pa.Table.from_pylist([asdict(record) for record, _ in rows], schema=FILES))
            ledger = total([ledger, *(piece_ledger for _, piece_ledger in rows)])
    work.store.write(f"{work.step.name}/{INDEX}", sink.getvalue().to_pybytes())
    return ledger


def counts_of(ledger: Ledger) -> dict[str, int]:
    return {
        "clips": ledger.clips,
        "direct_kept": ledger.direct_kept,
        "rationalized_kept": ledger.rationalized_kept,
        **{f"dropped.{reason}": count for reason, count in ledger.dropped.items()},
        **{f"failed.{kind}": count for kind, count in ledger.failed.items()},
        **({"read_in_order": ledger.in_order} if ledger.in_order else {}),
    }
