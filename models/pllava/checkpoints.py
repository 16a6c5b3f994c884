"""Open a checkpoint and refuse it where something is missing or misshapen. Small files and headers only: no torch, no transformers.

models/pllava/loading.py reads the weights. Only safetensors are read, and no code of a checkpoint is run.
"""

import hashlib
import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from models.base import FrameSpec, ModelSpec
from models.folders import SMALL_FILES, digest_of, fetch, read_json
from models.pllava.adapters import Adapter, Delta, built_in, open_adapter
from models.pllava.architecture import Architecture, read_architecture
from models.pllava.layouts import HEAD, NEWLINE, Weights, open_weights
from models.pllava.pictures import picture_rules
from models.pllava.processing import PLAIN_CHAT, PllavaProcessor, frames_watched, open_processor

log = logging.getLogger(__name__)

LORA_TARGETS = r".*language_model\.layers\.\d+\.self_attn\.(q_proj|v_proj)"
"""q and v of the LLM only. A plain list of names would also hit the CLIP tower."""
PROJECTOR = "multi_modal_projector"


@dataclass(frozen=True)
class Checkpoint:
    """A model as its files have it, and nothing is missing; its weights are read when they are loaded."""

    architecture: Architecture
    processor: PllavaProcessor
    weights: Weights
    adapters: list[Adapter]
    """What changes the weights: a released PLLaVA's own LoRA, and the spec's adapter."""

    def without_lora(self) -> tuple["Checkpoint", Mapping[str, Delta]]:
        """The checkpoint without the LoRA of its last adapter, and that LoRA by the names of the weights that it adds to."""
        *others, last = self.adapters
        return replace(self, adapters=[*others, replace(last, deltas={})]), last.deltas

    def merge(self, name: str, tensor: Any) -> Any:
        """The weight with all adapters in it, in its own dtype."""
        for adapter in self.adapters:
            tensor = adapter.apply(name, tensor)
        return tensor


def open_checkpoint(spec: ModelSpec) -> Checkpoint:
    """Raises ValueError naming the file, the key or the weight that is not as it should be."""
    architecture, processor = describe(spec)
    weights = open_weights(fetch(spec.base), processor.video.pooling.newline)
    if architecture.tied and HEAD in weights.tensors:
        architecture = architecture.untied()
    if processor.video.pooling.newline and NEWLINE not in weights.tensors:
        raise ValueError(f"{spec.base_name} has no {NEWLINE}, which ends a video in this pool; choose another model.pooling")
    refuse_other_weights(weights, expected_shapes(architecture, processor))
    adapters = [built_in(weights, None if spec.adapter else spec.alpha)]
    adapters += [open_adapter(fetch(spec.adapter), spec.alpha)] if spec.adapter else []
    for adapter in adapters:
        refuse_adapter_of_another_base(adapter, weights, spec)
        if architecture.tied and "language_model.model.embed_tokens.weight" in adapter.replaced:
            raise ValueError(
                f"{spec.adapter_name} replaces embed_tokens, and the head of {spec.base_name} is tied to it; merge it with PEFT"
            )
        if spec.adapter and adapter.base:
            warn_of_another_name(spec.adapter_name, adapter.base, spec.base_name)
    for name, delta in adapters[0].deltas.items() if spec.adapter else ():
        other = adapters[1].deltas.get(name)
        if other is not None and other.a.shape == delta.a.shape and other.a.raw_bytes() == delta.a.raw_bytes():
            raise ValueError(
                f"{spec.base_name} holds the LoRA of {spec.adapter_name} already; give the base that it was converted to"
            )
    return Checkpoint(architecture=architecture, processor=processor, weights=weights, adapters=adapters)


def describe(spec: ModelSpec) -> tuple[Architecture, PllavaProcessor]:
    """What the small files of a checkpoint say, at the spec's frames and pooling. Raises ValueError naming file and key."""
    folder = fetch(spec.base, SMALL_FILES)
    architecture = read_architecture(folder)
    processor = open_processor(folder, architecture, spec)
    image_token = architecture["image_token_index"]
    if processor.image_token_id != image_token:
        raise ValueError(f"{folder}: <image> is token {processor.image_token_id}, and {image_token} in config.json")
    _listed_end_ids(folder)
    return architecture, processor


