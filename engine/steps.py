"""What each step of the plan does. Each writes under its own folder, and is safe to run twice."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict

from engine import generation, selection
from engine.data import manifest
from engine.data.card import Card
from engine.data.clips import path_of, write_parts
from engine.generate.ledger import too_many_failed
from engine.plan import Kind
from engine.seals import read_seal
from engine.work import Made, Progress, Work


def refuse_empty(sizes: Mapping[str, int], splits: Sequence[str]) -> None:
    """Raises ValueError where a split that is needed has no clips."""
    for split in splits:
        if not sizes[split]:
            raise ValueError(
                f"the manifest has no clips in split {split!r}; give it a split column (train, heldout), "
                "or ingest one without it with data.heldout=0.2"
            )


def ingest(work: Work) -> Made:
    """Check the manifest and write its clips: what is split here stays split."""
    data, card = work.config.data, Card()
    parts = write_parts(work.store, manifest.read_manifest(data, work.config.access(), card))
    files = [path_of(split, number) for split, sizes in parts.items() for number in range(len(sizes))]
    return Made(
        files=files, counts=card.counts(), facts={"manifest": manifest.fingerprint(data, work.config.access()), "parts": parts}
    )


def train(work: Work) -> Made:
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
    return Made(files=files, counts=counts, facts={"losses": losses})


DO: dict[Kind, Callable[[Work], Made]] = {
    "ingest": ingest,
    "generate": generation.generate,
    "select": selection.select_examples,
    "train": train,
    "evaluate": generation.evaluate,
}
