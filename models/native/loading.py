"""A checkpoint of transformers: its configuration, its processor, and its weights, with an adapter."""

import logging
import math
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import Tensor
from transformers import AutoConfig, AutoModelForImageTextToText, GenerationConfig, PreTrainedConfig

from models.base import ChatSpec, Dtype, ModelSpec
from models.folders import FINETUNED, SMALL_FILES, fetch, read_json
from models.lora import LoraLinear, merged
from models.native.processing import NativeProcessor, open_processor
from models.parts import refuse_another_base
from models.pllava.adapters import refuse_other_kinds  # what an adapter of PLLaVA may not be, another one may not be either
from models.pllava.layouts import is_finite

log = logging.getLogger(__name__)


def config_of(spec: ModelSpec) -> PreTrainedConfig:
    folder = fetch(spec.base, SMALL_FILES)
    try:
        return AutoConfig.from_pretrained(folder)
    except Exception as error:  # whatever transformers raises for a value that it does not expect
        reason = " ".join(str(error).split())[:200]
        raise ValueError(f"{folder}: config.json makes no model: {type(error).__name__}: {reason}") from None


def processor_of(spec: ModelSpec) -> NativeProcessor:
    """Raises ValueError for what the checkpoint's processor lacks, and for a pool, which only PLLaVA has."""
    plain = ChatSpec()
    keys = {"model.chat": spec.chat.form, "model.frames": spec.choose == "published", "episodes.frames": spec.choose == "spread"}
    keys |= {
        f"the prompt set's {key}": getattr(spec.chat, key) != getattr(plain, key) for key in ("system", "opening", "answer_start")
    }
    if given := [key for key, is_given in keys.items() if is_given]:
        raise ValueError(f"{spec.base_name} is no PLLaVA; leave out {', '.join(given)}")
    if spec.pooling_shape or spec.shot_shape:
        raise ValueError(
            f"{spec.base_name} has no pool: model.pooling_shape and episodes.pooling_shape are PLLaVA's; take them out"
        )
    config = config_of(spec)
    refuse_uneven(spec, config)
    return open_processor(spec, int(config.get_text_config().max_position_embeddings))


def refuse_uneven(spec: ModelSpec, config: Any) -> None:
    """Raises ValueError for numbers of frames that transformers cannot merge into the text.

    SmolVLM's inputs_merger takes the tokens of all frames apart in blocks of as many as a patch has pixels a side.
    """
    if not hasattr(config, "scale_factor"):
        return
    patch = config.vision_config.patch_size
    tokens = (config.vision_config.image_size // patch) ** 2 // config.scale_factor**2
    multiple = patch // math.gcd(patch, tokens)
    if multiple > 1 and (spec.num_frames is None or spec.num_frames % multiple):
        raise ValueError(
            f"model.num_frames = {spec.num_frames or 'unset'}: transformers merges the {tokens} tokens of each frame of "
            f"{spec.base_name} in blocks of {patch}; give a multiple of {multiple}"
        )


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


def load(spec: ModelSpec, dtype: Dtype) -> Any:
    """The model on the CPU for inference: below float32 an adapter's LoRA stays beside the weights, where it was trained."""
    if dtype == "float32":
        return load_merged(spec, dtype)
    model, adapters = _tuned(spec, dtype)
    for name, lora in adapters.items():
        model.set_submodule(name, LoraLinear(model.get_submodule(name), *lora))
    return model


def load_merged(spec: ModelSpec, dtype: str) -> Any:
    """The model with the spec's adapter merged at its alpha, or the whole model that a finetune wrote; on the CPU."""
    model, adapters = _tuned(spec, dtype)
    for name, lora in adapters.items():
        weight = model.get_submodule(name).weight
        weight.data = merged(weight, *lora, seed=name)
        if not is_finite(weight):
            raise ValueError(f"{spec.adapter_name} merged into {spec.base_name}: {name} is not finite; lower the LoRA alpha")
    return model


def _tuned(spec: ModelSpec, dtype: str) -> tuple[Any, dict[str, tuple[Tensor, Tensor, float]]]:
    """The model with its adapter but for the LoRA of linear layers; and A, B and scale of each of these by the layer's name.

    A whole model that a finetune wrote has no LoRA.
    """
    if spec.adapter is None:
        return load_base(spec, dtype), {}
    folder = fetch(spec.adapter)
    if (folder / FINETUNED).is_file():
        if spec.alpha is not None:
            raise ValueError(f"{spec.adapter_name} is a whole model without a LoRA; take lora_alpha out")
        refuse_other_model(spec, folder)
        return load_base(ModelSpec(base=str(folder), base_uri=spec.adapter_uri), dtype), {}
    from peft import LoraConfig, PeftModel
    from peft.tuners.lora import LoraLayer

    refuse_other_kinds(folder / "adapter_config.json", read_json(folder / "adapter_config.json"))
    settings = LoraConfig.from_pretrained(str(folder))
    settings.lora_alpha = settings.lora_alpha if spec.alpha is None else spec.alpha
    model, adapters = load_base(spec, dtype), dict[str, tuple[Tensor, Tensor, float]]()
    try:
        refuse_another_base(model, folder)
        adapted = PeftModel.from_pretrained(model, str(folder), config=settings)
        for name, module in adapted.get_base_model().named_modules():
            if isinstance(module, LoraLayer) and isinstance(module.get_base_layer(), torch.nn.Linear):
                (a,), (b,), (scale,) = module.lora_A.values(), module.lora_B.values(), module.scaling.values()
                adapters[name] = a.weight.data, b.weight.data.clone(), scale
                b.weight.data.zero_()
        if odd := [name for name, (a, b, _) in adapters.items() if not (is_finite(a) and is_finite(b))]:
            raise ValueError(f"the LoRA of {odd[0]} holds NaN or infinite values")
        return adapted.merge_and_unload(safe_merge=True), adapters
    except (OSError, RuntimeError, SafetensorError, ValueError) as error:
        raise ValueError(f"{spec.adapter_name} does not fit {spec.base_name}: {' '.join(str(error).split())[:200]}") from None


def refuse_other_model(spec: ModelSpec, folder: Path) -> None:
    """Raises ValueError for a whole model of another kind or size than the base; warns where it was made of another name."""
    own, base = (read_json(place / "config.json") for place in (folder, fetch(spec.base, SMALL_FILES)))
    for key in ("model_type", "text_config", "vision_config"):
        if _sizes(own.get(key)) != _sizes(base.get(key)):
            raise ValueError(f"{spec.adapter_name} does not fit {spec.base_name}: they differ in {key}; is it of another base?")
    made_of = str(read_json(folder / FINETUNED).get("base"))
    if made_of != spec.base_name:
        log.warning("%s is a finetune of %s, and is taken for one of %s", spec.adapter_name, made_of, spec.base_name)


def _sizes(section: Any) -> Any:
    """What of a configuration decides shapes."""
    if not isinstance(section, dict):
        return section
    return {key: value for key, value in section.items() if key.endswith(("_size", "_heads", "_layers", "_dim", "depth"))}


def end_ids_of(folder: Path, processor: NativeProcessor) -> frozenset[int]:
    """Token ids that end an answer: those of generation_config.json, the end token, and what closes an answer in the chat."""
    listed: Any = None
    with suppress(OSError):
        listed = GenerationConfig.from_pretrained(folder).eos_token_id
    ids = listed if isinstance(listed, list) else [listed]
    return frozenset({*ids, processor.tokenizer.eos_token_id, *processor.ids_of(processor.form.end)[-1:]} - {None})
