"""The reconciler: read the seals, do the next step, seal it. Running it again continues; a finished run does nothing.

Reads like the paper: what happens in which order is engine/plan.py, what each step does is here.
"""

import json
import logging
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from typing import Any

import pyarrow as pa

from engine import flow, plan
from engine.config import RunConfig, differing_keys
from engine.data import manifest
from engine.data.decoder import decode_row
from engine.data.pieces import cut
from engine.evaluate.accuracy import accuracy
from engine.generate import prompts
from engine.generate.generator import GenerateSpec, Generator, write_piece
from engine.generate.ledger import Ledger, balance
from engine.plan import BASE, INGEST, Step
from engine.rows import EXAMPLES, Attempt, Clip, Mode
from engine.store import Seal, Store, digest, read_seal, write_seal
from engine.summary import summarize
from engine.train.mixture import from_template, select
from engine.verify.verdict import VerifySpec
from models.base import ModelSpec, Sampling, frame_spec

log = logging.getLogger(__name__)

CLIPS_PATH = "ingest/clips.parquet"


@dataclass(frozen=True, kw_only=True)
class Progress:
    """How far the step is: done of total, in clips (generate, evaluate) or optimizer steps (train)."""

    step: str
    unit: str
    done: int
    total: int
    kept: int = 0
    failed: int = 0
    loss: float | None = None


@dataclass(frozen=True, kw_only=True)
class Made:
    """What a step made: paths of its files, rows by reason, facts for later steps and the summary."""

    files: list[str]
    counts: dict[str, int]
    facts: dict[str, Any]


Report = Callable[[Progress], None]


def run(config: RunConfig, report: Report, until: str = "") -> dict[str, Any]:
    """Bring the run to its end, or to the step named `until`; returns the summary. Raises ValueError for what a user got wrong."""
    store = Store(config.run.uri, config.run.storage_options)
    _claim(store, config)
    sealed = read_seals(store, config)
    with ExitStack() as stack:
        connected = False
        while (step := plan.next_step(config, sealed, until)) is not None:
            if step.kind in ("generate", "train", "evaluate") and not connected:
                stack.enter_context(flow.cluster(config.cluster.address))
                connected = True
            sealed[step.name] = _do(step, config, store, sealed, report)
    summary = summarize(config, sealed)
    store.write("summary.json", json.dumps(summary, indent=1, ensure_ascii=False).encode())
    return summary


def is_complete(store: Store, config: RunConfig, until: str = "") -> bool:
    """Whether the run, or the step named `until`, has nothing left to do."""
    return plan.next_step(config, read_seals(store, config), until) is None


def read_seals(store: Store, config: RunConfig) -> dict[str, Seal]:
    """The seals of the run so far. The plan says where to look: each seal read may reveal the next step."""
    sealed: dict[str, Seal] = {}
    while (step := plan.next_step(config, sealed)) is not None:
        seal = read_seal(store, step.name)
        if seal is None:
            break
        sealed[step.name] = seal
    for step_name in [name for name in _possible(config) if name not in sealed]:
        if (seal := read_seal(store, step_name)) is not None:
            sealed[step_name] = seal
    return sealed


def _possible(config: RunConfig) -> list[str]:
    """Steps of cycle 0 that a partial job (`until`) may have sealed before the base was evaluated."""
    return [plan.name_of(0, kind) for kind in ("generate", "select", "train")]


def _claim(store: Store, config: RunConfig) -> None:
    """Save the resolved configuration beside the run; refuse another one for the same run."""
    wanted = config.model_dump(mode="json")
    if store.create("config.json", json.dumps(wanted, indent=1).encode()):
        return
    data = store.read("config.json")
    assert data is not None
    before = RunConfig.model_validate_json(data).identity()
    if changed := differing_keys(before, config.identity()):
        raise ValueError(
            f"{store.uri} was begun with another configuration ({'; '.join(changed)}); restore it or choose another run.uri"
        )


