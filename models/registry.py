"""Which module serves a checkpoint: a folder under models/ and a line here is all that another kind of model needs.

A module is imported when a checkpoint of its kind is asked for, so that whoever reads a config.json does not import torch.
"""

import importlib
from collections.abc import Iterable, Iterator
from types import ModuleType
from typing import Any

from models.base import FrameSpec, LoraSpec, ModelSize, ModelSpec, Sample, Trainee, VideoLLM

FAMILIES = {
    "pllava": "models.pllava.family",
    "llava": "models.pllava.family",
    "llava_next": "models.pllava.family",
}
"""model_type of config.json -> the module that serves such checkpoints."""


def family(spec: ModelSpec) -> ModuleType:
    """The module that serves a checkpoint. Raises ValueError where there is none."""
    from models.folders import model_type

    kind = model_type(spec.base)
    if kind not in FAMILIES:
        raise ValueError(f"{spec.base} is a {kind!r} checkpoint; PLLaVA, LLaVA-1.5 and LLaVA-NeXT ones are read")
    return importlib.import_module(FAMILIES[kind])


def load(spec: ModelSpec) -> VideoLLM:
    """Raises ValueError for a checkpoint that is not there or lacks a weight."""
    loaded: VideoLLM = family(spec).load(spec)
    return loaded


def frame_spec(spec: ModelSpec) -> FrameSpec:
    """What the model wants to watch, without loading its weights."""
    frames: FrameSpec = family(spec).frame_spec(spec)
    return frames


def check(spec: ModelSpec) -> None:
    """Raises ValueError naming what is wrong with the checkpoint's files; of weights it reads the headers only."""
    family(spec).check(spec)


def size(spec: ModelSpec, lora_rank: int) -> ModelSize:
    """How large the model is, of its config.json alone."""
    counted: ModelSize = family(spec).size(spec, lora_rank)
    return counted


def sample_tokens(spec: ModelSpec, samples: Iterable[Sample]) -> Iterator[int]:
    """How many tokens of the model's context each sample takes, by its tokenizer and shapes: no weights are read."""
    counts: Iterator[int] = family(spec).sample_tokens(spec, samples)
    return counts


def trainee(spec: ModelSpec, lora: LoraSpec, seed: int, partition: dict[str, Any] | None = None) -> Trainee:
    """The base with a fresh adapter, initialised from the seed; partitioned as it is built, given a ZeRO-3 configuration."""
    made: Trainee = family(spec).trainee(spec, lora, seed, partition)
    return made
