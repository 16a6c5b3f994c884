"""A PLLaVA or LLaVA checkpoint with a fresh LoRA on it, to be finetuned. Only this file and convert.py import PEFT.

Shapes: N samples, B clips, T frames, S pixels a side, L tokens.
"""

import models.pllava.lean_import  # noqa: F401  # before transformers' own models

# isort: split
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, get_peft_model
from torch import Tensor

from models.base import Device, Evenly, FrameSpec, LoraSpec, LossOn, ModelSpec, Sample, Square, Video
from models.pllava import loading
from models.pllava.checkpoints import LORA_TARGETS, PROJECTOR
from models.pllava.processing import PllavaProcessor
from models.pllava.samples import exchanges_of, refuse_long, views_of
from models.pllava.tensors import stack


def trainee(spec: ModelSpec, lora: LoraSpec, seed: int, device: Device, read_weights: bool = True) -> "PllavaTrainee":
    """See Family.trainee in models/base.py. All floating parameters are of the device's dtype.

    PEFT would keep a bfloat16 model's LoRA in float32 and its copy of the projector in bfloat16; DeepSpeed's ZeRO-3 asserts that
    what is trained has one dtype.
    """
    assert spec.adapter is None, "every finetune starts from the base"
    model, processor = loading.load_base(spec, device.dtype, read_weights)
    if not any(re.fullmatch(LORA_TARGETS, name) for name, _ in model.named_modules()):
        kind = model.config.text_config.model_type
        raise ValueError(f"{spec.base}: a LoRA goes on q_proj and v_proj, and its {kind} LLM has none; use another base")
    if lora.gradient_checkpointing:
        model.gradient_checkpointing_enable({"use_reentrant": False})
    torch.manual_seed(seed)
    adapter = LoraConfig(
        r=lora.rank,
        lora_alpha=lora.alpha,  # type: ignore[arg-type]  # peft takes any number
        lora_dropout=lora.dropout,
        target_modules=LORA_TARGETS,
        modules_to_save=[PROJECTOR],
        base_model_name_or_path=spec.base,
    )
    return PllavaTrainee(get_peft_model(model, adapter, autocast_adapter_dtype=False), processor, spec.base)


@dataclass(frozen=True)
class PllavaTrainee:
    module: Any
    processor: PllavaProcessor
    base: str

    @property
    def frames(self) -> FrameSpec:
        return FrameSpec(choose=Evenly(self.processor.num_frames), size=Square(self.processor.image_size))

    def batch(self, videos: Sequence[Video], samples: Sequence[Sample], loss_on: LossOn = "query") -> dict[str, Any]:
        """Right-padded input_ids, attention_mask, labels int64[N,L]; pixel_values_videos in the model's dtype; views.

        For a clip that is only a shot, the tower is given only the frames that a shot shows.
        """
        processor, encoded = self.processor, []
        for sample in samples:
            *shots, query = exchanges_of(sample)
            encoded.append(processor.training_ids(query[0], query[1] or "", shots, loss_on))
            refuse_long(processor, sample, len(encoded[-1][0]), self.module.config.text_config.max_position_embeddings)
        queries = sorted({sample[-1].clip for sample in samples})
        clips = [*queries, *sorted({turn.clip for sample in samples for turn in sample} - {*queries})]
        row_of = {clip: row for row, clip in enumerate(clips)}
        pixels = processor.pixels(stack(processor, [videos[clip] for clip in clips])).to(self.module.dtype)
        shot_frames = processor.shot_frame_numbers()
        shots_are_whole = len(shot_frames) == processor.num_frames
        views = [
            (row_of[clip], None if clip not in {*queries} or shots_are_whole else chosen, shape)
            for sample in samples
            for clip, chosen, shape in views_of(processor, sample)
        ]
        one_length = shots_are_whole or len(queries) == len(clips)
        shown = pixels if one_length else [*pixels[: len(queries)], *pixels[len(queries) :, shot_frames]]
        return processor.training_batch(encoded) | {"pixel_values_videos": shown, "views": views}

    def save(self, folder: Path, state: dict[str, Tensor]) -> None:
        """Write the adapter and the projector as PEFT's files."""
        self.module.peft_config["default"].base_model_name_or_path = self.base
        self.module.save_pretrained(folder, state_dict=state, safe_serialization=True)
        (folder / "README.md").unlink(missing_ok=True)  # PEFT's model card template says nothing about this model
