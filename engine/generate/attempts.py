"""A split's clips through decode, generate and write, then counted: what the generate and the evaluate step have in common."""

import json
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict, replace
from itertools import islice
from typing import Any, Protocol

import pyarrow as pa
import pyarrow.parquet as pq

from engine import flow
from engine.connection import on_this_node
from engine.decode.stage import decode_piece
from engine.generate.generator import Generator, write_piece
from engine.generate.ledger import Ledger, balance, too_many_failed, total
from engine.generate.one_model import refuse_other_engine
from engine.generate.prompts import Prompts
from engine.generate.spec import GenerateSpec
from engine.generate.watch import Watch
from engine.rows import Attempt, Clip
from engine.run.work import INDEX, PlannedPiece, Progress, Work, attempts_of, pieces_of
from engine.store.files import FILES, FileRecord
from engine.store.parallel import parallel_map
from engine.verify.stages import Stages
from engine.verify.verdict import VerifySpec
from models.base import Sampling
from models.folders import SMALL_FILES
from models.registry import frame_spec

INDEX_ROWS = 64
"""Pieces that are counted, and rows of an index that are written, at once."""


class Tally(Protocol):
    """Counts something over all clips of a step, piece by piece: a metric of an evaluation, for one."""

    def add(self, clips: Sequence[Clip], attempts: Sequence[Attempt]) -> None:
        """The clips of a piece, and all attempts at them."""
        ...


def attempt_split(work: Work, spec: GenerateSpec, tallies: Sequence[Tally] = ()) -> Ledger:
    """Decode, generate and write the pieces that are not in the store yet; count all of them, and leave their index."""
    name, folder = work.step.name, pieces_of(work.step.name)
    num_clips = sum(work.part_sizes()[work.step.split])
    num_before = sum(planned.piece.count for planned in work.pieces() if planned.is_written)
    done, kept, failed = num_before, 0, Counter[str]()
    start = Progress(step=name, unit="clips", done=done, total=num_clips, before=num_before)
    work.report(start)
    todo = (planned.to_row() for planned in work.pieces() if not planned.is_written)
    if done < num_clips:
        refuse_other_engine(work.store, name, spec.engine)
        watch = Watch.options(scheduling_strategy=on_this_node()).remote()  # type: ignore[attr-defined]  # the decorator adds it
        with closing(flow.run(todo, _stages(work, spec, folder, watch), name=work.flow_name())) as rows:  # an error stops the flow
            for row in rows:
                done, kept = done + row["clips"], kept + row["kept"]
                failed.update(json.loads(row["failed"]))
                work.report(replace(start, done=done, kept=kept, failed=failed.total()))
                work.stop_if(too_many_failed(failed, done - num_before, work.config.limits.failure_rate))
    ledger = _account(work, tallies)
    assert ledger.clips == num_clips, f"{name}: {num_clips} clips went in, {ledger.clips} came out"
    work.stop_if(too_many_failed(ledger.failed, ledger.clips, work.config.limits.failure_rate))
    return ledger


def spec_of(work: Work, wording: Prompts, temperature: float, rationalize: bool) -> GenerateSpec:
    """The settings of the step's generators; the model is the one that the plan names."""
    config, engine = work.config, work.engine()
    return GenerateSpec(
        step=work.step.name,
        store=work.store,
        model=work.model(),
        device=config.model.device(engine.gpus),
        engine=engine,
        storage=config.access(),
        prompts=wording,
        sampling=Sampling(temperature=temperature, max_tokens=config.generate.max_tokens, stop=config.generate.stop),
        verify=Stages(
            names=config.verify.stages,
            spec=VerifySpec(preset=config.verify.preset, sentence_model=config.verify.sentence_model),
        ),
        rationalize=rationalize,
        run_seed=config.run.seed,
        cycle=work.step.cycle,
    )


def _stages(work: Work, spec: GenerateSpec, folder: str, watch: Any) -> list[flow.Stage]:
    cluster = work.config.cluster
    frames = frame_spec(spec.local_model(SMALL_FILES), spec.engine)
    decoding = {"spec": frames, "decoding": work.decoding(), "store": work.store}
    return [
        flow.Stage(name="decode", work=decode_piece, args=decoding, cpus=cluster.decode_cpus),
        flow.Stage(
            name="generate",
            work=Generator,
            args={"spec": spec, "watch": watch},
            actors=cluster.generator_actors,
            cpus=cluster.generator_cpus,
            gpus=spec.engine.gpus,
            in_flight=spec.engine.in_flight,
            runtime_env=cluster.generator_env,
        ),
        flow.Stage(name="write", work=write_piece, args={"store": work.store, "folder": folder}, cpus=0),
    ]


def _account(work: Work, tallies: Sequence[Tally]) -> Ledger:
    """Read every piece back: what is counted and indexed is what is there."""
    folder = pieces_of(work.step.name)
    ledger, sink = total([]), pa.BufferOutputStream()

    def read(planned: PlannedPiece) -> tuple[PlannedPiece, FileRecord, list[Attempt]]:
        table, record = work.store.read_table_with_record(f"{folder}/{planned.piece.file_name}")
        return planned, record, attempts_of(table)

    pieces = parallel_map(read, work.pieces())
    with pq.ParquetWriter(sink, FILES, compression="zstd") as index:
        while batch := list(islice(pieces, INDEX_ROWS)):
            index.write_table(pa.Table.from_pylist([asdict(record) for _, record, _ in batch], schema=FILES))
            ledger = total([ledger, *(balance(attempts) for _, _, attempts in batch)])
            for planned, _, attempts in batch:
                for tally in tallies:
                    tally.add(planned.clips, attempts)
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
