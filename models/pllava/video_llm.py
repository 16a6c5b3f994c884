"""The engine that is built in: a loaded PLLaVA that answers questions about clips, each clip's prefix computed once.

Shapes: B clips, T frames, S pixels a side, P prefix tokens, N tokens of a view, D hidden size.
"""

import functools
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor
from transformers.cache_utils import Cache
from transformers.modeling_outputs import BaseModelOutputWithPooling

from models.attention import share_keys
from models.base import ENCODE_CLIPS, Device, FrameSpec, Likelihood, ModelSpec, Passage, Reply, Sample, Sampling, Video
from models.batching import Question, WatchedInBatches, batches_by_length, long_question
from models.context import too_long
from models.decoding import Prefix, Step, continue_from, no_prefix, prefill, rows_padded_together
from models.devices import memory_errors_named, refuse_missing_gpu
from models.pllava import loading
from models.pllava.chats import PllavaChats
from models.pllava.checkpoints import version
from models.pllava.modeling import PllavaForConditionalGeneration
from models.pllava.passages import passage_tokens
from models.pllava.pooling import Shape
from models.pllava.processing import PllavaProcessor
from models.pllava.samples import View, ids_of, refuse_long, views_of
from models.pllava.tensors import stack
from models.replies import replies_of
from models.scoring import Read, likelihoods
from models.stops import StopTexts
from models.streams import Writer


def load(spec: ModelSpec, device: Device) -> "PllavaVideoLLM":
    """The model on the device, in its dtype. Raises ValueError for a checkpoint that lacks something, or a GPU that is missing."""
    refuse_missing_gpu(device)
    model, processor = loading.load(spec, device.dtype)
    model.to(device.kind)
    share_keys(model)
    return PllavaVideoLLM(model, processor, version(spec))


