"""Names of weights in files: transformers 5 leaves out a level that the files on the hub have, and that other tools look for."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save_file

TOWER = "vision_tower."
MOVED_TOWERS = ("clip_vision_model", "siglip_vision_model")
"""Kinds of towers that transformers 5 saves without the level vision_model. It reads both."""


def tower_kind(config: Any) -> str:
    """model_type of a configuration's tower; "" where it has none."""
    return str(getattr(getattr(config, "vision_config", None), "model_type", ""))


def hub_name(name: str, tower: str) -> str:
    """The name that a weight has on the hub, in a model with a tower of that kind.

    >>> hub_name("vision_tower.embeddings.patch_embedding.weight", "siglip_vision_model")
    'vision_tower.vision_model.embeddings.patch_embedding.weight'
    >>> hub_name("model.visual.patch_embed.proj.weight", "qwen3_vl")
    'model.visual.patch_embed.proj.weight'
    """
    is_moved = tower in MOVED_TOWERS and name.startswith(TOWER) and not name.startswith(f"{TOWER}vision_model.")
    return name.replace(TOWER, f"{TOWER}vision_model.", 1) if is_moved else name


def rename_saved(folder: Path, tower: str) -> None:
    """Give the weights that transformers has saved in a folder the hub's names, a file at a time."""
    if tower not in MOVED_TOWERS:
        return
    for path in sorted(folder.glob("*.safetensors")):
        save_file({hub_name(name, tower): tensor for name, tensor in load_file(path).items()}, path, metadata={"format": "pt"})
    index = folder / "model.safetensors.index.json"
    if index.is_file():
        contents = json.loads(index.read_text())
        places: Mapping[str, str] = contents["weight_map"]
        contents["weight_map"] = {hub_name(name, tower): place for name, place in places.items()}
        index.write_text(json.dumps(contents, indent=2, sort_keys=True))