def _do(step: Step, config: RunConfig, store: Store, sealed: dict[str, Seal], report: Report) -> Seal:
    """Run a step and seal it."""
    identity = digest([step.name, config.identity(), [sealed[name].output for name in step.inputs]])
    work = {"ingest": _ingest, "generate": _generate, "select": _select, "train": _train, "evaluate": _evaluate}[step.kind]
    report(Progress(step=step.name, unit="", done=0, total=0))
    start = time.monotonic()
    made = work(step, config, store, report)
    seconds = time.monotonic() - start
    records = store.describe(made.files)
    seal = Seal(step=step.name, identity=identity, files=records, counts=made.counts, facts=made.facts, seconds=round(seconds, 3))
    log.info("%s: %s in %.1f s", step.name, ", ".join(f"{k} {v}" for k, v in made.counts.items()), seconds)
    return write_seal(store, seal)


def _ingest(step: Step, config: RunConfig, store: Store, report: Report) -> Made:
    clips = manifest.read_manifest(config.data)
    card = manifest.card(clips)
    store.write_table(CLIPS_PATH, manifest.to_table(clips))
    return Made(files=[CLIPS_PATH], counts=card, facts={})


def _clips(store: Store, split: str) -> list[Clip]:
    return [clip for clip in manifest.from_table(store.read_table(CLIPS_PATH)) if clip.split == split]


def _model(step: Step, config: RunConfig, store: Store) -> ModelSpec:
    if step.model:
        return ModelSpec(base=config.model.base, adapter=store.url(f"{step.model}/model"))
    return ModelSpec(base=config.model.instruct or config.model.base)


def _generate(step: Step, config: RunConfig, store: Store, report: Report) -> Made:
    """Direct attempts, then rationalizations of the rejects; in the last cycle direct attempts only."""
    spec = GenerateSpec(
        model=_model(step, config, store),
        prompts=prompts.BY_NAME[config.generate.prompts],
        sampling=Sampling(temperature=config.generate.temperature, max_tokens=config.generate.max_tokens),
        verify=VerifySpec(preset=config.verify.preset),
        rationalize=config.generate.rationalize and not step.final,
        run_seed=config.run.seed,
        cycle=step.cycle,
    )
    clips = _clips(store, "train")
    if not clips:
        raise ValueError("the manifest has no clips in split 'train'; set split in the manifest or lower data.heldout")
    ledger, files = _attempt(step, spec, clips, config, store, report)
    return Made(files=files, counts=_counts(ledger), facts=asdict(ledger))


def _evaluate(step: Step, config: RunConfig, store: Store, report: Report) -> Made:
    """The same actors on the held-out clips: greedy, asked as a user would, without a hint and without a second chance."""
    wording = prompts.BY_NAME[config.generate.prompts].train
    spec = GenerateSpec(
        model=_model(step, config, store),
        prompts=prompts.Prompts(answer=wording, rationalize="", train=wording),
        sampling=Sampling(temperature=0.0, max_tokens=config.generate.max_tokens),
        verify=VerifySpec(preset=config.verify.preset),
        rationalize=False,
        run_seed=config.run.seed,
        cycle=step.cycle,
    )
    clips = _clips(store, "heldout")
    if not clips:
        raise ValueError("the manifest has no clips in split 'heldout'; set split in the manifest or raise data.heldout")
    ledger, files = _attempt(step, spec, clips, config, store, report)
    return Made(files=files, counts=_counts(ledger), facts={"accuracy": accuracy(ledger)} | asdict(ledger))


