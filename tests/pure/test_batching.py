"""Pins that questions are answered in batches that no timing decides: one question of each clip that stays, in their order."""

import itertools
import random
import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from models.base import Reply, Sampling
from models.batching import Question, QuestionBatches

GREEDY = Sampling(temperature=0.0, max_tokens=4)


def a_question(clip: int, text: str = "what?") -> Question:
    return Question(clip, text, 0, GREEDY)


class Engine:
    """Answers "TEXT of CLIP", keeps the batches; fails on a text that says so."""

    def __init__(self, num_clips: int, slow: bool = False) -> None:
        self.batches: list[list[tuple[int, str]]] = []
        self.slow = slow
        self.questions = QuestionBatches(num_clips, self.answer)

    def answer(self, questions: Sequence[Question]) -> list[Reply | Exception]:
        self.batches.append([(question.clip, question.text) for question in questions])
        if self.slow:
            time.sleep(0.001)
        if any(question.text == "break" for question in questions):
            raise RuntimeError("the batch broke")
        return [
            ValueError(f"too long: {q.clip}")
            if q.text == "long"
            else Reply(text=f"{q.text} of {q.clip}", num_tokens=1, finished=True)
            for q in questions
        ]

    def ask(self, clip: int, text: str = "what?") -> Future[Reply]:
        return self.questions.ask(a_question(clip, text))


def test_a_batch_is_in_the_order_of_the_clips_and_starts_when_all_have_asked() -> None:
    engine = Engine(3)
    futures = [engine.ask(clip) for clip in (2, 0)]
    assert engine.batches == []
    assert not any(future.done() for future in futures)
    last = engine.ask(1)
    assert engine.batches == [[(0, "what?"), (1, "what?"), (2, "what?")]]
    assert [future.result(timeout=0).text for future in (*futures, last)] == ["what? of 2", "what? of 0", "what? of 1"]


def test_a_clip_that_leaves_completes_the_batch_of_the_others() -> None:
    engine = Engine(3)
    engine.ask(1), engine.ask(2)
    engine.questions.leave(0)
    assert engine.batches == [[(1, "what?"), (2, "what?")]]
    again = engine.ask(2, "and?")
    engine.questions.leave(1)
    assert again.result(timeout=0).text == "and? of 2"
    engine.questions.leave(2)
    assert len(engine.batches) == 2


def test_a_clip_that_leaves_with_a_question_waiting_gets_its_answer() -> None:
    engine = Engine(2)
    future = engine.ask(0)
    engine.questions.leave(0)
    assert not future.done()
    engine.ask(1)
    assert engine.batches == [[(0, "what?"), (1, "what?")]]
    assert future.result(timeout=0).text == "what? of 0"


def test_a_cancelled_question_is_left_out_and_the_clip_may_ask_again() -> None:
    engine = Engine(2)
    assert engine.ask(0).cancel()
    engine.ask(1)
    assert engine.batches == [[(1, "what?")]]
    engine.ask(0, "and?"), engine.ask(1, "and?")
    assert engine.batches[1:] == [[(0, "and?"), (1, "and?")]]


def test_an_error_of_one_question_is_its_own_and_an_error_of_the_batch_is_everybody_s() -> None:
    engine = Engine(2)
    long, short = engine.ask(0, "long"), engine.ask(1)
    with pytest.raises(ValueError, match="too long: 0"):
        long.result(timeout=0)
    assert short.result(timeout=0).text == "what? of 1"
    for future in [engine.ask(0, "break"), engine.ask(1)]:
        with pytest.raises(RuntimeError, match="the batch broke"):
            future.result(timeout=0)
    engine.ask(0)
    assert engine.ask(1).result(timeout=0).text == "what? of 1"


def test_an_interrupt_reaches_the_futures_and_the_thread() -> None:
    def interrupt(_: Sequence[Question]) -> list[Reply | Exception]:
        raise KeyboardInterrupt

    questions = QuestionBatches(2, interrupt)
    future = questions.ask(a_question(0))
    with pytest.raises(KeyboardInterrupt):
        questions.ask(a_question(1))
    assert isinstance(future.exception(timeout=0), KeyboardInterrupt)


def test_a_second_question_and_a_question_after_leaving_are_our_mistakes() -> None:
    engine = Engine(3)
    engine.ask(0)
    with pytest.raises(AssertionError, match="clip 0 has a question under way"):
        engine.ask(0)
    engine.questions.leave(1)
    for mistake in (lambda: engine.ask(1), lambda: engine.questions.leave(1), lambda: engine.ask(3)):
        with pytest.raises(AssertionError, match="has left"):
            mistake()
    assert engine.batches == []


def test_a_question_that_is_being_answered_is_under_way() -> None:
    started, go_on = threading.Event(), threading.Event()

    def answer(questions: Sequence[Question]) -> list[Reply | Exception]:
        started.set()
        assert go_on.wait(10)
        return [Reply(text="", num_tokens=0, finished=True) for _ in questions]

    questions = QuestionBatches(1, answer)
    with ThreadPoolExecutor(1) as thread:
        future = thread.submit(lambda: questions.ask(a_question(0)).result())
        assert started.wait(10)
        with pytest.raises(AssertionError, match="clip 0 has a question under way"):
            questions.ask(a_question(0))
        go_on.set()
        assert future.result(10).finished


def test_the_next_question_may_be_asked_by_the_callback_of_the_last() -> None:
    engine = Engine(2)
    rounds: list[Future[Reply]] = []

    def next_round(_: Future[Reply]) -> None:
        rounds.append(engine.ask(0, "and?"))

    first = engine.ask(0)
    first.add_done_callback(next_round)
    engine.ask(1)
    assert not rounds[0].done()
    engine.questions.leave(1)
    assert rounds[0].result(timeout=0).text == "and? of 0"


@pytest.mark.parametrize("seed", range(5))
def test_batches_are_the_same_whatever_the_threads_do(seed: int) -> None:
    """Each clip asks a number of questions of its own, from a thread of its own, and leaves."""
    counts = [random.Random(seed).randrange(5) for _ in range(8)]
    engine = Engine(len(counts), slow=True)

    def one_clip(clip: int) -> list[str]:
        texts = []
        for round_ in range(counts[clip]):
            time.sleep(random.random() / 500)
            texts.append(engine.ask(clip, str(round_)).result(10).text)
        engine.questions.leave(clip)
        return texts

    with ThreadPoolExecutor(len(counts)) as threads:
        texts = list(threads.map(one_clip, range(len(counts))))
    assert texts == [[f"{round_} of {clip}" for round_ in range(count)] for clip, count in enumerate(counts)]
    rounds = ([(clip, str(r)) for clip, count in enumerate(counts) if count > r] for r in itertools.count())
    assert engine.batches == list(itertools.takewhile(bool, rounds))
