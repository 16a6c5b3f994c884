"""A PLLaVA checkpoint as the engine sees it: watch, reply; or put an adapter on it, finetune, save.

Shapes: B clips, T frames, S pixels a side, P prefix tokens, L tokens of a training row.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from peft import LoraConfig, get_peft_model
from torch import Tensor

from models import checkpoints
from models.base import ENCODE_CLIPS, FrameSpec, LoraSpec, ModelSpec, Reply, Sampling
from models.decoding import Prefix, continue_from, prefill
from models.pllava.modeling import PllavaForConditionalGeneration
from models.pllava.processing import PllavaProcessor


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

    def batch(self, frames: NDArray[np.uint8], questions: Sequence[str], answers: Sequence[str]) -> dict[str, Tensor]:
        """Right-padded. frames uint8[B,T,S,S,3] -> input_ids, attention_mask, labels int64[B,L], pixel_values_videos."""
        pairs = [self.processor.training_ids(q, a) for q, a in zip(questions, answers, strict=True)]
        return self.processor.training_batch(pairs) | {"pixel_values_videos": self.processor.pixels(torch.from_numpy(frames))}

    def save(self, folder: Path, state: dict[str, Tensor]) -> None:
        """Adapter and projector as PEFT's files."""
        self.module.peft_config["default"].base_model_name_or_path = self.base
        self.module.save_pretrained(folder, state_dict=state, safe_serialization=True)
        (folder / "README.md").unlink(missing_ok=True)  # PEFT's model card template says nothing of this model
