"""What each step of the plan does. Each writes under its own folder, and is safe to run twice."""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import pyarrow as pa

from engine import flow
from engine.config import RunConfig
from engine.data import manifest
from engine.data.decoder import decode_row
from engine.data.pieces import cut
from engine.evaluate.accuracy import accuracy
from engine.generate import prompts
from engine.generate.generator import GenerateSpec, Generator, write_piece
from engine.generate.ledger import Ledger, balance
from engine.plan import Step
from engine.rows import EXAMPLES, Attempt, Clip, Mode
from engine.store import Store, read_seal
from engine.train.mixture import from_template, select
from engine.verify.verdict import VerifySpec
from models.base import ModelSpec, Sampling, frame_spec

CLIPS_PATH = "ingest/clips.parquet"


@dataclass(frozen=True, kw_only=True)
class Progress:
    """How far a step is: done of total, in clips (generate, evaluate) or optimizer steps (train).

    Progress(step="cycle-000/generate", unit="clips", done=64, total=300, kept=60)
    """

    step: str
    unit: str
    """"" while the step is starting."""
    done: int
    total: int
    kept: int = 0
    failed: int = 0
    loss: float | None = None


@dataclass(frozen=True, kw_only=True)
class Made:
    """What a step made."""

    files: list[str]
    """Their paths in the store."""
    counts: dict[str, int]
    """Rows by reason."""
    facts: dict[str, Any]
    """What later steps and the summary need."""


@dataclass(frozen=True, kw_only=True)
class Work:
    """What every step is given."""

    step: Step
    config: RunConfig
    store: Store
    report: Callable[[Progress], None]

    def clips(self, split: str) -> list[Clip]:
        return of_split(manifest.from_table(self.store.read_table(CLIPS_PATH)), split)

    def model(self) -> ModelSpec:
        """The adapter that the plan names, on the base; before the first cycle the instruct model."""
        if self.step.model:
            return ModelSpec(base=self.config.model.base, adapter=self.store.url(f"{self.step.model}/model"))
        return ModelSpec(base=self.config.model.instruct or self.config.model.base)


def of_split(clips: list[Clip], split: str) -> list[Clip]:
    """Raises ValueError where there is none."""
    found = [clip for clip in clips if clip.split == split]
    if not found:
        raise ValueError(
            f"the manifest has no clips in split {split!r}; give it a split column (train, heldout), "
            "or ingest one without it with data.heldout=0.2"
        )
    return found


def ingest(work: Work) -> Made:
    """Check the manifest and write its clips: what is split here stays split."""
    clips = manifest.read_manifest(work.config.data)
    work.store.write_table(CLIPS_PATH, manifest.to_table(clips))
    return Made(files=[CLIPS_PATH], counts=manifest.card(clips), facts={"manifest": manifest.fingerprint(work.config.data)})


def generate(work: Work) -> Made:
    """Direct attempts, then rationalizations of the rejects; in the last cycle direct attempts only."""
    section = work.config.generate
    spec = GenerateSpec(
        model=work.model(),
        prompts=prompts.BY_NAME[section.prompts],
        sampling=Sampling(temperature=section.temperature, max_tokens=section.max_tokens),
        verify=VerifySpec(preset=work.config.verify.preset),
        rationalize=section.rationalize and not work.step.final,
        run_seed=work.config.run.seed,
        cycle=work.step.cycle,
    )
    ledger, files = _attempt(work, spec, work.clips("train"))
    return Made(files=files, counts=_counts(ledger), facts=asdict(ledger))


def evaluate(work: Work) -> Made:
    """The same actors on the held-out clips: greedy, asked as training asks, without a hint and without a second chance."""
    section = work.config.generate
    wording = prompts.BY_NAME[section.prompts].train
    spec = GenerateSpec(
        model=work.model(),
        prompts=prompts.Prompts(answer=wording, rationalize="", train=wording),
        sampling=Sampling(temperature=0.0, max_tokens=section.max_tokens),
        verify=VerifySpec(preset=work.config.verify.preset),
        rationalize=False,
        run_seed=work.config.run.seed,
        cycle=work.step.cycle,
    )
    ledger, files = _attempt(work, spec, work.clips("heldout"))
    return Made(files=files, counts=_counts(ledger), facts={"accuracy": accuracy(ledger)} | asdict(ledger))


