"""What a checkpoint's config.json says, read as plain JSON and checked: sizes, layers, shapes of all weights, pool. No torch."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from models.base import ModelSpec
from models.folders import is_original_llava, read_json, unread_kind
from models.pllava.pooling import POOLINGS, Pooling, Shape, chosen_pooling, stored_pooling
from models.pllava.shapes import (
    LLAMA,
    LLAVA_CLIP,
    LLMS,
    ONEVISION_SIGLIP,
    TOWERS,
    Shapes,
    linear,
    llm_shapes,
    tower_shapes,
)

KINDS = ("pllava", "llava", "llava_next", "llava_next_video", "llava_onevision")
"""model_type of the checkpoints that are read. A released PLLaVA says "llava". Any-res tiling, which some were trained with for
pictures, is left out."""
DEFAULTS: dict[str, Any] = {
    "image_token_index": 32000, "vision_feature_layer": -2, "vision_feature_select_strategy": "default",
    "projector_hidden_act": "gelu",
}  # fmt: skip
OTHER_DEFAULTS: dict[str, dict[str, Any]] = {
    "llava_next_video": {"image_token_index": 32001},
    "llava_onevision": {"image_token_index": 151_646, "vision_feature_layer": -1, "vision_feature_select_strategy": "full"},
}
"""What transformers assumes where config.json says nothing, and where it differs for some kinds; models/pllava/shapes.py has the
same of LLM and tower."""
ACTIVATIONS = frozenset(
    "gelu gelu_10 gelu_accurate gelu_fast gelu_new gelu_python gelu_python_tanh gelu_pytorch_tanh hardswish laplace leaky_relu "
    "linear mish prelu quick_gelu relu relu2 relu6 sigmoid silu sqrtsoftplus swish tanh xielu".split()
)
"""Names of activations that transformers knows (ACT2FN of transformers 5.20)."""


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
    """How videos are shown to the model, after the spec's choices: VideoShape(16, (16, 12, 12), 16, (8, 6, 6), pooling)"""

    num_frames: int
    pooled: Shape
    shot_frames: int
    """Frames of a sample's clips before the last."""
    shot_pooled: Shape
    pooling: Pooling = POOLINGS["pllava"]


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
        """True where `weight_shapes` lists the LLM's weights."""
        return self.text["model_type"] in LLMS

    @property
    def tied(self) -> bool:
        """True where the LLM's head is its embedding. LLaVA's classes take either section's word for it."""
        return bool(self.config.get("tie_word_embeddings", False) or self.text.get("tie_word_embeddings", False))

    def untied(self) -> "Architecture":
        """The same for files that hold a head of their own, whatever config.json says: transformers reads it too."""
        apart = {"tie_word_embeddings": False}
        return replace(self, config=dict(self.config) | apart, text=dict(self.text) | apart)

    @property
    def class_tokens(self) -> int:
        """Tokens of the tower before the patches: 1 of CLIP, none of SigLIP."""
        return int(self.vision["model_type"] == "clip_vision_model")

    @property
    def tokens_per_image(self) -> int:
        """Of an image on LLaVA's own path: the strategy "default" takes the first token away, "full" keeps it."""
        return self.patches_per_side**2 + self.class_tokens - int(self["vision_feature_select_strategy"] == "default")

    @property
    def feature_layers(self) -> int:
        """How many of the tower's layers are projected together."""
        layers = self["vision_feature_layer"]
        return len(layers) if isinstance(layers, list) else 1

    def __getitem__(self, key: str) -> Any:
        """A value of config.json that transformers has a default for."""
        return self.config.get(key, OTHER_DEFAULTS.get(self.kind, {}).get(key, DEFAULTS[key]))

    @property
    def patches_per_side(self) -> int:
        return int(self.vision["image_size"]) // int(self.vision["patch_size"])

    @property
    def head_dim(self) -> int:
        return int(self.text.get("head_dim") or max(1, self.text["hidden_size"] // self.text["num_attention_heads"]))

    @property
    def kv_heads(self) -> int:
        return int(self.text.get("num_key_value_heads") or self.text["num_attention_heads"])

    def pooling(self, spec: ModelSpec) -> Pooling:
        """The spec's pool; else what the checkpoint says; else, for an image model, PLLaVA's."""
        return chosen_pooling(spec, stored_pooling(self.path, self.config))

    def video_shape(self, spec: ModelSpec) -> VideoShape:
        """What the spec says; else what the checkpoint says; else, for an image model, 16 frames and half the patches a side.

        A spec that names a pool gets half the patches too, unless it has a shape of its own. Raises ValueError where the checkpoint
        has no such frames or patches.
        """
        side, pooling = self.patches_per_side, self.pooling(spec)
        usual = self.config.get("num_frames", 16) if self.is_pllava else 16
        frames = spec.num_frames or whole(self.path, "num_frames", usual, 4096)
        usual_shape: Any = (frames, pooling.half(side), pooling.half(side))
        if self.is_pllava and not spec.pooling:
            usual_shape = self.config.get("pooling_shape", (16, 12, 12))
        shape = spec.pooling_shape or usual_shape
        if not isinstance(shape, list | tuple) or len(shape) != 3 or not all(type(n) is int and n > 0 for n in shape):
            raise ValueError(f"{self.path}: pooling_shape = {shape!r} is not [T', H', W']")
        pooled = (shape[0], shape[1], shape[2])
        self._refuse_shape("model.pooling_shape", pooling, pooled, frames)
        shot_frames = spec.shot_frames or frames
        if shot_frames > frames:
            raise ValueError(f"episodes.num_frames = {shot_frames} is more than the model's {frames} frames; give at most as many")
        shot_pooled = spec.shot_shape or pooling.shot_shape(pooled, (frames, side, side), shot_frames)
        self._refuse_shape("episodes.pooling_shape", pooling, shot_pooled, shot_frames)
        return VideoShape(frames, pooled, shot_frames, shot_pooled, pooling)

    def _refuse_shape(self, key: str, pooling: Pooling, shape: Shape, frames: int) -> None:
        """Raises ValueError where the pool cannot make the shape of so many frames."""
        side = self.patches_per_side
        if problem := pooling.problem(shape, (frames, side, side)):
            raise ValueError(f"{key} {list(shape)} does not fit {frames} frames of {side} x {side} patches: {problem}")

    @cached_property
    def weight_shapes(self) -> Shapes:
        """Shape of every weight under the names of stock LLaVA files, for an LLM in LLMS; image_newline is left out."""
        shapes = tower_shapes(self.vision) | llm_shapes(self.text, self.head_dim, self.kv_heads, self.tied)
        wide, hidden = self.vision["hidden_size"] * self.feature_layers, self.text["hidden_size"]
        for layer, width in (("linear_1", wide), ("linear_2", hidden)):
            bias = self.config.get("multimodal_projector_bias", True)
            shapes |= linear(f"multi_modal_projector.{layer}", hidden, width, bias)
        return shapes


def read_architecture(folder: Path) -> Architecture:
    """Raises ValueError, naming file and key, for a config.json of another kind of model or with values that no model has."""
    path = folder / "config.json"
    return check_config(path, read_json(path))


def check_config(path: Path, config: Mapping[str, Any]) -> Architecture:
    """As `read_architecture`, for a configuration that is read already; `path` is for the errors."""
    kind = config.get("model_type")
    if kind not in KINDS or is_original_llava(config):
        raise unread_kind(str(path.parent), config, ", ".join(KINDS))
    vision, text = _sections(path, config)
    if config.get("quantization_config"):
        raise ValueError(f"{path}: quantization_config; give weights of full precision")
    stored_pooling(path, config)
    for part, names in ((text, LLAMA), (vision, LLAVA_CLIP)):
        for name in (name for name in names if name != "model_type"):
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
    return _checked_projection(path, config, text, vision)


def _sections(path: Path, config: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The sections of the tower and of the LLM, with what transformers assumes where they say nothing. Raises ValueError."""
    is_onevision = config["model_type"] == "llava_onevision"
    usual_tower, usual_llm = (ONEVISION_SIGLIP, "qwen2") if is_onevision else (LLAVA_CLIP, "llama")
    vision: dict[str, Any] = dict(usual_tower)
    if "vision_config" in config:
        vision = {"model_type": usual_tower["model_type"]} | section(path, config, "vision_config")
    tower, text = vision["model_type"], {"model_type": usual_llm} | section(path, config, "text_config")
    if not isinstance(tower, str) or tower not in TOWERS:
        raise ValueError(f"{path}: the tower is a {tower!r}; read are {', '.join(TOWERS)}")
    if not isinstance(llm := text["model_type"], str):
        raise ValueError(f"{path}: text_config.model_type = {llm!r} is no name")
    return TOWERS[tower] | vision, LLMS.get(llm, LLAMA) | text


def _checked_projection(path: Path, config: Mapping[str, Any], text: Mapping[str, Any], vision: Mapping[str, Any]) -> Architecture:
    """Checks activations and which features of the tower are projected."""
    activations = {
        "projector_hidden_act": config.get("projector_hidden_act", "gelu"),
        "text_config.hidden_act": text.get("hidden_act", "silu"),
        "vision_config.hidden_act": vision.get("hidden_act", "quick_gelu"),
    }
    for name, activation in activations.items():
        if not isinstance(activation, str) or activation not in ACTIVATIONS:
            raise ValueError(f"{path}: {name} = {activation!r} is not an activation that transformers knows")
    architecture = Architecture(path=path, config=config, text=text, vision=vision)
    layers, depth = architecture["vision_feature_layer"], vision["num_hidden_layers"]
    for layer in layers if isinstance(layers, list) and layers else [layers]:
        if type(layer) is not int or not -depth - 1 <= layer <= depth:
            raise ValueError(f"{path}: vision_feature_layer {layers} is not one of the tower's {depth} layers, or a list of them")
    if (strategy := architecture["vision_feature_select_strategy"]) not in ("default", "full"):
        raise ValueError(f"{path}: vision_feature_select_strategy {strategy!r}; known are default and full")
    return architecture
