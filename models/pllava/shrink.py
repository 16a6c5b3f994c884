"""A random checkpoint of a recipe's own architecture, a few MB small: what a rehearsal trains, saves, resumes and asks."""

import json
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save_file
from tokenizers import AddedToken, Tokenizer, processors

from models.base import ModelSpec
from models.folders import SMALL_FILES, TINY, fetch
from models.pllava.architecture import Architecture, check_config
from models.pllava.layouts import NEWLINE
from models.pllava.pictures import image_settings, picture_rules
from models.pllava.pooling import Shape
from models.pllava.published import CHATML, CONFIGS, architecture_of
from models.pllava.shapes import LLMS

LAYERS, TOWER_LAYERS = 2, 3
SIDE = 4
"""Patches a side."""
NUM_FRAMES = 4
TILED = ("llava_next", "llava_next_video", "llava_onevision")
"""Kinds with any-res tiling, whose rows of tiles image_newline ends."""
RANK = 4
"""Of the LoRA in a released PLLaVA."""
PLAIN_CHAT = (
    "{% for message in messages %}{% if message.role == 'user' %}USER: {% for part in message.content %}"
    "{% if part.type == 'text' %}{{ part.text }}{% else %}<{{ part.type }}>\n{% endif %}{% endfor %}"
    "{% else %} ASSISTANT: {{ message.content[0].text }}</s>{% endif %}{% endfor %}"
    "{% if add_generation_prompt %} ASSISTANT:{% endif %}"
)


def shrink(spec: ModelSpec, folder: Path, seed: int) -> ModelSpec:
    """Write a small random checkpoint of the spec's architecture and layout to `folder`; returns the spec that loads it.

    Activations, biases, head sharing, ties, context and dtype are the source's; sizes, layers, vocabulary, frames and patches are
    small. Of the source it reads config.json, and the tokenizer's files where they are there; a checkpoint in published.py needs
    neither. Raises ValueError for an LLM that is not in LLMS (models/pllava/shapes.py).
    """
    assert spec.adapter is None, "a rehearsal starts from the base"
    source = None if spec.base in CONFIGS else fetch(spec.base, SMALL_FILES)
    large = architecture_of(spec.base)
    if not large.is_plain:
        raise ValueError(
            f"{large.path}: a {large.text['model_type']!r} LLM cannot be rehearsed; those that can are {', '.join(LLMS)}"
        )
    folder.mkdir(parents=True, exist_ok=True)
    own_tokenizer = source is not None and (source / "tokenizer.json").is_file()
    if source and own_tokenizer:
        tokenizer = _copy_tokenizer(source, folder)
    else:
        tokenizer = _write_tokenizer(folder, chatml=spec.base in CHATML)
    small_spec = _small_spec(large, spec, folder)
    config = _small_config(large, small_spec, tokenizer, own_tokenizer)
    (folder / "config.json").write_text(json.dumps(config, indent=1))
    small = check_config(folder / "config.json", config)
    _write_processor(small, small_spec, source, folder)
    _write_weights(small, folder, seed)
    return small_spec


