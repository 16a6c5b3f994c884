"""GPU time of a clip, by the operations of the model's matrices: what a run costs before anything was measured.

A multiplication with an addition counts as two operations. Attention looks back only, so it counts half.
"""

from engine.config import Train
from models.base import ModelSize

CLIPS = 10_000
OPERATIONS_A_SECOND = 400e12
"""Of one GPU: 40 % of the 989 TFLOP/s that an H100 has in bfloat16, which is a good share in training."""
TEXT_TOKENS = 256
"""Of a row beside its video."""


def watching(size: ModelSize) -> float:
    """Operations that make a clip's keys and values: the tower on its patches, the LLM on its tokens."""
    return _tower(size) + _forward(size, size.clip_tokens) + _attention(size, size.clip_tokens)


def learning(size: ModelSize, train: Train) -> float:
    """Operations of one training row: the tower forward, the LLM forward and backward, and forward again with checkpointing.

    Backward takes as much as forward for the activations, and as much again for the weights where all of them are trained.
    """
    tokens, again = size.clip_tokens + TEXT_TOKENS, int(train.gradient_checkpointing)
    weights = 2 + again + int(train.method == "full")
    return _tower(size) + weights * _forward(size, tokens) + (3 + again) * _attention(size, tokens)


def gpu_hours(operations: float, rows: float) -> float:
    return operations * rows / OPERATIONS_A_SECOND / 3600


def hours(size: ModelSize, train: Train, is_trained: bool) -> str:
    """One line for the budget: of clips that have as many tokens as the model's videos can have."""
    parts = f"{gpu_hours(watching(size), CLIPS):.1f} GPU-hours to watch"
    if is_trained:
        parts += f", {gpu_hours(learning(size, train), CLIPS):.1f} to learn from once"
    return f"{CLIPS:,} long clips take about {parts}; answers come on top ({OPERATIONS_A_SECOND / 1e12:.0f} TFLOP/s a GPU assumed)"


def _tower(size: ModelSize) -> float:
    return 2.0 * (size.tower_params + size.projector_params) * size.num_frames * size.patches_per_frame


def _forward(size: ModelSize, tokens: int) -> float:
    return 2.0 * size.llm_params * tokens


def _attention(size: ModelSize, tokens: int) -> float:
    return 2.0 * size.num_layers * size.hidden_size * tokens**2
