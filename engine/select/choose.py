"""Which of the kept attempts become examples: pure functions."""

import hashlib
import math
from array import array
from collections.abc import Callable, Sequence

import numpy as np

from engine.config import Prefer
from engine.generate.prompts import Prompts, label_text, train_prompt
from engine.labels import name_of
from engine.rows import Answer, Attempt, Clip, Example, Mode
from engine.select.votes import votes

BOTH_MODES: frozenset[Mode] = frozenset({"direct", "rationalized"})


def modes_of(is_final: bool) -> frozenset[Mode]:
    """Of the attempts that a select step chooses from. `is_final`: its finetune is the last one, of direct attempts only."""
    return frozenset({"direct"}) if is_final else BOTH_MODES


def select(
    clips: Sequence[Clip],
    attempts: Sequence[Attempt] | Sequence[Answer],
    modes: frozenset[Mode],
    prompts: Prompts,
    prefer: Sequence[Prefer] = ("vote", "grounding", "length"),
) -> list[Example]:
    """One example for each clip that has a kept attempt, in the order of the clips.

    Of several kept attempts, the one of the latest cycle; within a cycle, a direct one before a rationalized one; of several
    direct ones the one that `prefer` names (select.prefer).
    """
    kept: dict[str, list[Attempt | Answer]] = {}
    for attempt in attempts:
        if attempt.outcome == "kept" and attempt.mode in modes:
            kept.setdefault(attempt.clip_id, []).append(attempt)
    return [example_of(clip, preferred(clip, kept[clip.clip_id], prefer), prompts) for clip in clips if clip.clip_id in kept]


def preferred(clip: Clip, kept: Sequence[Attempt | Answer], prefer: Sequence[Prefer]) -> Attempt | Answer:
    """The one of a clip's kept attempts that is trained on."""
    if len(kept) == 1:
        return kept[0]
    best = max((attempt.cycle, attempt.mode == "direct") for attempt in kept)
    samples = [attempt for attempt in kept if (attempt.cycle, attempt.mode == "direct") == best]
    if len(samples) == 1:
        return samples[0]
    votes_of = votes(clip, samples)
    values: dict[Prefer, Callable[[Attempt | Answer], float]] = {
        "vote": lambda attempt: votes_of[attempt.sample],
        "grounding": lambda attempt: -math.inf if attempt.support is None else attempt.support,
        "length": lambda attempt: -len(attempt.text),
    }
    return max(samples, key=lambda attempt: (*(values[name](attempt) for name in prefer), -attempt.sample))


def pass_rate(attempts: Sequence[Attempt] | Sequence[Answer], cycle: int) -> float | None:
    """The share of a clip's direct attempts of the cycle that are kept; None where it has none.

    `attempts`: those at the clip. `cycle`: that of the one that is trained on, which select.carry_over takes from an earlier one.
    """
    direct = [attempt for attempt in attempts if attempt.mode == "direct" and attempt.outcome != "failed"]
    outcomes = [attempt.outcome == "kept" for attempt in direct if attempt.cycle == cycle]
    return sum(outcomes) / len(outcomes) if outcomes else None


def example_of(clip: Clip, attempt: Attempt | Answer, prompts: Prompts, origin: str = "") -> Example:
    """The example that a kept attempt makes. `origin`: the last part of its id; default: the attempt's mode."""
    return Example(
        example_id=f"{clip.clip_id}/{attempt.cycle}/{origin or attempt.mode}",
        clip_id=clip.clip_id,
        video=clip.video,
        start_s=clip.start_s,
        end_s=clip.end_s,
        prompt=train_prompt(prompts, clip.question, clip.label),
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
            prompt=train_prompt(prompts, clip.question, clip.label),
            answer=template.replace("{label}", label_text(prompts, clip.label)),
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
        return rank_of(self._seed, clip_id)


def rank_of(seed: int, clip_id: str) -> int:
    """By which a cap chooses, in 64 bits."""
    return _hash(f"{seed}/{clip_id}")


def _hash(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big")
