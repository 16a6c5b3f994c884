"""Which of the kept attempts become examples: pure functions."""

import hashlib
import math
from array import array
from collections.abc import Sequence

import numpy as np

from engine.generate.prompts import Prompts, train_prompt
from engine.labels import name_of
from engine.rows import Attempt, Clip, Example, Mode


def select(clips: Sequence[Clip], attempts: Sequence[Attempt], modes: frozenset[Mode], prompts: Prompts) -> list[Example]:
    """One example for each clip that has a kept attempt, in the order of the clips.

    Of several kept attempts, the one of the latest cycle; within a cycle, a direct one before a rationalized one.
    """
    kept: dict[str, Attempt] = {}
    for attempt in attempts:
        if attempt.outcome == "kept" and attempt.mode in modes:
            kept[attempt.clip_id] = max(attempt, kept.get(attempt.clip_id, attempt), key=_preference)
    return [_example(clip, kept[clip.clip_id], prompts) for clip in clips if clip.clip_id in kept]


def _preference(attempt: Attempt) -> tuple[int, bool]:
    return attempt.cycle, attempt.mode == "direct"


def _example(clip: Clip, attempt: Attempt, prompts: Prompts) -> Example:
    return Example(
        example_id=f"{clip.clip_id}/{attempt.cycle}/{attempt.mode}",
        clip_id=clip.clip_id,
        video=clip.video,
        start_s=clip.start_s,
        end_s=clip.end_s,
        prompt=train_prompt(prompts, clip.question),
        answer=attempt.text,
        source="star",
        cycle=attempt.cycle,
        mode=attempt.mode,
        seed=attempt.seed,
        model=attempt.model,
        etag=attempt.etag,
    )


def from_template(clips: Sequence[Clip], template: str, prompts: Prompts) -> list[Example]:
    """One example for each clip: its label in a fixed sentence. This is plain finetuning, the baseline."""
    return [
        Example(
            example_id=f"{clip.clip_id}/template",
            clip_id=clip.clip_id,
            video=clip.video,
            start_s=clip.start_s,
            end_s=clip.end_s,
            prompt=train_prompt(prompts, clip.question),
            answer=template.replace("{label}", clip.label.text),
            source="template",
        )
        for clip in clips
    ]


class Limit:
    """Caps the examples of a label, by its name_of: keeps those with the smallest hash of (seed, clip_id). 16 bytes an example.

    add() all examples, settle() once, then ask keeps().
    """

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._labels, self._ranks = array("Q"), array("Q")
        self._highest_kept: dict[int, int] = {}
        """Hash of a label -> the highest rank that it keeps."""

    def add(self, clip: Clip) -> None:
        self._labels.append(_hash(name_of(clip.label)))
        self._ranks.append(self._rank(clip.clip_id))

    def settle(self, max_per_label: int | None, balance: bool) -> None:
        """`balance`: keep at most as many of a label as the median label has."""
        labels, ranks = np.frombuffer(self._labels, np.uint64), np.frombuffer(self._ranks, np.uint64)
        order = np.lexsort((ranks, labels))
        distinct, starts, sizes = np.unique(labels[order], return_index=True, return_counts=True)
        most = min(max_per_label or len(labels), math.ceil(float(np.median(sizes))) if balance and len(sizes) else len(labels))
        self._highest_kept = {
            int(label): int(ranks[order[start + min(most, size) - 1]])
            for label, start, size in zip(distinct, starts, sizes, strict=True)
        }

    def keeps(self, clip: Clip) -> bool:
        return self._rank(clip.clip_id) <= self._highest_kept[_hash(name_of(clip.label))]

    def _rank(self, clip_id: str) -> int:
        return _hash(f"{self._seed}/{clip_id}")


def _hash(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big")
