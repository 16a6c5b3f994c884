"""What the engine asks of a model. Another backend serves the loop by implementing VideoLLM; another trainer, Trainee.

Shapes: B clips, T frames, S pixels a side.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSpec:
    """Which weights: a base and, after a finetune, the adapter on it.

    ModelSpec(base="tiny"), ModelSpec(base="llava-hf/llava-v1.6-vicuna-7b-hf", adapter="runs/a/cycle-000/train/model")
    """

    base: str
    """"tiny" for the shipped one, a folder, or a hub id; a URI has to be fetched first (engine/weights.py)."""
    adapter: str | None = None
    """Folder of a PEFT adapter; a URI has to be fetched first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameSpec:
    """What a model wants to watch: T frames of S x S pixels."""

    num_frames: int
    size_px: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampling:
    """Sampling(temperature=0.0, max_tokens=64): temperature 0 is greedy."""

    temperature: float
    max_tokens: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    text: str
    num_tokens: int
    finished: bool
    """False where max_tokens cut it off."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoraSpec:
    """LoraSpec(rank=128, alpha=32.0, dropout=0.05): PLLaVA's; on q and v of the LLM, with the projector in full."""

    rank: int
    alpha: float
    dropout: float


class Watched(Protocol):
    """Clips that a model has seen: encoded and prefilled once, ready for any number of questions."""

    def reply(self, rows: Sequence[int], questions: Sequence[str], seeds: Sequence[int], sampling: Sampling) -> list[Reply]:
        """Answer questions[i] about clip rows[i]. A row may come again: its prefix is computed once."""
        ...


class VideoLLM(Protocol):
    @property
    def frames(self) -> FrameSpec: ...

    @property
    def digest(self) -> str:
        """Names the weights: the same for the same weights."""
        ...

    def watch(self, frames: NDArray[np.uint8]) -> Watched:
        """frames uint8[B,T,S,S,3]."""
        ...

    def prompt_token_ids(self, question: str) -> list[int]:
        """What the model reads for a question, the video's placeholders included."""
        ...


class Trainee(Protocol):
    """A model with an adapter on it, to be finetuned."""

    @property
    def frames(self) -> FrameSpec: ...

    @property
    def module(self) -> Any:
        """torch.nn.Module; module(**batch) gives .logits[B,L,V] for batch(...)."""
        ...

    def batch(self, frames: NDArray[np.uint8], questions: Sequence[str], answers: Sequence[str]) -> dict[str, Any]:
        """Tensors for module(**...), and "labels" int64[B,L], -100 except on the answers. frames uint8[B,T,S,S,3]."""
        ...

    def save(self, folder: Path, state: dict[str, Any]) -> None:
        """Write the adapter, given the trained parameters by name, as safetensors."""
        ...


def load(spec: ModelSpec) -> VideoLLM:
    """Raises ValueError for a checkpoint that is not there or lacks a weight."""
    from models import video_llm  # a registry: choosing a model is what imports it

    return video_llm.load(spec)


def frame_spec(spec: ModelSpec) -> FrameSpec:
    """What the model wants to watch, without loading its weights."""
    from models import checkpoints

    return checkpoints.frame_spec(spec)


def trainee(spec: ModelSpec, lora: LoraSpec, seed: int) -> Trainee:
    """The base with a fresh adapter, initialised from the seed."""
    from models import video_llm

    return video_llm.trainee(spec, lora, seed)
