"""A loaded model of transformers that answers questions about clips, each clip's prefix computed once where its cache allows that.

Shapes: B clips, P prefix tokens, R rows that are answered, L tokens, V vocabulary.
"""

import functools
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import takewhile
from typing import Any

import torch
from torch import Tensor
from transformers import GenerationConfig
from transformers.cache_utils import Cache, DynamicCache, DynamicLayer

from models.base import FrameSpec, Likelihood, Passage, Reply, Sample, Sampling, Turn, Video
from models.batching import Question, WatchedInBatches, alike, batches_by_length, long_question
from models.context import too_long
from models.decoding import Draw, Prefix, gathered
from models.devices import memory_errors_named
from models.native.passages import passage_tokens
from models.native.processing import NativeProcessor
from models.replies import replies_of
from models.scoring import likelihoods
from models.streams import Writer

PREFILL_TOKENS = 1 << 14
"""Tokens that are prefilled at once, if they are not of one clip."""


@dataclass(frozen=True, eq=False)
class NativeVideoLLM:
    """See VideoLLM in models/base.py."""

    model: Any
    processor: NativeProcessor
    digest: str
    frames: FrameSpec
    context_tokens: int
    end_ids: frozenset[int]
    lock: threading.Lock = field(default_factory=threading.Lock)
    """Held by whoever computes."""

    @functools.cached_property
    def shares_prefixes(self) -> bool:
        """Whether all layers keep plain keys and values: a window or a state is of a whole text, padding included."""
        return all(type(layer) is DynamicLayer for layer in DynamicCache(config=self.model.config).layers)

    @functools.cached_property
    def writer(self) -> Writer:
        text_config, decode = self.model.config.get_text_config(), self.processor.answer_text
        return Writer(self.step, self.read, text_config, self.model.dtype, self.end_ids, decode)

    @property
    def scores(self) -> bool:
        """Without prefixes that are kept, a text would need its video encoded again for each reading."""
        return self.shares_prefixes

    def prompt_token_ids(self, question: str, video: Video) -> list[int]:
        return self.processor.prompt_ids(question, video)

    def too_long(self, question: str, video: Video, max_tokens: int) -> str:
        return too_long(len(self.prompt_token_ids(question, video)), max_tokens, self.context_tokens)

    @memory_errors_named
    def watch(self, videos: Sequence[Video], scores: bool = False) -> WatchedInBatches:
        prefixes = self._prefill(videos) if self.shares_prefixes and videos else None
        score = functools.partial(score_all, self, videos, prefixes) if scores and prefixes else None
        return WatchedInBatches(len(videos), functools.partial(answer_batch, self, videos, prefixes), score)

    @torch.inference_mode()
    def _prefill(self, videos: Sequence[Video]) -> "Prefixes":
        """Keys and values of each clip's prompt up to the video's end. Frames are scaled while another piece may compute."""
        chat = self.processor.probe
        lengths = [self.processor.prefix_tokens(video) for video in videos]
        order = sorted(range(len(videos)), key=lambda clip: (lengths[clip], videos[clip].frames.shape))
        ids: dict[int, list[int]] = {}
        ahead: list[int] = []

        def caches() -> Iterator[Cache]:
            for clips in alike(order, [(lengths[clip], videos[clip].frames.shape) for clip in range(len(videos))], PREFILL_TOKENS):
                inputs = self.processor.inputs([chat] * len(clips), [[videos[clip]] for clip in clips])
                whole, tokens, cache = inputs["input_ids"].shape, lengths[clips[0]], DynamicCache()
                with self.lock:
                    inputs = self._on_device(inputs)
                    cut = {name: value[:, :tokens] if value.shape[:2] == whole else value for name, value in inputs.items()}
                    self.model.base_model(**cut, past_key_values=cache, use_cache=True)
                if hasattr(self.model.base_model, "get_rope_index"):  # positions[3,b,L] in time, height and width
                    positions, _ = self.model.base_model.get_rope_index(**inputs)
                    ahead.extend((positions[0, :, tokens] - tokens).tolist())
                ids.update(zip(clips, cut["input_ids"].tolist(), strict=True))
                yield cache

        layers = gathered(caches(), [lengths[clip] for clip in order])
        prefix = Prefix(layers, tuple(lengths[clip] for clip in order), tuple(ahead))
        return Prefixes(prefix, {clip: row for row, clip in enumerate(order)}, ids)

    def _on_device(self, inputs: dict[str, Any]) -> dict[str, Any]:
        """Pixels in the model's dtype too; times stay as exact as they are."""
        on_device = {name: value.to(self.model.device) for name, value in inputs.items() if isinstance(value, Tensor)}
        return {n: value.to(self.model.dtype) if n.startswith("pixel_values") else value for n, value in on_device.items()}

    def step(self, ids: Tensor, mask: Tensor, positions: Tensor, cache: Cache) -> Tensor:
        """See Step in models/decoding.py. After a video all positions go on by one, those in time and space too."""
        outputs = self.model(
            input_ids=ids, attention_mask=mask, position_ids=positions, past_key_values=cache, use_cache=True, logits_to_keep=1
        )
        logits: Tensor = outputs.logits[:, -1]
        return logits

    def read(self, ids: Tensor, mask: Tensor, positions: Tensor, cache: Cache) -> Tensor:
        """See Read in models/scoring.py."""
        outputs = self.model(input_ids=ids, attention_mask=mask, position_ids=positions, past_key_values=cache, use_cache=True)
        logits: Tensor = outputs.logits
        return logits

    @memory_errors_named
    def converse(self, videos: Sequence[Video], samples: Sequence[Sample], seeds: Sequence[int], sampling: Sampling) -> list[Reply]:
        """As in models/base.py, but a clip is encoded for each sample that shows it. Samples of alike videos go together."""
        processor = self.processor
        shown = [processor.shown(sample, videos) for sample in samples]
        chats = [processor.sample_chat(sample) for sample in samples]
        lengths = [len(processor.chat_ids(chat, own)) for chat, own in zip(chats, shown, strict=True)]
        for sample, tokens in zip(samples, lengths, strict=True):
            if reason := processor.too_long(sample, tokens + sampling.max_tokens):
                raise ValueError(reason)
        return self.generated(chats, shown, lengths, seeds, sampling)

    @torch.inference_mode()
    def generated(
        self,
        chats: Sequence[str],
        shown: Sequence[Sequence[Video]],
        lengths: Sequence[int],
        seeds: Sequence[int],
        sampling: Sampling,
    ) -> list[Reply]:
        """Answers by transformers' own generate, which knows all caches, in batches of chats whose videos have one shape."""
        by_shape: dict[Any, list[int]] = {}
        for row, own in enumerate(shown):
            by_shape.setdefault(tuple(video.frames.shape for video in own), []).append(row)
        replies: dict[int, Reply] = {}
        for alike_rows in by_shape.values():
            for batch in batches_by_length([lengths[row] + sampling.max_tokens for row in alike_rows]):
                rows = [alike_rows[index] for index in batch]
                inputs = self.processor.inputs([chats[row] for row in rows], [shown[row] for row in rows])
                settings = self._settings([seeds[row] for row in rows], sampling)
                with self.lock:
                    whole = self.model.generate(**self._on_device(inputs), **settings)
                tokens = whole[:, inputs["input_ids"].shape[1] :]
                answers = [list(takewhile(lambda token: token not in self.end_ids, row)) for row in tokens.tolist()]
                replies |= zip(rows, replies_of(self.processor, answers, sampling), strict=True)
        return [replies[row] for row in range(len(chats))]

    def _settings(self, seeds: Sequence[int], sampling: Sampling) -> dict[str, Any]:
        """Arguments of transformers' generate for rows with these seeds."""
        drawn = [Draw(seeds, sampling.temperature, self.model.device)] if sampling.temperature else []
        ends = GenerationConfig(eos_token_id=sorted(self.end_ids), pad_token_id=self.processor.tokenizer.pad_token_id)
        settings = {"do_sample": False, "max_new_tokens": sampling.max_tokens, "logits_processor": drawn, "generation_config": ends}
        stops = {"stop_strings": list(sampling.stop), "tokenizer": self.processor.tokenizer} if sampling.stop else {}
        return settings | stops


