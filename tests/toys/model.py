"""A kind of checkpoint: a folder whose config.json says {"model_type": "toy"}; the toy engine answers for it."""

from models.base import (
    Device,
    Evenly,
    FinetuneSpec,
    FrameSpec,
    ModelSize,
    ModelSpec,
    Square,
    TokenCounter,
    Trainee,
    VideoLLM,
)
from toys.engine import Engine


def check(spec: ModelSpec) -> None: ...


def size(spec: ModelSpec, finetune: FinetuneSpec) -> ModelSize:
    raise NotImplementedError


def frame_spec(spec: ModelSpec) -> FrameSpec:
    return FrameSpec(choose=Evenly(2), size=Square(8))


def token_counter(spec: ModelSpec) -> TokenCounter:
    raise NotImplementedError


def load(spec: ModelSpec, device: Device) -> VideoLLM:
    return Engine()


def trainee(spec: ModelSpec, finetune: FinetuneSpec, seed: int, device: Device, read_weights: bool = True) -> Trainee:
    raise NotImplementedError