def _attempt(work: Work, spec: GenerateSpec, clips: list[Clip]) -> tuple[Ledger, list[str]]:
    """Decode, generate and write the pieces that are not in the store yet; count all of them."""
    name, folder = work.step.name, f"{work.step.name}/pieces"
    pieces = cut(clips, work.config.generate.piece_clips)
    written = set(work.store.names(folder))
    todo = [piece for piece in pieces if f"{piece.piece_id}.parquet" not in written]
    rows = [{"piece_id": p.piece_id, "clips": json.dumps([clip.to_row() for clip in p.clips])} for p in todo]
    done, kept, failed = len(clips) - sum(len(piece.clips) for piece in todo), 0, 0
    work.report(Progress(step=name, unit="clips", done=done, total=len(clips)))
    for row in flow.run(rows, _stages(work, spec, folder)):
        done, kept, failed = done + row["clips"], kept + row["kept"], failed + row["failed"]
        work.report(Progress(step=name, unit="clips", done=done, total=len(clips), kept=kept, failed=failed))
    files = [f"{folder}/{piece.piece_id}.parquet" for piece in pieces]
    ledger = balance(read_attempts(work.store, files))
    assert ledger.clips == len(clips), f"{name}: {len(clips)} clips went in, {ledger.clips} came out"
    return ledger, files


def _stages(work: Work, spec: GenerateSpec, folder: str) -> list[flow.Stage]:
    cluster = work.config.cluster
    decoding = {"spec": frame_spec(spec.model), "backend": work.config.generate.decoder}
    return [
        flow.Stage(name="decode", work=decode_row, args=decoding, cpus=cluster.decode_cpus),
        flow.Stage(
            name="generate",
            work=Generator,
            args={"spec": spec},
            actors=cluster.generator_actors,
            cpus=cluster.generator_cpus,
            gpus=cluster.generator_gpus,
        ),
        flow.Stage(name="write", work=write_piece, args={"store": work.store, "folder": folder}, cpus=0),
    ]


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


def select_examples(work: Work) -> Made:
    """One example per clip that survived; or, for the baseline, every label in a fixed sentence."""
    clips, section = work.clips("train"), work.config.select
    wording = prompts.BY_NAME[work.config.generate.prompts].train
    facts: dict[str, Any] = {}
    if section.source == "template":
        examples = from_template(clips, section.template, wording)
    else:
        generated = read_seal(work.store, work.step.inputs[-1])
        assert generated is not None
        attempts = read_attempts(work.store, [record.path for record in generated.files])
        modes: frozenset[Mode] = frozenset({"direct"}) if work.step.final else frozenset({"direct", "rationalized"})
        examples = select(clips, attempts, modes, wording)
        facts = {key: generated.facts[key] for key in ("clips", "direct_kept", "rationalized_kept", "dropped", "failed")}
    if not examples:
        raise ValueError(
            f"{work.step.name}: nothing survived verification, so there is nothing to train on; "
            "see the reasons in the generate step's seal and check labels, prompts and verify.preset"
        )
    path = f"{work.step.name}/examples.parquet"
    work.store.write_table(path, pa.Table.from_pylist([example.to_row() for example in examples], schema=EXAMPLES))
    by_mode = {mode: sum(example.mode == mode for example in examples) for mode in ("direct", "rationalized")}
    facts |= {"examples": len(examples), "direct_only": by_mode["rationalized"] == 0}
    return Made(files=[path], counts={"examples": len(examples), **by_mode}, facts=facts)


def train(work: Work) -> Made:
    """Finetune from the base, never from the last cycle's model."""
    from engine.train.trainer import finetune  # imports torch and Ray Train, which a driver that only generates does not need
    from engine.train.worker import TrainJob

    step, config = work.step, work.config
    job = TrainJob(
        model=ModelSpec(base=config.model.base),
        train=config.train,
        store=work.store,
        examples=f"{step.inputs[0]}/examples.parquet",
        out=step.name,
        seed=config.run.seed,
        decoder=config.generate.decoder,
        decode_cpus=config.cluster.decode_cpus,
        meter=None,
    )

    def tell(done: int, total: int, loss: float) -> None:
        work.report(Progress(step=step.name, unit="steps", done=done, total=total, loss=loss))

    trained = finetune(job, step.name.replace("/", "-"), config.cluster.train_cpus, config.cluster.train_gpus, tell)
    files = [f"{step.name}/model/{name}" for name in work.store.names(f"{step.name}/model")]
    counts = {"steps": len(trained.losses), "undecodable": trained.undecodable}
    return Made(files=files, counts=counts, facts={"losses": [round(loss, 6) for loss in trained.losses]})
