"""LoRA adapters: PEFT's files, or what a released PLLaVA holds; merged only where every key of the configuration allows it.

A key that this file does not know, and that is not off, may change what the weights mean: such an adapter is refused by its name.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from models.folders import read_json
from models.pllava.layouts import LORA, StoredTensor, Weights, is_finite, read_header, stock_name

RELEASED_ALPHA = 32.0
"""The alpha that released PLLaVA weights were trained with (scripts of 2024-06; the files do not tell)."""
OFF: tuple[Any, ...] = (None, False, {}, [], "")
"""Values with which a key of adapter_config.json changes nothing."""
SILENT = frozenset(
    (
        "auto_mapping", "base_model_name_or_path", "exclude_modules", "inference_mode", "layers_pattern", "layers_to_transform",
        "lora_alpha", "lora_dropout", "megatron_core", "modules_to_save", "peft_version", "qalora_group_size", "r", "revision",
        "runtime_config", "target_modules", "task_type", "use_rslora",
    )
)  # fmt: skip
"""Keys of any value: what they choose is in the weights beside them, or is read here, or concerns training alone."""
INITS = ("true", "false", "none", "gaussian", "orthogonal")
"""init_lora_weights that leave the base as it is. PiSSA, OLoRA, CorDA, LoftQ and LoRA-GA train on a changed base, which the
adapter's folder does not hold; EVA gives each layer a rank of its own."""
CHECKED: dict[str, Callable[[Any], bool]] = {
    "peft_type": lambda value: value == "LORA",
    "bias": lambda value: value in (None, "none"),
    "init_lora_weights": lambda value: str(value).lower() in INITS,
}
"""Keys with the values that a LoRA has which is merged as base + scale * B @ A (PEFT 0.21, tuners/lora/config.py)."""


@dataclass(frozen=True)
class Delta:
    """What a LoRA adds to a weight: scale * B @ A, with A[r,in], B[out,r]."""

    a: StoredTensor
    b: StoredTensor
    scale: float

    @property
    def rank(self) -> int:
        return self.a.shape[0]

    @property
    def shape(self) -> tuple[int, int]:
        """Of the weight that it changes."""
        return self.b.shape[0], self.a.shape[1]


