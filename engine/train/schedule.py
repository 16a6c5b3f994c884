"""The learning rate of each optimizer step: pure."""

import math

from engine.config import Train


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
