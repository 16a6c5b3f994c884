"""The episodes table: episodes of the clips that have a narration or a kept answer, each short enough for the model's context."""

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from engine.config import Episodes
from engine.episodes.build import Maker, Shot, shot_of
from engine.episodes.lengths import EpisodeLengths
from engine.rows import EPISODES, Clip, Episode, Example, Unused
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


def write_episodes(
    file: BinaryIO, epochs: Iterable[Iterator[Episode]], lengths: EpisodeLengths, failure_rate: float
) -> tuple[Counter[str], list[Unused]]:
    """Write the episodes of all epochs that fit the model's context; returns counts, and the others.

    Raises ValueError if a larger share than `failure_rate` does not fit: then the settings are wrong, and not single narrations.
    """
    counts, unused = Counter[str](), list[Unused]()
    with pq.ParquetWriter(file, EPISODES, compression="zstd") as writer:
        for drawn in epochs:
            while of_any_length := list(islice(drawn, ROW_GROUP)):
                unused += (too_long := lengths.too_long(of_any_length))
                left_out = {row.example_id for row in too_long}
                episodes = [episode for episode in of_any_length if episode.episode_id not in left_out]
                counts.update(f"shots_{role}" for episode in episodes for role in episode.roles)
                counts.update(episodes=len(episodes), short=sum(episode.short for episode in episodes))
                writer.write_table(pa.Table.from_pylist([episode.to_row() for episode in episodes], schema=EPISODES))
    if len(unused) > failure_rate * (counts["episodes"] + len(unused)):
        raise ValueError(
            f"{len(unused)} of {counts['episodes'] + len(unused)} episodes do not fit; episode {unused[0].example_id}: "
            f"{unused[0].detail}"
        )
    return counts, unused


def drawn_epochs(
    shots: Sequence[Shot], section: Episodes, seed: int, num_epochs: int, may_be_empty: bool
) -> Iterator[Iterator[Episode]]:
    """The episodes of each epoch, which are drawn when they are asked for.

    `may_be_empty`: there are none where no answer is kept of a clip with verb or noun. Raises ValueError where there are no such
    shots otherwise.
    """
    has_actions = any(shot.footage.verb or shot.footage.noun for shot in shots)
    if may_be_empty and section.answers == "kept" and not has_actions:
        return iter(())
    if not shots:
        what = "narration (the column description)" if section.answers == "narration" else "kept answer"
        raise ValueError(
            f"no train clip has a {what} to make episodes of; begin another run (run.uri) with other episodes.answers, or with "
            "mixture.episodes=0"
        )
    return map(Maker(shots, section, seed).epoch, range(num_epochs))
