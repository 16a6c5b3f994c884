"""The functions of models/base.py's Family for the video models of transformers' AutoModelForImageTextToText, as a module.

There is no file and no line for a model: what differs between models is asked of their own configuration and processor.
"""

import hashlib
from pathlib import Path
from typing import Any

from models.base import Device, FinetuneSpec, FrameSpec, ModelSize, ModelSpec, TokenCounter, Trainee, VideoLLM
from models.folders import digest_of, fetch, new_folder
from models.native import published
from models.native import shrink as shrinking

PUBLISHED = published.PUBLISHED


def serves(kind: str) -> bool:
    """Whether transformers has a model of this model_type that is asked about pictures and videos in text."""
    from transformers.models.auto.modeling_auto import MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES
    from transformers.models.auto.video_processing_auto import VIDEO_PROCESSOR_MAPPING_NAMES

    return kind in MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES and kind in VIDEO_PROCESSOR_MAPPING_NAMES


def check(spec: ModelSpec) -> None:
    from models.native import loading

    loading.processor_of(spec)
    loading.load_base(spec, "meta")


def check_finetune(spec: ModelSpec, finetune: FinetuneSpec) -> None:
    from models.native import trainee as training

    with shrinking.small_files(spec) as local_spec:
        training.check(local_spec, finetune)


def size(spec: ModelSpec, finetune: FinetuneSpec) -> ModelSize:
    from models.native import size as sizes

    with shrinking.small_files(spec) as local_spec:
        return sizes.size_of(local_spec, finetune)


def frame_spec(spec: ModelSpec) -> FrameSpec:
    from models.native import loading

    return loading.processor_of(spec).frames


def version(spec: ModelSpec) -> str:
    """Sixteen hex digits that name the weights and how they are used: all bytes of base and adapter, alpha, frames."""
    folders = [digest_of(fetch(uri)) if uri else "" for uri in (spec.base, spec.adapter)]
    return hashlib.sha256(f"{folders} {spec.alpha} {spec.num_frames}".encode()).hexdigest()[:16]


def token_counter(spec: ModelSpec) -> TokenCounter:
    from models.native import loading
    from models.native import size as sizes

    processor = loading.processor_of(spec)
    return sizes.SampleCounter(processor, processor.context_tokens)


def load(spec: ModelSpec, device: Device) -> VideoLLM:
    from models.attention import share_keys
    from models.devices import refuse_missing_gpu
    from models.native import loading, video_llm

    refuse_missing_gpu(device)
    processor = loading.processor_of(spec)
    model = loading.load(spec, device.dtype).to(device.kind).eval().requires_grad_(False)
    share_keys(model)
    end_ids = loading.end_ids_of(fetch(spec.base), processor)
    model.generation_config = type(model.generation_config)()  # no penalties, no sampling: the configuration of a run decides these
    return video_llm.NativeVideoLLM(model, processor, version(spec), processor.frames, processor.context_tokens, end_ids)


def trainee(spec: ModelSpec, finetune: FinetuneSpec, seed: int, device: Device, read_weights: bool = True) -> Trainee:
    from models.native import trainee as training

    return training.trainee(spec, finetune, seed, device, read_weights)


def export(spec: ModelSpec, out: Path, report: Any) -> None:
    """Merge the spec's adapter, at its alpha, and write the model's own layout. Raises ValueError."""
    from models.native import loading
    from models.native import trainee as training

    model = loading.load_merged(spec, "auto")
    with new_folder(out) as unfinished:
        training.write_checkpoint(model, spec, unfinished)
    report(f"a {loading.config_of(spec).model_type} for AutoModelForImageTextToText")


def shrink(spec: ModelSpec, folder: Path, seed: int) -> ModelSpec:
    return shrinking.shrink(spec, folder, seed)