@dataclass(frozen=True)
class Adapter:
    """What an adapter changes, under stock names: weights it adds to, and weights it replaces."""

    deltas: dict[str, Delta] = field(default_factory=dict)
    replaced: dict[str, StoredTensor] = field(default_factory=dict)
    base: str = ""
    """The model that it was trained on, by the name that its training knew."""

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Shapes of the weights that it changes."""
        return {name: delta.shape for name, delta in self.deltas.items()} | {n: t.shape for n, t in self.replaced.items()}

    def apply(self, name: str, tensor: Any) -> Any:
        """Merged in float32 and rounded once, at random, with the name as seed (models/lora.py).

        Raises ValueError where a value is not finite, in the adapter or after the merge.
        """
        from models.lora import merged  # imports torch

        if name in self.replaced:
            return self.replaced[name].load().to(tensor.dtype)
        if name in self.deltas:
            delta = self.deltas[name]
            weight = merged(tensor, delta.a.load(), delta.b.load(), delta.scale, name)
            if not is_finite(weight):
                raise ValueError(f"{delta.a.path}: merged with {delta.a.key}, {name} is not finite; lower the LoRA alpha")
            return weight
        return tensor


def built_in(weights: Weights, alpha: float | None = None) -> Adapter:
    """The LoRA that a released PLLaVA holds, at an alpha; by default at that of its training. Other checkpoints hold none."""
    return Adapter(deltas=_deltas(weights.folder, weights.lora, RELEASED_ALPHA if alpha is None else alpha))


def open_adapter(folder: Path, alpha: float | None = None) -> Adapter:
    """A PEFT adapter at an alpha, by default at that of its training. Raises ValueError naming what is wrong with its files."""
    config_path = folder / "adapter_config.json"
    config = read_json(config_path)
    refuse_other_kinds(config_path, config)
    trained = config.get("lora_alpha")
    if not isinstance(trained, int | float) or isinstance(trained, bool) or not 0 < trained < math.inf:
        raise ValueError(f"{config_path}: lora_alpha = {trained!r} is not a number above 0")
    path = folder / "adapter_model.safetensors"
    if not path.is_file():
        raise ValueError(f"{folder} has no adapter_model.safetensors; other weight formats are not loaded")
    stored = {stock_name(tensor.key.removeprefix("base_model.model.")): tensor for tensor in read_header(path)}
    if not stored:
        raise ValueError(f"{path} holds no weights")
    lora = {name: tensor for name, tensor in stored.items() if any(part in name for part in LORA)}
    deltas = _deltas(folder, lora, float(trained) if alpha is None else alpha, bool(config.get("use_rslora")))
    if deltas and config.get("r") != (rank := next(iter(deltas.values())).rank):
        raise ValueError(f"{config_path}: r = {config.get('r')!r}, and the weights beside it are of rank {rank}")
    replaced = {name: tensor for name, tensor in stored.items() if name not in lora}
    base = str(config.get("base_model_name_or_path") or "")
    return Adapter(deltas=deltas, replaced=replaced, base="" if base == "None" else base)  # PEFT writes str(None)


def refuse_other_kinds(path: Path, config: Mapping[str, Any]) -> None:
    """Raises ValueError naming a key, unless the adapter adds scale * B @ A to its weights and does nothing else.

    >>> refuse_other_kinds(Path("adapter_config.json"), {"peft_type": "LORA", "init_lora_weights": "pissa_niter_16"})
    Traceback (most recent call last):
    ValueError: adapter_config.json: init_lora_weights = 'pissa_niter_16'; only plain LoRA adapters are merged: merge it with PEFT
    """
    for name, value in ({"peft_type": None} | dict(config)).items():
        is_plain = CHECKED[name](value) if name in CHECKED else name in SILENT or value in OFF
        if not is_plain:
            raise ValueError(f"{path}: {name} = {value!r}; only plain LoRA adapters are merged: merge it with PEFT")


def _lora_target(name: str) -> tuple[str, str]:
    """
    >>> _lora_target("language_model.model.layers.0.self_attn.q_proj.lora_A.weight")
    ('language_model.model.layers.0.self_attn.q_proj.weight', 'A')
    """
    half = "A" if LORA[0] in name else "B"
    return name.replace(f".lora_{half}.", "."), half


def _deltas(folder: Path, lora: Mapping[str, StoredTensor], alpha: float, rank_stabilized: bool = False) -> dict[str, Delta]:
    """The LoRA of each weight, of its two halves. `rank_stabilized`: scaled by alpha / sqrt(r) (arXiv 2312.03732)."""
    if not 0 <= alpha < math.inf:
        raise ValueError(f"a LoRA alpha of {alpha} is not a number of at least 0")
    halves: dict[str, dict[str, StoredTensor]] = {}
    for name, tensor in lora.items():
        target, half = _lora_target(name)
        halves.setdefault(target, {})[half] = tensor
    deltas: dict[str, Delta] = {}
    for target, pair in halves.items():
        shapes = [pair[half].shape for half in ("A", "B") if half in pair]
        if len(shapes) != 2 or any(len(s) != 2 for s in shapes) or shapes[0][0] != shapes[1][1] or 0 in shapes[0]:
            raise ValueError(f"{folder}: the LoRA of {target} is not whole: lora_A [r, in] and lora_B [out, r] are needed")
        rank = pair["A"].shape[0]
        deltas[target] = Delta(a=pair["A"], b=pair["B"], scale=alpha / (math.sqrt(rank) if rank_stabilized else rank))
    if len(ranks := {delta.rank for delta in deltas.values()}) > 1:
        raise ValueError(f"{folder}: LoRA of ranks {sorted(ranks)}; only one rank is read")
    return deltas
