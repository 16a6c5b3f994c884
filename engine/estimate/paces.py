"""Seconds of a question and of an optimizer step: by this run's own steps, by shipped measurements, or computed."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from engine.config import RunConfig
from engine.estimate.assumptions import Assumptions
from engine.estimate.bands import NOTHING, Band, around, exactly
from engine.estimate.compute import Asking, optimizer_step_s
from engine.estimate.hardware import Gpu, Speed, speed_of_cpus, speed_of_gpus
from engine.estimate.observed import OWN_SPREAD, Observed, Taken
from engine.run.plan import Step, asks_elsewhere, name_of
from engine.run.resources import BYTES
from models.base import ModelSize
from models.registry import ELSEWHERE


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How long the units of a step take, on all processes of the step together."""

    start_s: Band
    direct_s: Band = NOTHING
    """The direct attempts at a clip."""
    rationalized_s: Band = NOTHING
    """Rationalizations, for each clip of the step: for its share of them."""
    optimizer_step_s: Band = NOTHING
    basis: str
    """Where the numbers are from."""


TINY = {
    "start_s": Band(5, 8, 20),
    "question_s": Band(0.007, 0.013, 0.03),
    "optimizer_step_s": Band(0.25, 0.35, 0.7),
}
"""Of the demo on two CPU cores, by its seals (2026-11-25): 11.3 s for 300 questions and 10.0 s for 200, 57 to 100 s for 150
optimizer steps of 16 rows. The bare model answers 147 clips a second on two threads (docs/measurements.md)."""
TINY_BASIS = "shipped measurement: the demo on two CPU cores"


@dataclass(frozen=True, kw_only=True)
class Machine:
    """What paces are computed from."""

    config: RunConfig
    assumed: Assumptions
    gpu: Gpu
    instruct: ModelSize
    base: ModelSize

    def size_of(self, step: Step) -> ModelSize:
        """Of the model that a step asks or trains."""
        return self.instruct if step.kind != "train" and not step.model else self.base

    def is_tiny(self, step: Step) -> bool:
        model = self.config.model
        name = (model.instruct or model.base) if step.kind != "train" and not step.model else model.base
        return name == "tiny" and not self.gpus(step)

    def gpus(self, step: Step) -> float:
        """Of each process of the step."""
        cluster = self.config.cluster
        return cluster.train_gpus if step.kind == "train" else cluster.generator_gpus

    def value_bytes(self, step: Step) -> int:
        return BYTES[self.config.model.device(self.gpus(step)).dtype]

    def speed(self, step: Step) -> Speed:
        cluster = self.config.cluster
        if gpus := self.gpus(step):
            return speed_of_gpus(self.gpu, gpus, self.assumed)
        return speed_of_cpus(cluster.train_cpus if step.kind == "train" else cluster.generator_cpus, self.assumed)

    def start_s(self, step: Step) -> Band:
        weights = exactly(self.size_of(step).params * self.value_bytes(step))
        return self.assumed["start_s"] + weights / self.assumed["load_bytes_per_s"]

    def pace(self, step: Step, share: Band, observed: Observed) -> Pace:
        """Of a step that asks questions or trains; `share`: of its clips that are rationalized."""
        if own := own_pace(self.config, step, observed):
            return replace(own, direct_s=own.direct_s * float(self.samples(step)), rationalized_s=own.direct_s * share)
        if step.kind == "train":
            return self._training(step)
        if asks_elsewhere(self.config, step):
            return self._elsewhere(step, share)
        actors = float(self.config.cluster.num_generators)
        if self.is_tiny(step):
            question = TINY["question_s"] / actors
            direct = question * float(self.samples(step))
            return Pace(start_s=TINY["start_s"], direct_s=direct, rationalized_s=question * share, basis=TINY_BASIS)
        generate, speed, size = self.config.generate, self.speed(step), self.size_of(step)
        asking = Asking(generate.piece_clips, generate.max_tokens, self.value_bytes(step), self.samples(step))
        direct = asking.direct_s(size, speed, self.assumed)
        if step.kind == "generate" and (compared := generate.compared(self.engine(step))):
            direct = direct + asking.reading_s(size, speed, self.assumed, compared)
        return Pace(
            start_s=self.start_s(step),
            direct_s=direct / actors,
            rationalized_s=asking.rationalized_s(size, speed, self.assumed, share) / actors,
            basis=speed.basis,
        )

    def samples(self, step: Step) -> int:
        """Direct attempts at each clip."""
        return self.config.generate.samples if step.kind == "generate" else 1

    def engine(self, step: Step) -> str:
        """What answers the step's questions."""
        engine = self.config.generate.engine
        return "builtin" if engine in ELSEWHERE and not asks_elsewhere(self.config, step) else engine

    def _elsewhere(self, step: Step, share: Band) -> Pace:
        """A server answers so many questions at once."""
        at_once = self.config.cluster.num_generators * self.config.generate.openai.concurrency
        question = self.assumed["server_answer_s"] / float(at_once)
        basis = "computed from generate.openai.concurrency (server_answer_s)"
        direct = question * float(self.samples(step))
        return Pace(start_s=self.assumed["start_s"], direct_s=direct, rationalized_s=question * share, basis=basis)

    def _training(self, step: Step) -> Pace:
        train = self.config.train
        if self.is_tiny(step):
            rows = train.batch_rows / TINY_BATCH_ROWS / train.num_workers
            return Pace(start_s=TINY["start_s"], optimizer_step_s=TINY["optimizer_step_s"] * rows, basis=TINY_BASIS)
        speed = self.speed(step)
        return Pace(
            start_s=self.start_s(step),
            optimizer_step_s=optimizer_step_s(self.config, self.base, speed, self.assumed),
            basis=speed.basis,
        )


TINY_BATCH_ROWS = 16
"""Rows of an optimizer step of TINY."""


def own_pace(config: RunConfig, step: Step, observed: Observed) -> Pace | None:
    """By what steps of the same kind took in this run, starts included; None where there were none.

    What a server answered says nothing of the run's own model, nor the other way round.
    """
    if step.kind == "train":
        taken = [done for done in observed.of("train") if done.optimizer_steps]
        seconds = [done.seconds / done.optimizer_steps for done in taken]
        return Pace(start_s=NOTHING, optimizer_step_s=around(seconds, OWN_SPREAD), basis=_basis(taken)) if taken else None
    other = "evaluate" if step.kind == "generate" else "generate"
    elsewhere = name_of(0, "generate") if config.generate.engine in ELSEWHERE else ""
    of_this_kind, of_the_other = (
        [done for done in observed.of(kind) if done.questions and (done.step == elsewhere) == (step.name == elsewhere)]
        for kind in (step.kind, other)
    )
    taken = of_this_kind or of_the_other
    if not taken:
        return None
    question = around([done.seconds / done.questions for done in taken], OWN_SPREAD)
    return Pace(start_s=NOTHING, direct_s=question, basis=_basis(taken))


def _basis(taken: Sequence[Taken]) -> str:
    """
    >>> _basis([Taken(step="a", kind="train", seconds=1.0), Taken(step="b", kind="train", seconds=1.0, is_whole=False)])
    'measured in this run: a, first pieces of b'
    """
    return "measured in this run: " + ", ".join(done.step if done.is_whole else f"first pieces of {done.step}" for done in taken)
