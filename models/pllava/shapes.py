"""Shapes of all weights under the names of stock LLaVA files, and what transformers assumes where config.json says nothing.

For the LLMs and the towers of the two tables; of another LLM transformers has to be asked, which takes torch.
"""

from collections.abc import Mapping
from typing import Any

Shapes = dict[str, tuple[int, ...]]
LLAMA: dict[str, Any] = {
    "vocab_size": 32000, "hidden_size": 4096, "intermediate_size": 11008, "num_hidden_layers": 32, "num_attention_heads": 32,
    "max_position_embeddings": 2048,
}  # fmt: skip
LLMS: Mapping[str, dict[str, Any]] = {
    "llama": LLAMA,
    "mistral": LLAMA | {"intermediate_size": 14336, "num_key_value_heads": 8, "max_position_embeddings": 131_072},
    "qwen2": LLAMA | {
        "vocab_size": 151_936, "intermediate_size": 22016, "num_key_value_heads": 32, "max_position_embeddings": 32768,
    },
    "gemma": LLAMA | {
        "vocab_size": 256_000, "hidden_size": 3072, "intermediate_size": 24576, "num_hidden_layers": 28,
        "num_attention_heads": 16, "num_key_value_heads": 16, "head_dim": 256, "max_position_embeddings": 8192,
        "tie_word_embeddings": True, "hidden_act": "gelu_pytorch_tanh",
    },
}  # fmt: skip
"""model_type of an LLM -> the values of its configuration class. All have the same weights; Qwen2's q, k and v have a bias."""
CLIP: dict[str, Any] = {
    "hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12, "num_attention_heads": 12, "image_size": 224,
    "patch_size": 32, "hidden_act": "quick_gelu",
}  # fmt: skip
TOWERS: Mapping[str, dict[str, Any]] = {
    "clip_vision_model": CLIP,
    "siglip_vision_model": CLIP | {"patch_size": 16, "hidden_act": "gelu_pytorch_tanh"},
}
"""The same of a tower. CLIP has a class token before the patches, SigLIP has none."""
LLAVA_CLIP = {
    "model_type": "clip_vision_model", "hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 24,
    "num_attention_heads": 16, "image_size": 336, "patch_size": 14,
}  # fmt: skip
ONEVISION_SIGLIP = {
    "model_type": "siglip_vision_model", "hidden_size": 1152, "intermediate_size": 4304, "num_hidden_layers": 26,
    "num_attention_heads": 16, "image_size": 384, "patch_size": 14, "vision_use_head": False,
}  # fmt: skip
"""The tower of a configuration without a section for it: of LLaVA's kinds, and of LLaVA-OneVision."""


def linear(name: str, out: int, width: int, bias: bool) -> Shapes:
    return {f"{name}.weight": (out, width)} | ({f"{name}.bias": (out,)} if bias else {})


def llm_shapes(text: Mapping[str, Any], head_dim: int, kv_heads: int, tied: bool) -> Shapes:
    """Of an LLM of LLMS. `tied`: it has no head of its own."""
    hidden, inter, vocab = text["hidden_size"], text["intermediate_size"], text["vocab_size"]
    queries, keys = text["num_attention_heads"] * head_dim, kv_heads * head_dim
    kind = text["model_type"]
    output_bias = kind in ("llama", "gemma") and text.get("attention_bias", False)
    input_bias, mlp_bias = kind == "qwen2" or output_bias, kind == "llama" and text.get("mlp_bias", False)
    shapes: Shapes = {"language_model.model.embed_tokens.weight": (vocab, hidden)}
    for layer in range(text["num_hidden_layers"]):
        prefix = f"language_model.model.layers.{layer}"
        for name, width in (("q", queries), ("k", keys), ("v", keys)):
            shapes |= linear(f"{prefix}.self_attn.{name}_proj", width, hidden, input_bias)
        shapes |= linear(f"{prefix}.self_attn.o_proj", hidden, queries, output_bias)
        for name in ("gate", "up"):
            shapes |= linear(f"{prefix}.mlp.{name}_proj", inter, hidden, mlp_bias)
        shapes |= linear(f"{prefix}.mlp.down_proj", hidden, inter, mlp_bias)
        shapes |= {f"{prefix}.{name}_layernorm.weight": (hidden,) for name in ("input", "post_attention")}
    shapes["language_model.model.norm.weight"] = (hidden,)
    return shapes | ({} if tied else {"language_model.lm_head.weight": (vocab, hidden)})


def tower_shapes(vision: Mapping[str, Any]) -> Shapes:
    """Of a tower of TOWERS."""
    wide, patch, is_clip = vision["hidden_size"], vision["patch_size"], vision["model_type"] == "clip_vision_model"
    patches = (vision["image_size"] // patch) ** 2
    root = "vision_tower.vision_model"
    shapes: Shapes = {
        f"{root}.embeddings.patch_embedding.weight": (wide, vision.get("num_channels", 3), patch, patch),
        f"{root}.embeddings.position_embedding.weight": (patches + is_clip, wide),
    }
    if is_clip:
        norms = [f"{root}.pre_layrnorm", f"{root}.post_layernorm"]  # the former is spelled so in CLIP's files
        shapes[f"{root}.embeddings.class_embedding"] = (wide,)
    else:
        norms = [f"{root}.post_layernorm"]
        shapes[f"{root}.embeddings.patch_embedding.bias"] = (wide,)
    for layer in range(vision["num_hidden_layers"]):
        prefix = f"{root}.encoder.layers.{layer}"
        norms += [f"{prefix}.layer_norm1", f"{prefix}.layer_norm2"]
        for name in ("q", "k", "v", "out"):
            shapes |= linear(f"{prefix}.self_attn.{name}_proj", wide, wide, True)
        shapes |= _mlp(f"{prefix}.mlp", vision)
    if not is_clip and vision.get("vision_use_head", True):
        shapes |= _head(f"{root}.head", vision)
        norms.append(f"{root}.head.layernorm")
    return shapes | {f"{name}.{part}": (wide,) for name in norms for part in ("weight", "bias")}


def _mlp(name: str, vision: Mapping[str, Any]) -> Shapes:
    wide, deep = vision["hidden_size"], vision["intermediate_size"]
    return linear(f"{name}.fc1", deep, wide, True) | linear(f"{name}.fc2", wide, deep, True)


def _head(name: str, vision: Mapping[str, Any]) -> Shapes:
    """SigLIP's attention pooling, which LLaVA does not use but some checkpoints hold."""
    wide = vision["hidden_size"]
    attention: Shapes = {f"{name}.attention.in_proj_weight": (3 * wide, wide), f"{name}.attention.in_proj_bias": (3 * wide,)}
    attention |= linear(f"{name}.attention.out_proj", wide, wide, True)
    return attention | {f"{name}.probe": (1, 1, wide)} | _mlp(f"{name}.mlp", vision)
