"""A checkpoint of transformers: what serves it, its weights merged with an adapter, and which of its modules are which."""

import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from transformers import AutoConfig, AutoModelForImageTextToText, GenerationConfig, PreTrainedConfig

from models.base import ChatSpec, ModelSpec
from models.folders import SMALL_FILES, fetch, read_json
from models.native.processing import NativeProcessor, open_processor

WHOLE = "finetuned_from.json"
"""A file beside a whole model that a finetune wrote; a folder without it and with adapter_config.json is a PEFT adapter."""
QUERY_VALUE = (r"q_proj|v_proj", r"qkv_proj|wqkv|att_proj|query_key_value|qkv")
"""Names of the linear layers of the decoder that a LoRA goes on, those first that a decoder is likely to have."""


def config_of(spec: ModelSpec) -> PreTrainedConfig:
    folder = fetch(spec.base, SMALL_FILES)
    try:
        return AutoConfig.from_pretrained(folder)
    except Exception as error:  # whatever transformers raises for a value that it does not expect
        reason = " ".join(str(error).split())[:200]
        raise ValueError(f"{folder}: config.json makes no model: {type(error).__name__}: {reason}") from None


def processor_of(spec: ModelSpec) -> NativeProcessor:
    """Raises ValueError for what the checkpoint's processor lacks, and for a pool, which only PLLaVA has."""
    if spec.chat != ChatSpec() or spec.choose != "moments":
        raise ValueError(
            f"{spec.base_name} is no PLLaVA; leave out model.chat, model.frames, and a prompt set's system, opening, answer_start"
        )
    if spec.pooling_shape or spec.shot_shape:
        raise ValueError(
            f"{spec.base_name} has no pool: model.pooling_shape and episodes.pooling_shape are PLLaVA's; take them out"
        )
    return open_processor(spec, int(config_of(spec).get_text_config().max_position_embeddings))


