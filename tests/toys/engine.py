"""An engine that answers each question by itself, in a thread pool: it batches over whatever pieces are in flight."""

import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor

from models.base import (
    Device,
    EngineSpec,
    Evenly,
    FrameSpec,
    Likelihood,
    ModelSpec,
    Passage,
    Reply,
    Sample,
    Sampling,
    Square,
    Video,
)

ANSWER_S = 0.05


class Engine:
    frames = FrameSpec(choose=Evenly(2), size=Square(8))
    digest = "toy"
    scores = False

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(32)
        self._lock = threading.Lock()
        self.questions: list[str] = []
        self.at_once = self.most_at_once = 0

    def too_long(self, question: str, video: Video, max_tokens: int) -> str:
        return ""

    def watch(self, videos: Sequence[Video], scores: bool = False) -> "Watched":
        return Watched(self, videos)

    def converse(self, videos: Sequence[Video], samples: Sequence[Sample], seeds: Sequence[int], sampling: Sampling) -> list[Reply]:
        raise NotImplementedError

    def answer(self, question: str) -> Reply:
        with self._lock:
            self.questions.append(question)
            self.at_once += 1
            self.most_at_once = max(self.most_at_once, self.at_once)
        time.sleep(ANSWER_S)
        with self._lock:
            self.at_once -= 1
        hint = question.partition("Hint: the answer is ")[2].partition(".")[0]
        text = f"I see it {hint or 'doing something'} in the middle of the picture, so the action is {hint or 'unknown'}."
        return Reply(text=text, num_tokens=len(text.split()), finished=True)

    def submit(self, question: str) -> Future[Reply]:
        return self._pool.submit(self.answer, question)


class Watched:
    def __init__(self, engine: Engine, videos: Sequence[Video]) -> None:
        self._engine, self._present = engine, set(range(len(videos)))

    def ask(self, clip: int, question: str, seed: int, sampling: Sampling) -> Future[Reply]:
        assert clip in self._present
        return self._engine.submit(question)

    def ask_all(self, clip: int, question: str, seeds: Sequence[int], sampling: Sampling) -> list[Future[Reply]]:
        return [self.ask(clip, question, seed, sampling) for seed in seeds]

    def leave(self, clip: int) -> None:
        self._present.remove(clip)

    def score(self, passages: Sequence[Passage]) -> list[Likelihood | None]:
        raise NotImplementedError

    def close(self) -> None:
        """Nothing is held."""


def version() -> str:
    return "toy-1"


def check(spec: ModelSpec, engine: EngineSpec) -> None:
    """It can do everything."""


def load(spec: ModelSpec, device: Device, engine: EngineSpec) -> Engine:
    return Engine()
