"""What a finetune is fed: single examples and episodes as samples of turns; a micro-batch names each video window once."""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, Literal, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from engine.config import Mixture
from engine.rows import Window
from engine.train.mixture import Stream
from models.base import LossOn, Turn

WITH_VIDEO = 1 << 40
"""In place of the characters of a row with a video."""


@dataclass(frozen=True)
class MicroBatch:
    """Windows, each once, and samples whose turns name them by number."""

    windows: list[Window]
    jitter_ids: list[str | None]
    """The id of the example that each window's random moments follow from, wherever its video lies. None for a window that is
    always watched at the same moments, as those of episodes are in EILEV."""
    samples: list[list[Turn]]
    example_ids: list[list[str]]
    """Of each turn of each sample."""


class WindowTurn(NamedTuple):
    """A turn before its window has a number."""

    window: Window | None
    jitter_id: str | None
    example_id: str
    prompt: str
    answer: str
    learned: bool
    instruction: str = ""


class Material:
    """The tables of a select step: row r < len(examples) is an example by itself; the rows after them are episodes."""

    def __init__(
        self,
        examples: pa.Table,
        episodes: pa.Table | None,
        moments: Literal["random", "middle"] = "random",
        loss_on: LossOn = "query",
    ) -> None:
        """`episodes`: as engine/train/tables.py's with_rows has them. `moments`: of single examples. `loss_on`: of episodes."""
        self._moments, self._loss_on = moments, loss_on
        self._examples, self._episodes = examples, episodes
        self._example_rows = _Rows(examples)
        self._episode_rows = None if episodes is None else _Rows(episodes)
        self._characters = _characters(examples)
        self._shots = None if episodes is None else pc.list_value_length(episodes["rows"]).to_numpy() - 1

    def streams(self, mixture: Mixture) -> list[Stream]:
        """Examples by their source; and episodes, one epoch of them a pass."""
        source, mode = self._examples["source"], self._examples["mode"]
        verified = pc.is_in(source, pa.array(["star", "template"]))
        streams = [
            Stream(mixture.direct, [_true_rows(pc.and_(verified, pc.equal(mode, "direct")))]),
            Stream(mixture.rationalized, [_true_rows(pc.and_(verified, pc.equal(mode, "rationalized")))]),
            *self._conversations(mixture, pc.equal(source, "instruct")),
        ]
        if self._episodes is not None:
            epochs = self._episodes["epoch"].to_numpy()
            first = len(self._examples)
            passes = [[first + int(row) for row in (epochs == epoch).nonzero()[0]] for epoch in sorted({*epochs.tolist()})]
            streams.append(Stream(mixture.episodes, passes))
        return streams

    def _conversations(self, mixture: Mixture, is_instruct: pa.ChunkedArray) -> list[Stream]:
        """Those of sets without a weight of their own, then each set with one."""
        if not mixture.collections:
            return [Stream(mixture.instruct, [_true_rows(is_instruct)])]
        collection, names = self._examples["collection"], sorted(mixture.collections)
        is_other = pc.and_not(is_instruct, pc.is_in(collection, pa.array(names)))
        return [Stream(mixture.instruct, [_true_rows(is_other)])] + [
            Stream(mixture.conversation_weight(name), [_true_rows(pc.and_(is_instruct, pc.equal(collection, name)))])
            for name in names
        ]

    def length(self, row: int) -> tuple[int, int]:
        """What rows of about one length have alike: how many clips stand before the query; and the characters of a row of text
        alone, which count as more wherever a video is shown, whose tokens are many times those of its text."""
        if row < len(self._examples):
            return 0, int(self._characters[row])
        assert self._shots is not None
        return int(self._shots[row - len(self._examples)]), WITH_VIDEO

    def ids(self, rows: Sequence[int]) -> list[str]:
        """The ids of examples, and those of episodes' queries."""
        numbers = []
        for row in rows:
            if row >= len(self._examples):
                assert self._episode_rows is not None
                row = self._episode_rows[row - len(self._examples)]["rows"][-1]
            numbers.append(row)
        return [str(self._example_rows[number]["example_id"]) for number in numbers]

    def micro_batch(self, rows: Sequence[int]) -> MicroBatch:
        numbers: dict[tuple[Window, str | None], int] = {}
        samples, example_ids = [], []
        for row in rows:
            turns = self._turns(row)
            sample = []
            for turn in turns:
                clip = None if turn.window is None else numbers.setdefault((turn.window, turn.jitter_id), len(numbers))
                sample.append(Turn(clip, turn.prompt, turn.answer, turn.learned, turn.instruction))
            samples.append(sample)
            example_ids.append([turn.example_id for turn in turns])
        windows, jitter_ids = [window for window, _ in numbers], [jitter_id for _, jitter_id in numbers]
        return MicroBatch(windows, jitter_ids, samples, example_ids)

    def _turns(self, row: int) -> list[WindowTurn]:
        if row < len(self._examples):
            return _conversation(self._example_rows[row], self._moments)
        assert self._episode_rows is not None
        episode = self._episode_rows[row - len(self._examples)]
        examples = [self._example_rows[example_row] for example_row in episode["rows"]]
        query = len(examples) - 1
        return [
            WindowTurn(
                _window(example), None, example["example_id"], prompt, example["answer"], place == query or self._loss_on == "all"
            )
            for place, (example, prompt) in enumerate(zip(examples, episode["prompts"], strict=True))
        ]


