"""A PLLaVA or LLaVA checkpoint with a fresh LoRA on it, to be finetuned. Only this file and convert.py import PEFT.

Shapes: N samples, B clips, T frames, S pixels a side, L tokens.
"""

import models.pllava.lean_import  # noqa: F401  # before transformers' own models

# isort: split
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, get_peft_model
from torch import Tensor

from models.base import Device, FinetuneSpec, FrameSpec, ModelSpec, Sample, Video
from models.pllava import loading
from models.pllava.checkpoints import LORA_TARGETS, PROJECTOR
from models.pllava.pictures import IMAGENET_MEAN, IMAGENET_STD
from models.pllava.processing import PllavaProcessor
from models.pllava.samples import View, exchanges_of, ids_of, refuse_long, too_long, views_of
from models.pllava.size import refuse_full
from models.pllava.tensors import stack


def trainee(spec: ModelSpec, finetune: FinetuneSpec, seed: int, device: Device, read_weights: bool = True) -> "PllavaTrainee":
    """See Family.trainee in models/base.py. All floating parameters are of the device's dtype.

    PEFT would keep a bfloat16 model's LoRA in float32 and its copy of the projector in bfloat16; DeepSpeed's ZeRO-3 asserts that
    what is trained has one dtype.
    """
    assert spec.adapter is None, "every finetune starts from the base"
    refuse_full(spec, finetune)
    model, processor = loading.load_base(spec, device.dtype, read_weights)
    if not any(re.fullmatch(LORA_TARGETS, name) for name, _ in model.named_modules()):
        kind = model.config.text_config.model_type
        raise ValueError(f"{spec.base_name}: a LoRA goes on q_proj and v_proj, and its {kind} LLM has none; use another base")
    if finetune.gradient_checkpointing:
        model.gradient_checkpointing_enable({"use_reentrant": False})
    if finetune.augment == "published":
        processor = replace(processor, image_mean=IMAGENET_MEAN, image_std=IMAGENET_STD)
    torch.manual_seed(seed)
    adapter = LoraConfig(
        r=finetune.rank,
        lora_alpha=finetune.alpha,  # type: ignore[arg-type]  # peft takes any number
        lora_dropout=finetune.dropout,
        target_modules=LORA_TARGETS,
        modules_to_save=[PROJECTOR] if finetune.projector else None,
        base_model_name_or_path=spec.base_name,
    )
    frames = replace(processor.frame_spec, augment=finetune.augment == "published")
    return PllavaTrainee(get_peft_model(model, adapter, autocast_adapter_dtype=False), processor, spec.base_name, frames)


@dataclass(frozen=True)
class PllavaTrainee:
    module: Any
    processor: PllavaProcessor
    base_name: str
    frames: FrameSpec

    @property
    def context_tokens(self) -> int:
        return int(self.module.config.text_config.max_position_embeddings)

    def batch(self, videos: Sequence[Video], samples: Sequence[Sample]) -> dict[str, Any]:
        """Right-padded input_ids, attention_mask, labels int64[N,L]; pixel_values_videos in the model's dtype; views.

        For a clip that is only a shot, the tower is given only the frames that a shot shows; for a picture, one. A batch that shows
        nothing has one black frame and no view of it: the module runs it and gives it no weight.
        """
        processor, pictures, encoded, views = self.processor, _pictures(videos), [], list[View]()
        for sample in samples:
            own = views_of(processor, sample, pictures)
            encoded.append(processor.training_ids(exchanges_of(sample), [shape for _, _, shape in own]))
            refuse_long(processor, sample, len(encoded[-1][0]), self.context_tokens)
            views += own
        return processor.training_batch(encoded) | self._shown(videos, views)

    def _shown(self, videos: Sequence[Video], views: Sequence[View]) -> dict[str, Any]:
        """pixel_values_videos: each clip once, those first that are shown with all frames; and the views of them."""
        chosen_by_clip: dict[int, set[tuple[int, ...] | None]] = {}
        for clip, chosen, _ in views:
            chosen_by_clip.setdefault(clip, set()).add(chosen)
        # of a clip that is always shown with the same few frames, the others are left out
        few = {clip: next(iter(ways)) for clip, ways in chosen_by_clip.items() if len(ways) == 1}
        clips = sorted(chosen_by_clip, key=lambda clip: (few.get(clip) is not None, clip))
        row_of = {clip: row for row, clip in enumerate(clips)}
        local_views = [(row_of[clip], None if clip in few else chosen, shape) for clip, chosen, shape in views]
        if not clips:
            side = self.processor.image_size
            return {"pixel_values_videos": torch.zeros(1, 1, 3, side, side, dtype=self.module.dtype), "views": local_views}
        pixels = self.processor.pixels(stack(self.processor, [videos[clip] for clip in clips])).to(self.module.dtype)
        if any(few.values()):
            shown = [
                own if (chosen := few.get(clip)) is None else own[list(chosen)] for clip, own in zip(clips, pixels, strict=True)
            ]
            return {"pixel_values_videos": shown, "views": local_views}
        return {"pixel_values_videos": pixels, "views": local_views}

    def too_long(self, videos: Sequence[Video], sample: Sample) -> str:
        tokens = len(ids_of(self.processor, sample, _pictures(videos)))
        return too_long(self.processor, sample, tokens, self.context_tokens)

    def save(self, folder: Path, state: dict[str, Tensor]) -> None:
        """Write the adapter and the projector as PEFT's files."""
        self.module.peft_config["default"].base_model_name_or_path = self.base_name
        self.module.save_pretrained(folder, state_dict=state, safe_serialization=True)
        (folder / "README.md").unlink(missing_ok=True)  # PEFT's model card template says nothing about this model


def _pictures(videos: Sequence[Video]) -> frozenset[int]:
    return frozenset(number for number, video in enumerate(videos) if video.is_picture)