@dataclass(frozen=True, eq=False)
class PllavaVideoLLM:
    """See VideoLLM in models/base.py."""

    model: PllavaForConditionalGeneration
    processor: PllavaProcessor
    digest: str
    lock: threading.Lock = field(default_factory=threading.Lock)
    """Held by whoever computes: two pieces in flight would need twice the memory, and be no faster."""

    scores = True

    @property
    def frames(self) -> FrameSpec:
        return self.processor.frame_spec

    @functools.cached_property
    def writer(self) -> Writer:
        model, decode = self.model, self.processor.tokenizer.decode
        return Writer(step_of(model), read_of(model), model.config.text_config, model.dtype, self.end_ids, decode)

    @property
    def context_tokens(self) -> int:
        return int(self.model.config.text_config.max_position_embeddings)

    def prompt_token_ids(self, question: str, video: Video) -> list[int]:
        """All videos of a checkpoint take the same number of tokens; a picture takes another."""
        before, after = self.processor.prompt_ids(question, self._shape_of(video))
        return before + after

    def too_long(self, question: str, video: Video, max_tokens: int) -> str:
        return too_long(len(self.prompt_token_ids(question, video)), max_tokens, self.context_tokens)

    def _shape_of(self, video: Video) -> Shape:
        """Of the tokens of a clip that is asked about."""
        return self.processor.picture_shape if video.is_picture else self.processor.video.pooled

    @memory_errors_named
    def watch(self, videos: Sequence[Video], scores: bool = False) -> WatchedInBatches:
        clips_by_shape: dict[Shape, list[int]] = {}
        for clip, video in enumerate(videos):
            clips_by_shape.setdefault(self._shape_of(video), []).append(clip)
        with self.lock:
            groups = [self._group(videos, clips, shape) for shape, clips in clips_by_shape.items()]
        score = functools.partial(score_all, self, groups) if scores else None
        return WatchedInBatches(len(videos), functools.partial(answer_batch, self, groups), score)

    def _group(self, videos: Sequence[Video], clips: Sequence[int], shape: Shape) -> "Group":
        frames = stack(self.processor, [videos[clip] for clip in clips])
        return Group(tuple(clips), shape, self._prefill(frames if shape == self.processor.video.pooled else frames[:, :1], shape))

    @torch.inference_mode()
    def _prefill(self, frames: Tensor, shape: Shape) -> Prefix:
        """Keys and values of chat and video up to the video's end, for frames uint8[B,T,S,S,3]."""
        model, device = self.model, self.model.lm_head.weight.device
        ids = torch.tensor(self.processor.prompt_ids("", shape)[0], device=device)

        def embed(chunk: Tensor) -> Tensor:
            pixels = self.processor.pixels(chunk.to(device))  # bytes travel to the GPU, which makes floats of them
            features = model.model.get_video_features(pixels.to(model.dtype), [shape] * len(chunk))
            return model.model.embed(ids.expand(len(chunk), -1), {"video": features})

        chunks = (embed(chunk) for chunk in frames.split(ENCODE_CLIPS))
        return prefill(model.model.language_model, chunks, [len(ids)] * len(frames))

    @memory_errors_named
    def converse(self, videos: Sequence[Video], samples: Sequence[Sample], seeds: Sequence[int], sampling: Sampling) -> list[Reply]:
        """Samples of similar lengths are answered together; each clip goes through the tower once."""
        model, processor = self.model, self.processor
        pictures = frozenset(clip for clip, video in enumerate(videos) if video.is_picture)
        prompts = [ids_of(processor, sample, pictures) for sample in samples]
        for sample, ids in zip(samples, prompts, strict=True):
            refuse_long(processor, sample, len(ids) + sampling.max_tokens, self.context_tokens)
        views = [views_of(processor, sample, pictures) for sample in samples]
        replies: dict[int, Reply] = {}
        with self.lock, torch.inference_mode():
            tokens = self._video_tokens(videos, {view for sample_views in views for view in sample_views})
            for rows in self._batches([len(ids) for ids in prompts], sampling.max_tokens):
                shown = [tokens[view] for row in rows for view in views[row]]

                def embed(padded_ids: Tensor, shown: list[Tensor] = shown) -> Tensor:
                    features = {"video": BaseModelOutputWithPooling(pooler_output=shown)} if shown else {}
                    return model.model.embed(padded_ids, features)

                answers = continue_from(
                    step_of(model, embed),
                    no_prefix(model.config.text_config, model.lm_head.weight),
                    [0] * len(rows),
                    [prompts[row] for row in rows],
                    [seeds[row] for row in rows],
                    sampling,
                    self.end_ids,
                    StopTexts(sampling.stop, processor.tokenizer.decode),
                )
                replies |= zip(rows, replies_of(processor, answers, sampling), strict=True)
        return [replies[row] for row in range(len(samples))]

    @memory_errors_named
    def open_chats(self, videos: Sequence[Video], samples: Sequence[Sample]) -> PllavaChats:
        """See ChatReader in models/base.py."""
        pictures = frozenset(clip for clip, video in enumerate(videos) if video.is_picture)
        views = [views_of(self.processor, sample, pictures) for sample in samples]
        with self.lock, torch.inference_mode():
            tokens = self._video_tokens(videos, {view for sample_views in views for view in sample_views})
        return PllavaChats(self, read_of(self.model), samples, views, tokens)

    def _batches(self, prompt_tokens: Sequence[int], max_tokens: int) -> Iterator[list[int]]:
        """Rows of prompts that are answered together."""
        for rows in batches_by_length([tokens + max_tokens for tokens in prompt_tokens]):
            tokens = [prompt_tokens[row] for row in rows]
            for together in rows_padded_together(self.model.config.text_config, 0, tokens, max_tokens):
                yield [rows[index] for index in together]

    @property
    def end_ids(self) -> frozenset[int]:
        """Token ids that end an answer."""
        return frozenset(self.model.generation_config.eos_token_id)

    def _video_tokens(self, videos: Sequence[Video], views: set[View]) -> dict[View, Tensor]:
        """The visual tokens [N,D] of each view."""
        model, views_by_clip = self.model, dict[int, list[View]]()
        for view in sorted(views, key=repr):
            views_by_clip.setdefault(view[0], []).append(view)
        clips, tokens = sorted(views_by_clip), dict[View, Tensor]()
        for start in range(0, len(clips), ENCODE_CLIPS):
            chunk = clips[start : start + ENCODE_CLIPS]
            row_of = {clip: row for row, clip in enumerate(chunk)}
            chunk_views = [view for clip in chunk for view in views_by_clip[clip]]
            frames = stack(self.processor, [videos[clip] for clip in chunk]).to(model.lm_head.weight.device)
            local_views = [(row_of[clip], chosen, shape) for clip, chosen, shape in chunk_views]
            features = model.get_video_features(self.processor.pixels(frames).to(model.dtype), views=local_views)
            tokens |= zip(chunk_views, features.pooler_output, strict=True)
        return tokens


