"""Which questions are answered together: those of all clips that have not left, so that a batch never depends on timing.

A clip may ask its question several times at once, with other seeds.
"""

import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

from models.base import Likelihood, OutOfMemory, Passage, Reply, Sampling
from models.context import too_long

CONVERSE_TOKENS = 1 << 14
"""Tokens of samples that are prefilled and answered together, padding and answers included: 8 GB of keys and values at 7B."""


@dataclass(frozen=True, slots=True)
class Question:
    """Question(clip=3, text="What happens?", seed=7, sampling=Sampling(temperature=0.0, max_tokens=64))"""

    clip: int
    text: str
    seed: int
    sampling: Sampling


AnswerBatch = Callable[[Sequence[Question]], Sequence[Reply | Exception]]
"""Gives one reply for each question, or the error of that question alone; what it raises is the error of the whole batch."""


ScoreAll = Callable[[Sequence[Passage]], Sequence[Likelihood | None]]
"""Reads texts after prefixes; see Watched.score."""


def batches_by_length(lengths: Sequence[int]) -> Iterator[list[int]]:
    """Rows that are answered together: of similar lengths, and as many as CONVERSE_TOKENS allows, at least one.

    >>> list(batches_by_length([5, 16_000, 4, 8_000, 8_000]))
    [[1], [3, 4], [0, 2]]
    """
    batch: list[int] = []
    for row in sorted(range(len(lengths)), key=lambda row: -lengths[row]):
        if batch and (len(batch) + 1) * lengths[batch[0]] > CONVERSE_TOKENS:
            yield batch
            batch = []
        batch.append(row)
    if batch:
        yield batch


def alike(order: Sequence[int], kinds: Sequence[Any], tokens_at_once: int) -> Iterator[list[int]]:
    """Runs of clips of one kind, which begins with a number of tokens, as many as fit into `tokens_at_once`, at least one.

    >>> list(alike([2, 0, 1], [(9, "a"), (9, "a"), (4, "b")], 18)), list(alike([0, 1], [(9,), (9,)], 10))
    ([[2], [0, 1]], [[0], [1]])
    """
    run: list[int] = []
    for clip in order:
        if run and (kinds[clip] != kinds[run[0]] or (len(run) + 1) * kinds[clip][0] > tokens_at_once):
            yield run
            run = []
        run.append(clip)
    if run:
        yield run


def long_question(question: Question, prompt_tokens: int, context_tokens: int) -> ValueError | None:
    """The error of a question that leaves no room for its answer."""
    reason = too_long(prompt_tokens, question.sampling.max_tokens, context_tokens)
    return ValueError(f"question {question.text[:40]!r} ... about clip {question.clip} makes {reason}") if reason else None


