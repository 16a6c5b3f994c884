"""How large a model is, by the numbers in its config.json; a test holds them to real models."""

import math

from models.base import ModelSize, ModelSpec
from models.pllava.architecture import Architecture


def size_of(architecture: Architecture, spec: ModelSpec, lora_rank: int) -> ModelSize:
    """The size with a LoRA of a rank on q and v of the LLM. Raises ValueError where the spec does not fit the checkpoint."""
    text, vision, video = architecture.text, architecture.vision, architecture.video_shape(spec)
    params = {"vision_tower": 0, "multi_modal_projector": 0, "language_model": 0}
    for name, shape in architecture.weight_shapes.items():
        params[name.partition(".")[0]] += math.prod(shape)
    hidden, layers, head = text["hidden_size"], text["num_hidden_layers"], architecture.head_dim
    queries, keys = text["num_attention_heads"] * head, architecture.kv_heads * head
    return ModelSize(
        tower_params=params["vision_tower"],
        projector_params=params["multi_modal_projector"],
        llm_params=params["language_model"],
        lora_params=layers * lora_rank * (hidden + queries + hidden + keys),
        num_layers=layers,
        hidden_size=hidden,
        intermediate_size=text["intermediate_size"],
        vocab_size=text["vocab_size"],
        kv_values_per_token=2 * layers * keys,
        tower_size=vision["hidden_size"],
        tower_intermediate_size=vision["intermediate_size"],
        num_frames=video.num_frames,
        patches_per_frame=architecture.patches_per_side**2,
        video_tokens=video.pooling.tokens(video.pooled),
        shot_tokens=video.pooling.tokens(video.shot_pooled),
        context_tokens=text["max_position_embeddings"],
    )