def _attempt(
    step: Step, spec: GenerateSpec, clips: list[Clip], config: RunConfig, store: Store, report: Report
) -> tuple[Ledger, list[str]]:
    """Decode, generate and write the pieces that are not in the store yet; count all of them."""
    folder = f"{step.name}/pieces"
    pieces = cut(clips, config.generate.piece_clips)
    written = set(store.names(folder))
    todo = [piece for piece in pieces if f"{piece.piece_id}.parquet" not in written]
    frames, cluster = frame_spec(spec.model), config.cluster
    stages = [
        flow.Stage(
            name="decode", work=decode_row, args={"spec": frames, "backend": config.generate.decoder}, cpus=cluster.decode_cpus
        ),
        flow.Stage(
            name="generate",
            work=Generator,
            args={"spec": spec},
            actors=cluster.generator_actors,
            cpus=cluster.generator_cpus,
            gpus=cluster.generator_gpus,
        ),
        flow.Stage(name="write", work=write_piece, args={"store": store, "folder": folder}, cpus=0),
    ]
    done, kept, failed = len(clips) - sum(len(piece.clips) for piece in todo), 0, 0
    rows = [{"piece_id": p.piece_id, "clips": json.dumps([clip.to_row() for clip in p.clips])} for p in todo]
    report(Progress(step=step.name, unit="clips", done=done, total=len(clips)))
    for row in flow.run(rows, stages):
        done, kept, failed = done + row["clips"], kept + row["kept"], failed + row["failed"]
        report(Progress(step=step.name, unit="clips", done=done, total=len(clips), kept=kept, failed=failed))
    files = [f"{folder}/{piece.piece_id}.parquet" for piece in pieces]
    ledger = balance(read_attempts(store, files))
    assert ledger.clips == len(clips), f"{step.name}: {len(clips)} clips went in, {ledger.clips} came out"
    return ledger, files


def read_attempts(store: Store, files: list[str]) -> list[Attempt]:
    return [Attempt(**row) for path in files for row in store.read_table(path).to_pylist()]


def _counts(ledger: Ledger) -> dict[str, int]:
    return {
        "clips": ledger.clips,
        "direct_kept": ledger.direct_kept,
        "rationalized_kept": ledger.rationalized_kept,
        **{f"dropped.{reason}": count for reason, count in ledger.dropped.items()},
        **{f"failed.{kind}": count for kind, count in ledger.failed.items()},
    }


def _select(step: Step, config: RunConfig, store: Store, report: Report) -> Made:
    clips = _clips(store, "train")
    wording = prompts.BY_NAME[config.generate.prompts].train
    facts: dict[str, Any] = {}
    if config.select.source == "template":
        examples = from_template(clips, config.select.template, wording)
    else:
        generated = read_seal(store, step.inputs[-1])
        assert generated is not None
        attempts = read_attempts(store, [record.path for record in generated.files])
        modes: frozenset[Mode] = frozenset({"direct"}) if step.final else frozenset({"direct", "rationalized"})
        examples = select(clips, attempts, modes, wording)
        facts = {key: generated.facts[key] for key in ("clips", "direct_kept", "rationalized_kept", "dropped", "failed")}
    if not examples:
        raise ValueError(
            f"{step.name}: nothing survived verification, so there is nothing to train on; "
            "see the reasons in the generate step's seal and check labels, prompts and verify.preset"
        )
    path = f"{step.name}/examples.parquet"
    store.write_table(path, pa.Table.from_pylist([example.to_row() for example in examples], schema=EXAMPLES))
    by_mode = {mode: sum(example.mode == mode for example in examples) for mode in ("direct", "rationalized")}
    facts |= {"examples": len(examples), "direct_only": step.final}
    return Made(files=[path], counts={"examples": len(examples), **by_mode}, facts=facts)


def _train(step: Step, config: RunConfig, store: Store, report: Report) -> Made:
    """Finetune from the base, never from the last cycle's model."""
    from engine.train.trainer import finetune  # imports torch and Ray Train, which the other steps' driver does not need
    from engine.train.worker import TrainJob

    job = TrainJob(
        model=ModelSpec(base=config.model.base),
        train=config.train,
        store=store,
        examples=f"{step.inputs[0]}/examples.parquet",
        out=step.name,
        seed=config.run.seed,
        decoder=config.generate.decoder,
        decode_cpus=config.cluster.decode_cpus,
        meter=None,
    )

    def tell(done: int, total: int, loss: float) -> None:
        report(Progress(step=step.name, unit="steps", done=done, total=total, loss=loss))

    trained = finetune(job, step.name.replace("/", "-"), config.cluster.train_cpus, config.cluster.train_gpus, tell)
    files = [f"{step.name}/model/{name}" for name in store.names(f"{step.name}/model")]
    counts = {"steps": len(trained.losses), "undecodable": trained.undecodable}
    return Made(files=files, counts=counts, facts={"losses": [round(loss, 6) for loss in trained.losses]})


__all__ = ["BASE", "INGEST", "Progress", "read_attempts", "read_seals", "run"]
