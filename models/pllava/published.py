"""config.json of published checkpoints by hub id, for machines that do not reach the hub: budget and rehearsal need no more.

Sources. LLM: config.json of lmsys/vicuna-7b-v1.5 and -13b-v1.5 (Llama 2: arXiv 2307.09288, its max_position_embeddings 4096 and
rms_norm_eps 1e-5), of NousResearch/Nous-Hermes-2-Yi-34B (Yi: arXiv 2403.04652, 8 of 56 heads are keys'; rope_theta 5e6). Embedding
rows: transformers' convert_llava_next_weights_to_hf.py adds <image> and <pad> behind the vocabulary and pads to a multiple of 64.
Tower: config.json of openai/clip-vit-large-patch14-336. LLaVA-OneVision: transformers' convert_llava_onevision_weights_to_hf.py
(tower, layer, and the vocabulary, which it pads to a multiple of 64), config.json of Qwen/Qwen2-7B-Instruct and -0.5B-Instruct.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from models.folders import fetch
from models.pllava.architecture import Architecture, check_config, read_architecture

CLIP_L_336: dict[str, Any] = {
    "model_type": "clip_vision_model", "hidden_size": 1024, "image_size": 336, "intermediate_size": 4096,
    "num_attention_heads": 16, "num_hidden_layers": 24, "patch_size": 14, "projection_dim": 768,
}  # fmt: skip
VICUNA_7B: dict[str, Any] = {
    "model_type": "llama", "hidden_size": 4096, "intermediate_size": 11008, "num_hidden_layers": 32, "num_attention_heads": 32,
    "num_key_value_heads": 32, "max_position_embeddings": 4096, "rms_norm_eps": 1e-5, "vocab_size": 32064,
}  # fmt: skip
VICUNA_13B: dict[str, Any] = VICUNA_7B | {
    "hidden_size": 5120, "intermediate_size": 13824, "num_hidden_layers": 40, "num_attention_heads": 40, "num_key_value_heads": 40,
}  # fmt: skip
YI_34B: dict[str, Any] = {
    "model_type": "llama", "hidden_size": 7168, "intermediate_size": 20480, "num_hidden_layers": 60, "num_attention_heads": 56,
    "num_key_value_heads": 8, "max_position_embeddings": 4096, "rms_norm_eps": 1e-5, "rope_theta": 5_000_000.0,
    "vocab_size": 64064,
}  # fmt: skip


SIGLIP_SO400M_384: dict[str, Any] = {
    "model_type": "siglip_vision_model", "hidden_size": 1152, "image_size": 384, "intermediate_size": 4304,
    "num_attention_heads": 16, "num_hidden_layers": 26, "patch_size": 14, "vision_use_head": False,
}  # fmt: skip
QWEN2_7B: dict[str, Any] = {
    "model_type": "qwen2", "hidden_size": 3584, "intermediate_size": 18944, "num_hidden_layers": 28, "num_attention_heads": 28,
    "num_key_value_heads": 4, "max_position_embeddings": 32768, "rms_norm_eps": 1e-6, "rope_theta": 1_000_000.0,
    "vocab_size": 152_128,
}  # fmt: skip
QWEN2_05B: dict[str, Any] = QWEN2_7B | {
    "hidden_size": 896, "intermediate_size": 4864, "num_hidden_layers": 24, "num_attention_heads": 14, "num_key_value_heads": 2,
    "tie_word_embeddings": True, "vocab_size": 152_000,
}  # fmt: skip


def _onevision(text: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "architectures": ["LlavaOnevisionForConditionalGeneration"],
        "model_type": "llava_onevision",
        "image_token_index": 151_646,
        "projector_hidden_act": "gelu",
        "text_config": dict(text),
        "tie_word_embeddings": False,
        "torch_dtype": "float16",
        "use_image_newline_parameter": True,
        "video_token_index": 151_647,
        "vision_config": dict(SIGLIP_SO400M_384),
        "vision_feature_layer": -1,
        "vision_feature_select_strategy": "full",
    }


def _llava_next(text: Mapping[str, Any], image_token: int) -> dict[str, Any]:
    return {
        "architectures": ["LlavaNextForConditionalGeneration"],
        "model_type": "llava_next",
        "image_grid_pinpoints": [[336, 672], [672, 336], [672, 672], [1008, 336], [336, 1008]],
        "image_token_index": image_token,
        "projector_hidden_act": "gelu",
        "text_config": dict(text),
        "tie_word_embeddings": False,
        "torch_dtype": "float16",
        "use_image_newline_parameter": True,
        "vision_config": dict(CLIP_L_336),
        "vision_feature_layer": -2,
        "vision_feature_select_strategy": "default",
    }


CONFIGS = {
    "llava-hf/llava-v1.6-vicuna-7b-hf": _llava_next(VICUNA_7B, 32000),
    "llava-hf/llava-v1.6-vicuna-13b-hf": _llava_next(VICUNA_13B, 32000),
    "llava-hf/llava-v1.6-34b-hf": _llava_next(YI_34B, 64000),
    "llava-hf/llava-onevision-qwen2-0.5b-ov-hf": _onevision(QWEN2_05B),
    "llava-hf/llava-onevision-qwen2-7b-ov-hf": _onevision(QWEN2_7B),
}
CHATML = frozenset({"llava-hf/llava-v1.6-34b-hf", *(name for name in CONFIGS if "onevision" in name)})
"""Checkpoints whose tokenizer has ChatML's <|im_start|> and <|im_end|>."""


def architecture_of(base: str) -> Architecture:
    """Of a checkpoint in CONFIGS without the hub; of another one by its folder, or by what the hub has."""
    if base in CONFIGS:
        return check_config(Path(base) / "config.json", CONFIGS[base])
    return read_architecture(fetch(base, ("*.json",)))
