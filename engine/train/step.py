"""The train step: finetune the base on what select wrote, and leave an adapter."""

import logging
from dataclasses import asdict

from engine.config import Train
from engine.metrics import emit
from engine.metrics.table import CLIPS_ENCODED, CLIPS_SHOWN
from engine.quantities import quantity
from engine.run.seals import read_seal
from engine.run.work import Progress, StepResult, Work, unused_of
from engine.store.weights import CARD
from engine.train.job import StepRecord, TrainJob

log = logging.getLogger(__name__)

FEWEST_STEPS = 10
"""Optimizer steps below which a finetune is called a small one: a warm-up and a cosine need some."""


def train(work: Work) -> StepResult:
    """Finetune from the base, never from the last cycle's model."""
    # it imports torch and Ray Train, which a driver that only generates does not need
    from engine.train.trainer import Follow, finetune

    step, config = work.step, work.config
    selected = read_seal(work.store, step.inputs[0])
    assert selected is not None
    tables = {record.path.rpartition("/")[2]: record for record in selected.files}
    job = TrainJob(
        identity=work.identity,
        epoch=work.epoch,
        device=config.model.device(config.cluster.train_gpus),
        model=config.spec(config.model.base),
        train=config.train,
        store=work.store,
        examples=tables["examples.parquet"],
        episodes=tables.get("episodes.parquet"),
        mixture=config.mixture,
        loss_on=config.episodes.loss_on,
        out=step.name,
        seed=config.run.seed,
        failure_rate=config.limits.failure_rate,
        decoding=work.decoding(),
        decode_cpus=config.cluster.decode_cpus,
        decode_selector=config.cluster.decode_selector,
    )
    follow = Follow(lambda record: work.report(progress_of(step.name, record)), work.check, work.at_work)
    trained = finetune(job, config.cluster, follow, config.limits.resource_patience_s)
    if line := few_steps(len(trained.losses), trained.fed.shown, config.train):
        log.warning("%s: %s", step.name, line)
    # a card of a finetune that was undone is no part of this one, and is written again when this one is evaluated
    files = [f"{step.name}/model/{name}" for name in work.store.names(f"{step.name}/model") if name != CARD]
    files.append(unused_of(step.name))
    unused = work.store.read_table(files[-1]).num_rows
    emit.count(CLIPS_SHOWN, step.name, trained.fed.shown, pool="train")
    emit.count(CLIPS_ENCODED, step.name, trained.fed.encoded, pool="train")
    counts = {"steps": len(trained.losses)} | asdict(trained.fed) | {"unused": unused}
    losses = [None if loss is None else round(loss, 6) for loss in trained.losses]
    return StepResult(files=files, counts=counts, facts={"losses": losses})


def few_steps(num_steps: int, samples: int, train: Train) -> str:
    """What to know of a finetune that hardly changes a model; "" where it has steps enough.

    >>> few_steps(1, 7, Train()).partition("which ")[0]
    '7 samples were 1 optimizer step of up to 128 (train.batch_rows), '
    >>> few_steps(150, 2400, Train())
    ''
    """
    if num_steps >= FEWEST_STEPS:
        return ""
    steps = quantity(num_steps, "optimizer step")
    verb = "was" if samples == 1 else "were"
    return (
        f"{quantity(samples, 'sample')} {verb} {steps} of up to {train.batch_rows} (train.batch_rows), which "
        f"change{'s' if num_steps == 1 else ''} a model little: lower that, or raise train.epochs, in your next run"
    )


def progress_of(step: str, record: StepRecord) -> Progress:
    """
    >>> record = StepRecord(step=3, num_steps=9, loss=0.5, learning_rate=1e-5, gradient_norm=0.25, tokens=640, seconds=2.0)
    >>> progress_of("cycle-000/train", record).metrics["gradient_norm"]
    0.25
    """
    values = {name: getattr(record, name) for name in ("loss", "learning_rate", "gradient_norm", "tokens", "seconds")}
    metrics = {name: float(value) for name, value in values.items() if value is not None}
    return Progress(step=step, unit="steps", done=record.step, total=record.num_steps, loss=record.loss, metrics=metrics)
