"""What each step of the plan does. Each writes under its own folder, and is safe to run twice."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from engine import generation
from engine.data import manifest
from engine.data.card import Card
from engine.data.clips import path_of, write_parts
from engine.data.pieces import cut
from engine.generate import prompts
from engine.generate.ledger import too_many_failed
from engine.plan import INGEST, Kind
from engine.rows import EXAMPLES, Clip, Example, Mode
from engine.seals import read_seal
from engine.train.duplicates import Duplicates
from engine.train.mixture import Limit, from_template, select
from engine.work import Made, Progress, Work, pieces_of, read_attempts, read_index


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


def select_examples(work: Work) -> Made:
    """One example per clip that survived, as many of a label as wanted; or, for the baseline, every label in a fixed sentence."""
    section, counts, alike = work.config.select, Counter[str](), Duplicates()
    limit = _limit(work)
    sink = pa.BufferOutputStream()
    with pq.ParquetWriter(sink, EXAMPLES, compression="zstd") as writer:
        for found in _examples(work):
            examples = [example for clip, example in found if limit is None or limit.keeps(clip.label.text, clip.clip_id)]
            counts.update(example.mode for example in examples)
            counts.update(over_limit=len(found) - len(examples))
            for example in examples:
                alike.add(example.answer)
            writer.write_table(pa.Table.from_pylist([example.to_row() for example in examples], schema=EXAMPLES))
    over, made = counts.pop("over_limit", 0), counts.total()
    if not made:
        raise ValueError(
            f"{work.step.name}: nothing survived verification, so there is nothing to train on; "
            "see the reasons in the generate step's seal and check labels, prompts and verify.preset"
        )
    path = f"{work.step.name}/examples.parquet"
    work.store.write(path, sink.getvalue().to_pybytes())
    facts: dict[str, Any] = {"examples": made, "direct_only": counts["rationalized"] == 0}
    if section.source == "star":
        generated = read_seal(work.store, work.step.inputs[-1])
        assert generated is not None
        facts |= {key: generated.facts[key] for key in ("clips", "direct_kept", "rationalized_kept", "dropped", "failed")}
    by_mode = {mode: counts[mode] for mode in ("direct", "rationalized")}
    beside = {"over_limit": over, "near_duplicates": alike.count()}
    return Made(files=[path], counts={"examples": made, **by_mode, **beside}, facts=facts)


def _limit(work: Work) -> Limit | None:
    """Reads all examples once more, where labels are to be capped or balanced."""
    section = work.config.select
    if section.max_per_label is None and not section.balance:
        return None
    limit = Limit(work.config.run.seed)
    for found in _examples(work):
        for clip, _ in found:
            limit.add(clip.label.text, clip.clip_id)
    limit.settle(section.max_per_label, section.balance)
    return limit


def _examples(work: Work) -> Iterator[list[tuple[Clip, Example]]]:
    """Part by part, in the clips' order."""
    section = work.config.select
    wording = prompts.BY_NAME[work.config.generate.prompts].train
    modes: frozenset[Mode] = frozenset({"direct"}) if work.step.final else frozenset({"direct", "rationalized"})
    sources = [name for name in work.step.inputs if name != INGEST] if section.source == "star" else []
    indexes = [(pieces_of(name), read_index(work.store, name) or {}) for name in sources]
    for part, clips in work.parts("train"):
        if not sources:
            yield list(zip(clips, from_template(clips, section.template, wording), strict=True))
            continue
        for piece in cut(part, clips, work.config.generate.piece_clips):
            records = [index[f"{folder}/{piece.piece_id}.parquet"] for folder, index in indexes]
            some = clips[piece.start : piece.start + piece.count]
            by_id = {clip.clip_id: clip for clip in some}
            yield [
                (by_id[example.clip_id], example) for example in select(some, read_attempts(work.store, records), modes, wording)
            ]


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
    work.stop_if(too_many_failed({"without a usable video": trained.undecodable}, fed, config.limits.failure_rate))
    files = [f"{step.name}/model/{name}" for name in work.store.names(f"{step.name}/model")]
    counts = {"steps": len(trained.losses), "undecodable": trained.undecodable}
    losses = [round(loss, 6) for loss in trained.losses]
    return Made(files=files, counts=counts, facts={"losses": losses})


DO: dict[Kind, Callable[[Work], Made]] = {
    "ingest": ingest,
    "generate": generation.generate,
    "select": select_examples,
    "train": train,
    "evaluate": generation.evaluate,
}
