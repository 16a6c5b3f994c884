"""The episodes table: episodes of the clips that have a narration or a kept answer, each short enough for the model's context."""

import math
from collections import Counter
from collections.abc import Sequence
from itertools import islice
from typing import BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from engine.config import Episodes
from engine.episodes.build import Maker, Shot, shot_of
from engine.episodes.longest import LongestEpisodes
from engine.rows import EPISODES, Clip, Example
from engine.select.examples import ROW_GROUP


class Shots:
    """Clips that episodes are made of, and the answer of each."""

    def __init__(self) -> None:
        self.shots: list[Shot] = []
        self.answers: dict[str, str] = {}
        """By example_id."""

    def add(self, clip: Clip, example: Example) -> None:
        self.shots.append(shot_of(clip, example.example_id))
        self.answers[example.example_id] = example.answer


def epochs_of(train_epochs: float, weight: float) -> int:
    """How many epochs of episodes the finetune sees: an episode is drawn anew each time.

    >>> epochs_of(2.0, 0.75), epochs_of(0.5, 0.5)
    (2, 1)
    """
    return max(1, math.ceil(train_epochs * weight))


def write_episodes(file: BinaryIO, maker: Maker, epochs: int, longest: LongestEpisodes) -> Counter[str]:
    """Write the episodes of all epochs; returns counts. Raises ValueError if one of them does not fit the model's context."""
    counts = Counter[str]()
    with pq.ParquetWriter(file, EPISODES, compression="zstd") as writer:
        for epoch in range(epochs):
            drawn = maker.epoch(epoch)
            while episodes := list(islice(drawn, ROW_GROUP)):
                longest.add(episodes)
                counts.update(f"shots_{role}" for episode in episodes for role in episode.roles)
                counts.update(episodes=len(episodes), short=sum(episode.short for episode in episodes))
                writer.write_table(pa.Table.from_pylist([episode.to_row() for episode in episodes], schema=EPISODES))
    longest.refuse()
    return counts


def make_maker(shots: Sequence[Shot], section: Episodes, seed: int) -> Maker:
    """Raises ValueError where there are no shots."""
    if not shots:
        what = "narration (the column description)" if section.answers == "narration" else "kept answer"
        raise ValueError(f"no train clip has a {what} to make episodes of; see episodes.answers, or set mixture.episodes=0")
    return Maker(shots, section, seed)
