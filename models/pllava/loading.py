"""Read a checkpoint's weights into a model, with its adapters, on the CPU, in one dtype."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import torch
from transformers.generation.configuration_utils import GenerationConfig

from models.base import Dtype, ModelSpec
from models.lora import LoraLinear
from models.pllava.adapters import Delta
from models.pllava.architecture import DEFAULTS, Architecture
from models.pllava.checkpoints import Checkpoint, end_ids, open_checkpoint
from models.pllava.configuration import PllavaConfig
from models.pllava.layouts import stock_name
from models.pllava.modeling import PllavaForConditionalGeneration
from models.pllava.processing import PllavaProcessor

COPIED = (
    "image_token_index",
    "projector_hidden_act",
    "vision_feature_layer",
    "vision_feature_select_strategy",
    "multimodal_projector_bias",
    "tie_word_embeddings",
)
"""Fields of LLaVA's configurations that PLLaVA's has too."""
T = TypeVar("T")


def load(spec: ModelSpec, dtype: Dtype = "float32") -> tuple[PllavaForConditionalGeneration, PllavaProcessor]:
    """(model, processor) on the CPU for inference: below float32 the LoRA of the last adapter stays beside its weights.

    It was trained there, and rounded sums would lose most of it. A released PLLaVA's own LoRA is merged where an adapter follows,
    because the finetune saw it merged. Raises ValueError naming a file or a missing, unexpected or misshapen weight.
    """
    checkpoint = open_checkpoint(spec)
    deltas: Mapping[str, Delta] = {}
    if dtype != "float32":
        checkpoint, deltas = checkpoint.without_lora()
    model, processor = _read(checkpoint, dtype)
    put_beside(model, deltas)
    model.eval().requires_grad_(False)
    return model, processor


def put_beside(model: torch.nn.Module, deltas: Mapping[str, Delta]) -> None:
    """Put each LoRA beside its weight. `deltas`: by stock names of weights. Raises ValueError naming one of no linear layer."""
    modules = {stock_name(f"{name}.weight"): name for name, _ in model.named_modules()}
    for weight, delta in deltas.items():
        module = model.get_submodule(modules[weight]) if weight in modules else None
        if not isinstance(module, torch.nn.Linear):
            raise ValueError(f"{delta.a.path}: {delta.a.key} is of no linear layer; merge the adapter with PEFT")
        model.set_submodule(modules[weight], LoraLinear(module, delta.a.load(), delta.b.load(), delta.scale))


def load_base(
    spec: ModelSpec, dtype: Dtype = "float32", read_weights: bool = True
) -> tuple[PllavaForConditionalGeneration, PllavaProcessor]:
    """(model, processor) on the CPU to be finetuned: all adapters merged, with gradients.

    Without `read_weights` the weights are shapes on the meta device. That works only inside ZeRO-3's context, where one process
    reads them and sends the others theirs while the model is built: eight processes that each read a 34B would need half a
    terabyte of their machine's memory.
    """
    return _read(open_checkpoint(spec), dtype, read_weights)


def _read(
    checkpoint: Checkpoint, dtype: Dtype, read_weights: bool = True
) -> tuple[PllavaForConditionalGeneration, PllavaProcessor]:
    torch_dtype = getattr(torch, dtype)
    folder, processor = checkpoint.weights.folder, checkpoint.processor
    config = config_of(checkpoint.architecture, processor)
    state: dict[str, torch.Tensor] = {}
    if read_weights:
        for _, tensors in checkpoint.weights.shards():
            for name in list(tensors):  # popped one by one: never more than the model and one file of it in memory
                state[name] = checkpoint.merge(name, tensors.pop(name).to(torch_dtype))
    else:
        shapes = {name: tensor.shape for name, tensor in checkpoint.weights.tensors.items()}
        state = {name: torch.empty(shape, dtype=torch_dtype, device="meta") for name, shape in shapes.items()}
    model, report = PllavaForConditionalGeneration.from_pretrained(
        None, config=config, state_dict=state, output_loading_info=True, dtype=torch_dtype
    )
    assert not any(report[kind] for kind in ("missing_keys", "unexpected_keys", "mismatched_keys")), report
    # ZeRO-3 builds it in bfloat16: its inverse frequencies, rounded by 2^-9, are up to 4 radians off at position 2000
    model.model.language_model.rotary_emb = type(model.model.language_model.rotary_emb)(config.text_config)
    if (folder / "generation_config.json").is_file():
        model.generation_config = GenerationConfig.from_pretrained(folder)
    model.generation_config.eos_token_id = end_ids(folder, processor)
    model.generation_config.pad_token_id = processor.tokenizer.pad_token_id
    return model, processor


def config_of(architecture: Architecture, processor: PllavaProcessor) -> PllavaConfig:
    """The configuration of the model. Stock LLaVA becomes PLLaVA here. Raises ValueError naming the folder.

    It is made anew: PllavaConfig.from_pretrained of a LLaVA-NeXT folder would keep that type's name.
    """
    folder = architecture.path.parent
    config = _refused_by_transformers(folder, lambda: _config_of(architecture, processor))
    pooling = processor.video.pooling
    config.num_frames, config.pooling_shape = processor.num_frames, list(processor.video.pooled)
    config.pooling_method, config.pooling_place, config.pooling_newline = pooling.method, pooling.place, pooling.newline
    config.tie_word_embeddings = config.text_config.tie_word_embeddings = architecture.tied
    return config


def _config_of(architecture: Architecture, processor: PllavaProcessor) -> PllavaConfig:
    if architecture.kind == "pllava":
        config: PllavaConfig = PllavaConfig.from_pretrained(architecture.path.parent)
        return config
    fields = architecture.config
    sections: dict[str, dict[str, Any]] = {}
    for name, values in (("vision_config", architecture.vision), ("text_config", architecture.text)):
        if name in fields:
            sections[name] = {"model_type": values["model_type"]} | fields[name]
        elif architecture.kind == "llava_onevision":  # without a section PllavaConfig assumes LLaVA's tower and LLM
            sections[name] = dict(values)
    return PllavaConfig(
        **sections,
        video_token_index=processor.video_token_id,
        image_seq_length=processor.tokens_per_image,
        tie_word_embeddings=architecture.tied,
        **{name: architecture[name] for name in DEFAULTS},
        multimodal_projector_bias=fields.get("multimodal_projector_bias", True),
    )


def shapes_on_meta(architecture: Architecture, processor: PllavaProcessor) -> dict[str, tuple[int, ...]]:
    """Shape of every weight by stock name, as transformers builds the model; nothing is allocated. Raises ValueError."""
    from transformers.modeling_utils import set_zero3_state  # by now models/pllava/lean_import.py has been imported

    config = config_of(architecture, processor)

    def build() -> PllavaForConditionalGeneration:
        with set_zero3_state(), torch.device("meta"):  # whole shapes, also where ZeRO-3 would partition what is built
            return PllavaForConditionalGeneration(config)

    model = _refused_by_transformers(architecture.path.parent, build)
    shapes = {stock_name(name): tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    if config.tie_word_embeddings:
        del shapes["language_model.lm_head.weight"]
    return shapes


def _refused_by_transformers(folder: Path, build: Callable[[], T]) -> T:
    """What `build` returns. Whatever transformers raises for a value that it does not expect becomes a ValueError."""
    try:
        return build()
    except Exception as error:
        reason = " ".join(str(error).split())[:200]
        raise ValueError(f"{folder}: config.json makes no model: {type(error).__name__}: {reason}") from None
