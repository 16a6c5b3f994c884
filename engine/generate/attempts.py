"""A split's clips through decode, generate and write, then counted: what the generate and the evaluate step have in common."""

import json
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict, replace
from itertools import chain, groupby, islice
from typing import Any, Protocol

import pyarrow as pa
import pyarrow.parquet as pq

from engine import flow
from engine.connection import on_this_node
from engine.decode.stage import decode_piece
from engine.generate.generator import Generator, write_piece
from engine.generate.ledger import Ledger, balance, too_many_failed, total
from engine.generate.measures import Measures
from engine.generate.one_model import refuse_other_engine
from engine.generate.prompts import Prompts
from engine.generate.spec import GenerateSpec, verify_spec_of
from engine.generate.watch import Watch
from engine.ingest.pieces import group_of, number_of
from engine.rows import Attempt, Clip
from engine.run.work import PlannedPiece, Progress, Work, attempts_of, pieces_of
from engine.store.files import FILES, FileRecord
from engine.store.parallel import parallel_map
from engine.verify.stages import Stages
from models.base import Sampling
from models.folders import SMALL_FILES
from models.registry import frame_spec

INDEX_ROWS = 64
"""Pieces that are counted, and rows of an index that are written, at once."""

AT_HAND = 2
"""Minimum number of pieces in a generator's process. An engine of one piece at a time works on the first, and the next one waits at
its door: Ray takes some 25 ms from one call to the next, in which a GPU would be idle."""


class Tally(Protocol):
    """Counts something over all clips of a step, piece by piece: a metric of an evaluation, for one."""

    def add(self, clips: Sequence[Clip], attempts: Sequence[Attempt]) -> None:
        """The clips of a piece, and all attempts at them."""
        ...


def attempt_split(work: Work, spec: GenerateSpec, tallies: Sequence[Tally] = ()) -> Ledger:
    """Decode, generate and write the pieces that are not in the store yet; count all of them, and leave their index."""
    name, folder = work.step.name, pieces_of(work.step.name)
    num_clips = sum(work.part_sizes()[work.step.split])
    num_before = min(num_clips, sum(span.count for span in work.written()))
    done, kept, failed = num_before, 0, Counter[str]()
    start = Progress(step=name, unit="clips", done=done, total=num_clips, before=num_before)
    work.report(start)
    todo = (planned.to_row() for planned in work.pieces() if not planned.is_written)
    if (first := next(todo, None)) is not None:
        refuse_other_engine(work.store, name, spec.engine)
        watch = Watch.options(scheduling_strategy=on_this_node()).remote()  # type: ignore[attr-defined]  # the decorator adds it
        stages = _stages(work, spec, folder, watch)
        measures = Measures(name, stages)
        manner = flow.Manner(name=work.flow_name(), shared=True, check=work.check)
        results = flow.run(chain([first], todo), stages, manner)
        with flow.observed(measures, stages), closing(results) as rows:  # an error stops the flow
            for row in rows:
                measures.piece(json.loads(row["measured"]))
                done, kept = min(num_clips, done + row["clips"]), kept + row["kept"]
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
    generates = work.step.kind == "generate"
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
            names=config.verify.stages_of(work.step.kind),
            spec=verify_spec_of(config, work.needs()),
        ),
        rationalize=rationalize,
        run_seed=config.run.seed,
        cycle=work.step.cycle,
        samples=config.generate.samples if generates else 1,
        grounding=config.generate.compared(engine.name) if generates else 0,
        must_score=generates and bool(config.generate.grounding),
    )


def _stages(work: Work, spec: GenerateSpec, folder: str, watch: Any) -> list[flow.Stage]:
    cluster = work.config.cluster
    frames = frame_spec(spec.local_model(SMALL_FILES), spec.engine)
    decoding = {"spec": frames, "decoding": work.decoding(), "store": work.store}
    return [
        flow.Stage(name="decode", work=decode_piece, args=decoding, cpus=cluster.decode_cpus, node_labels=cluster.decode_selector),
        flow.Stage(
            name="generate",
            work=Generator,
            args={"spec": spec, "watch": watch},
            actors=cluster.num_generators,
            cpus=cluster.generator_cpus,
            gpus=spec.engine.gpus,
            in_flight=max(AT_HAND, spec.engine.in_flight),
            node_labels=cluster.generator_selector,
            runtime_env=cluster.generator_env,
        ),
        flow.Stage(  # where the generators are: nodes that decode need not be allowed to write
            name="write",
            work=write_piece,
            args={"store": work.store, "folder": folder},
            cpus=0,
            node_labels=cluster.generator_selector,
        ),
    ]


def _account(work: Work, tallies: Sequence[Tally]) -> Ledger:
    """Read every piece back: what is counted and indexed is what is there."""
    folder, ledger = pieces_of(work.step.name), total([])

    def read(planned: PlannedPiece) -> tuple[PlannedPiece, FileRecord, list[Attempt]]:
        table, record = work.store.read_table_with_record(f"{folder}/{planned.piece.file_name}")
        return planned, record, attempts_of(table)

    results = parallel_map(read, work.pieces(), work.store.calls_at_once)
    pieces = groupby(results, lambda result: group_of(number_of(result[0].piece.part)))
    unwritten = work.groups()
    for begins, of_group in pieces:
        with work.store.writing(unwritten.pop(begins)) as file, pq.ParquetWriter(file, FILES, compression="zstd") as index:
            while batch := list(islice(of_group, INDEX_ROWS)):
                index.write_table(pa.Table.from_pylist([asdict(record) for _, record, _ in batch], schema=FILES))
                ledger = total([ledger, *(balance(attempts) for _, _, attempts in batch)])
                for planned, _, attempts in batch:
                    for tally in tallies:
                        tally.add(planned.clips, attempts)
    for path in unwritten.values():
        work.store.write_table(path, FILES.empty_table())
    return ledger


def counts_of(ledger: Ledger) -> dict[str, int]:
    return {
        "clips": ledger.clips,
        "direct_kept": ledger.direct_kept,
        "rationalized_kept": ledger.rationalized_kept,
        **{f"dropped.{reason}": count for reason, count in ledger.dropped.items()},
        **{f"failed.{kind}": count for kind, count in ledger.failed.items()},
        **({"read_in_order": ledger.in_order} if ledger.in_order else {}),
        **({"samples": ledger.direct, "samples_kept": ledger.direct_right} if ledger.direct > ledger.clips else {}),
    }
