"""The built-in engine, of whose answers a fifth tell the motion of another action of the shapes world; the label stays as it is.

So the verifier keeps them, and their reasons are not about their videos. Texts are read as the built-in engine reads them.
"""

import random
import re
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from typing import Any

from models import registry
from models.base import Device, EngineSpec, FrameSpec, Likelihood, ModelSpec, Passage, Reply, Sample, Sampling, Video
from worlds.shapes import ACTIONS, COLOURS, NOUNS

SCORES = True
SHARE = 0.2
SENTENCE = re.compile(r"^.*(, so the action is .*)$", re.DOTALL)
MOTIONS = {name: motion for name, (_, motion) in ACTIONS.items()}


def version() -> str:
    return "poisoned-1"


def check(spec: ModelSpec, engine: EngineSpec) -> None:
    """It can do what the built-in engine can."""


def load(spec: ModelSpec, device: Device, engine: EngineSpec) -> "Poisoned":
    return Poisoned(registry.load(spec, device))


def poisoned(reply: Reply, seed: int) -> Reply:
    """The same for the same seed, and so for the same clip."""
    drawn, end = random.Random(seed), SENTENCE.match(reply.text)
    if drawn.random() >= SHARE or not end:
        return reply
    others = [motion for motion in MOTIONS.values() if motion not in reply.text]
    motion = f"The {drawn.choice(list(COLOURS))} {drawn.choice(NOUNS)} {drawn.choice(others)}"
    return replace(reply, text=motion + end[1])


@dataclass
class Poisoned:
    """See VideoLLM in models/base.py."""

    llm: Any
    scores = True

    @property
    def frames(self) -> FrameSpec:
        frames: FrameSpec = self.llm.frames
        return frames

    @property
    def digest(self) -> str:
        return f"{self.llm.digest}+poisoned"

    def too_long(self, question: str, video: Video, max_tokens: int) -> str:
        reason: str = self.llm.too_long(question, video, max_tokens)
        return reason

    def watch(self, videos: Sequence[Video], scores: bool = False) -> "PoisonedWatched":
        return PoisonedWatched(self.llm.watch(videos, scores))

    def converse(self, videos: Sequence[Video], samples: Sequence[Sample], seeds: Sequence[int], sampling: Sampling) -> list[Reply]:
        raise NotImplementedError


@dataclass
class PoisonedWatched:
    watched: Any

    def ask(self, clip: int, question: str, seed: int, sampling: Sampling) -> Future[Reply]:
        return self.ask_all(clip, question, [seed], sampling)[0]

    def ask_all(self, clip: int, question: str, seeds: Sequence[int], sampling: Sampling) -> list[Future[Reply]]:
        futures = []
        for seed, own in zip(seeds, self.watched.ask_all(clip, question, seeds, sampling), strict=True):
            future: Future[Reply] = Future()
            own.add_done_callback(lambda done, future=future, seed=seed: _pass_on(done, future, seed))
            futures.append(future)
        return futures

    def leave(self, clip: int) -> None:
        self.watched.leave(clip)

    def score(self, passages: Sequence[Passage]) -> Sequence[Likelihood | None]:
        read: Sequence[Likelihood | None] = self.watched.score(passages)
        return read

    def close(self) -> None:
        self.watched.close()


def _pass_on(done: Future[Reply], future: Future[Reply], seed: int) -> None:
    if error := done.exception():
        future.set_exception(error)
    else:
        future.set_result(poisoned(done.result(), seed))
