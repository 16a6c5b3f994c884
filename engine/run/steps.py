"""Which function does a step of each kind. Each writes under its step's own folder, and is safe to run twice."""

from collections.abc import Callable

from engine.evaluate.step import evaluate
from engine.generate.step import generate
from engine.ingest.step import ingest
from engine.run.plan import Kind
from engine.run.work import StepResult, Work
from engine.select.step import select_examples
from engine.train.step import train

DO: dict[Kind, Callable[[Work], StepResult]] = {
    "ingest": ingest,
    "generate": generate,
    "select": select_examples,
    "train": train,
    "evaluate": evaluate,
}
