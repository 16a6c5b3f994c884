"""What models on other machines are asked in a run, and whether they answer: before anything is paid for."""

from collections.abc import Container
from dataclasses import replace

from engine.config import JUDGE, RunConfig
from engine.decode.frames import describe
from engine.evaluate.metrics import metric_of
from engine.evaluate.scores import JUDGED, judge_of
from engine.run.plan import TRAIN
from engine.verify.asking import client_of
from engine.verify.judging import OPEN, JudgeSpec
from models.base import EngineSpec, ModelAway, ModelSpec, Unanswerable
from models.registry import ELSEWHERE, frame_spec
from models.registry import greet as greet_server


def is_asked(config: RunConfig) -> bool:
    """Whether a run of this configuration asks a model on another machine."""
    return config.generate.engine in ELSEWHERE and config.generates and not config.parent.model


def questions(config: RunConfig) -> str:
    """What is asked of what, in one line; "" where everything is answered by the run's own models."""
    if config.generate.engine not in ELSEWHERE:
        return ""
    if config.parent.model:
        return f"generate.engine = {config.generate.engine!r} is not used: cycle 0 generates with {config.parent.model}"
    if not config.generates:
        return f"generate.engine = {config.generate.engine!r} is not used: select.source and [mixture] need no generated answers"
    server, generate = config.generate.openai, config.generate
    is_direct_only = not generate.rationalize or (config.loop.max_cycles == 1 and config.loop.final_direct_only)
    times = f" {generate.samples} times" if generate.samples > 1 else ""
    count = f"one question{times}" if is_direct_only else f"one question{times}, and where the answer is rejected a second one,"
    watched = describe(frame_spec(*_model(config)))
    return (
        f"{server.name} is asked {count} about each {TRAIN} clip in cycle 0, with {watched} and up to {generate.max_tokens} tokens "
        "of answer; later cycles and all evaluations use the run's own models"
    )


def greet(config: RunConfig) -> str:
    """The digest of the model that answers. Raises ValueError where it refuses a test question, ModelAway where none answers."""
    return greet_server(*_model(config))


def _model(config: RunConfig) -> tuple[ModelSpec, EngineSpec]:
    return config.spec(config.generate.openai.name), config.generate.engine_spec(0.0)


GREETING_S = 10.0
"""Patience of the question by which a driver finds out whether the judge is there."""


def judges(config: RunConfig) -> bool:
    """Whether a run of this configuration asks a judge."""
    return JUDGE in config.verify.stages and config.generates


def judged(config: RunConfig) -> str:
    """What the judge is asked, in one line; "" where there is none."""
    if not judges(config):
        return ""
    judge = config.verify.judge
    watched = f"with up to {judge.frames} frames" if judge.frames else "without the video"
    sampled = f", and of {judge.sample:.3g} of those that they keep" if judge.sample else ""
    return f"{judge.name} judges, {watched}, the answers that the rules leave open ({', '.join(sorted(OPEN))}){sampled}"


def greet_judge(config: RunConfig) -> str:
    """The model that answers. Raises ValueError where it refuses a test question, ModelAway where none answers."""
    return _greet(JudgeSpec.of(config.verify.judge, config.run.seed))


def scored(config: RunConfig, splits: Container[str] | None = None) -> list[str]:
    """What the judge of [evaluate.judge] is asked, a line for each evaluation set that it scores. `splits`: of these sets alone."""
    sets = (own for own in config.sets if splits is None or own.name in splits)
    judged = (own for own in sets if any(metric_of(name).source in JUDGED for name in own.metrics))
    return [f"{judge_of(config.evaluate, own).name} scores the answers to {own.name}" for own in judged]


def greet_scorer(config: RunConfig) -> str:
    """As greet_judge, of the judge of [evaluate.judge]."""
    return _greet(JudgeSpec.of(config.evaluate.judge, config.run.seed, "evaluate.judge"))


def _greet(spec: JudgeSpec) -> str:
    endpoint = replace(spec.endpoint, patience_s=min(spec.endpoint.patience_s, GREETING_S))
    with client_of(spec, endpoint) as client:
        try:
            # its list of models is not looked at: servers have none, or one without the model that they serve (transformers serve)
            return client.start(client.greeting()).result().model or spec.endpoint.model
        except Unanswerable as error:
            raise ValueError(f"a test question to the judge failed: {error.detail}; see [{spec.endpoint.section}]") from None
        except ModelAway as error:
            if client.is_refused:
                raise ValueError(str(error)) from None
            raise
