"""A PLLaVA checkpoint as the engine sees it: watch, reply; or put an adapter on it, finetune, save.

Shapes: B clips, T frames, S pixels a side, P prefix tokens, L tokens of a training row.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from peft import LoraConfig, get_peft_model
from torch import Tensor
from transformers.modeling_outputs import BaseModelOutputWithPooling

from models.base import ENCODE_CLIPS, FrameSpec, LoraSpec, LossOn, ModelSpec, Reply, Sample, Sampling
from models.pllava import checkpoints
from models.pllava.decoding import Prefix, continue_from, no_prefix, prefill
from models.pllava.modeling import PllavaForConditionalGeneration, View
from models.pllava.processing import Exchange, PllavaProcessor

CONVERSE_TOKENS = 1 << 14
"""Of samples with shots that are prefilled and answered together, padding and answers included: 8 GB of keys and values at 7B."""


def load(spec: ModelSpec) -> "PllavaVideoLLM":
    model, processor = checkpoints.load(spec)
    model.to("cuda" if torch.cuda.is_available() else "cpu")
    return PllavaVideoLLM(model, processor, checkpoints.digest(spec))


def trainee(spec: ModelSpec, lora: LoraSpec, seed: int, partition: dict[str, Any] | None = None) -> "PllavaTrainee":
    assert spec.adapter is None, "every finetune starts from the base"
    model, processor = checkpoints.load_base(spec, partition=partition)
    if lora.gradient_checkpointing:
        model.gradient_checkpointing_enable({"use_reentrant": False})
    torch.manual_seed(seed)
    adapter = LoraConfig(
        r=lora.rank,
        lora_alpha=lora.alpha,  # type: ignore[arg-type]  # peft takes any number
        lora_dropout=lora.dropout,
        target_modules=checkpoints.LORA_TARGETS,
        modules_to_save=[checkpoints.PROJECTOR],
        base_model_name_or_path=spec.base,
    )
    return PllavaTrainee(get_peft_model(model, adapter), processor, spec.base)


def sample_tokens(spec: ModelSpec, samples: Iterable[Sample]) -> Iterator[int]:
    """How many tokens each sample takes."""
    _, processor = checkpoints.describe(spec)
    for sample in samples:
        yield len(processor.sample_ids(_exchanges(sample)))


def _exchanges(sample: Sample) -> list[Exchange]:
    """As the processor has them; an empty last answer is one to be given."""
    return [*((turn.prompt, turn.answer) for turn in sample[:-1]), (sample[-1].prompt, sample[-1].answer or None)]


def views_of(processor: PllavaProcessor, sample: Sample) -> list[View]:
    """How each turn shows its clip."""
    few = processor.shot_frame_numbers()
    chosen = None if len(few) == processor.num_frames else tuple(few)
    *shots, query = processor.shapes(len(sample) - 1)
    return [*((turn.clip, chosen, shape) for turn, shape in zip(sample[:-1], shots, strict=True)), (sample[-1].clip, None, query)]


def _batches(lengths: Sequence[int]) -> Iterator[list[int]]:
    """Rows that are answered together: of like lengths, and as many as CONVERSE_TOKENS allows, at least one.

    >>> list(_batches([5, 16_000, 4, 8_000, 8_000]))
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


def _refuse_long(processor: PllavaProcessor, sample: Sample, tokens: int, context: int) -> None:
    """Raises ValueError: nothing is cut off, because what would go first is the answer."""
    if tokens > context:
        raise ValueError(
            f"a sample of {len(sample) - 1} shots, {math.prod(processor.shot_shape)} visual tokens each, and a query of "
            f"{processor.tokens_per_video} takes {tokens} tokens with its answer, and the model's context is {context}; lower "
            "episodes.shots, episodes.pooling_shape or model.pooling_shape"
        )


