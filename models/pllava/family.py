"""The functions of models/base.py's Family for PLLaVA and LLaVA checkpoints, as a module.

Those that read small files only import neither torch nor transformers; PEFT is imported only where a model is finetuned.
"""

from collections.abc import Callable
from pathlib import Path

from models.base import Device, FinetuneSpec, FrameSpec, ModelSize, ModelSpec, TokenCounter, Trainee, VideoLLM
from models.folders import fetch
from models.pllava import checkpoints
from models.pllava import shrink as shrinking
from models.pllava.architecture import check_config, read_architecture
from models.pllava.published import CONFIGS
from models.pllava.samples import SampleCounter
from models.pllava.size import size_of

PUBLISHED = {name: str(config["model_type"]) for name, config in CONFIGS.items()}


def check(spec: ModelSpec) -> None:
    checkpoints.open_checkpoint(spec)


def size(spec: ModelSpec, finetune: FinetuneSpec) -> ModelSize:
    return size_of(read_architecture(fetch(spec.base, ("*.json",))), spec, finetune)


def published_size(spec: ModelSpec, finetune: FinetuneSpec) -> ModelSize:
    """As size, for a hub id of PUBLISHED, without the hub."""
    return size_of(check_config(Path(spec.base) / "config.json", CONFIGS[spec.base]), spec, finetune)


def frame_spec(spec: ModelSpec) -> FrameSpec:
    return checkpoints.frame_spec(spec)


def version(spec: ModelSpec) -> str:
    return checkpoints.version(spec)


def token_counter(spec: ModelSpec) -> TokenCounter:
    architecture, processor = checkpoints.describe(spec)
    return SampleCounter(processor, architecture.text["max_position_embeddings"])


def load(spec: ModelSpec, device: Device) -> VideoLLM:
    from models.pllava import video_llm

    return video_llm.load(spec, device)


def trainee(spec: ModelSpec, finetune: FinetuneSpec, seed: int, device: Device, read_weights: bool = True) -> Trainee:
    from models.pllava import trainee as training

    return training.trainee(spec, finetune, seed, device, read_weights)


def export(spec: ModelSpec, out: Path, report: Callable[[str], None]) -> None:
    from models.pllava import convert

    convert.export(spec, out, report)


def shrink(spec: ModelSpec, folder: Path, seed: int) -> ModelSpec:
    return shrinking.shrink(spec, folder, seed)