class QuestionBatches:
    """Questions about a fixed number of clips, answered in batches: the ask and leave of models/base.py's Watched.

    A batch starts when each clip that has not left has a question waiting. The thread that completes the batch, by an ask or by a
    leave, answers it and sets the futures, in the order of the clip numbers. Other threads may ask meanwhile, about clips whose
    future is set. When all clips have left and have their answers, `answer` is let go, with all that it holds on a GPU.
    """

    def __init__(self, num_clips: int, answer: AnswerBatch) -> None:
        self._answer: AnswerBatch | None = answer
        self._lock = threading.Lock()
        self._present = set(range(num_clips))
        """Clips that have not left."""
        self._waiting: dict[int, list[tuple[Question, Future[Reply]]]] = {}
        self._under_way = Counter[int]()
        """How many questions about a clip are in a batch that is being answered, until their futures are set."""

    def ask(self, question: Question) -> Future[Reply]:
        return self.ask_all([question])[0]

    def ask_all(self, questions: Sequence[Question]) -> list[Future[Reply]]:
        """Questions about one clip that are answered in one batch: the same one with other seeds."""
        pairs: list[tuple[Question, Future[Reply]]] = [(question, Future()) for question in questions]
        (clip,) = {question.clip for question in questions}
        with self._lock:
            assert clip in self._present, f"clip {clip} has left, or there is no such clip"
            assert clip not in self._waiting.keys() | self._under_way.keys(), f"clip {clip} has a question under way"
            self._waiting[clip] = pairs
            batch = self._complete_batch()
        self._answer_batch(batch)
        return [future for _, future in pairs]

    def leave(self, clip: int) -> None:
        """The clip's question, where one is waiting, is still answered with the batch."""
        with self._lock:
            assert clip in self._present, f"clip {clip} has left already, or there is no such clip"
            self._present.remove(clip)
            batch = self._complete_batch()
        self._answer_batch(batch)

    def _complete_batch(self) -> list[tuple[Question, Future[Reply]]]:
        """The waiting questions in the order of their clips if the batch is complete, else []. To be called with the lock held."""
        if not self._present <= self._waiting.keys():
            return []
        batch = [pair for clip in sorted(self._waiting) for pair in self._waiting[clip]]
        self._under_way.update(question.clip for question, _ in batch)
        self._waiting = {}
        return batch

    def _answer_batch(self, batch: Sequence[tuple[Question, Future[Reply]]]) -> None:
        """Answer the batch, which may be empty; then let `answer` go if it was the last."""
        running = [(question, future) for question, future in batch if future.set_running_or_notify_cancel()]
        with self._lock:
            self._end([question.clip for question, future in batch if future.cancelled()])
        if running:
            try:
                outcomes = self._outcomes([question for question, _ in running])
            except BaseException as error:  # a KeyboardInterrupt: nobody may wait for these futures for ever
                self._resolve(running, [error] * len(running))
                raise
            self._resolve(running, outcomes)
        with self._lock:
            if not (self._present or self._waiting or self._under_way):
                self._answer = None

    def _outcomes(self, questions: Sequence[Question]) -> Sequence[Reply | BaseException]:
        """A reply or an error for each question."""
        assert self._answer is not None, "it is let go after the last batch"
        try:
            outcomes = self._answer(questions)
            assert len(outcomes) == len(questions), f"{len(outcomes)} replies to {len(questions)} questions"
        except OutOfMemory as error:
            # its traceback would hold the functions that wait for the futures, and so the error itself: a cycle, freed some time
            return [error.with_traceback(None)] * len(questions)
        except Exception as error:
            return [error] * len(questions)
        return outcomes

    def _resolve(self, running: Sequence[tuple[Question, Future[Reply]]], outcomes: Sequence[Reply | BaseException]) -> None:
        for (question, future), outcome in zip(running, outcomes, strict=True):
            with self._lock:  # before the future is set: its callback may ask the next question about the clip
                self._end([question.clip])
            if isinstance(outcome, BaseException):
                future.set_exception(outcome)
            else:
                future.set_result(outcome)

    def _end(self, clips: Sequence[int]) -> None:
        """Of one question about each of the clips. To be called with the lock held."""
        self._under_way.subtract(clips)
        self._under_way = +self._under_way


class WatchedInBatches:
    """See Watched in models/base.py: questions are held back until every clip that has not left has one.

    What `answer` holds, such as prefixes of gigabytes, is freed as soon as the last clip has left: Python looks for cycles when it
    likes. What `score` holds, the same prefixes, is freed by `close`.
    """

    def __init__(self, num_clips: int, answer: AnswerBatch, score: ScoreAll | None = None) -> None:
        self._batches, self._score = QuestionBatches(num_clips, answer), score

    def ask(self, clip: int, question: str, seed: int, sampling: Sampling) -> Future[Reply]:
        return self._batches.ask(Question(clip, question, seed, sampling))

    def ask_all(self, clip: int, question: str, seeds: Sequence[int], sampling: Sampling) -> list[Future[Reply]]:
        return self._batches.ask_all([Question(clip, question, seed, sampling) for seed in seeds])

    def leave(self, clip: int) -> None:
        self._batches.leave(clip)

    def score(self, passages: Sequence[Passage]) -> Sequence[Likelihood | None]:
        assert self._score is not None, "the clips are watched without `scores`, or closed"
        return self._score(passages)

    def close(self) -> None:
        self._score = None