def end_ids(folder: Path, processor: PllavaProcessor) -> list[int]:
    """All token ids that end an answer: those of generation_config.json, the end token, and what closes an answer in the chat."""
    tokenizer = processor.tokenizer
    assert tokenizer.form is not None
    named = (tokenizer.token_id(tokenizer.form.end), tokenizer.named_token_id("eos_token"))
    return sorted({token for token in (*_listed_end_ids(folder), *named) if token is not None and token >= 0})


def _listed_end_ids(folder: Path) -> list[int]:
    """Those of generation_config.json, where there is one. Raises ValueError where they are not token ids."""
    path = folder / "generation_config.json"
    listed = read_json(path).get("eos_token_id") if path.is_file() else None
    listed = listed if isinstance(listed, list) else [] if listed is None else [listed]
    if not all(type(token) is int for token in listed):
        raise ValueError(f"{path}: eos_token_id {listed!r} is no token")
    return listed


def expected_shapes(architecture: Architecture, processor: PllavaProcessor) -> Mapping[str, tuple[int, ...]]:
    """Shape of every weight of the model by stock name. For an LLM that is not in LLMS transformers is asked, with torch."""
    if architecture.is_plain:
        newline = {NEWLINE: (architecture.text["hidden_size"],)} if processor.video.pooling.newline else {}
        return architecture.weight_shapes | newline
    from models.pllava.loading import shapes_on_meta

    return shapes_on_meta(architecture, processor)


def refuse_other_weights(weights: Weights, expected: Mapping[str, tuple[int, ...]]) -> None:
    """Raises ValueError naming a weight that is missing, unexpected or misshapen."""
    shapes = {name: tensor.shape for name, tensor in weights.tensors.items()}
    problems = {
        "lacks": [name for name in expected if name not in shapes],
        "has, beyond what the model holds,": [name for name in shapes if name not in expected],
        "has in another shape": [
            f"{name} {list(shapes[name])} instead of {list(shape)}"
            for name, shape in expected.items()
            if shapes.get(name, shape) != shape
        ],
    }
    for verb, names in problems.items():
        if names:
            more = f" and {len(names) - 3} more" if len(names) > 3 else ""
            raise ValueError(f"{weights.folder} {verb} {', '.join(names[:3])}{more}; is config.json of the same model?")


def refuse_adapter_of_another_base(adapter: Adapter, weights: Weights, spec: ModelSpec) -> None:
    """Raises ValueError naming a weight that an adapter changes and the base does not have, or has in another shape."""
    for name, shape in adapter.shapes.items():
        stored = weights.tensors.get(name)
        if stored is None or stored.shape != shape:
            has = f"has it as {list(stored.shape)}" if stored else "does not have it"
            raise ValueError(
                f"{spec.adapter_name or spec.base_name} changes {name} {list(shape)}, and {spec.base_name} {has}; "
                "is it of another base?"
            )


@cache
def warn_of_another_name(adapter: str, trained_on: str, base: str) -> None:
    """A line in the log where an adapter names another base: weights of other shapes are refused, others may be right."""
    if Path(trained_on).name != Path(base).name:
        log.warning("%s was trained on %s, and is merged into %s; is that the same model?", adapter, trained_on, base)


def frame_spec(spec: ModelSpec) -> FrameSpec:
    """What the model watches, read from small JSON files alone."""
    folder = fetch(spec.base, ("*.json",))
    architecture = read_architecture(folder)
    stretches = picture_rules(folder, architecture).stretches
    return frames_watched(spec.choose, architecture.video_shape(spec).num_frames, architecture.vision["image_size"], stretches)


def version(spec: ModelSpec) -> str:
    """Sixteen hex digits that name the weights and how they are used: all bytes of base and adapter, alpha, frames, pooling, chat.

    An alpha counts only where there is a LoRA that it scales.
    """
    folders = [fetch(uri) if uri else None for uri in (spec.base, spec.adapter)]
    digests = [digest_of(folder) if folder else "" for folder in folders]
    alpha = spec.alpha if spec.adapter or spec.alpha is None or open_weights(fetch(spec.base)).lora else None
    pool = [spec.pooling, spec.pooling_method, spec.pooling_place]
    text = f"{digests} {alpha} {spec.num_frames} {spec.pooling_shape}" + (f" {pool}" if any(pool) else "")
    if spec.choose != "moments" or spec.chat != PLAIN_CHAT:
        text += f" {spec.choose} {spec.chat}"
    return hashlib.sha256(text.encode()).hexdigest()[:16]
