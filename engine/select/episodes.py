"""The episodes table: in-context episodes of the clips that have something to tell, each short enough for the model's context."""

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from engine.config import Episodes
from engine.episodes.build import Maker, Shot, shot_of
from engine.rows import EPISODES, Clip, Episode, Example
from engine.select.examples import ROW_GROUP
from engine.store.filesystems import Storage
from engine.store.weights import local
from models.base import ModelSpec, Turn
from models.registry import sample_tokens, size

CANDIDATES = 16
"""Episodes with the largest sums of tokens, whose tokens are then counted exactly: a sum of exchanges is a token or two off where
they meet."""


class Shots:
    """Clips that episodes are made of, and what each of them tells."""

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


def write_episodes(file: BinaryIO, maker: Maker, epochs: int, longest: "Longest") -> Counter[str]:
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
    """Raises ValueError where no clip has something to tell."""
    if not shots:
        what = "narration (the column description)" if section.answers == "narration" else "kept answer"
        raise ValueError(f"no train clip has a {what} for episodes to tell; see episodes.answers, or set mixture.episodes=0")
    return Maker(shots, section, seed)


class Longest:
    """Finds the episode that takes most of the model's context: sums of exchanges first, then the longest ones as they are fed."""

    def __init__(self, base: ModelSpec, storage: Storage, answers: Mapping[str, str]) -> None:
        self._spec = local(base, storage, only=".json")
        self._context, self._answers = size(self._spec, lora_rank=1).context_tokens, answers
        self._tokens: dict[tuple[str, str], int] = {}
        """(example_id, prompt) -> tokens of that exchange, if another one follows it."""
        self._candidates: list[Episode] = []

    def add(self, episodes: Sequence[Episode]) -> None:
        exchanges = {exchange for episode in episodes for exchange in _exchanges(episode)}
        uncounted = sorted(exchanges - self._tokens.keys())
        end = Turn(0, "?", "!")
        samples = ([Turn(0, prompt, self._answers[example_id]), end] for example_id, prompt in uncounted)
        self._tokens |= zip(uncounted, sample_tokens(self._spec, samples), strict=True)
        self._candidates = sorted([*self._candidates, *episodes], key=self._sum, reverse=True)[:CANDIDATES]

    def refuse(self) -> None:
        """Raises ValueError if an episode does not fit."""
        samples = (
            [Turn(0, prompt, self._answers[example_id]) for example_id, prompt in _exchanges(episode)]
            for episode in self._candidates
        )
        counted = zip(sample_tokens(self._spec, samples), self._candidates, strict=True)
        tokens, episode = max(counted, key=lambda pair: pair[0])
        if tokens > self._context:
            raise ValueError(
                f"episode {episode.episode_id} of {len(episode.context)} shots takes {tokens} tokens, and the model's context is "
                f"{self._context}; lower episodes.shots, episodes.pooling_shape or model.pooling_shape"
            )

    def _sum(self, episode: Episode) -> int:
        return sum(self._tokens[exchange] for exchange in _exchanges(episode))


def _exchanges(episode: Episode) -> Iterator[tuple[str, str]]:
    """(example_id, prompt) of each shot and of the query."""
    return zip((*episode.context, episode.query), episode.prompts, strict=True)
