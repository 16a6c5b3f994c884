"""The metrics that follow from a step's progress and from its seal."""

from engine.metrics import emit
from engine.metrics.table import (
    ACCURACY,
    GRADIENT_NORM,
    LEARNING_RATE,
    LOSS,
    OPTIMIZER_STEPS,
    STEP_SECONDS,
    TOKENS,
    TOKENS_PER_SECOND,
)
from engine.run.seals import Seal
from engine.run.work import Progress

OF_A_STEP = {LOSS: "loss", LEARNING_RATE: "learning_rate", GRADIENT_NORM: "gradient_norm"}
"""Metrics of an optimizer step, and their names in Progress."""


def measure_progress(progress: Progress) -> None:
    if not progress.unit:
        return
    step, values = progress.step, progress.metrics
    emit.progress(step, progress.done, progress.total, is_new=progress.done > 0)
    if not values:
        return
    for metric, name in OF_A_STEP.items():
        if name in values:
            emit.gauge(metric, step, values[name])
    emit.count(OPTIMIZER_STEPS, step, 1)
    emit.count(TOKENS, step, values["tokens"], kind="trained", pool="train")
    if values["seconds"]:
        emit.gauge(TOKENS_PER_SECOND, step, values["tokens"] / values["seconds"])


def measure_seal(seal: Seal) -> None:
    emit.gauge(STEP_SECONDS, seal.step, seal.seconds)
    for name, value in seal.facts.get("metrics", {}).items():
        emit.gauge(ACCURACY, seal.step, value, metric=name)
