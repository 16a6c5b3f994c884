"""What a model on another machine is asked in a run, and whether it answers: before anything is paid for."""

from engine.config import RunConfig
from engine.decode.frames import describe
from engine.run.plan import TRAIN
from models.base import EngineSpec, ModelSpec
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
    count = "one question" if is_direct_only else "one question, and where the answer is rejected a second one,"
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
