"""The train section as DeepSpeed's dictionary, and the learning rate of a step: pure."""

import math
from typing import Any

from engine.config import Train


def deepspeed_config(train: Train, on_gpu: bool) -> dict[str, Any]:
    """bfloat16 on GPU, float32 on CPU. torch_adam: the fused CPU Adam would be compiled at run time."""
    zero: dict[str, Any] = {"stage": train.zero_stage}
    if train.offload:
        zero["offload_optimizer"] = {"device": "cpu"}
    return {
        "train_batch_size": train.batch_rows,
        "train_micro_batch_size_per_gpu": train.micro_batch_rows,
        "gradient_accumulation_steps": train.batch_rows // (train.micro_batch_rows * train.num_workers),
        "gradient_clipping": train.max_grad_norm,
        "zero_optimization": zero,
        "bf16": {"enabled": on_gpu},
        "optimizer": {
            "type": "AdamW",
            "params": {"lr": train.lr, "betas": [0.9, 0.999], "weight_decay": train.weight_decay, "torch_adam": True},
        },
        "zero_allow_untested_optimizer": True,
        "steps_per_print": 1_000_000,
    }


def learning_rate(step: int, num_steps: int, train: Train) -> float:
    """Linear warm-up over warmup_ratio of the steps, then cosine to zero (Video-STaR section 4.1); never below lr_floor of lr.

    >>> [round(learning_rate(s, 10, Train(lr=1.0, warmup_ratio=0.2)), 2) for s in (0, 1, 2, 6, 10)]
    [0.5, 1.0, 1.0, 0.5, 0.0]
    >>> [round(learning_rate(s, 10, Train(lr=1.0, warmup_ratio=0.2, lr_floor=0.25)), 2) for s in (0, 6, 10)]
    [0.5, 0.5, 0.25]
    """
    warmup = int(train.warmup_ratio * num_steps)
    decayed = 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, num_steps - warmup)))
    return train.lr * max(train.lr_floor, (step + 1) / warmup if step < warmup else decayed)