def _small_spec(large: Architecture, spec: ModelSpec, folder: Path) -> ModelSpec:
    """The spec with frames and pooled shapes scaled down as the sizes are."""
    video, side = large.video_shape(spec), large.patches_per_side
    frames = min(NUM_FRAMES, video.num_frames)
    shot_frames = max(1, video.shot_frames * frames // video.num_frames)

    def scaled(shape: Shape, from_frames: int, to_frames: int) -> Shape:
        t = max(1, shape[0] * to_frames // from_frames)
        return (t, max(1, shape[1] * SIDE // side), max(1, shape[2] * SIDE // side))

    return replace(
        spec,
        base=str(folder),
        base_uri="",
        num_frames=frames,
        pooling_shape=scaled(video.pooled, video.num_frames, frames),
        shot_frames=shot_frames,
        shot_shape=scaled(video.shot_pooled, video.shot_frames, shot_frames),
    )


def _small_config(large: Architecture, spec: ModelSpec, tokenizer: Tokenizer, own_tokenizer: bool) -> dict[str, Any]:
    text, vision, layers = dict(large.text), large.vision, large["vision_feature_layer"]
    text.pop("layer_types", None)  # one for each layer, as many as the source has
    shared = max(1, text["num_attention_heads"] // large.kv_heads)
    kv_heads = min(2, large.kv_heads)
    heads, head = kv_heads * shared, 16 if shared == 1 else 8 if shared <= 4 else 4
    hidden, patch = heads * head, int(vision["patch_size"])
    small_text = {
        "hidden_size": hidden,
        "intermediate_size": max(8, hidden * text["intermediate_size"] // text["hidden_size"]),
        "num_hidden_layers": LAYERS,
        "num_attention_heads": heads,
        "num_key_value_heads": kv_heads,
        "head_dim": head,
        "vocab_size": -(-tokenizer.get_vocab_size() // 64) * 64,  # as on the hub, some rows have no token
    }
    small_vision = {
        "hidden_size": 32,
        "intermediate_size": 32 * vision["intermediate_size"] // vision["hidden_size"],
        "num_hidden_layers": TOWER_LAYERS,
        "num_attention_heads": 2,
        "image_size": SIDE * patch,
        "projection_dim": 16,
    }
    config = dict(large.config) | {
        "text_config": text | small_text,
        "vision_config": dict(vision) | small_vision,
        "image_token_index": tokenizer.token_to_id("<image>"),
        "image_seq_length": SIDE * SIDE,
        "vision_feature_layer": [_small_layer(layer) for layer in layers] if isinstance(layers, list) else _small_layer(layers),
    }
    if large.kind in TILED:
        config["image_grid_pinpoints"] = [[SIDE * patch, 2 * SIDE * patch]]
    if (video_token := tokenizer.token_to_id("<video>")) is not None and large.kind != "llava":
        config["video_token_index"] = video_token
    if not own_tokenizer:
        tokens = {"bos_token_id": "<s>", "eos_token_id": "</s>", "pad_token_id": "<pad>"}
        config["text_config"] |= {name: tokenizer.token_to_id(token) for name, token in tokens.items()}
        config["pad_token_id"] = config["text_config"]["pad_token_id"]
    if large.is_pllava:
        assert spec.pooling_shape is not None
        config |= {"num_frames": spec.num_frames, "pooling_shape": list(spec.pooling_shape)}
    return config


def _small_layer(layer: int) -> int:
    return max(-TOWER_LAYERS - 1, min(layer, TOWER_LAYERS))


def _copy_tokenizer(source: Path, folder: Path) -> Tokenizer:
    """Copies what a tokenizer and a chat need, and what ends an answer."""
    names = ("tokenizer", "tokenizer_config", "special_tokens_map", "added_tokens", "generation_config", "chat_template")
    for path in (*(source / f"{name}.json" for name in names), *source.glob("*.jinja")):
        if path.is_file():
            shutil.copy(path, folder)
    return Tokenizer.from_file(str(folder / "tokenizer.json"))


def _write_tokenizer(folder: Path, chatml: bool) -> Tokenizer:
    """Writes the tiny model's tokenizer, made to look like a stock LLaVA's."""
    tokenizer = Tokenizer.from_file(str(TINY / "tokenizer.json"))
    if chatml:
        tokenizer.add_special_tokens([AddedToken(name, normalized=False) for name in ("<|im_start|>", "<|im_end|>")])
    begin = ("<s>", tokenizer.token_to_id("<s>"))
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[begin])
    tokenizer.save(str(folder / "tokenizer.json"))
    names = {"bos_token": "<s>", "eos_token": "<|im_end|>" if chatml else "</s>", "pad_token": "<pad>", "unk_token": "<unk>"}
    settings = names | {"padding_side": "left", "tokenizer_class": "LlamaTokenizer"}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings, indent=1))
    return tokenizer


def _write_processor(small: Architecture, spec: ModelSpec, source: Path | None, folder: Path) -> None:
    """Writes the file that says how frames become pixels, with the source's means and deviations where it has them."""
    side, patch, ours = small.vision["image_size"], small.vision["patch_size"], small.kind == "pllava"
    settings = image_settings(source, small)[1] if source else {}
    stretches = picture_rules(source or folder, small).stretches
    size = {"height": side, "width": side} if stretches else {"shortest_edge": side}
    settings |= {"size": size, "crop_size": None if stretches else {"height": side, "width": side}}
    if ours:
        shape = list(spec.pooling_shape or ())
        settings |= {"image_size": side, "patch_size": patch, "num_frames": spec.num_frames, "pooling_shape": shape}
        if not any(folder.glob("*.jinja")):
            (folder / "chat_template.jinja").write_text(PLAIN_CHAT)
    (folder / ("processor_config.json" if ours else "preprocessor_config.json")).write_text(json.dumps(settings, indent=1))


def _write_weights(small: Architecture, folder: Path, seed: int) -> None:
    """Normal weights, unit norms, zero biases, under the layout's own names; in float16, as the hub's checkpoints are."""
    random = np.random.default_rng(seed)
    shapes = dict(small.weight_shapes)
    if small.config.get("use_image_newline_parameter") or small.config.get("pooling_newline") or small.kind in TILED:
        shapes[NEWLINE] = (small.text["hidden_size"],)
    weights: dict[str, NDArray[np.float16]] = {}
    for name, shape in shapes.items():
        if name.endswith("norm.weight") or "layer_norm" in name or "layrnorm" in name or "layernorm" in name:
            values = np.full(shape, 0.0 if name.endswith(".bias") else 1.0)
        else:
            values = random.normal(0, 0.05, shape) if not name.endswith(".bias") else np.zeros(shape)
        weights[name] = values.astype(np.float16)
    if small.is_released:
        weights = _as_released(weights, random)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


def _as_released(weights: Mapping[str, NDArray[np.float16]], random: np.random.Generator) -> dict[str, NDArray[np.float16]]:
    """PEFT's names of 2024 in the LLM, and a LoRA on q and v."""
    named: dict[str, NDArray[np.float16]] = {}
    for name, weight in weights.items():
        if not name.startswith("language_model."):
            named[name] = weight
            continue
        wrapped = name.replace("language_model.", "language_model.base_model.model.", 1)
        if name.endswith(("q_proj.weight", "v_proj.weight")):
            module = wrapped.removesuffix(".weight")
            named[f"{module}.base_layer.weight"] = weight
            named[f"{module}.lora_A.default.weight"] = random.normal(0, 0.05, (RANK, weight.shape[1])).astype(np.float16)
            named[f"{module}.lora_B.default.weight"] = random.normal(0, 0.05, (weight.shape[0], RANK)).astype(np.float16)
        else:
            named[wrapped] = weight
    return named
