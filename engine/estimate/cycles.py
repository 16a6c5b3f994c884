"""Which steps a run may have: at most, when every cycle gains, and at least, when none does. Pure."""

from collections.abc import Mapping
from dataclasses import replace

from engine.config import RunConfig
from engine.run.plan import Step, cycle_steps, has_ended, history, last_steps, so_far, without_examples
from engine.run.promotion import History, final_cycle
from engine.run.seals import Seal


def steps_at_most(config: RunConfig, sealed: Mapping[str, Seal]) -> list[Step]:
    """The steps of a run in which every cycle that is still to come gains; those that are sealed are among them."""
    past, steps = history(sealed), so_far(config, sealed)
    if without_examples(sealed) is not None or has_ended(config, sealed):
        return steps
    for cycle in range(len(past.cycles) + 1, config.loop.max_cycles):
        before = _gaining(past, cycle, config.loop.min_delta)
        if cycle > final_cycle(config.loop, before):
            break
        steps += cycle_steps(config, before, cycle)
    return steps + last_steps(config, _gaining(past, 1 + max(step.cycle for step in steps), config.loop.min_delta))


def fewest_cycles(config: RunConfig, sealed: Mapping[str, Seal]) -> int:
    """Cycles of a run in which no cycle that is still to come gains."""
    past = history(sealed)
    if (empty := without_examples(sealed)) is not None:
        return empty + 1
    done = past
    while len(done.cycles) <= final_cycle(config.loop, done):
        done = _with(done, 0.0)
    return len(done.cycles)


def _gaining(past: History, cycles: int, min_delta: float) -> History:
    """The history after so many cycles, of which each one that is not past is better by more than min_delta."""
    done = past
    while len(done.cycles) < cycles:
        done = _with(done, done.best + min_delta + 1.0)
    return done


def _with(done: History, accuracy: float) -> History:
    return replace(done, cycles=(*done.cycles, accuracy), only_direct=(*done.only_direct, False))
