"""A kind of checkpoint: a folder whose config.json says {"model_type": "toy"}; the toy engine answers for it."""

from collections.abc import Container, Iterable, Iterator

from models.base import (
    Device,
    Evenly,
    FrameSpec,
    LoraSpec,
    ModelSize,
    ModelSpec,
    Sample,
    Square,
    Trainee,
    VideoLLM,
)
from toys.engine import Engine


def check(spec: ModelSpec) -> None: ...


def size(spec: ModelSpec, lora_rank: int) -> ModelSize:
    raise NotImplementedError


def frame_spec(spec: ModelSpec) -> FrameSpec:
    return FrameSpec(choose=Evenly(2), size=Square(8))


def sample_tokens(spec: ModelSpec, samples: Iterable[Sample], pictures: Container[int] = ()) -> Iterator[int]:
    yield from (len(sample) for sample in samples)


def load(spec: ModelSpec, device: Device) -> VideoLLM:
    return Engine()


def trainee(spec: ModelSpec, lora: LoraSpec, seed: int, device: Device, read_weights: bool = True) -> Trainee:
    raise NotImplementedError