class _Rows:
    """Single rows of a table as dictionaries. A table that is memory-mapped has many chunks, and Table.slice looks through them."""

    def __init__(self, table: pa.Table) -> None:
        self._batches = [batch for batch in table.to_batches() if len(batch)]
        self._starts = [0, *accumulate(map(len, self._batches))]

    def __getitem__(self, row: int) -> dict[str, Any]:
        number = bisect_right(self._starts, row) - 1
        values: dict[str, Any] = self._batches[number].slice(row - self._starts[number], 1).to_pylist()[0]
        return values


def _conversation(example: dict[str, Any], moments: Literal["random", "middle"]) -> list[WindowTurn]:
    """The turns of an example by itself: all answers are learned, and one turn shows the video, if there is one."""
    name, window = example["example_id"], _window(example) if example["video"] else None
    jitter_id = name if moments == "random" else None
    turns = [
        WindowTurn(window if number == example["shown_in"] else None, jitter_id, name, turn["prompt"], turn["answer"], True)
        for number, turn in enumerate([example, *example["follow_ups"]])
    ]
    return [turns[0]._replace(instruction=example["instruction"]), *turns[1:]]


def _window(example: dict[str, Any]) -> Window:
    return Window(video=example["video"], start_s=example["start_s"], end_s=example["end_s"], etag=example["etag"])


def _characters(examples: pa.Table) -> NDArray[np.int64]:
    """Of the prompts and answers of each example without a video; WITH_VIDEO for the others."""
    counts = [np.empty(0, np.int64)]
    for batch in examples.select(["video", "prompt", "answer", "follow_ups"]).to_batches():
        characters = _count(batch["prompt"]) + _count(batch["answer"])
        turns = batch["follow_ups"].flatten()
        rows = pc.list_parent_indices(batch["follow_ups"]).to_numpy(zero_copy_only=False)
        np.add.at(characters, rows, _count(turns.field("prompt")) + _count(turns.field("answer")))
        counts.append(np.where(_count(batch["video"]) > 0, WITH_VIDEO, characters))
    return np.concatenate(counts)


def _count(texts: pa.Array) -> NDArray[np.int64]:
    lengths: NDArray[np.int64] = pc.utf8_length(texts).to_numpy(zero_copy_only=False).astype(np.int64)
    return lengths


def _true_rows(mask: pa.ChunkedArray) -> list[int]:
    rows: list[int] = pc.indices_nonzero(mask).to_pylist()
    return rows
