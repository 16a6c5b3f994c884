"""The evaluate step: a model's answers to an evaluation set, the set's metrics, and the test against the best model before."""

from dataclasses import asdict, replace
from typing import Any

from engine.config import EvaluationSet
from engine.evaluate.intervals import interval
from engine.evaluate.metrics import metric_of, value_of
from engine.evaluate.outcomes import Outcomes, Recorder, read_outcomes
from engine.evaluate.paired import compare
from engine.generate.attempts import attempt_split, counts_of, spec_of
from engine.generate.one_model import read_model
from engine.generate.prompts import wording_of
from engine.run.promotion import level_of
from engine.run.work import StepResult, Work


def evaluate(work: Work) -> StepResult:
    """The same actors as in generation: greedy, asked as training asks, without a hint and without a second chance."""
    prompts = wording_of(work.config, work.config.prompts_of(work.step.split))
    evaluation_set = set_named(work.config.sets, work.step.split)
    as_trained, recorder = replace(prompts, answer=prompts.train, rationalize=""), Recorder()
    ledger = attempt_split(work, spec_of(work, as_trained, 0.0, rationalize=False), [recorder])
    measured = facts_of(work, evaluation_set, recorder.outcomes())
    facts = measured | {"model": read_model(work.store, work.step.name)}
    return StepResult(files=list(work.groups().values()), counts=counts_of(ledger), facts=facts | asdict(ledger))


def facts_of(work: Work, evaluation_set: EvaluationSet, outcomes: Outcomes) -> dict[str, Any]:
    """{"accuracy", "metrics", "intervals", "videos"}; and "comparison" with the best model before, where the plan names one."""
    metrics = {name: metric_of(name) for name in evaluation_set.metrics}
    values = {name: value_of(metric, outcomes) for name, metric in metrics.items()}
    headline = evaluation_set.metrics[0]
    facts = {
        "accuracy": values[headline],
        "metrics": values,
        "intervals": {name: interval(metric, outcomes) for name, metric in metrics.items()},
        "videos": outcomes.num_videos,
    }
    if work.step.compared:
        before = read_outcomes(work.store, work.step.compared, work.parts(work.step.split))
        comparison = compare(work.step.compared, metrics[headline], before, outcomes)
        decides = work.config.loop.promote != "best"
        facts["comparison"] = asdict(comparison) | {"level": level_of(work.config.loop) if decides else None}
    return facts


def set_named(sets: tuple[EvaluationSet, ...], name: str) -> EvaluationSet:
    return next(evaluation_set for evaluation_set in sets if evaluation_set.name == name)
