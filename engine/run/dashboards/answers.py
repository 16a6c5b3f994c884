"""A few kept and dropped answers of a generate step, for people to read: drawn as the log's are, of a few of the step's pieces."""

import hashlib
from functools import partial

from engine.generate.samples import SHOWN, Samples
from engine.ingest.clips import from_table, path_of
from engine.ingest.pieces import span_of
from engine.rows import Clip
from engine.run.collected import uncollected
from engine.run.plan import TRAIN
from engine.run.seals import Seal
from engine.run.work import indexed, read_piece
from engine.store.files import FileRecord, Store
from engine.store.parallel import parallel_map

PIECES = 8
"""Of a step, read for it: of a million clips nobody waits for all."""
COLUMNS = ("verdict", "why", "clip", "label", "answer")


def sampled(store: Store, seal: Seal, seed: int) -> list[tuple[str, ...]]:
    """Rows of COLUMNS, the same in every run: SHOWN kept answers and as many dropped ones, at most."""
    pieces = uncollected(store, seal.step, list(indexed(store, seal).values()))
    records = sorted(pieces, key=lambda record: _rank(seed, record))[:PIECES]
    samples = Samples(seed)
    for record, attempts in zip(records, parallel_map(partial(read_piece, store), records), strict=True):
        samples.add(_clips(store, record), attempts)
    shown = [
        ("kept", sorted(samples.kept, reverse=True)[:SHOWN]),
        ("dropped", sorted(samples.dropped, reverse=True)),
    ]
    return [(verdict, answer.note, answer.clip_id, answer.label, answer.text) for verdict, answers in shown for answer in answers]


def _clips(store: Store, record: FileRecord) -> list[Clip]:
    span = span_of(record.path)
    assert span is not None, f"{record.path} is no piece"
    table = store.read_table(path_of(TRAIN, span.part_number))
    return from_table(table.slice(span.start, span.count))


def _rank(seed: int, record: FileRecord) -> bytes:
    return hashlib.sha256(f"{seed} {record.path}".encode()).digest()