def step_of(model: PllavaForConditionalGeneration, embed: Callable[[Tensor], Tensor] | None = None) -> Step:
    """`embed` gives the embeddings[R,L,D] of ids[R,L] that stand at the beginning, where these hold videos."""

    def step(ids: Tensor, mask: Tensor, positions: Tensor, cache: Cache) -> Tensor:
        embeddings = (embed if embed and not cache.get_seq_length() else model.get_input_embeddings())(ids)
        outputs = model.model.language_model(
            inputs_embeds=embeddings, attention_mask=mask, position_ids=positions, past_key_values=cache, use_cache=True
        )
        logits: Tensor = model.lm_head(outputs.last_hidden_state[:, -1])
        return logits

    return step


def read_of(model: PllavaForConditionalGeneration) -> Read:
    """See Read in models/scoring.py."""

    def read(ids: Tensor, mask: Tensor, positions: Tensor, cache: Cache) -> Tensor:
        outputs = model.model.language_model(
            inputs_embeds=model.get_input_embeddings()(ids),
            attention_mask=mask,
            position_ids=positions,
            past_key_values=cache,
            use_cache=True,
        )
        logits: Tensor = model.lm_head(outputs.last_hidden_state)
        return logits

    return read


@dataclass(frozen=True)
class Group:
    """Clips whose prefixes have the same number of tokens: videos, or pictures."""

    clips: tuple[int, ...]
    """Those of the prefix's rows, in order."""
    shape: Shape
    """Of each clip's tokens."""
    prefix: Prefix


@memory_errors_named
def answer_batch(llm: PllavaVideoLLM, groups: Sequence[Group], questions: Sequence[Question]) -> list[Reply | Exception]:
    """Answer a batch, all questions of one Sampling together. A question that is too long gets its ValueError alone."""
    outcomes: dict[int, Reply | Exception] = {}
    for group in groups:
        numbers = [number for number, question in enumerate(questions) if question.clip in group.clips]
        outcomes |= zip(numbers, _answer_group(llm, group, [questions[number] for number in numbers]), strict=True)
    return [outcomes[number] for number in range(len(questions))]


def _answer_group(llm: PllavaVideoLLM, group: Group, questions: Sequence[Question]) -> list[Reply | Exception]:
    processor, prefix, outcomes = llm.processor, group.prefix, dict[int, Reply | Exception]()
    prefix_ids, suffixes = processor.prompt_ids("", group.shape)[0], []
    row_of = {clip: row for row, clip in enumerate(group.clips)}
    for row, question in enumerate(questions):
        before, after = processor.prompt_ids(question.text, group.shape)
        assert before == prefix_ids, "the chat template must put the video before all that differs between questions"
        suffixes.append(after)
        if error := long_question(question, prefix.length + len(after), llm.context_tokens):
            outcomes[row] = error
    by_sampling: dict[Sampling, list[int]] = {}
    for row, question in enumerate(questions):
        if row not in outcomes:
            by_sampling.setdefault(question.sampling, []).append(row)
    batches = [
        (sampling, [rows[index] for index in together])
        for sampling, rows in by_sampling.items()
        for together in rows_padded_together(
            llm.model.config.text_config, prefix.length, [len(suffixes[row]) for row in rows], sampling.max_tokens
        )
    ]
    with llm.lock:
        for sampling, rows in batches:
            answers = llm.writer.answers(
                prefix,
                [row_of[questions[row].clip] for row in rows],
                [suffixes[row] for row in rows],
                [questions[row].seed for row in rows],
                sampling,
            )
            outcomes |= zip(rows, replies_of(processor, answers, sampling), strict=True)
    return [outcomes[row] for row in range(len(questions))]


@memory_errors_named
def score_all(llm: PllavaVideoLLM, groups: Sequence[Group], passages: Sequence[Passage]) -> list[Likelihood]:
    """See Watched.score in models/base.py."""
    outcomes: dict[int, Likelihood] = {}
    for group in groups:
        row_of = {clip: row for row, clip in enumerate(group.clips)}
        numbers = [number for number, passage in enumerate(passages) if passage.clip in row_of]
        own = [passages[number] for number in numbers]
        rows = [row_of[passage.clip] for passage in own]
        texts = {(p.question, p.text): passage_tokens(llm.processor, p.question, p.text, group.shape) for p in _distinct(own)}
        tokens = [texts[passage.question, passage.text] for passage in own]
        with llm.lock:
            scored = likelihoods(read_of(llm.model), llm.model.config.text_config, group.prefix, rows, tokens, llm.model.dtype)
        outcomes |= zip(numbers, scored, strict=True)
    return [outcomes[number] for number in range(len(passages))]


def _distinct(passages: Sequence[Passage]) -> list[Passage]:
    """One of those that have the same question and text: they differ in the clip after which they are read."""
    return list({(passage.question, passage.text): passage for passage in passages}.values())
