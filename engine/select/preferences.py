"""Preference pairs: an answer that is trained on, and each answer about the same clip that was rejected; for other tools.

They are written as a table (preferences.parquet), for trl (preferences.trl.jsonl) and for ms-swift (preferences.swift.jsonl).
There the window is a JSON text: `datasets` takes the types of a file from its first rows, where both of its ends may be null.
"""

import json
from collections.abc import Iterable, Sequence
from types import TracebackType
from typing import Any, BinaryIO, Self

import pyarrow as pa
import pyarrow.parquet as pq

from engine.episodes.tags import media_of, tag_of, without_tags
from engine.rows import PREFERENCES, Answer, Example, Preference
from engine.select.examples import ROW_GROUP

FILES = ("preferences.parquet", "preferences.trl.jsonl", "preferences.swift.jsonl")


def preferences(example: Example, attempts: Iterable[Answer]) -> list[Preference]:
    """A pair for each text that was rejected; `attempts`: those at the example's clip.

    Rejected are direct attempts alone: others were asked with the label, which is another question. Empty texts, and those that
    say word for word what was kept, teach nothing.
    """
    rejected: dict[str, Answer] = {}
    for attempt in attempts:
        if attempt.outcome == "rejected" and attempt.mode == "direct" and attempt.text.strip():
            rejected.setdefault(attempt.text.strip(), attempt)
    rejected.pop(example.answer.strip(), None)
    return [_pair(f"{example.example_id}/{number}", example, attempt) for number, attempt in enumerate(rejected.values())]


def _pair(pair_id: str, example: Example, rejected: Answer) -> Preference:
    return Preference(
        pair_id=pair_id,
        clip_id=example.clip_id,
        video=example.video,
        start_s=example.start_s,
        end_s=example.end_s,
        prompt=example.prompt,
        chosen=example.answer,
        rejected=rejected.text,
        reason=rejected.reason,
        chosen_mode=example.mode,
        chosen_cycle=example.cycle,
        rejected_cycle=rejected.cycle,
        rejected_score=rejected.score,
        chosen_model=example.model,
        rejected_model=rejected.model,
        etag=example.etag,
    )


def for_trl(pair: Preference) -> dict[str, Any]:
    """A row of trl's conversational preference format, and what it is about.

    trl 1.16 trains preferences on texts and pictures: whoever loads the row gives its collator frames of the window as `images`.
    """
    return {
        "prompt": [{"role": "user", "content": pair.prompt}],
        "chosen": [{"role": "assistant", "content": pair.chosen}],
        "rejected": [{"role": "assistant", "content": pair.rejected}],
        "pair_id": pair.pair_id,
        "video": pair.video,
        "window": json.dumps([pair.start_s, pair.end_s]),
        "reason": pair.reason,
    }


def for_swift(pair: Preference) -> dict[str, Any]:
    """A row of ms-swift's format for DPO and its kin. It reads whole videos; `window` is for tools that cut them."""
    return {
        "messages": [
            {"role": "user", "content": tag_of(pair.video) + without_tags(pair.prompt)},
            {"role": "assistant", "content": without_tags(pair.chosen)},
        ],
        "rejected_response": without_tags(pair.rejected),
        **media_of([pair.video]),
        "window": json.dumps([pair.start_s, pair.end_s]),
        "reason": pair.reason,
    }


class PreferenceWriter:
    """The three files while they are written: with PreferenceWriter(*files) as writer: writer.write(pairs)"""

    def __init__(self, table: BinaryIO, trl: BinaryIO, swift: BinaryIO) -> None:
        self._writer, self._trl, self._swift = pq.ParquetWriter(table, PREFERENCES, compression="zstd"), trl, swift
        self._waiting: list[Preference] = []
        self.count = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        with self._writer:
            if kind is None:
                self._flush()

    def write(self, pairs: Sequence[Preference]) -> None:
        self.count += len(pairs)
        self._waiting += pairs
        if len(self._waiting) >= ROW_GROUP:
            self._flush()

    def _flush(self) -> None:
        rows = [pair.to_row() for pair in self._waiting]
        self._writer.write_table(pa.Table.from_pylist(rows, schema=PREFERENCES))
        for file, form in ((self._trl, for_trl), (self._swift, for_swift)):
            file.write("".join(json.dumps(form(pair)) + "\n" for pair in self._waiting).encode())
        self._waiting.clear()
