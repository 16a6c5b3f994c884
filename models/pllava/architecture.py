"""What a checkpoint's config.json says, read as plain JSON and checked: sizes, layers, shapes of all weights. No torch."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from models.base import ModelSpec
from models.folders import is_original_llava, read_json, unread_kind

KINDS = ("pllava", "llava", "llava_next")
"""model_type of the checkpoints that are read. A released PLLaVA says "llava"."""
LLAMA = {
    "vocab_size": 32000, "hidden_size": 4096, "intermediate_size": 11008, "num_hidden_layers": 32, "num_attention_heads": 32,
    "max_position_embeddings": 2048,
}  # fmt: skip
CLIP = {
    "hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12, "num_attention_heads": 12, "image_size": 224,
    "patch_size": 32,
}  # fmt: skip
LLAVA_CLIP = {
    "hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 24, "num_attention_heads": 16, "image_size": 336,
    "patch_size": 14,
}  # fmt: skip
"""What transformers assumes where config.json says nothing, in the LLM, in a tower, and where there is no tower's section."""
ACTIVATIONS = frozenset(
    "gelu gelu_10 gelu_accurate gelu_fast gelu_new gelu_python gelu_python_tanh gelu_pytorch_tanh hardswish laplace leaky_relu "
    "linear mish prelu quick_gelu relu relu2 relu6 sigmoid silu sqrtsoftplus swish tanh xielu".split()
)
"""Names of activations that transformers knows (ACT2FN of transformers 5.20)."""
Shape = tuple[int, int, int]
"""(T', H', W') of a video's tokens after pooling."""


def whole(path: Path, name: str, value: Any, most: int = 10_000_000) -> int:
    """The value, if it is a whole number of at least 1. Raises ValueError naming file and key."""
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= most:
        raise ValueError(f"{path}: {name} = {value!r} is not a whole number from 1 to {most}")
    return value


def section(path: Path, config: Mapping[str, Any], name: str) -> dict[str, Any]:
    """A part of a configuration, {} where it is left out. Raises ValueError where it is not an object."""
    part = config.get(name, {})
    if not isinstance(part, dict):
        raise ValueError(f"{path}: {name} is {part!r}, not an object")
    return part


@dataclass(frozen=True)
class VideoShape:
    """How videos are shown to the model, after the spec's choices: VideoShape(16, (16, 12, 12), 16, (8, 6, 6))"""

    num_frames: int
    pooled: Shape
    shot_frames: int
    """Frames of a sample's clips before the last."""
    shot_pooled: Shape


