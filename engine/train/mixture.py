"""Which examples a finetune sees, and in which order: pure functions."""

import random
from collections.abc import Sequence

from engine.rows import Attempt, Clip, Example, Mode


def select(clips: Sequence[Clip], attempts: Sequence[Attempt], modes: frozenset[Mode], train_prompt: str) -> list[Example]:
    """One example per clip with a kept attempt, a direct one before a rationalized one, in the clips' order."""
    kept: dict[str, Attempt] = {}
    for attempt in attempts:
        if attempt.outcome == "kept" and attempt.mode in modes and (attempt.mode == "direct" or attempt.clip_id not in kept):
            kept[attempt.clip_id] = attempt
    return [_example(clip, kept[clip.clip_id], train_prompt) for clip in clips if clip.clip_id in kept]


def _example(clip: Clip, attempt: Attempt, train_prompt: str) -> Example:
    return Example(
        example_id=f"{clip.clip_id}/{attempt.cycle}/{attempt.mode}",
        clip_id=clip.clip_id,
        video=clip.video,
        start_s=clip.start_s,
        end_s=clip.end_s,
        prompt=train_prompt.replace("{question}", clip.question),
        answer=attempt.text,
        source="star",
        cycle=attempt.cycle,
        mode=attempt.mode,
        seed=attempt.seed,
        model=attempt.model,
        etag=attempt.etag,
    )


def from_template(clips: Sequence[Clip], template: str, train_prompt: str) -> list[Example]:
    """Every label in a fixed sentence: plain finetuning, the baseline."""
    return [
        Example(
            example_id=f"{clip.clip_id}/template",
            clip_id=clip.clip_id,
            video=clip.video,
            start_s=clip.start_s,
            end_s=clip.end_s,
            prompt=train_prompt.replace("{question}", clip.question),
            answer=template.replace("{label}", clip.label.text),
            source="template",
            cycle=0,
            mode="direct",
            seed=0,
            model="",
            etag="",
        )
        for clip in clips
    ]


def order(num_examples: int, epochs: float, batch_rows: int, seed: int) -> list[list[int]]:
    """Row numbers of each optimizer step: shuffled epochs, end to end, cut into full batches; at least one step.

    Every epoch is a permutation of its own, a pure function of (seed, epoch); the last step is filled up from the next epoch.

    >>> [len(step) for step in order(10, 2.0, 4, seed=0)]
    [4, 4, 4, 4, 4]
    >>> sorted(order(4, 1.0, 4, seed=0)[0])
    [0, 1, 2, 3]
    """
    num_steps = max(1, -(-round(epochs * num_examples) // batch_rows))
    stream: list[int] = []
    epoch = 0
    while len(stream) < num_steps * batch_rows:
        rows = list(range(num_examples))
        random.Random(f"{seed}/{epoch}").shuffle(rows)
        stream += rows
        epoch += 1
    return [stream[i * batch_rows : (i + 1) * batch_rows] for i in range(num_steps)]


def share(step: Sequence[int], rank: int, world_size: int, micro_batch_rows: int) -> list[list[int]]:
    """A rank's micro-batches of a step: every world_size-th row.

    >>> share([5, 6, 7, 8], rank=1, world_size=2, micro_batch_rows=1)
    [[6], [8]]
    """
    mine = list(step[rank::world_size])
    return [mine[i : i + micro_batch_rows] for i in range(0, len(mine), micro_batch_rows)]
