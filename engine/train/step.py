"""The train step: finetune the base on what select wrote, and leave an adapter."""

from dataclasses import asdict

from engine.generate.ledger import too_many_failed
from engine.run.seals import read_seal
from engine.run.work import Progress, StepResult, Work


def train(work: Work) -> StepResult:
    """Finetune from the base, never from the last cycle's model."""
    from engine.train.trainer import finetune  # imports torch and Ray Train, which a driver that only generates does not need
    from engine.train.worker import TrainJob

    step, config = work.step, work.config
    selected = read_seal(work.store, step.inputs[0])
    assert selected is not None
    job = TrainJob(
        identity=work.identity,
        model=config.spec(config.model.base),
        train=config.train,
        store=work.store,
        examples=selected.files[0],
        episodes=selected.files[1] if len(selected.files) > 1 else None,
        mixture=config.mixture,
        loss_on=config.episodes.loss_on,
        out=step.name,
        seed=config.run.seed,
        decoding=work.decoding(),
        decode_cpus=config.cluster.decode_cpus,
        meter=None,
    )

    def tell(done: int, total: int, loss: float) -> None:
        work.report(Progress(step=step.name, unit="steps", done=done, total=total, loss=loss))

    trained = finetune(job, config.cluster.train_cpus, config.cluster.train_gpus, tell)
    fed = len(trained.losses) * config.train.batch_rows
    work.stop_if(too_many_failed({"without a usable video": trained.fed.undecodable}, fed, config.limits.failure_rate))
    files = [f"{step.name}/model/{name}" for name in work.store.names(f"{step.name}/model")]
    counts = {"steps": len(trained.losses)} | asdict(trained.fed)
    losses = [round(loss, 6) for loss in trained.losses]
    return StepResult(files=files, counts=counts, facts={"losses": losses})
