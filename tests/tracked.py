"""A run as a tracker sees it: seals of a base and of one cycle, answers in a store, and the progress of its finetune."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from builders import a_clip, a_seal, an_attempt, seal_attempts
from engine.config import RunConfig
from engine.run.seals import Seal, read_seal
from engine.run.trackers import TrackedRun
from engine.run.work import Progress
from engine.store.files import Store

ACCOUNTS: dict[str, Any] = {"clips": 8, "direct_kept": 4, "rationalized_kept": 0, "dropped": {"label_missing": 4}, "failed": {}}
LOSSES = [1.0, 0.5, 0.25]


def a_store(folder: Path) -> Store:
    """Eight train clips, of which every other one's answer was kept."""
    store = Store(str(folder))
    clips = [a_clip(f"c{number}") for number in range(8)]
    fields: list[dict[str, Any]] = [{}, {"outcome": "rejected", "reason": "label_missing", "text": "It is | odd."}]
    seal_attempts(store, clips, [an_attempt(clip.clip_id, **fields[number % 2]) for number, clip in enumerate(clips)], 4, ACCOUNTS)
    return store


def a_tracked_run(folder: Path, sealed: Sequence[Seal] = ()) -> TrackedRun:
    """Its store has to be there (a_store)."""
    return TrackedRun.of(RunConfig(), Store(str(folder)), sealed)


def seals(store: Store) -> list[Seal]:
    """Of the base's evaluation, and of the steps of cycle 0, in their order."""
    generated = read_seal(store, "cycle-000/generate")
    assert generated is not None
    return [
        an_evaluation("base/evaluate", 0.25),
        generated,
        replace(a_seal("cycle-000/select"), counts={"examples": 4, "direct": 4}),
        a_seal("cycle-000/train", losses=LOSSES),
        an_evaluation("cycle-000/evaluate", 0.75),
    ]


def an_evaluation(step: str, accuracy: float) -> Seal:
    return a_seal(step, metrics={"accuracy": accuracy}, intervals={"accuracy": [accuracy - 0.25, accuracy + 0.25]})


def finetune(first: int = 1) -> list[Progress]:
    """The progress of cycle 0's finetune from an optimizer step on."""
    others = {"learning_rate": 1e-3, "gradient_norm": 0.5, "tokens": 40.0, "seconds": 0.1}
    return [
        Progress(step="cycle-000/train", unit="steps", done=step, total=3, loss=loss, metrics={"loss": loss, **others})
        for step, loss in enumerate(LOSSES, 1)
        if step >= first
    ]


def tell(tracker: Any, store: Store) -> None:
    """All that happens in the run, in its order."""
    for seal in seals(store):
        if seal.step.endswith("/train"):
            for progress in finetune():
                tracker.report(progress)
        tracker.sealed(seal)


EXPECTED = {
    "train/loss": [(1, 1.0), (2, 0.5), (3, 0.25)],
    "heldout/accuracy": [(0, 0.25), (1, 0.75)],
    "generate/yield": [(0, 0.5)],
    "generate/dropped": [(0, 4.0)],
    "select/examples": [(0, 4.0)],
}
"""Some of the curves of such a run: (step, value)."""
