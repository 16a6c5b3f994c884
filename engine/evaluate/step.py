"""The evaluate step: a model's answers to the clips of an evaluation set, and the set's metrics."""

from dataclasses import asdict

from engine.config import EvaluationSet
from engine.evaluate.metrics import metric_of
from engine.generate.attempts import attempt_split, counts_of, spec_of
from engine.generate.one_model import read_model
from engine.generate.prompts import Prompts, wording_of
from engine.run.work import INDEX, StepResult, Work


def evaluate(work: Work) -> StepResult:
    """The same actors as in generation: greedy, asked as training asks, without a hint and without a second chance."""
    wording = wording_of(work.config, work.config.prompts_of(work.step.split)).train
    evaluation_set = _set_named(work.config.evaluate.sets, work.step.split)
    metrics = {name: metric_of(name) for name in evaluation_set.metrics}
    direct_only = Prompts(answer=wording, rationalize="", train=wording)
    ledger = attempt_split(work, spec_of(work, direct_only, 0.0, rationalize=False), list(metrics.values()))
    values = {name: metric.value() for name, metric in metrics.items()}
    facts = {"accuracy": values[evaluation_set.metrics[0]], "metrics": values, "model": read_model(work.store, work.step.name)}
    return StepResult(files=[f"{work.step.name}/{INDEX}"], counts=counts_of(ledger), facts=facts | asdict(ledger))


def _set_named(sets: tuple[EvaluationSet, ...], name: str) -> EvaluationSet:
    return next(evaluation_set for evaluation_set in sets if evaluation_set.name == name)
