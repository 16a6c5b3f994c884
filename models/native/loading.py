"""A checkpoint of transformers: its configuration, its processor, and its weights, merged with an adapter."""

from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from transformers import AutoConfig, AutoModelForImageTextToText, GenerationConfig, PreTrainedConfig

from models.base import ChatSpec, ModelSpec
from models.folders import FINETUNED, SMALL_FILES, fetch, read_json
from models.native.processing import NativeProcessor, open_processor
from models.parts import refuse_another_base


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


def empty_model(spec: ModelSpec) -> Any:
    """The model of config.json on the meta device: names, shapes and code without any weight."""
    with torch.device("meta"):
        return AutoModelForImageTextToText.from_config(config_of(spec))


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
    if (folder / FINETUNED).is_file():
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
        refuse_another_base(model, folder)
        merged = PeftModel.from_pretrained(model, str(folder), config=settings).merge_and_unload(safe_merge=True)
    except (OSError, RuntimeError, SafetensorError, ValueError) as error:
        raise ValueError(f"{spec.adapter_name} does not fit {spec.base_name}: {' '.join(str(error).split())[:200]}") from None
    return merged


def end_ids_of(folder: Path, processor: NativeProcessor) -> frozenset[int]:
    """Token ids that end an answer: those of generation_config.json, the end token, and what closes an answer in the chat."""
    listed: Any = None
    with suppress(OSError):
        listed = GenerationConfig.from_pretrained(folder).eos_token_id
    ids = listed if isinstance(listed, list) else [listed]
    return frozenset({*ids, processor.tokenizer.eos_token_id, *processor.ids_of(processor.form.end)[-1:]} - {None})
