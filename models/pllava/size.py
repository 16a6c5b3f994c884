"""How large a model is, by the numbers in its config.json: no weights, no torch; a test holds it to real models."""

import math
from pathlib import Path
from typing import Any

from models.base import ModelSize, ModelSpec
from models.folders import read_json
from models.pllava.layouts import section, shots_of, view_of, whole

LLAMA = {
    "vocab_size": 32000, "hidden_size": 4096, "intermediate_size": 11008, "num_hidden_layers": 32, "num_attention_heads": 32,
    "max_position_embeddings": 2048,
}  # fmt: skip
CLIP = {"hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12, "image_size": 224, "patch_size": 32}
LLAVA_CLIP = {"hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 24, "image_size": 336, "patch_size": 14}
"""What transformers assumes where config.json says nothing, in the LLM, in a tower, and where there is no tower's section."""


def size_of(folder: Path, spec: ModelSpec, lora_rank: int) -> ModelSize:
    """Raises ValueError where config.json is not one of a checkpoint that is read."""
    image, patch_px, frames, (t, h, w) = view_of(folder, spec)
    _, shot = shots_of(spec, frames, image // patch_px, (t, h, w))
    found = read_json(folder / "config.json")
    path = folder / "config.json"
    text: dict[str, Any] = LLAMA | section(path, found, "text_config")
    vision: dict[str, Any] = CLIP | section(path, found, "vision_config") if "vision_config" in found else LLAVA_CLIP
    for part in (text, vision):
        for name in (LLAMA if part is text else CLIP).keys() - {"num_hidden_layers"}:
            whole(path, name, part[name])
        whole(path, "num_hidden_layers", part["num_hidden_layers"], 1000)
    hidden, inter, layers, vocab = (text[name] for name in ("hidden_size", "intermediate_size", "num_hidden_layers", "vocab_size"))
    heads = text["num_attention_heads"]
    head = whole(path, "head_dim", text.get("head_dim") or max(1, hidden // heads))
    kv = whole(path, "num_key_value_heads", text.get("num_key_value_heads") or heads) * head
    attention = 2 * hidden * heads * head + 2 * hidden * kv
    tied = found.get("tie_word_embeddings", text.get("tie_word_embeddings", False))
    llm = layers * (attention + 3 * hidden * inter + 2 * hidden) + hidden + vocab * hidden * (1 if tied else 2)
    wide, deep, patch = vision["hidden_size"], vision["intermediate_size"], vision["patch_size"]
    patches = (vision["image_size"] // patch) ** 2
    tower_layer = 4 * (wide * wide + wide) + 2 * wide * deep + wide + deep + 4 * wide
    tower = vision["num_hidden_layers"] * tower_layer + wide + 3 * patch * patch * wide + (patches + 1) * wide + 4 * wide
    return ModelSize(
        tower_params=tower,
        projector_params=wide * hidden + hidden * hidden + 2 * hidden,
        llm_params=llm,
        lora_params=layers * lora_rank * (hidden + heads * head + hidden + kv),
        num_layers=layers,
        hidden_size=hidden,
        intermediate_size=inter,
        vocab_size=vocab,
        kv_values_per_token=2 * layers * kv,
        tower_size=wide,
        tower_intermediate_size=deep,
        num_frames=frames,
        patches_per_frame=patches,
        video_tokens=t * h * w,
        shot_tokens=math.prod(shot),
        context_tokens=text["max_position_embeddings"],
    )
