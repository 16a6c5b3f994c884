"""The files of a checkpoint folder: LLaVA-1.5, LLaVA-NeXT, released PLLaVA or our own; all read as one, tensor by tensor.

Everything is brought to the names of stock LLaVA files (`stock_name`), which other tools read too. A released PLLaVA holds the
whole model with its LoRA unmerged, under PEFT's names of 2024. LLaVA-NeXT's image_newline belongs to any-res tiling, left out.
"""

import json
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
"""Names, or their ends, that files may hold and the model does not use."""
LORA = (".lora_A.", ".lora_B.")
PRECISIONS = ("F64", "F32", "F16", "BF16")
MERGED_OTHERWISE = {
    "peft_type": "LORA", "use_rslora": False, "use_dora": False, "fan_in_fan_out": False, "bias": "none", "alpha_pattern": {},
    "rank_pattern": {}, "layers_to_transform": None,
}  # fmt: skip
"""Keys of adapter_config.json with the value that a plain LoRA has: with another value the adapter means something else."""


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
class StoredTensor:
    """A tensor in a file, of which only the header has been read."""

    path: Path
    key: str
    shape: tuple[int, ...]
    dtype: str
    """As safetensors names it: "BF16"."""

    def load(self) -> Any:
        """The torch.Tensor."""
        with safe_open(self.path, framework="pt") as file:
            return file.get_tensor(self.key)

    def raw_bytes(self) -> bytes:
        """The values as they lie in the file: 8 bytes of length, a JSON header with offsets behind it, then all tensors."""
        with open(self.path, "rb") as file:
            length = int.from_bytes(file.read(8), "little")
            start, end = json.loads(file.read(length))[self.key]["data_offsets"]
            file.seek(8 + length + start)
            return file.read(end - start)


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

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Shapes of the weights that it changes."""
        return {name: delta.shape for name, delta in self.deltas.items()} | {n: t.shape for n, t in self.replaced.items()}

    def apply(self, name: str, tensor: Any) -> Any:
        """Merged in float32 and rounded once: small alphas would be lost in sums of bfloat16."""
        if name in self.replaced:
            return self.replaced[name].load().to(tensor.dtype)
        if name in self.deltas:
            delta = self.deltas[name]
            return (tensor.float() + delta.scale * (delta.b.load().float() @ delta.a.load().float())).to(tensor.dtype)
        return tensor


@dataclass(frozen=True)
class Weights:
    """The tensors of a folder by stock name; only headers are read until the tensors are loaded."""

    folder: Path
    tensors: Mapping[str, StoredTensor]
    lora: Mapping[str, StoredTensor]
    """Unmerged LoRA tensors, by stock name with .lora_A. or .lora_B. in it."""

    def shards(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """File names and their tensors, one file at a time."""
        for path in sorted({stored.path for stored in self.tensors.values()}):
            with safe_open(path, framework="pt") as file:
                yield path.name, {name: file.get_tensor(s.key) for name, s in self.tensors.items() if s.path == path}

    def built_in(self, alpha: float | None = None) -> Adapter:
        """The LoRA that a released PLLaVA holds, at an alpha; by default at that of its training. Other checkpoints hold none."""
        return Adapter(deltas=_deltas(self.folder, self.lora, RELEASED_ALPHA if alpha is None else alpha))


def open_weights(folder: Path) -> Weights:
    """Raises ValueError naming file or key: a missing shard, a file that is not safetensors, a weight that is there twice."""
    tensors: dict[str, StoredTensor] = {}
    lora: dict[str, StoredTensor] = {}
    for path in _files(folder):
        for stored in _header(path):
            name = stock_name(stored.key)
            if any(part in name for part in LORA):
                lora[name.replace(".default.", ".")] = stored
            elif not name.endswith(NOT_USED):
                if name in tensors:
                    twice = f"{name} twice, in {tensors[name].path.name} and {path.name}"
                    raise ValueError(f"{folder} holds {twice}; leave one set of files")
                tensors[name] = stored
    return Weights(folder=folder, tensors=tensors, lora=lora)


def open_adapter(folder: Path, alpha: float | None = None) -> Adapter:
    """A PEFT adapter at an alpha, by default at that of its training. Raises ValueError naming what is wrong with its files."""
    config_path = folder / "adapter_config.json"
    config = read_json(config_path)
    for name, plain in MERGED_OTHERWISE.items():
        if (config.get(name) or plain) != plain:
            raise ValueError(f"{config_path}: {name} = {config[name]!r}; only plain LoRA adapters are merged")
    trained = config.get("lora_alpha")
    if not isinstance(trained, int | float) or isinstance(trained, bool) or not 0 < trained < math.inf:
        raise ValueError(f"{config_path}: lora_alpha = {trained!r} is not a number above 0")
    path = folder / "adapter_model.safetensors"
    if not path.is_file():
        raise ValueError(f"{folder} has no adapter_model.safetensors; other weight formats are not loaded")
    stored = {stock_name(tensor.key.removeprefix("base_model.model.")): tensor for tensor in _header(path)}
    if not stored:
        raise ValueError(f"{path} holds no weights")
    lora = {name: tensor for name, tensor in stored.items() if any(part in name for part in LORA)}
    deltas = _deltas(folder, lora, float(trained) if alpha is None else alpha)
    if deltas and config.get("r") != (rank := next(iter(deltas.values())).rank):
        raise ValueError(f"{config_path}: r = {config.get('r')!r}, and the weights beside it are of rank {rank}")
    return Adapter(deltas=deltas, replaced={name: tensor for name, tensor in stored.items() if name not in lora})


def _lora_target(name: str) -> tuple[str, str]:
    """
    >>> _lora_target("language_model.model.layers.0.self_attn.q_proj.lora_A.weight")
    ('language_model.model.layers.0.self_attn.q_proj.weight', 'A')
    """
    half = "A" if LORA[0] in name else "B"
    return name.replace(f".lora_{half}.", "."), half


def _deltas(folder: Path, lora: Mapping[str, StoredTensor], alpha: float) -> dict[str, Delta]:
    """The LoRA of each weight, of its two halves."""
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
        deltas[target] = Delta(a=pair["A"], b=pair["B"], scale=alpha / pair["A"].shape[0])
    if len(ranks := {delta.rank for delta in deltas.values()}) > 1:
        raise ValueError(f"{folder}: LoRA of ranks {sorted(ranks)}; only one rank is read")
    return deltas


def _files(folder: Path) -> list[Path]:
    """The weight files that the index names, or where there is no index all safetensors files."""
    index = folder / "model.safetensors.index.json"
    if index.is_file():
        weight_map = read_json(index).get("weight_map")
        if not isinstance(weight_map, dict) or not weight_map or not all(isinstance(name, str) for name in weight_map.values()):
            raise ValueError(f"{index} has no weight_map that names files")
        names = sorted(set(weight_map.values()))
        if missing := [name for name in names if not (folder / name).is_file()]:
            raise ValueError(f"{folder} lacks {missing[0]}, which {index.name} names; fetch it again")
        files = [folder / name for name in names]
    else:
        files = sorted(folder.glob("*.safetensors"))
    if not files:
        pickles = sorted(path.name for suffix in ("*.bin", "*.pt", "*.pth", "*.ckpt") for path in folder.glob(suffix))
        pickled = f"; {pickles[0]} may run code when it is read" if pickles else ""
        raise ValueError(f"{folder} has no .safetensors file; other weight formats are not loaded{pickled}")
    return files


def _header(path: Path) -> list[StoredTensor]:
    """The tensors of a file. Raises ValueError for a damaged file, or tensors that are not floats of 16 bits or more."""
    stored: list[StoredTensor] = []
    try:
        with safe_open(path, framework="np") as file:  # "np" imports no torch, and reads the headers of any dtype
            for key in file.keys():  # noqa: SIM118  # not a dict
                part = file.get_slice(key)
                stored.append(StoredTensor(path=path, key=key, shape=tuple(part.get_shape()), dtype=part.get_dtype()))
    except (SafetensorError, OSError) as error:
        with open(path, "rb") as raw_file:
            start = raw_file.read(20)
        raise ValueError(f"{path} is not a whole safetensors file: {error}; it begins with {start!r}; fetch it again") from None
    for tensor in stored:
        if tensor.dtype not in PRECISIONS and "position_ids" not in tensor.key:
            raise ValueError(f"{path}: {tensor.key} is {tensor.dtype}; floats of 16 bits or more are read")
    return stored