@dataclass(frozen=True)
class Architecture:
    """config.json with its defaults filled in; `read_architecture` checks it."""

    path: Path
    config: Mapping[str, Any]
    """The file as it is."""
    text: Mapping[str, Any]
    """The LLM's section."""
    vision: Mapping[str, Any]
    """The tower's section."""

    @property
    def kind(self) -> str:
        return str(self.config["model_type"])

    @property
    def is_pllava(self) -> bool:
        """True for our own layout and for a released PLLaVA, False for an image model."""
        return self.kind == "pllava" or "pooling_shape" in self.config

    @property
    def is_released(self) -> bool:
        """True for PLLaVA as its authors released it: LLaVA's model_type, with the LoRA unmerged under PEFT's names."""
        return self.kind != "pllava" and str(self.config.get("architectures")).startswith("['Pllava")

    @property
    def is_plain(self) -> bool:
        """True where LLM and tower are Llama and CLIP, whose weights `weight_shapes` lists."""
        llm, tower = self.text.get("model_type", "llama"), self.vision.get("model_type", "clip_vision_model")
        return (llm, tower) == ("llama", "clip_vision_model")

    @property
    def tied(self) -> bool:
        """True where the LLM's head is its embedding."""
        return bool(self.config.get("tie_word_embeddings", self.text.get("tie_word_embeddings", False)))

    @property
    def patches_per_side(self) -> int:
        return int(self.vision["image_size"]) // int(self.vision["patch_size"])

    @property
    def head_dim(self) -> int:
        return int(self.text.get("head_dim") or max(1, self.text["hidden_size"] // self.text["num_attention_heads"]))

    @property
    def kv_heads(self) -> int:
        return int(self.text.get("num_key_value_heads") or self.text["num_attention_heads"])

    def video_shape(self, spec: ModelSpec) -> VideoShape:
        """What the spec says; else what the checkpoint says; else, for an image model, 16 frames and half the patches a side.

        Raises ValueError where the checkpoint has no such frames or patches.
        """
        side = self.patches_per_side
        usual = self.config.get("num_frames", 16) if self.is_pllava else 16
        frames = spec.num_frames or whole(self.path, "num_frames", usual, 4096)
        half = math.ceil(side / 2)
        usual_shape = self.config.get("pooling_shape", (16, 12, 12)) if self.is_pllava else (frames, half, half)
        shape = spec.pooling_shape or usual_shape
        if not isinstance(shape, list | tuple) or len(shape) != 3 or not all(type(n) is int and n > 0 for n in shape):
            raise ValueError(f"{self.path}: pooling_shape = {shape!r} is not [T', H', W']")
        if shape[0] > frames or max(shape[1:]) > side:
            raise ValueError(
                f"pooling_shape {list(shape)} does not fit {frames} frames of {side} x {side} patches; give (T', H', W')"
            )
        shot_frames = spec.shot_frames or frames
        if shot_frames > frames:
            raise ValueError(f"episodes.num_frames = {shot_frames} is more than the model's {frames} frames; give at most as many")
        t, h, w = spec.shot_shape or (min(shot_frames, -(-shape[0] // 2)), -(-shape[1] // 2), -(-shape[2] // 2))
        if min(t, h, w) < 1 or t > shot_frames or max(h, w) > side:
            raise ValueError(f"episodes.pooling_shape [{t}, {h}, {w}] does not fit {shot_frames} frames of {side} x {side} patches")
        return VideoShape(frames, (shape[0], shape[1], shape[2]), shot_frames, (t, h, w))

    @cached_property
    def weight_shapes(self) -> dict[str, tuple[int, ...]]:
        """Shape of every weight under the names of stock LLaVA files, for a Llama behind a CLIP tower."""
        shapes = _tower_shapes(self.vision) | _llm_shapes(self)
        wide, hidden = self.vision["hidden_size"], self.text["hidden_size"]
        for layer, width in (("linear_1", wide), ("linear_2", hidden)):
            bias = self.config.get("multimodal_projector_bias", True)
            shapes |= _linear(f"multi_modal_projector.{layer}", hidden, width, bias)
        return shapes


def _linear(name: str, out: int, width: int, bias: bool) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": (out, width)} | ({f"{name}.bias": (out,)} if bias else {})


def _llm_shapes(architecture: Architecture) -> dict[str, tuple[int, ...]]:
    text, head = architecture.text, architecture.head_dim
    hidden, inter, vocab = text["hidden_size"], text["intermediate_size"], text["vocab_size"]
    queries, keys = text["num_attention_heads"] * head, architecture.kv_heads * head
    attention_bias, mlp_bias = text.get("attention_bias", False), text.get("mlp_bias", False)
    shapes: dict[str, tuple[int, ...]] = {"language_model.model.embed_tokens.weight": (vocab, hidden)}
    for layer in range(text["num_hidden_layers"]):
        prefix = f"language_model.model.layers.{layer}"
        for name, width in (("q", queries), ("k", keys), ("v", keys)):
            shapes |= _linear(f"{prefix}.self_attn.{name}_proj", width, hidden, attention_bias)
        shapes |= _linear(f"{prefix}.self_attn.o_proj", hidden, queries, attention_bias)
        for name in ("gate", "up"):
            shapes |= _linear(f"{prefix}.mlp.{name}_proj", inter, hidden, mlp_bias)
        shapes |= _linear(f"{prefix}.mlp.down_proj", hidden, inter, mlp_bias)
        shapes |= {f"{prefix}.{name}_layernorm.weight": (hidden,) for name in ("input", "post_attention")}
    shapes["language_model.model.norm.weight"] = (hidden,)
    return shapes | ({} if architecture.tied else {"language_model.lm_head.weight": (vocab, hidden)})


def _tower_shapes(vision: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    wide, deep, patch = vision["hidden_size"], vision["intermediate_size"], vision["patch_size"]
    patches = (vision["image_size"] // patch) ** 2
    root = "vision_tower.vision_model"
    shapes: dict[str, tuple[int, ...]] = {
        f"{root}.embeddings.class_embedding": (wide,),
        f"{root}.embeddings.patch_embedding.weight": (wide, vision.get("num_channels", 3), patch, patch),
        f"{root}.embeddings.position_embedding.weight": (patches + 1, wide),
    }
    norms = ["pre_layrnorm", "post_layernorm"]  # the former is spelled so in CLIP's files
    for layer in range(vision["num_hidden_layers"]):
        prefix = f"encoder.layers.{layer}"
        norms += [f"{prefix}.layer_norm1", f"{prefix}.layer_norm2"]
        for name in ("q", "k", "v", "out"):
            shapes |= _linear(f"{root}.{prefix}.self_attn.{name}_proj", wide, wide, True)
        shapes |= _linear(f"{root}.{prefix}.mlp.fc1", deep, wide, True) | _linear(f"{root}.{prefix}.mlp.fc2", wide, deep, True)
    return shapes | {f"{root}.{name}.{part}": (wide,) for name in norms for part in ("weight", "bias")}


def read_architecture(folder: Path) -> Architecture:
    """Raises ValueError, naming file and key, for a config.json of another kind of model or with values that no model has."""
    path = folder / "config.json"
    return check_config(path, read_json(path))


def check_config(path: Path, config: Mapping[str, Any]) -> Architecture:
    """As `read_architecture`, for a configuration that is read already; `path` is for the errors."""
    kind = config.get("model_type")
    if kind not in KINDS or is_original_llava(config):
        raise unread_kind(str(path.parent), config, ", ".join(KINDS))
    vision: dict[str, Any] = CLIP | section(path, config, "vision_config") if "vision_config" in config else LLAVA_CLIP
    text: dict[str, Any] = LLAMA | section(path, config, "text_config")
    if config.get("quantization_config"):
        raise ValueError(f"{path}: quantization_config; give weights of full precision")
    if config.get("pooling_method", "avg") != "avg":
        raise ValueError(f"{path}: pooling_method = {config['pooling_method']!r}; PLLaVA's pool takes averages")
    for part, names in ((text, LLAMA), (vision, CLIP)):
        for name in names:
            most = {"num_hidden_layers": 1000, "image_size": 65_536, "patch_size": 65_536}.get(name, 10_000_000)
            whole(path, name, part[name], most)
    for name in ("head_dim", "num_key_value_heads"):
        whole(path, name, text.get(name) or 1)
    for part, text_of in ((text, "text_config"), (vision, "vision_config")):
        hidden, heads = part["hidden_size"], whole(path, "num_attention_heads", part["num_attention_heads"])
        if hidden % heads:
            raise ValueError(f"{path}: {text_of}.hidden_size = {hidden} is not a multiple of num_attention_heads = {heads}")
    if vision["patch_size"] > vision["image_size"]:
        raise ValueError(f"{path}: patch_size = {vision['patch_size']} is more than image_size = {vision['image_size']}")
    if text.get("pad_token_id") is not None:
        whole(path, "pad_token_id", text["pad_token_id"] + 1 if type(text["pad_token_id"]) is int else 0, text["vocab_size"])
    _check_projection(path, config, text, vision)
    return Architecture(path=path, config=config, text=text, vision=vision)


def _check_projection(path: Path, config: Mapping[str, Any], text: Mapping[str, Any], vision: Mapping[str, Any]) -> None:
    """Checks activations and which features of the tower are projected."""
    activations = {
        "projector_hidden_act": config.get("projector_hidden_act", "gelu"),
        "text_config.hidden_act": text.get("hidden_act", "silu"),
        "vision_config.hidden_act": vision.get("hidden_act", "quick_gelu"),
    }
    for name, activation in activations.items():
        if not isinstance(activation, str) or activation not in ACTIVATIONS:
            raise ValueError(f"{path}: {name} = {activation!r} is not an activation that transformers knows")
    layer, depth = config.get("vision_feature_layer", -2), vision["num_hidden_layers"]
    if type(layer) is not int or not -depth - 1 <= layer <= depth:
        raise ValueError(f"{path}: vision_feature_layer {layer} is not one of the tower's {depth} layers")
    if (strategy := config.get("vision_feature_select_strategy", "default")) != "default":
        raise ValueError(f"{path}: vision_feature_select_strategy {strategy!r}; PLLaVA drops the class token")
