"""What one step of the plan takes: questions, seconds, GPU hours, bytes and requests."""

import math
from dataclasses import dataclass

from engine.config import TEST, RunConfig
from engine.estimate.bands import NOTHING, Band, at_all_corners, at_corners, exactly
from engine.estimate.observed import Observed
from engine.estimate.paces import Machine
from engine.estimate.points import (
    ATTEMPT_BYTES_PER_TOKEN,
    CLIP_BYTES,
    CLIPS_PER_S,
    COMPARED_PER_S,
    EXAMPLE_BYTES,
    EXAMPLE_BYTES_PER_TOKEN,
    INDEX_BYTES,
    PAGE_OBJECTS,
    PIECE_BYTES,
    SEAL_BYTES,
    SEAL_BYTES_PER_PART,
    SIGNATURE_BYTES,
)
from engine.estimate.workload import Workload
from engine.run.lease import BEAT_S
from engine.run.plan import TRAIN, Step, asks_elsewhere
from engine.run.resources import FP32, gpus_of

LISTINGS = 3
"""Of a step's pieces: what is done, what is to do, and the accounts."""
PART_READS = 4
"""Of each part in a generate or an evaluate step: three times by the driver, and at least once by a decode worker."""
PIECE_FILES = 3
"""Index, model.json and seal of a step that writes pieces."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Requests:
    """Requests(puts=Band(...), gets=Band(...), lists=Band(...)): to the object store."""

    puts: Band = NOTHING
    gets: Band = NOTHING
    lists: Band = NOTHING

    def __add__(self, other: "Requests") -> "Requests":
        return Requests(puts=self.puts + other.puts, gets=self.gets + other.gets, lists=self.lists + other.lists)


@dataclass(frozen=True, slots=True, kw_only=True)
class StepEstimate:
    """One step of the plan, before it is done."""

    step: str
    kind: str
    split: str
    """Whose clips it works on."""
    is_sure: bool
    """Whether the run has it even if no cycle gains."""
    elsewhere: bool = False
    """Whether a server answers (generate.engine = "openai")."""
    questions_at_most: int = 0
    questions: Band = NOTHING
    optimizer_steps: Band = NOTHING
    seconds: Band
    """Wall-clock."""
    gpus: float = 0.0
    """That the step's processes hold."""
    gpu_hours: Band = NOTHING
    pieces: int = 0
    bytes_kept: Band
    """Written, and there at the end of the run."""
    bytes_passing: Band = NOTHING
    """Of checkpoints at the moment when two are there; they are deleted."""
    bytes_read: Band = NOTHING
    """Of videos."""
    requests: Requests
    decode_cpus: Band = NOTHING
    """CPUs that have to decode for the step's processes never to wait."""
    basis: str
    """Where the seconds are from."""


