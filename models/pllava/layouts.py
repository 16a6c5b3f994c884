"""The files of a checkpoint folder: LLaVA in its layouts, released PLLaVA or our own; all read as one, tensor by tensor.

Everything is brought to the names of stock LLaVA files (`stock_name`), which other tools read too. A released PLLaVA holds the
whole model with its LoRA unmerged, under PEFT's names of 2024. The image_newline of LLaVA-NeXT and LLaVA-OneVision belongs to
any-res tiling, which is left out, and to LLaVA-OneVision's pool.
"""

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from models.folders import read_json

NEWLINE, HEAD = "image_newline", "language_model.lm_head.weight"
NOT_USED = ("rotary_emb.inv_freq", "vision_tower.vision_model.embeddings.position_ids")
"""Ends of names that files may hold and the model does not use."""
LORA = (".lora_A.", ".lora_B.")
PRECISIONS = ("F64", "F32", "F16", "BF16")


def is_finite(tensor: Any) -> bool:
    """Whether all values of a torch.Tensor are. Least and greatest tell of NaN and infinity, and take no memory."""
    return not tensor.numel() or all(math.isfinite(value) for value in tensor.aminmax())


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
    for part in ("language_model.", "vision_tower.", "multi_modal_projector.", NEWLINE):
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
        """The torch.Tensor. Raises ValueError where it holds a value that is not finite."""
        with safe_open(self.path, framework="pt") as file:
            return self.checked(file.get_tensor(self.key))

    def checked(self, tensor: Any) -> Any:
        """The tensor that was read. Raises ValueError where it holds a value that is not finite."""
        if not is_finite(tensor):
            raise ValueError(f"{self.path}: {self.key} holds NaN or infinite values; fetch it again, or take an earlier checkpoint")
        return tensor

    def raw_bytes(self) -> bytes:
        """The values as they lie in the file: 8 bytes of length, a JSON header with offsets behind it, then all tensors."""
        with open(self.path, "rb") as file:
            length = int.from_bytes(file.read(8), "little")
            start, end = json.loads(file.read(length))[self.key]["data_offsets"]
            file.seek(8 + length + start)
            return file.read(end - start)


@dataclass(frozen=True)
class Weights:
    """The tensors of a folder by stock name; only headers are read until the tensors are loaded."""

    folder: Path
    tensors: Mapping[str, StoredTensor]
    lora: Mapping[str, StoredTensor]
    """Unmerged LoRA tensors, by stock name with .lora_A. or .lora_B. in it."""

    def shards(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """File names and their tensors, one file at a time. Raises ValueError naming a tensor with a value that is not finite."""
        for path in sorted({stored.path for stored in self.tensors.values()}):
            with safe_open(path, framework="pt") as file:
                yield path.name, {name: s.checked(file.get_tensor(s.key)) for name, s in self.tensors.items() if s.path == path}


def open_weights(folder: Path, newline: bool = False) -> Weights:
    """Raises ValueError naming file or key: a missing shard, a file that is not safetensors, a weight that is there twice.

    `newline`: whether the model uses image_newline.
    """
    tensors: dict[str, StoredTensor] = {}
    lora: dict[str, StoredTensor] = {}
    for path in _files(folder):
        for stored in read_header(path):
            name = stock_name(stored.key)
            if any(part in name for part in LORA):
                lora[name.replace(".default.", ".")] = stored
            elif not name.endswith(NOT_USED) and (newline or name != NEWLINE):
                if name in tensors:
                    twice = f"{name} twice, in {tensors[name].path.name} and {path.name}"
                    raise ValueError(f"{folder} holds {twice}; leave one set of files")
                tensors[name] = stored
    return Weights(folder=folder, tensors=tensors, lora=lora)


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


def read_header(path: Path) -> list[StoredTensor]:
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
