"""PLLaVA and LLaVA checkpoints for vLLM: models/vllm/modeling.py is the model, and the chat is that of models/pllava."""

import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from models.base import FrameSpec, ModelSpec, Reply, Sample, Sampling, Turn
from models.caches import temporary_folder
from models.folders import fetch
from models.passages import Tokens
from models.pllava import checkpoints
from models.pllava.architecture import Architecture
from models.pllava.passages import passage_tokens
from models.pllava.pooling import Shape
from models.pllava.processing import PllavaProcessor
from models.pllava.samples import View, exchanges_of, views_of
from models.replies import replies_of
from models.vllm.served import Prompt, Shown, Watchable

if TYPE_CHECKING:
    from torch import Tensor

ARCHITECTURE = "PllavaForConditionalGeneration"
"""The name under which models/vllm/plugin.py registers the model."""


def serve(spec: ModelSpec) -> "PllavaServed":
    """Raises ValueError naming what is wrong with the checkpoint's small files."""
    architecture, processor = checkpoints.describe(spec)
    if processor.video.pooling.newline:
        raise ValueError(
            f"{spec.base_name}: its pool ends a video with image_newline, which vLLM does not do here; set model.pooling to "
            '"pllava", or generate.engine to "builtin"'
        )
    return PllavaServed(spec, architecture, processor)


@dataclass(frozen=True)
class PllavaServed:
    """See Served in models/vllm/served.py."""

    spec: ModelSpec
    architecture: Architecture
    processor: PllavaProcessor

    @property
    def name(self) -> str:
        return self.spec.base_name

    @property
    def architectures(self) -> list[str]:
        """The LLM's; the rest is ours."""
        if (llm := self.architecture.text.get("model_type", "llama")) == "llama":
            return ["LlamaForCausalLM"]
        from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

        return [MODEL_FOR_CAUSAL_LM_MAPPING_NAMES.get(llm, llm)]

    @property
    def heads(self) -> Mapping[str, int]:
        text, vision = self.architecture.text, self.architecture.vision
        return {"LLM": int(text["num_attention_heads"]), "tower": int(vision["num_attention_heads"])}

    @property
    def frames(self) -> FrameSpec:
        return self.processor.frame_spec

    @cached_property
    def digest(self) -> str:
        return checkpoints.version(self.spec)

    @property
    def context_tokens(self) -> int:
        return int(self.architecture.text["max_position_embeddings"])

    @property
    def max_video_tokens(self) -> int:
        return max(self.processor.tokens_per_video, self.processor.tokens_per_image)

    @cached_property
    def end_ids(self) -> frozenset[int]:
        return frozenset(checkpoints.end_ids(fetch(self.spec.base), self.processor))

    def folder(self) -> Path:
        """A PLLaVA of our own layout without weights: every kind of checkpoint that models/pllava reads looks like this to vLLM."""
        from models.pllava.loading import config_of  # imports torch and transformers

        config = config_of(self.architecture, self.processor)
        config.architectures = [ARCHITECTURE]
        config.text_config.tie_word_embeddings = config.tie_word_embeddings
        root = temporary_folder("vllm")
        unfinished = Path(tempfile.mkdtemp(dir=root))
        self.processor.save(unfinished)
        config.save_pretrained(unfinished)
        content = b"".join(path.read_bytes() for path in sorted(unfinished.iterdir()))
        folder = root / hashlib.sha256(content).hexdigest()[:16]
        try:
            os.rename(unfinished, folder)
        except OSError:  # another actor of this machine was first, with the same content
            shutil.rmtree(unfinished)
        return folder

    def weights(self, dtype: str) -> "Iterator[tuple[str, Tensor]]":
        import torch

        checkpoint, torch_dtype = checkpoints.open_checkpoint(self.spec), getattr(torch, dtype)
        for _, tensors in checkpoint.weights.shards():
            for name in list(tensors):  # popped one by one: never more than one file of it in memory
                yield name, checkpoint.merge(name, tensors.pop(name).to(torch_dtype))

    def prompt(self, sample: Sample, videos: Sequence[Watchable]) -> Prompt:
        processor = self.processor
        pictures = frozenset(clip for clip, watchable in enumerate(videos) if watchable.video.is_picture)
        views = views_of(processor, sample, pictures)
        ids = processor.sample_ids(exchanges_of(sample), [(1, 1, 1)] * len(views))
        num_tokens = len(ids) + sum(processor.tokens_of(shape) - 1 for _, _, shape in views)
        return Prompt(ids, [_shown(view, videos) for view in views], num_tokens)

    def passage(self, question: str, text: str, video: Watchable) -> tuple[Prompt, Tokens]:
        prompt = self.prompt([Turn(0, question, "")], [video])
        tokens = passage_tokens(self.processor, question, text, (1, 1, 1))
        before = self.processor.prompt_ids(question, (1, 1, 1))[0]
        ids = [*before, *tokens.question, *tokens.answer]
        return replace(prompt, token_ids=ids, num_tokens=prompt.num_tokens + len(ids) - len(prompt.token_ids)), tokens

    def reply(self, ids: Sequence[int], sampling: Sampling) -> Reply:
        return replies_of(self.processor, [ids], sampling)[0]


def _shown(view: View, videos: Sequence[Watchable]) -> Shown:
    clip, chosen, shape = view
    frames = videos[clip].video.frames
    return Shown(
        frames if chosen is None else frames[list(chosen)], {"pooled": shape}, _uuid(videos[clip].fingerprint, chosen, shape)
    )


def _uuid(fingerprint: str, chosen: tuple[int, ...] | None, shape: Shape) -> str:
    return hashlib.sha256(f"{fingerprint} {chosen} {shape}".encode()).hexdigest()