@dataclass(frozen=True, kw_only=True)
class Estimator:
    """The estimates of steps, one after another."""

    machine: Machine
    workload: Workload
    observed: Observed

    @property
    def config(self) -> RunConfig:
        return self.machine.config

    def rationalized_share(self, step: Step) -> Band:
        """Share of the step's clips whose direct attempt is rejected, and that are rationalized."""
        if step.kind != "generate" or step.final or not self.config.generate.rationalize:
            return NOTHING
        return self.machine.assumed["direct_share" if step.cycle == 0 else "later_direct_share"].rest

    def kept(self, step: Step) -> Band:
        """Clips that a cycle's select step finds something to train on for; the labels' own where nothing is generated."""
        clips, assumed = float(self.workload.clips[TRAIN]), self.machine.assumed
        if not self.config.generates:
            return exactly(clips)
        direct = assumed["direct_share" if step.cycle == 0 else "later_direct_share"]
        if step.final or not self.config.generate.rationalize:
            return direct * clips
        shares = at_corners(lambda d, r: d + (1 - d) * r, [direct, assumed["rationalized_share"]], [])
        return shares * clips

    def estimate(self, step: Step, is_sure: bool) -> StepEstimate:
        if step.kind in ("generate", "evaluate"):
            return self._asking(step, is_sure)
        if step.kind == "train":
            return self._training(step, is_sure)
        return self._on_the_driver(step, is_sure)

    def _asking(self, step: Step, is_sure: bool) -> StepEstimate:
        config, clips = self.config, self.workload.clips[step.split]
        share = self.rationalized_share(step)
        rationalized, elsewhere = share * float(clips), asks_elsewhere(config, step)
        pace = self.machine.pace(step, share, self.observed)
        work = (pace.direct_s + pace.rationalized_s) * float(clips)
        seconds = pace.start_s + work.at_least(exactly(float(clips)) / CLIPS_PER_S)
        pieces, parts = self.workload.pieces(step.split, config.generate.piece_clips), self.workload.parts(step.split)
        gpus = 0.0 if elsewhere else gpus_of(config.cluster.num_generators, config.cluster.generator_gpus)
        samples = self.machine.samples(step)
        questions = exactly(float(clips * samples)) + rationalized
        return StepEstimate(
            step=step.name,
            kind=step.kind,
            split=step.split,
            is_sure=is_sure,
            elsewhere=elsewhere,
            questions_at_most=clips * (samples if share == NOTHING else samples + 1),
            questions=questions,
            seconds=seconds,
            gpus=gpus,
            gpu_hours=seconds * (gpus / 3600),
            pieces=pieces,
            bytes_kept=self._piece_bytes(pieces, questions, clips),
            bytes_read=self.clip_bytes * float(clips),
            requests=self._beats(seconds)
            + Requests(
                puts=exactly(float(pieces + PIECE_FILES)),
                gets=self.machine.assumed["requests_per_clip"] * float(clips) + exactly(float(pieces + PART_READS * parts)),
                lists=exactly(float(LISTINGS * math.ceil(pieces / PAGE_OBJECTS))),
            ),
            decode_cpus=self._decode_cpus(exactly(float(clips)), seconds),
            basis=pace.basis,
        )

    def _training(self, step: Step, is_sure: bool) -> StepEstimate:
        config, size = self.config, self.machine.base
        train, value_bytes = config.train, self.machine.value_bytes(step)
        steps, pace = self.optimizer_steps(step), self.machine.pace(step, NOTHING, self.observed)
        training = steps * pace.optimizer_step_s
        seconds = pace.start_s + training
        gpus = gpus_of(train.num_workers, config.cluster.train_gpus)
        adapter = float(size.trained_params * value_bytes)
        due = (steps / float(train.checkpoint_every_steps)).at_least(training / train.checkpoint_every_s)
        checkpoints = at_all_corners(lambda due, steps: min(due, steps - 1), [due, steps])  # none after the last step
        state = adapter + size.trained_params * 3 * FP32
        shots = max(config.episodes.shots) if config.mixture.episodes else 0
        shown = self.rows_fed(step) * float(shots + 1)
        return StepEstimate(
            step=step.name,
            kind=step.kind,
            split=step.split,
            is_sure=is_sure,
            optimizer_steps=steps,
            seconds=seconds,
            gpus=gpus,
            gpu_hours=seconds * (gpus / 3600),
            bytes_kept=exactly(adapter),
            bytes_passing=exactly(2 * state) if checkpoints.high >= 1 else NOTHING,
            bytes_read=self.clip_bytes * shown,
            requests=self._beats(seconds)
            + Requests(
                puts=checkpoints * float(2 * train.num_workers + 1) + exactly(5.0),
                gets=self.machine.assumed["requests_per_clip"] * shown,
            ),
            decode_cpus=self._decode_cpus(shown, seconds),
            basis=pace.basis,
        )

    def _on_the_driver(self, step: Step, is_sure: bool) -> StepEstimate:
        """ingest and select: the driver reads and writes tables."""
        parts, clips = sum(map(self.workload.parts, self.workload.clips)), float(self.workload.num_clips)
        pieces = self.workload.pieces(TRAIN, self.config.generate.piece_clips)
        if step.kind == "ingest":
            seconds, files = exactly(float(clips)) / CLIPS_PER_S, parts
            kept = CLIP_BYTES * clips + exactly(SEAL_BYTES + SEAL_BYTES_PER_PART * parts)
            gets, lists = exactly(2.0), NOTHING
        else:
            text = self.machine.assumed["answer_tokens"].at_most(self.config.generate.max_tokens) * EXAMPLE_BYTES_PER_TOKEN
            kept, files = self.kept(step) * (text + exactly(EXAMPLE_BYTES)), 2
            readings = 2 if self.config.select.max_per_label is not None or self.config.select.balance else 1
            gets, lists = exactly(float(readings * (pieces * len(step.inputs[1:]) + self.workload.parts(TRAIN)))), NOTHING
            seconds = exactly(float(self.workload.clips[TRAIN] * readings)) / CLIPS_PER_S
            if self.config.select.near_copies != "ignore" and self.config.generates and step.cycle == 0:
                seconds += exactly(float(clips)) / COMPARED_PER_S
                seconds += self.machine.assumed["decode_cpu_s"] * float(self.workload.clips.get(TEST, 0))  # no step has seen them
        return StepEstimate(
            step=step.name,
            kind=step.kind,
            split=step.split,
            is_sure=is_sure,
            seconds=seconds,
            bytes_kept=kept,
            requests=self._beats(seconds) + Requests(puts=exactly(float(files + 1)), gets=gets, lists=lists),
            basis="the driver's clips a second (points)",
        )

    @property
    def clip_bytes(self) -> Band:
        """Of a clip's video, if it is read once from its first to its last second."""
        if self.workload.video_bytes is not None:
            return exactly(self.workload.video_bytes)
        return self.workload.clip_s(self.machine.assumed) * self.machine.assumed["video_bytes_per_s"]

    def optimizer_steps(self, step: Step) -> Band:
        """As engine/train/mixture.py cuts the rows that it feeds."""
        batch_rows = self.config.train.batch_rows
        return at_all_corners(lambda rows: max(1, math.ceil(rows / batch_rows)), [self.rows_fed(step)])

    def rows_fed(self, step: Step) -> Band:
        """Of all epochs; conversations (mixture.instruct) are not counted."""
        config, assumed = self.config, self.machine.assumed
        mixture, clips = config.mixture, float(self.workload.clips[TRAIN])
        again = 0.0 if step.final or not config.generate.rationalize else mixture.rationalized

        def rows(direct: float, rationalized: float) -> float:
            kept = direct * mixture.direct + (1 - direct) * rationalized * again if config.generates else mixture.direct
            return max(1, round(config.train.epochs * clips * (kept + mixture.episodes)))

        first = step.cycle == 0
        return at_all_corners(rows, [assumed["direct_share" if first else "later_direct_share"], assumed["rationalized_share"]])

    def _piece_bytes(self, pieces: int, questions: Band, clips: int) -> Band:
        answer = self.machine.assumed["answer_tokens"].at_most(self.config.generate.max_tokens)
        signatures = SIGNATURE_BYTES * float(clips) if self.config.select.near_copies != "ignore" else NOTHING
        return exactly(float(pieces) * (PIECE_BYTES + INDEX_BYTES)) + questions * answer * ATTEMPT_BYTES_PER_TOKEN + signatures

    def _decode_cpus(self, shown: Band, seconds: Band) -> Band:
        return self.machine.assumed["decode_cpu_s"] * shown / seconds if seconds.low else NOTHING

    @staticmethod
    def _beats(seconds: Band) -> Requests:
        """The driver's heartbeat: it is written, and the lease is read, every few seconds."""
        beats = seconds / BEAT_S
        return Requests(puts=beats, gets=beats)
