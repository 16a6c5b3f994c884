"""How large a model is, by the numbers in its config.json; a test holds them to real models."""

import math

from models.base import FinetuneSpec, ModelSize, ModelSpec
from models.pllava.architecture import Architecture


def size_of(architecture: Architecture, spec: ModelSpec, finetune: FinetuneSpec) -> ModelSize:
    """The size, and what a finetune changes. Raises ValueError where the spec does not fit the checkpoint."""
    text, vision, video = architecture.text, architecture.vision, architecture.video_shape(spec)
    params = {"vision_tower": 0, "multi_modal_projector": 0, "language_model": 0}
    for name, shape in architecture.weight_shapes.items():
        params[name.partition(".")[0]] += math.prod(shape)
    hidden, layers, head = text["hidden_size"], text["num_hidden_layers"], architecture.head_dim
    queries, keys = text["num_attention_heads"] * head, architecture.kv_heads * head
    lora = layers * finetune.rank * (hidden + queries + hidden + keys)  # on q and v of the LLM
    return ModelSize(
        tower_params=params["vision_tower"],
        projector_params=params["multi_modal_projector"],
        llm_params=params["language_model"],
        lora_params=lora,
        trained_params=lora + (params["multi_modal_projector"] if finetune.projector else 0),
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


def refuse_full(spec: ModelSpec, finetune: FinetuneSpec) -> None:
    """Raises ValueError for a finetune of the whole LLM: PLLaVA's recipe is LoRA, and its alpha is set when it answers."""
    if finetune.method == "full":
        raise ValueError(
            f"{spec.base_name}: train.method = 'full' is not for PLLaVA and LLaVA; set it to 'lora', or "
            + ("leave model.pooling out" if spec.pooling else "use a base that docs/models.md lists")
        )
