"""A checkpoint in vLLM as the engine asks for it: questions are submitted at once, and vLLM batches them over pieces in flight."""

from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from typing import Any

from models.base import FrameSpec, Likelihood, Passage, Reply, Sample, Sampling, Turn, Video
from models.context import too_long
from models.passages import Tokens
from models.vllm.client import Answer, Client
from models.vllm.served import Prompt, Served, Watchable


@dataclass(frozen=True, eq=False)
class VllmVideoLLM:
    """See VideoLLM in models/base.py."""

    served: Served
    client: Client
    digest: str
    """Of the weights, with engine and version: texts of two engines differ, even at temperature 0 in bfloat16."""
    context_tokens: int

    scores = True

    @property
    def frames(self) -> FrameSpec:
        return self.served.frames

    def prompt_token_ids(self, question: str, video: Video) -> list[int]:
        """The prompt's ids; each video token stands for the whole video, so its last one is repeated."""
        prompt = self.served.prompt([Turn(0, question, "")], [Watchable(video)])
        return prompt.token_ids + prompt.token_ids[-1:] * (prompt.num_tokens - len(prompt.token_ids))

    def too_long(self, question: str, video: Video, max_tokens: int) -> str:
        prompt = self.served.prompt([Turn(0, question, "")], [Watchable(video)])
        return too_long(prompt.num_tokens, max_tokens, self.context_tokens)

    def watch(self, videos: Sequence[Video], scores: bool = False) -> "VllmWatched":
        return VllmWatched(self, videos, scores)

    def read(self, passage: Passage, video: Watchable) -> "tuple[Tokens, Future[tuple[float, ...]]] | None":
        """A text's tokens, and their log-likelihoods to come; None for a text without tokens, or too long for the context."""
        prompt, tokens = self.served.passage(passage.question, passage.text, video)
        if not tokens.answer or prompt.num_tokens >= self.context_tokens:
            return None
        return tokens, self.client.read(prompt, len(tokens.answer))

    def converse(self, videos: Sequence[Video], samples: Sequence[Sample], seeds: Sequence[int], sampling: Sampling) -> list[Reply]:
        """All samples at once: vLLM encodes a clip once, and shares the prefixes that samples have in common."""
        watchables = [Watchable(video) for video in videos]
        prompts = [self.served.prompt(sample, watchables) for sample in samples]
        for prompt in prompts:
            self.refuse_long(prompt, sampling)
        futures = [self.answer(prompt, seed, sampling) for prompt, seed in zip(prompts, seeds, strict=True)]
        return [future.result() for future in futures]

    def refuse_long(self, prompt: Prompt, sampling: Sampling) -> None:
        """Raises ValueError where prompt and answer are longer than the context."""
        if prompt.num_tokens + sampling.max_tokens > self.context_tokens:
            raise ValueError(
                f"a prompt of {prompt.num_tokens} tokens, its {len(prompt.shown)} videos' included, and {sampling.max_tokens} of "
                f"answer are more than the context of {self.context_tokens}; shorten it, or raise generate.vllm.max_model_len "
                "where the model has more"
            )

    def answer(self, prompt: Prompt, seed: int, sampling: Sampling) -> Future[Reply]:
        """The reply to a prompt that is not too long."""
        reply: Future[Reply] = Future()
        reply.set_running_or_notify_cancel()

        def finish(answered: Future[Answer]) -> None:
            try:
                reply.set_result(self._reply(answered.result(), sampling))
            except BaseException as error:  # a callback's own error goes to a log alone, and the piece would wait for ever
                reply.set_exception(error)

        self.client.submit(prompt, seed, sampling, self.served.end_ids).add_done_callback(finish)
        return reply

    def _reply(self, answer: Answer, sampling: Sampling) -> Reply:
        ids = list(answer.token_ids)
        if ids and ids[-1] in self.served.end_ids:
            ids.pop()
        reply = self.served.reply(ids, sampling)
        return replace(reply, finished=reply.finished or answer.finished)


class VllmWatched:
    """See Watched in models/base.py. A question is submitted as soon as it is asked; frames are let go when their clip leaves.

    With `scores` they stay until `close`: prefixes are in vLLM's cache, and whatever has left that is encoded again.
    """

    def __init__(self, llm: VllmVideoLLM, videos: Sequence[Video], scores: bool) -> None:
        self._llm = llm
        self._present: dict[int, Watchable] = {clip: Watchable(video) for clip, video in enumerate(videos)}
        self._read = dict(self._present) if scores else {}

    def ask(self, clip: int, question: str, seed: int, sampling: Sampling) -> Future[Reply]:
        prompt = self._llm.served.prompt([Turn(0, question, "")], [self._present[clip]])
        try:
            self._llm.refuse_long(prompt, sampling)
        except ValueError as error:
            refused: Future[Any] = Future()
            refused.set_exception(error)
            return refused
        return self._llm.answer(prompt, seed, sampling)

    def ask_all(self, clip: int, question: str, seeds: Sequence[int], sampling: Sampling) -> list[Future[Reply]]:
        """vLLM computes what the prompts share once, or reads it where an earlier question has left it."""
        return [self.ask(clip, question, seed, sampling) for seed in seeds]

    def leave(self, clip: int) -> None:
        del self._present[clip]

    def score(self, passages: Sequence[Passage]) -> list[Likelihood | None]:
        """All texts at once; those of one clip share its prefix."""
        readings = [self._llm.read(passage, self._read[passage.clip]) for passage in passages]
        return [
            Likelihood(text=reading[0].text, spans=reading[0].spans, logprobs=reading[1].result()) if reading else None
            for reading in readings
        ]

    def close(self) -> None:
        self._read = {}
