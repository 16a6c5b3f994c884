"""Published checkpoints by hub id, for machines that do not reach the hub: what config.json says, and what bounds their frames.

Sources. Qwen3-VL-8B: config.json, as its finetunes on the hub carry it and as Megatron Bridge checked it (Qwen3VLModelProvider8B);
video_preprocessor_config.json is the same for all Qwen3-VL. InternVL3.5-8B: config.json was not at hand. Its LLM is Qwen3-8B, with
the sizes of Qwen3-VL-8B's LLM and Qwen3-8B's context; its tower is InternViT-300M-448px, as transformers'
convert_internvl_weights_to_hf.py writes it; InternVL's documentation gives 0.3 + 8.2 = 8.5 B. LLaVA-OneVision:
models/pllava/published.py. SmolVLM2-2.2B: config.json; the vocabulary is one more than eos_token_id in generation_config.json, the
tower is google/siglip-so400m-patch14-384. What decides no size, such as rope_theta, may be transformers' default here. The numbers
of parameters, 8.77, 8.53, 8.03 and 2.25 billion, are those that are published (tests/models/test_recipes.py).
"""

from typing import Any

from models.pllava.published import CONFIGS

QWEN3_8B: dict[str, Any] = {
    "hidden_size": 4096, "intermediate_size": 12288, "num_hidden_layers": 36, "num_attention_heads": 32, "num_key_value_heads": 8,
    "head_dim": 128, "vocab_size": 151_936, "rms_norm_eps": 1e-6, "tie_word_embeddings": False,
}  # fmt: skip
SMOLLM2_1_7B: dict[str, Any] = {
    "model_type": "llama", "hidden_size": 2048, "intermediate_size": 8192, "num_hidden_layers": 24, "num_attention_heads": 32,
    "num_key_value_heads": 32, "head_dim": 64, "vocab_size": 49_280, "max_position_embeddings": 8192, "rms_norm_eps": 1e-5,
    "tie_word_embeddings": False,
}  # fmt: skip
ONEVISION_7B = "llava-hf/llava-onevision-qwen2-7b-ov-hf"
FIELDS: dict[str, dict[str, Any]] = {
    "Qwen/Qwen3-VL-8B-Instruct": {
        "model_type": "qwen3_vl",
        "text_config": QWEN3_8B | {
            "max_position_embeddings": 262_144,
            "rope_parameters": {
                "mrope_interleaved": True, "mrope_section": [24, 20, 20], "rope_theta": 5_000_000.0, "rope_type": "default",
            },
        },
        "vision_config": {"out_hidden_size": 4096},
    },
    "OpenGVLab/InternVL3_5-8B-HF": {
        "model_type": "internvl",
        "text_config": QWEN3_8B | {
            "model_type": "qwen3", "max_position_embeddings": 40_960,
        },
        "vision_config": {"attention_bias": True},
        "tie_word_embeddings": False,
    },
    ONEVISION_7B: CONFIGS[ONEVISION_7B],
    "HuggingFaceTB/SmolVLM2-2.2B-Instruct": {
        "model_type": "smolvlm",
        "scale_factor": 3,
        "text_config": SMOLLM2_1_7B,
        "tie_word_embeddings": False,
        "vision_config": {
            "hidden_size": 1152, "image_size": 384, "intermediate_size": 4304, "num_attention_heads": 16, "num_hidden_layers": 27,
            "patch_size": 14,
        },
    },
}  # fmt: skip
"""Fields in which config.json is not what transformers' configuration of the kind is by default."""
VIDEO_SIZES: dict[str, dict[str, int]] = {"Qwen/Qwen3-VL-8B-Instruct": {"shortest_edge": 4096, "longest_edge": 25_165_824}}
"""Pixels of all frames of a video, at least and at most. The others' frames have the size that their tower takes."""
PUBLISHED = {name: str(fields["model_type"]) for name, fields in FIELDS.items()}