@dataclass(frozen=True)
class PllavaVideoLLM:
    model: PllavaForConditionalGeneration
    processor: PllavaProcessor
    digest: str

    @property
    def frames(self) -> FrameSpec:
        return FrameSpec(num_frames=self.processor.num_frames, size_px=self.processor.image_size)

    def prompt_token_ids(self, question: str) -> list[int]:
        before, after = self.processor.prompt_ids(question)
        return before + after

    @property
    def context_tokens(self) -> int:
        return int(self.model.config.text_config.max_position_embeddings)

    @torch.inference_mode()
    def watch(self, frames: NDArray[np.uint8]) -> "PllavaWatched":
        """frames uint8[B,T,S,S,3]."""
        model, device = self.model, self.model.lm_head.weight.device
        seen = torch.from_numpy(frames)
        before, _ = self.processor.prompt_ids("")
        ids = torch.tensor(before, device=device)

        def embedded(chunk: Tensor) -> Tensor:
            pixels = self.processor.pixels(chunk.to(device))  # bytes travel, and the GPU makes numbers of them
            video = model.model.get_video_features(pixels.to(model.dtype))
            return model.model.embed(ids.expand(len(chunk), -1), {"video": video})

        chunks = (embedded(chunk) for chunk in seen.split(ENCODE_CLIPS))
        return PllavaWatched(self, prefill(model.model.language_model, chunks, len(frames)), before)

    @torch.inference_mode()
    def converse(
        self, frames: NDArray[np.uint8], samples: Sequence[Sample], seeds: Sequence[int], sampling: Sampling
    ) -> list[Reply]:
        """Answer the last turn of each sample. frames uint8[B,T,S,S,3]."""
        model, processor = self.model, self.processor
        ids = [processor.sample_ids(_exchanges(sample)) for sample in samples]
        for row, length in enumerate(map(len, ids)):
            _refuse_long(processor, samples[row], length + sampling.max_tokens, self.context_tokens)
        pooled = self._pooled(frames, {view for sample in samples for view in views_of(processor, sample)})
        ends, replies = frozenset(model.generation_config.eos_token_id), dict[int, Reply]()
        for rows in _batches([len(one) + sampling.max_tokens for one in ids]):
            shown = [pooled[view] for row in rows for view in views_of(processor, samples[row])]

            def embed(padded: Tensor, shown: list[Tensor] = shown) -> Tensor:
                return model.model.embed(padded, {"video": BaseModelOutputWithPooling(pooler_output=shown)})

            nothing = no_prefix(model.config.text_config, model.lm_head.weight)
            made = continue_from(
                model, nothing, [0] * len(rows), [ids[row] for row in rows], [seeds[row] for row in rows], sampling, ends, embed
            )
            texts = processor.tokenizer.batch_decode(made, skip_special_tokens=True)
            for row, text, one in zip(rows, texts, made, strict=True):
                replies[row] = Reply(text=text.strip(), num_tokens=len(one), finished=len(one) < sampling.max_tokens)
        return [replies[row] for row in range(len(samples))]

    def _pooled(self, frames: NDArray[np.uint8], views: set[View]) -> dict[View, Tensor]:
        """The tokens [N,D] of each view: a clip goes through the tower once."""
        model, by_clip = self.model, dict[int, list[View]]()
        for view in sorted(views, key=repr):
            by_clip.setdefault(view[0], []).append(view)
        clips, made = sorted(by_clip), dict[View, Tensor]()
        for start in range(0, len(clips), ENCODE_CLIPS):
            some = clips[start : start + ENCODE_CLIPS]
            local = {clip: row for row, clip in enumerate(some)}
            wanted = [view for clip in some for view in by_clip[clip]]
            pixels = self.processor.pixels(torch.from_numpy(frames[some]).to(model.lm_head.weight.device)).to(model.dtype)
            here = [(local[clip], chosen, shape) for clip, chosen, shape in wanted]
            made |= zip(wanted, model.get_video_features(pixels, views=here).pooler_output, strict=True)
        return made


@dataclass(frozen=True)
class PllavaWatched:
    llm: PllavaVideoLLM
    prefix: Prefix
    prefix_ids: list[int]

    def reply(self, rows: Sequence[int], questions: Sequence[str], seeds: Sequence[int], sampling: Sampling) -> list[Reply]:
        """Answer questions[i] about clip rows[i]."""
        if not rows:
            return []
        processor = self.llm.processor
        suffixes = []
        for question in questions:
            before, after = processor.prompt_ids(question)
            assert before == self.prefix_ids, "the chat template must put the video before all that differs between questions"
            suffixes.append(after)
        longest = max(range(len(suffixes)), key=lambda i: len(suffixes[i]))
        needed = self.prefix.length + len(suffixes[longest]) + sampling.max_tokens
        if needed > self.llm.context_tokens:
            raise ValueError(
                f"question {longest}, {questions[longest][:40]!r} ..., needs {needed} tokens: {self.prefix.length} to the video's "
                f"end, {len(suffixes[longest])} of question, {sampling.max_tokens} of answer; the model's context is "
                f"{self.llm.context_tokens}; shorten it, or lower max_tokens or the pooling_shape"
            )
        ends = frozenset(self.llm.model.generation_config.eos_token_id)
        made = continue_from(self.llm.model, self.prefix, rows, suffixes, seeds, sampling, ends)
        texts = processor.tokenizer.batch_decode(made, skip_special_tokens=True)
        return [
            Reply(text=text.strip(), num_tokens=len(ids), finished=len(ids) < sampling.max_tokens)
            for text, ids in zip(texts, made, strict=True)
        ]


@dataclass(frozen=True)
class PllavaTrainee:
    module: Any
    processor: PllavaProcessor
    base: str

    @property
    def frames(self) -> FrameSpec:
        return FrameSpec(num_frames=self.processor.num_frames, size_px=self.processor.image_size)

    def batch(self, frames: NDArray[np.uint8], samples: Sequence[Sample], loss_on: LossOn = "query") -> dict[str, Any]:
        """Right-padded. frames uint8[B,T,S,S,3] -> input_ids, attention_mask, labels int64[N,L], pixel_values_videos, views.

        Of a clip that is only a shot, the tower sees only the frames that a shot shows.
        """
        processor, pairs = self.processor, []
        for sample in samples:
            *shots, query = _exchanges(sample)
            pairs.append(processor.training_ids(query[0], query[1] or "", shots, loss_on))
            _refuse_long(processor, sample, len(pairs[-1][0]), self.module.config.text_config.max_position_embeddings)
        asked = sorted({sample[-1].clip for sample in samples})
        shown = [*asked, *sorted({turn.clip for sample in samples for turn in sample} - {*asked})]
        place, pixels = {clip: row for row, clip in enumerate(shown)}, processor.pixels(torch.from_numpy(frames[shown]))
        few = processor.shot_frame_numbers()
        alike = len(few) == processor.num_frames
        views = [
            (place[clip], None if clip not in {*asked} or alike else chosen, shape)
            for sample in samples
            for clip, chosen, shape in views_of(processor, sample)
        ]
        videos = pixels if alike or len(asked) == len(shown) else [*pixels[: len(asked)], *pixels[len(asked) :, few]]
        return processor.training_batch(pairs) | {"pixel_values_videos": videos, "views": views}

    def save(self, folder: Path, state: dict[str, Tensor]) -> None:
        """Adapter and projector as PEFT's files."""
        self.module.peft_config["default"].base_model_name_or_path = self.base
        self.module.save_pretrained(folder, state_dict=state, safe_serialization=True)
        (folder / "README.md").unlink(missing_ok=True)  # PEFT's model card template says nothing of this model
