"""What a finetune is fed: single examples and episodes as samples of turns, each video window named once a micro-batch."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from engine.config import Mixture
from engine.rows import Window
from engine.train.mixture import Stream
from models.base import Turn


@dataclass(frozen=True)
class MicroBatch:
    """Windows, each once, and samples whose turns name them by number."""

    windows: list[Window]
    moments: list[str | None]
    """When each is watched: None for one that an episode shows, always at the same moments, as EILEV does; else at random ones,
    which follow from the example named here, not from where its video lies."""
    samples: list[list[Turn]]


class Material:
    """The tables of a select step: row r < len(examples) is an example by itself; the rows after them are episodes."""

    def __init__(self, examples: pa.Table, episodes: pa.Table | None) -> None:
        self._examples = examples.combine_chunks()  # a row of many chunks is slow to find
        self._episodes = None if episodes is None else episodes.combine_chunks()
        self._row_of: dict[str, int] = {}
        if episodes is not None:
            self._row_of = {name: row for row, name in enumerate(examples["example_id"].to_pylist())}
            self._shots = pc.list_value_length(episodes["context"]).to_numpy()

    def streams(self, mixture: Mixture) -> list[Stream]:
        """Examples by where they come from; and episodes, an epoch of them a pass."""
        source, mode = self._examples["source"], self._examples["mode"]
        verified = pc.is_in(source, pa.array(["star", "template"]))
        found = [
            Stream(mixture.direct, [_where(pc.and_(verified, pc.equal(mode, "direct")))]),
            Stream(mixture.rationalized, [_where(pc.and_(verified, pc.equal(mode, "rationalized")))]),
            Stream(mixture.instruct, [_where(pc.equal(source, "instruct"))]),
        ]
        if self._episodes is not None:
            epochs = self._episodes["epoch"].to_numpy()
            first = len(self._examples)
            passes = [[first + int(row) for row in (epochs == epoch).nonzero()[0]] for epoch in sorted({*epochs.tolist()})]
            found.append(Stream(mixture.episodes, passes))
        return found

    def shots(self, row: int) -> int:
        return 0 if row < len(self._examples) else int(self._shots[row - len(self._examples)])

    def micro_batch(self, rows: Sequence[int]) -> MicroBatch:
        numbers: dict[tuple[Window, str | None], int] = {}
        samples = []
        for row in rows:
            turns = self._turns(row)
            samples.append([Turn(numbers.setdefault((one, moments), len(numbers)), *said) for one, moments, *said in turns])
        return MicroBatch([window for window, _ in numbers], [moments for _, moments in numbers], samples)

    def _turns(self, row: int) -> list[tuple[Window, str | None, str, str]]:
        if row < len(self._examples):
            return [self._turn(row, None)]
        assert self._episodes is not None
        episode = self._episodes.slice(row - len(self._examples), 1).to_pylist()[0]
        ids = [*episode["context"], episode["query"]]
        return [self._turn(self._row_of[name], prompt) for name, prompt in zip(ids, episode["prompts"], strict=True)]

    def _turn(self, row: int, prompt: str | None) -> tuple[Window, str | None, str, str]:
        """`prompt`: how an episode asks; None for an example by itself."""
        one: dict[str, Any] = self._examples.slice(row, 1).to_pylist()[0]
        window = Window(video=one["video"], start_s=one["start_s"], end_s=one["end_s"], etag=one["etag"])
        return (
            (window, one["example_id"], one["prompt"], one["answer"]) if prompt is None else (window, None, prompt, one["answer"])
        )


def _where(mask: pa.ChunkedArray) -> list[int]:
    rows: list[int] = pc.indices_nonzero(mask).to_pylist()
    return rows
