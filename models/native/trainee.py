"""A model of transformers to be finetuned: a LoRA on its decoder, or all of the decoder; the projector in full or not.

Shapes: N samples, L tokens.
"""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, get_peft_model
from torch import Tensor

from models.base import Device, FinetuneSpec, FrameSpec, ModelSpec, Sample, Turn, Video
from models.folders import FINETUNED, SMALL_FILES, fetch
from models.frames import noise, smallest_shape
from models.native.layout import rename_saved, tower_kind
from models.native.loading import empty_model, load_base, processor_of
from models.native.processing import NativeProcessor
from models.parts import Parts, lost_inputs, parts_of

UNSEEN = [Turn(0, "?", ".", learned=False)]
"""Shown with a video in a batch that shows nothing: the ranks have to run the same layers, the tower's too."""


def check(spec: ModelSpec, finetune: FinetuneSpec) -> None:
    """Raises ValueError for a finetune that the model cannot have. No weights are read, and nothing is computed."""
    if finetune.augment == "published":
        raise ValueError(
            f"{spec.base_name}: train.augment = 'published' is for PLLaVA and LLaVA, whose frames have one size; leave it out"
        )
    processor, model = processor_of(spec), empty_model(spec)
    changed_parts(model, spec, finetune)
    shown = [[noise(*smallest_shape(processor.frames))]]
    if lost := lost_inputs(model, processor.inputs([processor.sample_chat(UNSEEN)], shown)):
        raise ValueError(
            f"{spec.base_name} answers, but cannot be trained on videos: the forward of transformers' {type(model).__name__} does "
            f"not hand on {', '.join(lost)}; choose another model.base (docs/models.md), or only evaluate it"
        )


def changed_parts(model: Any, spec: ModelSpec, finetune: FinetuneSpec) -> Parts:
    """The model's parts. Raises ValueError where it has none of those that the finetune changes."""
    parts = parts_of(model, spec.base_name)
    if finetune.projector and not parts.projectors:
        raise ValueError(f"{spec.base_name}: no projector is found in it; set train.projector = false")
    if finetune.method == "lora" and not parts.lora_targets:
        raise ValueError(f"{spec.base_name}: its decoder has no q_proj and v_proj for a LoRA; set train.method = 'full'")
    return parts


def trainee(spec: ModelSpec, finetune: FinetuneSpec, seed: int, device: Device, read_weights: bool = True) -> "NativeTrainee":
    """See Family.trainee in models/base.py. All floating parameters are of the device's dtype."""
    assert spec.adapter is None, "every finetune starts from the base"
    processor, model = processor_of(spec), load_base(spec, device.dtype)
    parts = changed_parts(model, spec, finetune)
    if finetune.gradient_checkpointing:
        model.gradient_checkpointing_enable({"use_reentrant": False})
    torch.manual_seed(seed)
    if finetune.method == "full":
        for name, parameter in model.named_parameters():
            parameter.requires_grad_(parts.is_of_llm(name) or (finetune.projector and parts.is_of_projector(name)))
        return NativeTrainee(model, processor, processor.frames, spec, device)
    adapter = LoraConfig(
        r=finetune.rank,
        lora_alpha=finetune.alpha,  # type: ignore[arg-type]  # peft takes any number
        lora_dropout=finetune.dropout,
        target_modules=parts.lora_targets,
        modules_to_save=list(parts.projectors) if finetune.projector else None,
        base_model_name_or_path=spec.base_name,
    )
    return NativeTrainee(get_peft_model(model, adapter, autocast_adapter_dtype=False), processor, processor.frames, spec, device)


@dataclass(frozen=True)
class NativeTrainee:
    """See Trainee in models/base.py."""

    module: Any
    processor: NativeProcessor
    frames: FrameSpec
    spec: ModelSpec
    device: Device

    def batch(self, videos: Sequence[Video], samples: Sequence[Sample]) -> dict[str, Any]:
        """What the processor gives for the samples, padded on the right, and labels int64[N,L].

        A clip is encoded for each sample that shows it. A batch that shows nothing has one more row, with a video and no label.
        """
        processor, rows = self.processor, [list(sample) for sample in samples]
        shown = [processor.shown(sample, videos) for sample in samples]
        if not any(shown):
            rows, shown = [*rows, UNSEEN], [*shown, [noise(*smallest_shape(self.frames))]]
        chats = [processor.sample_chat(sample) for sample in rows]
        inputs = processor.inputs(chats, shown, side="right")
        labels = torch.full_like(inputs["input_ids"], -100)
        for row, (sample, own) in enumerate(zip(rows, shown, strict=True)):
            row_labels = processor.labels(sample, [processor.stand_in(video) for video in own])
            if reason := processor.too_long(sample, len(row_labels)):
                raise ValueError(reason)
            labels[row, : len(row_labels)] = torch.tensor(row_labels)
        dtype = getattr(torch, self.device.dtype)
        inputs = {name: value.to(dtype) if name.startswith("pixel_values") else value for name, value in inputs.items()}
        return inputs | {"labels": labels}

    def too_long(self, videos: Sequence[Video], sample: Sample) -> str:
        tokens = len(self.processor.chat_ids(self.processor.sample_chat(sample), self.processor.shown(sample, videos)))
        return self.processor.too_long(sample, tokens)

    def save(self, folder: Path, state: dict[str, Tensor]) -> None:
        """PEFT's files, or all files of a checkpoint: what was not trained is read from the base."""
        if hasattr(self.module, "peft_config"):
            self.module.peft_config["default"].base_model_name_or_path = self.spec.base_name
            self.module.save_pretrained(folder, state_dict=state, safe_serialization=True)
            (folder / "README.md").unlink(missing_ok=True)  # PEFT's model card template says nothing about this model
            return
        model = load_base(self.spec, self.device.dtype)
        parameters = dict(model.named_parameters())
        for name, value in state.items():
            parameters[name].data.copy_(value)
        write_checkpoint(model, self.spec, folder)
        (folder / FINETUNED).write_text(f'{{"base": "{self.spec.base_name}"}}\n')


def write_checkpoint(model: Any, spec: ModelSpec, folder: Path) -> None:
    """A checkpoint in the model's own layout: its weights under the hub's names, and the base's files for chat and pictures."""
    folder.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(folder)
    rename_saved(folder, tower_kind(model.config))
    own = {path.name for path in folder.iterdir()} - {"generation_config.json"}
    for path in (path for pattern in SMALL_FILES for path in fetch(spec.base, SMALL_FILES).glob(pattern)):
        if path.name not in own and not path.name.endswith("index.json"):
            shutil.copy(path, folder)
