"""Bytes of a run's files and of the driver's tables at several sizes: the points that `starloop plan --clips N` extrapolates.

PYTHONPATH=.:tests python tests/bench/paper.py

engine/estimate/points.py has the numbers that it printed. Texts are random words of a list, which compress worse than a model's.
"""

import argparse
import json
import random
import tracemalloc
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import pyarrow as pa

from builders import a_clip, an_attempt
from engine.ingest.card import Card
from engine.ingest.clips import to_table
from engine.ingest.pieces import Piece
from engine.language.vocabulary import __dict__ as vocabulary
from engine.rows import ATTEMPTS, EXAMPLES, Example
from engine.run.seals import Seal
from engine.run.work import spans_by_part
from engine.store.files import FILES, FileRecord, digest, parquet_bytes

WORDS = sorted({word for value in vocabulary.values() if isinstance(value, frozenset) for word in value if isinstance(word, str)})
"""Some hundred English words."""


def text(tokens: int, seed: int) -> str:
    return " ".join(random.Random(seed).choices(WORDS, k=tokens))


def size_of(rows: list[dict[str, Any]], schema: pa.Schema) -> int:
    """Bytes of the file that the store makes of them."""
    return len(parquet_bytes(pa.Table.from_pylist(rows, schema=schema)))


def clip(number: int) -> Any:
    return a_clip(
        f"clip-{number:09d}", f"doing thing number {number % 1000}", video=f"s3://bucket/archive/2026/{number // 2:09d}.mp4"
    )


def piece(attempts: int, tokens: int) -> int:
    rows = [
        an_attempt(f"clip-{n:09d}", piece_id=digest(n // 64), text=text(tokens, n), seed=hash(n) % 2**62, etag=digest(n)).to_row()
        for n in range(attempts)
    ]
    return size_of(rows, ATTEMPTS)


def examples(count: int, tokens: int) -> int:
    rows = [
        Example(
            example_id=f"clip-{n:09d}/0/direct",
            clip_id=f"clip-{n:09d}",
            video=f"s3://bucket/archive/2026/{n // 2:09d}.mp4",
            start_s=None,
            end_s=None,
            prompt="What is the action in this video?",
            answer=text(tokens, n),
            source="star",
            seed=hash(n) % 2**62,
            model="ab" * 8,
            etag=digest(n),
        ).to_row()
        for n in range(count)
    ]
    return size_of(rows, EXAMPLES)


def records(pieces: int) -> list[FileRecord]:
    names = (
        Piece(piece_id=digest(n), part=f"ingest/train/{n // 256:05d}.parquet", start=n % 256 * 32, count=32) for n in range(pieces)
    )
    return [
        FileRecord(path=f"cycle-000/generate/pieces/{name.file_name}", size=9000, sha256=digest(name.piece_id) * 2)
        for name in names
    ]


def index(pieces: int) -> int:
    return size_of([asdict(record) for record in records(pieces)], FILES)


def seal(parts: int) -> int:
    files = [FileRecord(path=f"ingest/train/{n:05d}.parquet", size=400_000, sha256=digest(n) * 2) for n in range(parts)]
    facts = {"inputs": {"manifest": digest(1)}, "parts": {"train": [8192] * parts, "heldout": []}}
    return len(Seal(step="ingest", identity=digest(2), files=files, counts={}, facts=facts, seconds=1.0, epoch=1).to_json())


def memory(build: Callable[[], Any]) -> int:
    """Bytes that what it returns holds."""
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    kept = build()
    after = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    del kept
    return after - before


def card(clips: int) -> int:
    def build() -> Card:
        counted = Card()
        for number in range(clips):
            counted.add(clip(number))
        return counted

    return memory(build)


def spans(pieces: int) -> int:
    names = [record.path.rpartition("/")[2] for record in records(pieces)]
    return memory(lambda: spans_by_part(names))


def listing(pieces: int) -> int:
    """What fsspec keeps of a listing of S3: a dictionary with some ten values for each object."""
    paths = [record.path for record in records(pieces)]
    return memory(
        lambda: [
            {
                "Key": f"bucket/runs/a/{path}",
                "LastModified": f"2026-11-26T00:00:{n % 60:02d}Z",
                "ETag": f'"{n:032x}"',
                "Size": 9000 + n,
                "ChecksumAlgorithm": ["CRC32"],
                "StorageClass": "STANDARD",
                "type": "file",
                "size": 9000 + n,
                "name": f"bucket/runs/a/{path}",
            }
            for n, path in enumerate(paths)
        ]
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--most", type=int, default=100_000, help="clips, pieces or parts of the largest point")
    most = parser.parse_args().most
    points: dict[str, Any] = {
        "part file, by clips": {n: size_of(to_table(map(clip, range(n))).to_pylist(), to_table([]).schema) for n in (1024, 8192)},
        "piece file, by attempts of 100 tokens": {n: piece(n, 100) for n in (1, 32, 64)},
        "piece file of 32 attempts, by tokens": {n: piece(32, n) for n in (10, 100, 300)},
        "examples file of 100 tokens, by rows": {n: examples(n, 100) for n in (64, 8192)},
        "index file, by pieces": {n: index(n) for n in (most // 100, most // 10, most)},
        "ingest seal, by parts": {n: seal(n) for n in (12, 122, 1221)},
        "memory of the data card, by clips": {n: card(n) for n in (most // 10, most)},
        "memory of the spans, by pieces": {n: spans(n) for n in (most // 10, most)},
        "memory of a listing of S3, by pieces": {n: listing(n) for n in (most // 10, most)},
    }
    for name, values in points.items():
        print(json.dumps({name: values}))


if __name__ == "__main__":
    main()
