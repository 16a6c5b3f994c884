"""A model of a size that can be reckoned with by hand."""

from models.base import ModelSize

SIZE = ModelSize(
    tower_params=1000,
    projector_params=300,
    llm_params=7000,
    lora_params=700,
    trained_params=1000,
    num_layers=3,
    hidden_size=16,
    intermediate_size=48,
    vocab_size=101,
    kv_values_per_token=96,
    tower_size=8,
    tower_intermediate_size=32,
    num_frames=4,
    patches_per_frame=9,
    video_tokens=32,
    shot_tokens=8,
    context_tokens=1024,
)
