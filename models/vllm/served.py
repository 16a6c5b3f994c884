"""What vLLM has to be told of a family's checkpoints: the folder that it opens, the weights, prompts, and how answers are read."""

import hashlib
import importlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, cast

import numpy as np
from numpy.typing import NDArray

from models.base import FrameSpec, ModelSpec, Reply, Sample, Sampling, Video
from models.passages import Tokens
from models.registry import family

if TYPE_CHECKING:
    from torch import Tensor

SERVING = {"models.pllava.family": "models.vllm.pllava", "models.native.family": "models.vllm.native"}
"""The module that serves a family -> the module here that tells vLLM about it; it has serve(spec) -> Served."""


@dataclass(frozen=True, slots=True)
class Shown:
    """A video as one place of a prompt shows it: Shown(frames, {"pooled": (4, 6, 6)}, "9f2c...")."""

    frames: NDArray[np.uint8]
    """uint8[T,H,W,3]: those that are shown."""
    metadata: Mapping[str, Any]
    """What the family's processor in vLLM needs beside the frames."""
    uuid: str
    """The same for the same frames shown in the same way: vLLM encodes them once."""


@dataclass(frozen=True, slots=True)
class Prompt:
    """A prompt as vLLM takes it: Prompt([1, 32001, 16644, ...], [Shown(...)], num_tokens=2360)."""

    token_ids: list[int]
    """With one video token for each video."""
    shown: list[Shown] = field(default_factory=list)
    """In the order of the prompt."""
    num_tokens: int = 0
    """Of the whole prompt, when each video token has become as many as the video takes."""


@dataclass(frozen=True)
class Watchable:
    """A video with its fingerprint, which is computed once for all questions: two clips of the same frames and times are one."""

    video: Video

    @cached_property
    def fingerprint(self) -> str:
        """Of the frames, their shape, and the seconds at which they are shown, which some models write into the prompt."""
        frames = self.video.frames
        total = hashlib.sha256(repr((frames.shape, self.video.times_s)).encode())
        total.update(np.ascontiguousarray(frames).data)
        return total.hexdigest()


class Served(Protocol):
    """One checkpoint, at one spec. What reads small files only imports neither torch nor vLLM."""

    @property
    def name(self) -> str:
        """The checkpoint as the user named it."""
        ...

    @property
    def frames(self) -> FrameSpec: ...

    @property
    def architectures(self) -> list[str]:
        """Model classes of vLLM's own that it needs."""
        ...

    @property
    def heads(self) -> Mapping[str, int]:
        """Attention heads by part, {"LLM": 32, "tower": 16}: as many GPUs share them evenly."""
        ...

    @property
    def digest(self) -> str:
        """Of the weights and how they are used, as the built-in engine has it."""
        ...

    @property
    def context_tokens(self) -> int:
        """Of the model; vLLM may be given less."""
        ...

    @property
    def max_video_tokens(self) -> int:
        """Tokens of the longest video that a question shows."""
        ...

    @property
    def end_ids(self) -> frozenset[int]:
        """Token ids that end an answer."""
        ...

    def folder(self) -> Path:
        """The folder that vLLM opens: config.json with an architecture that it knows, and the tokenizer."""
        ...

    def weights(self, dtype: str) -> "Iterator[tuple[str, Tensor]]":
        """All weights, merged with the adapters, on the CPU; under names that vLLM's model knows.

        `dtype`: of the engine, "bfloat16". What an adapter adds is rounded to it once, by models/lora.py.
        """
        ...

    def prompt(self, sample: Sample, videos: Sequence[Watchable]) -> Prompt:
        """The prompt whose answer is the sample's last. Raises ValueError for a chat that cannot be written."""
        ...

    def passage(self, question: str, text: str, video: Watchable) -> tuple[Prompt, Tokens]:
        """A prompt that ends with a text as its answer, and the text's tokens, which are its last ones."""
        ...

    def reply(self, ids: Sequence[int], sampling: Sampling) -> Reply:
        """An answer of these token ids, without the one that ends it."""
        ...


def serving(spec: ModelSpec) -> Served:
    """Raises ValueError for a checkpoint that vLLM is not told about here."""
    module = family(spec).__name__  # type: ignore[attr-defined]  # a family is a module
    if module not in SERVING:
        raise ValueError(f"generate.engine = 'vllm' does not serve {spec.base_name}; use generate.engine = 'builtin'")
    return cast(Served, importlib.import_module(SERVING[module]).serve(spec))