def load_base(spec: ModelSpec, dtype: str) -> Any:
    """The base on the CPU, or on the meta device for the dtype "meta". Raises ValueError naming weights that do not fit."""
    folder = fetch(spec.base)
    where = {"device_map": "meta"} if dtype == "meta" else {"dtype": dtype}
    try:
        model, report = AutoModelForImageTextToText.from_pretrained(
            folder, config=config_of(spec), use_safetensors=True, output_loading_info=True, ignore_mismatched_sizes=True, **where
        )
    except (OSError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise ValueError(f"{spec.base_name} cannot be loaded: {reason}") from None
    for kind, verb in (("missing_keys", "lacks"), ("mismatched_keys", "has in another shape")):
        if names := sorted(name if isinstance(name, str) else name[0] for name in report[kind]):
            raise ValueError(f"{folder} {verb} {', '.join(names[:3])} ({len(names)} weights); is config.json of the same model?")
    for name, module in list(model.named_modules()) if dtype != "meta" else ():
        if "inv_freq" in module._buffers and hasattr(module, "config"):  # ZeRO-3 builds it in bfloat16, which is too coarse
            model.set_submodule(name, type(module)(module.config))
    return model


def load_merged(spec: ModelSpec, dtype: str) -> Any:
    """The model with the spec's adapter merged at its alpha, or the whole model that a finetune wrote; on the CPU."""
    if spec.adapter is None:
        return load_base(spec, dtype)
    folder = fetch(spec.adapter)
    if (folder / WHOLE).is_file():
        if spec.alpha is not None:
            raise ValueError(f"{spec.adapter_name} is a whole model without a LoRA; take lora_alpha out")
        return load_base(ModelSpec(base=str(folder), base_uri=spec.adapter_uri), dtype)
    from peft import LoraConfig, PeftModel

    from models.pllava.adapters import refuse_other_kinds  # what an adapter of PLLaVA may not be, another one may not be either

    refuse_other_kinds(folder / "adapter_config.json", read_json(folder / "adapter_config.json"))
    settings = LoraConfig.from_pretrained(str(folder))
    settings.lora_alpha = settings.lora_alpha if spec.alpha is None else spec.alpha
    model = load_base(spec, dtype)
    try:
        _refuse_another_base(model, folder)
        merged = PeftModel.from_pretrained(model, str(folder), config=settings).merge_and_unload(safe_merge=True)
    except (OSError, RuntimeError, SafetensorError, ValueError) as error:
        raise ValueError(f"{spec.adapter_name} does not fit {spec.base_name}: {' '.join(str(error).split())[:200]}") from None
    return merged


def _refuse_another_base(model: Any, adapter: Path) -> None:
    """Raises ValueError for a module that the adapter changes and the model does not have; PEFT would pass over it."""
    modules = {name for name, _ in model.named_modules()}
    with safe_open(adapter / "adapter_model.safetensors", framework="pt") as file:
        for key in file.keys():  # noqa: SIM118  # no dictionary
            module = re.sub(r"(\.lora_[AB])?\.(weight|bias)$", "", key.removeprefix("base_model.model."))
            if module not in modules:
                raise ValueError(f"it changes {module}, which is not there; is it of another base?")


def end_ids_of(folder: Path, processor: NativeProcessor) -> frozenset[int]:
    """Token ids that end an answer: those of generation_config.json, the end token, and what closes an answer in the chat."""
    listed: Any = None
    with suppress(OSError):
        listed = GenerationConfig.from_pretrained(folder).eos_token_id
    ids = listed if isinstance(listed, list) else [listed]
    return frozenset({*ids, processor.tokenizer.eos_token_id, *processor.ids_of(processor.form.end)[-1:]} - {None})


@dataclass(frozen=True)
class Parts:
    """Names of a model's modules: Parts("model.language_model", "lm_head", ("model.visual",), ("model.visual.merger",), r"...")."""

    decoder: str
    head: str
    towers: tuple[str, ...]
    projectors: tuple[str, ...]
    """What makes the towers' features into embeddings of the decoder."""
    lora_targets: str
    """A regular expression on whole names; "" where the decoder has no layers of a name that is known."""

    def is_in_tower(self, name: str) -> bool:
        return any(f"{name}.".startswith(f"{tower}.") for tower in self.towers)

    def is_of_llm(self, name: str) -> bool:
        """Whether a parameter belongs to the decoder or to its head."""
        return name.startswith((f"{self.decoder}.", f"{self.head}."))

    def is_of_projector(self, name: str) -> bool:
        return name.startswith(tuple(f"{projector}." for projector in self.projectors))


def parts_of(model: Any, base: str) -> Parts:
    """Raises ValueError where decoder and tower cannot be told apart."""
    names = {id(module): name for name, module in model.named_modules()}
    decoder, head = (names.get(id(module), "") for module in (model.get_decoder(), model.get_output_embeddings()))
    towers = [names[id(tower)] for kind in ("video", "audio") if id(tower := model.get_encoder(kind)) in names]
    towers += [f"{model.base_model_prefix}.{name}" for name, _ in model.base_model.named_children() if name.endswith("tower")]
    distinct = tuple(dict.fromkeys(name for name in towers if name not in ("", model.base_model_prefix)))
    if not decoder or not distinct or any(name.startswith(f"{decoder}.") for name in distinct):
        raise ValueError(f"{base}: a {type(model).__name__} does not tell its decoder and its tower apart; it cannot be finetuned")
    linear = [
        name for name, module in model.named_modules() if isinstance(module, torch.nn.Linear) and name.startswith(f"{decoder}.")
    ]
    patterns = [rf"{re.escape(decoder)}\.(?:.*\.)?(?:{kind})" for kind in QUERY_VALUE]
    targets = next((pattern for pattern in patterns if any(re.fullmatch(pattern, name) for name in linear)), "")
    parts = Parts(decoder, head, distinct, (), targets)
    assert not any(re.fullmatch(targets, name) for name, _ in model.named_modules() if parts.is_in_tower(name))
    return Parts(decoder, head, distinct, tuple(_projectors(model, parts, model.base_model_prefix)), targets)


def _projectors(model: Any, parts: Parts, name: str) -> Iterator[str]:
    """Below a module: modules of weights that are neither of the decoder nor of a tower; Qwen's mergers stand in the tower."""
    for child, module in model.get_submodule(name).named_children():
        path = f"{name}.{child}"
        in_tower, holds_others = (
            parts.is_in_tower(path),
            any(f"{other}.".startswith(f"{path}.") for other in (parts.decoder, *parts.towers)),
        )
        if path == parts.decoder or not any(True for _ in module.parameters()):
            continue
        is_projector = "merger" in child if in_tower else not holds_others
        if is_projector and not isinstance(module, torch.nn.ModuleList):
            yield path
        elif is_projector:
            yield from (f"{path}.{number}" for number in range(len(module)))
        elif holds_others or path in parts.towers:
            yield from _projectors(model, parts, path)
