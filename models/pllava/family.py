"""What models/registry.py asks of a PLLaVA or LLaVA checkpoint; torch is imported where a model is built."""

from collections.abc import Iterable, Iterator
from typing import Any

from models.base import FrameSpec, LoraSpec, ModelSize, ModelSpec, Sample, Trainee, VideoLLM
from models.folders import fetch
from models.pllava import checkpoints
from models.pllava.size import size_of


def check(spec: ModelSpec) -> None:
    checkpoints.open_checkpoint(spec)


def size(spec: ModelSpec, lora_rank: int) -> ModelSize:
    return size_of(fetch(spec.base, ("*.json",)), spec, lora_rank)


def frame_spec(spec: ModelSpec) -> FrameSpec:
    return checkpoints.frame_spec(spec)


def sample_tokens(spec: ModelSpec, samples: Iterable[Sample]) -> Iterator[int]:
    from models.pllava import video_llm

    return video_llm.sample_tokens(spec, samples)


def load(spec: ModelSpec) -> VideoLLM:
    from models.pllava import video_llm

    return video_llm.load(spec)


def trainee(spec: ModelSpec, lora: LoraSpec, seed: int, partition: dict[str, Any] | None = None) -> Trainee:
    from models.pllava import video_llm

    return video_llm.trainee(spec, lora, seed, partition)
