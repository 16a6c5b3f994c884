"""What the engine asks of a model. Another backend serves the loop by implementing VideoLLM; another trainer, Trainee.

Shapes: B clips, T frames, S pixels a side, N samples.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

ENCODE_CLIPS = 8
"""Clips that go through tower and prefill at once: bounds their activations, whatever the piece's size."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSpec:
    """Which weights: a base and, after a finetune, the adapter on it.

    ModelSpec(base="tiny"), ModelSpec(base="llava-hf/llava-v1.6-vicuna-7b-hf", adapter="runs/a/cycle-000/train/model")
    """

    base: str
    """"tiny" for the shipped one, a folder, or a hub id; a URI has to be fetched first (engine/store/weights.py)."""
    adapter: str | None = None
    """Folder of a PEFT adapter; a URI has to be fetched first."""
    alpha: float | None = None
    """LoRA alpha to merge with: of the adapter, or where there is none of the LoRA in a released PLLaVA. None: as trained."""
    num_frames: int | None = None
    """None: what the checkpoint says, or 16 for an image model."""
    pooling_shape: tuple[int, int, int] | None = None
    """(T', H', W') of a video's tokens. None: what the checkpoint says, or half the patches a side for an image model."""
    shot_frames: int | None = None
    """Of the clips before the last one of a sample: evenly chosen among num_frames. None: all of them."""
    shot_shape: tuple[int, int, int] | None = None
    """(T', H', W') of such a clip's tokens. None: half the pooling shape in each dimension."""


@dataclass(frozen=True, slots=True)
class Turn:
    """A clip, what is asked about it and what is said: Turn(3, "What happens?", "The dax zups.")."""

    clip: int
    """Row of the frames that come with the samples."""
    prompt: str
    answer: str
    """"" at the end of a sample that is to be answered."""


LossOn = Literal["query", "all"]
"""Which answers of a sample a finetune learns: the last, or those of the shots too."""
Sample = Sequence[Turn]
"""Shots, and at the end the query. A sample of one turn is a plain question."""


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
    gradient_checkpointing: bool = False
    """Keep only what enters each layer, and compute the layer again for the backward pass."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSize:
    """What a model's memory follows from. Parameters are counted one by one: ModelSize(llm_params=6_738_939_904, ...)."""

    tower_params: int
    projector_params: int
    llm_params: int
    lora_params: int
    """Of the LoRA that the size was asked for with."""
    num_layers: int
    hidden_size: int
    intermediate_size: int
    vocab_size: int
    kv_values_per_token: int
    """Keys and values of one token in all layers."""
    tower_size: int
    tower_intermediate_size: int
    num_frames: int
    patches_per_frame: int
    video_tokens: int
    """Of one video, after pooling."""
    shot_tokens: int
    """Of one that is a shot."""
    context_tokens: int

    @property
    def params(self) -> int:
        return self.tower_params + self.projector_params + self.llm_params

    @property
    def trainable_params(self) -> int:
        """The LoRA, and the projector in full."""
        return self.lora_params + self.projector_params


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

    @property
    def context_tokens(self) -> int:
        """Tokens that prompt and answer may have together."""
        ...

    def prompt_token_ids(self, question: str) -> list[int]:
        """What the model reads for a question, the video's placeholders included."""
        ...

    def converse(
        self, frames: NDArray[np.uint8], samples: Sequence[Sample], seeds: Sequence[int], sampling: Sampling
    ) -> list[Reply]:
        """Answer the last turn of each sample. frames uint8[B,T,S,S,3]: each clip is encoded once, however many samples show it.

        Raises ValueError where a sample and its answer are longer than the model's context.
        """
        ...


class Trainee(Protocol):
    """A model with an adapter on it, to be finetuned."""

    @property
    def frames(self) -> FrameSpec: ...

    @property
    def module(self) -> Any:
        """torch.nn.Module; module(**batch) gives .logits[B,L,V] for batch(...)."""
        ...

    def batch(self, frames: NDArray[np.uint8], samples: Sequence[Sample], loss_on: LossOn = "query") -> dict[str, Any]:
        """What module(**...) takes, and "labels" int64[N,L], -100 except on the last answers, or on all. frames uint8[B,T,S,S,3].

        Each clip is encoded once, however many samples show it. Raises ValueError where a sample is longer than the context.
        """
        ...

    def save(self, folder: Path, state: dict[str, Any]) -> None:
        """Write the adapter, given the trained parameters by name, as safetensors."""
        ...
