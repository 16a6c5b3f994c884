"""Which modules of a model of transformers are which: its decoder, its towers, and what joins them."""

import inspect
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open

QUERY_VALUE = (r"q_proj|v_proj", r"qkv_proj|wqkv|att_proj|query_key_value|qkv")
"""Names of the linear layers of the decoder that a LoRA goes on, those first that a decoder is likely to have."""


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


class _Reached(Exception):
    """Ends a forward pass where the model's base would begin."""


def lost_inputs(model: Any, inputs: Mapping[str, Any]) -> list[str]:
    """Names of inputs that the base inside a model of transformers takes and does not get: the model's own forward drops them.

    The forward ends where the base would begin, so that nothing is computed; the model may be on the meta device. A model that
    computes before is not judged.
    """
    received: dict[str, Any] = {}

    def stop(module: Any, args: Any, kwargs: dict[str, Any]) -> None:
        received.update(kwargs)
        raise _Reached

    hook = model.base_model.register_forward_pre_hook(stop, with_kwargs=True)
    with suppress(_Reached, RuntimeError):
        model(**inputs)
    hook.remove()
    taken = inspect.signature(model.base_model.forward).parameters if received else {}
    return [name for name in inputs if name in taken and received.get(name) is None]


def refuse_another_base(model: Any, adapter: Path) -> None:
    """Raises ValueError for a module that the adapter changes and the model does not have; PEFT would pass over it."""
    modules = {name for name, _ in model.named_modules()}
    with safe_open(adapter / "adapter_model.safetensors", framework="pt") as file:
        for key in file.keys():  # noqa: SIM118  # no dictionary
            module = re.sub(r"(\.lora_[AB])?\.(weight|bias)$", "", key.removeprefix("base_model.model."))
            if module not in modules:
                raise ValueError(f"it changes {module}, which is not there; is it of another base?")
