"""How large a model of transformers is, by its config.json and its processor; nothing of its weights is read."""

import math
import re
from collections.abc import Container, Sequence
from dataclasses import dataclass
from typing import Any

from models.base import FinetuneSpec, KeepAspect, ModelSize, ModelSpec, PerSecond, Sample
from models.frames import noise, smallest_shape
from models.native.loading import empty_model, processor_of
from models.native.processing import NativeProcessor
from models.parts import parts_of


def size_of(spec: ModelSpec, finetune: FinetuneSpec) -> ModelSize:
    """The size, and what a finetune changes."""
    processor, model = processor_of(spec), empty_model(spec)
    config, parts = model.config, parts_of(model, spec.base_name)
    numbers = {name: parameter.numel() for name, parameter in model.named_parameters()}
    projector = sum(count for name, count in numbers.items() if name.startswith(tuple(f"{p}." for p in parts.projectors)))
    tower = sum(numbers.values()) - projector  # and single parameters beside it
    llm = sum(count for name, count in numbers.items() if parts.is_of_llm(name))
    layers = [module for name, module in model.named_modules() if parts.lora_targets and re.fullmatch(parts.lora_targets, name)]
    lora = finetune.rank * sum(layer.in_features + layer.out_features for layer in layers)
    text, vision = config.get_text_config(), getattr(config, "vision_config", config)
    layer_configs = list(getattr(text, "per_layer_config", None) or [text] * text.num_hidden_layers)  # Gemma 4's heads differ
    video, shot = (worst_tokens(processor, frames) for frames in (None, spec.shot_frames))
    frames = most_frames(processor)
    side = 0 if hasattr(vision, "spatial_merge_size") else _side(getattr(vision, "image_size", 0)) // _side(vision.patch_size)
    return ModelSize(
        tower_params=tower - llm,
        projector_params=projector,
        llm_params=llm,
        lora_params=lora,
        trained_params=(llm if finetune.method == "full" else lora) + (projector if finetune.projector else 0),
        num_layers=text.num_hidden_layers,
        hidden_size=text.hidden_size,
        intermediate_size=max(getattr(layer, "intermediate_size", None) or 4 * text.hidden_size for layer in layer_configs),
        vocab_size=text.vocab_size,
        kv_values_per_token=2 * sum(_kv_size(layer) for layer in layer_configs),
        tower_size=getattr(vision, "hidden_size", 0),
        tower_intermediate_size=getattr(vision, "intermediate_size", None) or 4 * getattr(vision, "hidden_size", 0),
        num_frames=frames,
        patches_per_frame=side * side or math.ceil(4 * video / frames),  # Qwen-VL's mergers make a token of four
        video_tokens=video,
        shot_tokens=shot,
        context_tokens=processor.context_tokens,
    )


def _kv_size(layer: Any) -> int:
    """Keys of one token in a layer, by its configuration."""
    heads = layer.num_attention_heads
    head = getattr(layer, "head_dim", None) or layer.hidden_size // heads
    return int((getattr(layer, "num_key_value_heads", None) or heads) * head)


def _side(size: int | Sequence[int]) -> int:
    """The first of a height and a width, which towers have as one number or as two."""
    return size if isinstance(size, int) else size[0]


def most_frames(processor: NativeProcessor) -> int:
    choose = processor.frames.choose
    return choose.max_frames if isinstance(choose, PerSecond) else choose.num_frames


def worst_tokens(processor: NativeProcessor, num_frames: int | None = None) -> int:
    """Tokens of the largest video that the model may be shown, or of so many frames of it.

    Text and tokens of a frame are measured on two small videos; where patches depend on the picture, the processor's own function
    counts them.
    """
    count = num_frames or most_frames(processor)
    few, height, width = smallest_shape(processor.frames)
    videos, size = processor.processor.video_processor, processor.frames.size
    patches = getattr(videos, "get_num_of_video_patches", None) if isinstance(size, KeepAspect) else None

    def counted(frames: int, side_h: int, side_w: int) -> int:
        return int(patches(frames, side_h, side_w, {})) // videos.merge_size**2 if patches else 0

    measured = [
        len(processor.ids_of(processor.stand_in(noise(frames, height, width)))) - counted(frames, height, width)
        for frames in (few, 2 * few)
    ]
    side = math.isqrt(size.max_pixels // (count if size.of_all_frames else 1)) if isinstance(size, KeepAspect) else 0
    return measured[0] + math.ceil((measured[1] - measured[0]) * (count - few) / few) + counted(count, side, side)


@dataclass(frozen=True)
class SampleCounter:
    """See TokenCounter in models/base.py. Every clip counts as the largest that the model may be shown."""

    processor: NativeProcessor
    context_tokens: int

    def count(self, sample: Sample, pictures: Container[int] = ()) -> int:
        chat = self.processor.sample_chat(sample)
        clips = sum(turn.clip is not None for turn in sample)
        video, shot = worst_tokens(self.processor), worst_tokens(self.processor, self.processor.shot_frames)
        text = len(self.processor.ids_of(chat))
        return text + (max(0, clips - 1) * (shot - 1) + (video - 1) if clips else 0)

    def too_long(self, sample: Sample, pictures: Container[int] = ()) -> str:
        return self.processor.too_long(sample, self.count(sample, pictures))
