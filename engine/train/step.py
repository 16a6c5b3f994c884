"""The train step: finetune the base on what select wrote, and leave an adapter."""

from dataclasses import asdict

from engine.run.seals import read_seal
from engine.run.work import Progress, StepResult, Work
from engine.train.job import StepRecord, TrainJob


def train(work: Work) -> StepResult:
    """Finetune from the base, never from the last cycle's model."""
    from engine.train.trainer import finetune  # imports torch and Ray Train, which a driver that only generates does not need

    step, config = work.step, work.config
    selected = read_seal(work.store, step.inputs[0])
    assert selected is not None
    job = TrainJob(
        identity=work.identity,
        device=config.model.device(config.cluster.train_gpus),
        model=config.spec(config.model.base),
        train=config.train,
        store=work.store,
        examples=selected.files[0],
        episodes=selected.files[1] if len(selected.files) > 1 else None,
        mixture=config.mixture,
        loss_on=config.episodes.loss_on,
        out=step.name,
        seed=config.run.seed,
        failure_rate=config.limits.failure_rate,
        decoding=work.decoding(),
        decode_cpus=config.cluster.decode_cpus,
    )
    trained = finetune(
        job, config.cluster.train_cpus, config.cluster.train_gpus, lambda record: work.report(progress_of(step.name, record))
    )
    files = [f"{step.name}/model/{name}" for name in work.store.names(f"{step.name}/model")]
    counts = {"steps": len(trained.losses)} | asdict(trained.fed)
    losses = [round(loss, 6) for loss in trained.losses]
    return StepResult(files=files, counts=counts, facts={"losses": losses})


def progress_of(step: str, record: StepRecord) -> Progress:
    """
    >>> record = StepRecord(step=3, num_steps=9, loss=0.5, learning_rate=1e-5, gradient_norm=0.25, tokens=640, seconds=2.0)
    >>> progress_of("cycle-000/train", record).metrics["gradient_norm"]
    0.25
    """
    metrics = {name: float(getattr(record, name)) for name in ("loss", "learning_rate", "gradient_norm", "tokens", "seconds")}
    return Progress(step=step, unit="steps", done=record.step, total=record.num_steps, loss=record.loss, metrics=metrics)