@dataclass(frozen=True)
class Prefixes:
    prefix: Prefix
    row_of: dict[int, int]
    """Each clip's row of the prefix."""
    ids: dict[int, list[int]]
    """Each clip's tokens up to its video's end."""


@memory_errors_named
def answer_batch(
    llm: NativeVideoLLM, videos: Sequence[Video], prefixes: Prefixes | None, questions: Sequence[Question]
) -> list[Reply | Exception]:
    """Answer a batch, all questions of one Sampling together. A question that is too long gets its ValueError alone."""
    outcomes: dict[int, Reply | Exception] = {}
    groups: dict[tuple[Sampling, bool], list[int]] = {}
    ids = [llm.prompt_token_ids(question.text, videos[question.clip]) for question in questions]
    for row, (question, prompt) in enumerate(zip(questions, ids, strict=True)):
        shared = prefixes.ids[question.clip] if prefixes else []
        if error := long_question(question, len(prompt), llm.context_tokens):
            outcomes[row] = error
        else:  # a question whose first characters make one token with the last ones before it shares nothing
            groups.setdefault((question.sampling, bool(shared) and prompt[: len(shared)] == shared), []).append(row)
    for (sampling, is_shared), rows in groups.items():
        own, seeds = [questions[row] for row in rows], [questions[row].seed for row in rows]
        if is_shared and prefixes:
            places = [prefixes.row_of[question.clip] for question in own]
            rest = [ids[row][len(prefixes.ids[questions[row].clip]) :] for row in rows]
            with llm.lock:
                answers = llm.writer.answers(prefixes.prefix, places, rest, seeds, sampling)
            replies = replies_of(llm.processor, answers, sampling)
        else:
            chats = [llm.processor.sample_chat([Turn(0, question.text, "")]) for question in own]
            shown = [[videos[question.clip]] for question in own]
            replies = llm.generated(chats, shown, [len(ids[row]) for row in rows], seeds, sampling)
        outcomes |= zip(rows, replies, strict=True)
    return [outcomes[row] for row in range(len(questions))]


@memory_errors_named
def score_all(
    llm: NativeVideoLLM, videos: Sequence[Video], prefixes: Prefixes, passages: Sequence[Passage]
) -> list[Likelihood | None]:
    """See Watched.score in models/base.py."""
    texts = [
        passage_tokens(llm.processor, p.question, p.text, llm.processor.stand_in(videos[p.clip]), prefixes.ids[p.clip])
        for p in passages
    ]
    tokens = {number: own for number, own in enumerate(texts) if own is not None}
    rows = [prefixes.row_of[passages[number].clip] for number in tokens]
    text_config = llm.model.config.get_text_config()
    with llm.lock:
        read = likelihoods(llm.read, text_config, prefixes.prefix, rows, list(tokens.values()), llm.model.dtype)
    outcomes = dict(zip(tokens, read, strict=True))
    return [outcomes.get(number) for number in range(len(passages))]
