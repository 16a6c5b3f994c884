"""What lies in a checkpoint folder: LLaVA-1.5, LLaVA-NeXT, released PLLaVA or our own; all read as one, tensor by tensor.

Everything is brought to the names of stock LLaVA files (`stock_name`), which other tools read too. A released PLLaVA holds the
whole model with its LoRA unmerged, under PEFT's names of 2024; LLaVA-NeXT's image_newline belongs to any-res tiling, left out.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from models.folders import read_json

RELEASED_ALPHA = 32.0
"""The alpha that released PLLaVA weights were trained with (scripts of 2024-06; the files do not tell)."""
NOT_USED = ("image_newline", "language_model.model.rotary_emb.inv_freq", "vision_tower.vision_model.embeddings.position_ids")
"""Names, or their ends, that files may hold and the model has no use for."""
LORA = (".lora_A.", ".lora_B.")
PRECISIONS = ("F64", "F32", "F16", "BF16")
MERGED_OTHERWISE = {
    "peft_type": "LORA", "use_rslora": False, "use_dora": False, "fan_in_fan_out": False, "bias": "none", "alpha_pattern": {},
    "rank_pattern": {}, "layers_to_transform": None,
}  # fmt: skip
"""Keys of adapter_config.json with the value that a plain LoRA has: with another the adapter means something else."""


def stock_name(key: str) -> str:
    """The name of a weight in stock LLaVA files.

    >>> stock_name("language_model.base_model.model.model.layers.0.self_attn.q_proj.base_layer.weight")
    'language_model.model.layers.0.self_attn.q_proj.weight'
    >>> stock_name("model.language_model.norm.weight"), stock_name("lm_head.weight")
    ('language_model.model.norm.weight', 'language_model.lm_head.weight')
    >>> stock_name("vision_tower.embeddings.class_embedding")
    'vision_tower.vision_model.embeddings.class_embedding'
    """
    key = key.replace("language_model.base_model.model.", "language_model.").replace(".base_layer.", ".")
    for part in ("language_model.", "vision_tower.", "multi_modal_projector."):
        key = key.removeprefix("model.") if key.startswith(f"model.{part}") else key
    if key.startswith("lm_head."):
        key = f"language_model.{key}"
    elif key.startswith("language_model.") and not key.startswith(("language_model.model.", "language_model.lm_head.")):
        key = key.replace("language_model.", "language_model.model.", 1)
    if key.startswith("vision_tower.") and not key.startswith("vision_tower.vision_model."):
        key = key.replace("vision_tower.", "vision_tower.vision_model.", 1)
    return key


@dataclass(frozen=True)
class Delta:
    """What a LoRA adds to a weight: scale * B @ A, with A[r,in], B[out,r]."""

    a: Any
    b: Any
    scale: float


@dataclass(frozen=True)
class Adapter:
    """What an adapter changes, under stock names: weights it adds to, and weights it replaces."""

    deltas: dict[str, Delta] = field(default_factory=dict)
    replaced: dict[str, Any] = field(default_factory=dict)

    def apply(self, name: str, tensor: Any) -> Any:
        """Merged in float32 and rounded once: small alphas would be lost in sums of bfloat16."""
        if name in self.replaced:
            return self.replaced[name].to(tensor.dtype)
        if name in self.deltas:
            delta = self.deltas[name]
            return (tensor.float() + delta.scale * (delta.b.float() @ delta.a.float())).to(tensor.dtype)
        return tensor


@dataclass(frozen=True)
class Weights:
    """The tensors of a folder by stock name; nothing but headers is read until they are asked for."""

    folder: Path
    where: Mapping[str, tuple[Path, str]]
    """File and key of each weight."""
    shapes: Mapping[str, tuple[int, ...]]
    lora: Mapping[str, tuple[Path, str]]
    """Unmerged LoRA tensors, by stock name with .lora_A. or .lora_B. in it."""

    def shards(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """File names and their tensors, one file at a time."""
        for path in sorted({path for path, _ in self.where.values()}):
            with safe_open(path, framework="pt") as file:
                yield path.name, {name: file.get_tensor(key) for name, (there, key) in self.where.items() if there == path}

    def built_in(self, alpha: float | None = None) -> Adapter:
        """The LoRA that a released PLLaVA holds, at an alpha; by default at that of its training. Without one: nothing."""
        halves: dict[str, dict[str, Any]] = {}
        for name, (path, key) in self.lora.items():
            with safe_open(path, framework="pt") as file:
                target, half = _lora_target(name)
                halves.setdefault(target, {})[half] = file.get_tensor(key)
        return Adapter(deltas=_deltas(self.folder, halves, RELEASED_ALPHA if alpha is None else alpha))


def open_weights(folder: Path) -> Weights:
    """Raises ValueError naming file or key: a missing shard, a file that is not safetensors, a weight that is there twice."""
    where: dict[str, tuple[Path, str]] = {}
    shapes: dict[str, tuple[int, ...]] = {}
    lora: dict[str, tuple[Path, str]] = {}
    for path in _files(folder):
        for key, shape in _header(path).items():
            name = stock_name(key)
            if any(part in name for part in LORA):
                lora[name.replace(".default.", ".")] = (path, key)
            elif not name.endswith(NOT_USED):
                if name in where:
                    raise ValueError(
                        f"{folder} holds {name} twice, in {where[name][0].name} and {path.name}; leave one set of files"
                    )
                where[name], shapes[name] = (path, key), shape
    return Weights(folder=folder, where=where, shapes=shapes, lora=lora)


def open_adapter(folder: Path, alpha: float | None = None) -> Adapter:
    """A PEFT adapter at an alpha, by default at that of its training. Raises ValueError naming what is wrong with its files."""
    told = folder / "adapter_config.json"
    config = read_json(told)
    for name, plain in MERGED_OTHERWISE.items():
        if (config.get(name) or plain) != plain:
            raise ValueError(f"{told}: {name} = {config[name]!r}; only plain LoRA adapters are merged")
    trained = config.get("lora_alpha")
    if not isinstance(trained, int | float) or isinstance(trained, bool) or not 0 < trained < math.inf:
        raise ValueError(f"{told}: lora_alpha = {trained!r} is not a number above 0")
    path = folder / "adapter_model.safetensors"
    if not path.is_file():
        raise ValueError(f"{folder} has no adapter_model.safetensors; other weight formats are not loaded")
    halves: dict[str, dict[str, Any]] = {}
    replaced: dict[str, Any] = {}
    keys = _header(path)
    with safe_open(path, framework="pt") as file:
        for key in keys:
            name = stock_name(key.removeprefix("base_model.model."))
            if any(part in name for part in LORA):
                target, half = _lora_target(name)
                halves.setdefault(target, {})[half] = file.get_tensor(key)
            else:
                replaced[name] = file.get_tensor(key)
    if not keys:
        raise ValueError(f"{path} holds no weights")
    deltas = _deltas(folder, halves, float(trained) if alpha is None else alpha)
    if deltas and config.get("r") != (rank := next(iter(deltas.values())).a.shape[0]):
        raise ValueError(f"{told}: r = {config.get('r')!r}, and the weights beside it are of rank {rank}")
    return Adapter(deltas=deltas, replaced=replaced)


def _lora_target(name: str) -> tuple[str, str]:
    """
    >>> _lora_target("language_model.model.layers.0.self_attn.q_proj.lora_A.weight")
    ('language_model.model.layers.0.self_attn.q_proj.weight', 'A')
    """
    half = "A" if LORA[0] in name else "B"
    return name.replace(f".lora_{half}.", "."), half


def _deltas(folder: Path, halves: Mapping[str, Mapping[str, Any]], alpha: float) -> dict[str, Delta]:
    if not 0 <= alpha < math.inf:
        raise ValueError(f"a LoRA alpha of {alpha} is not a number of at least 0")
    ranks = set()
    for target, found in halves.items():
        two = [found[half] for half in ("A", "B") if half in found]
        if len(two) != 2 or any(t.ndim != 2 for t in two) or two[0].shape[0] != two[1].shape[1] or 0 in two[0].shape:
            raise ValueError(f"{folder}: the LoRA of {target} is not whole: lora_A [r, in] and lora_B [out, r] are needed")
        ranks.add(two[0].shape[0])
    if len(ranks) > 1:
        raise ValueError(f"{folder}: LoRA of ranks {sorted(ranks)}; only one rank is read")
    return {name: Delta(a=two["A"], b=two["B"], scale=alpha / two["A"].shape[0]) for name, two in halves.items()}


def _files(folder: Path) -> list[Path]:
    index = folder / "model.safetensors.index.json"
    if index.is_file():
        listed = read_json(index).get("weight_map")
        if not isinstance(listed, dict) or not listed or not all(isinstance(name, str) for name in listed.values()):
            raise ValueError(f"{index} has no weight_map that names files")
        names = sorted(set(listed.values()))
        if lost := [name for name in names if not (folder / name).is_file()]:
            raise ValueError(f"{folder} lacks {lost[0]}, which {index.name} names; fetch it again")
        files = [folder / name for name in names]
    else:
        files = sorted(folder.glob("*.safetensors"))
    if not files:
        pickles = sorted(path.name for suffix in ("*.bin", "*.pt", "*.pth", "*.ckpt") for path in folder.glob(suffix))
        pickled = f"; {pickles[0]} may run code when it is read" if pickles else ""
        raise ValueError(f"{folder} has no .safetensors file; other weight formats are not loaded{pickled}")
    return files


def _header(path: Path) -> dict[str, tuple[int, ...]]:
    """Shape of each tensor."""
    try:
        with safe_open(path, framework="pt") as file:
            parts = {key: file.get_slice(key) for key in file.keys()}  # noqa: SIM118  # not a dict
            if odd := [key for key, part in parts.items() if part.get_dtype() not in PRECISIONS and "position_ids" not in key]:
                raise ValueError(f"{path}: {odd[0]} is {parts[odd[0]].get_dtype()}; floats of 16 bits or more are read")
            return {key: tuple(part.get_shape()) for key, part in parts.items()}
    except (SafetensorError, OSError) as error:
        with open(path, "rb") as bytes_of:
            start = bytes_of.read(20)
        raise ValueError(f"{path} is not a whole safetensors file: {error}; it begins with {start!r}; fetch it again") from None
