"""The dashboard: rows of panels, each a title, a unit and queries over metrics of the table."""

from dataclasses import dataclass

from engine.metrics.queries import increase, latest, rate, total
from engine.metrics.table import (
    ACCURACY,
    ATTEMPTS,
    BUSY_SECONDS,
    BYTES_READ,
    CLIPS,
    CLIPS_ENCODED,
    CLIPS_SHOWN,
    CYCLE,
    DECODE_SECONDS,
    DONE,
    GENERATOR_DEATHS,
    GOAL,
    GRADIENT_NORM,
    IDLE_SECONDS,
    LAST_PROGRESS,
    LEARNING_RATE,
    LEASE_LOST,
    LEASE_RENEWED,
    LOSS,
    OPTIMIZER_STEPS,
    PIECES,
    QUEUE,
    RUNNING,
    STEP_SECONDS,
    TOKENS,
    TOKENS_PER_SECOND,
    WAITING,
)

RUN = "$run"
"""Grafana's variable: a regular expression for the runs that are shown."""
WINDOW = "$__rate_interval"
OF_STEP = ("run", "cycle", "step")


@dataclass(frozen=True, slots=True)
class Query:
    """A query, and the text of its legend: Query("sum by (run) (...)", "{{run}}")"""

    text: str
    legend: str


@dataclass(frozen=True, slots=True)
class Panel:
    title: str
    unit: str
    """As Grafana names it: short, percentunit, s, Bps ..."""
    queries: tuple[Query, ...]


@dataclass(frozen=True, slots=True)
class Row:
    title: str
    panels: tuple[Panel, ...]


STEP_LEGEND = "{{run}} {{cycle}}/{{step}}"
ENCODED = f"clamp_min({total(CLIPS_ENCODED, (*OF_STEP, 'pool'), run=RUN)}, 1)"
_IDLE = rate(IDLE_SECONDS, (*OF_STEP, "cause"), WINDOW, run=RUN)
_GENERATORS = (
    f"({rate(BUSY_SECONDS, OF_STEP, WINDOW, run=RUN)} + on (run, cycle, step) {rate(IDLE_SECONDS, OF_STEP, WINDOW, run=RUN)})"
)

DASHBOARD: tuple[Row, ...] = (
    Row("Where the run is", (
        Panel("Step under way", "short", (Query(f"{latest(RUNNING, OF_STEP, run=RUN)}", STEP_LEGEND),)),
        Panel("Done", "percentunit", (
            Query(f"{latest(DONE, OF_STEP, run=RUN)} / clamp_min({latest(GOAL, OF_STEP, run=RUN)}, 1)", STEP_LEGEND),
        )),
        Panel("Since the last progress", "s", (
            Query(f"(time() - {latest(LAST_PROGRESS, OF_STEP, run=RUN)}) * {latest(RUNNING, OF_STEP, run=RUN)}", STEP_LEGEND),
        )),
        Panel("Waiting for", "s", (Query(latest(WAITING, (*OF_STEP, "for"), run=RUN), STEP_LEGEND + " {{for}}"),)),
        Panel("Cycle", "short", (Query(latest(CYCLE, ("run",), run=RUN), "{{run}}"),)),
        Panel("Seconds of sealed steps", "s", (Query(latest(STEP_SECONDS, OF_STEP, run=RUN), STEP_LEGEND),)),
        Panel("Since the lease was renewed", "s", (
            Query(f"time() - {latest(LEASE_RENEWED, ('run',), run=RUN)}", "{{run}}"),
            Query(latest(LEASE_LOST, ("run",), run=RUN), "{{run}} lost"),
        )),
    )),
    Row("Clips", (
        Panel("Clips a second, by outcome", "short", (
            Query(rate(CLIPS, ("run", "outcome"), WINDOW, run=RUN), "{{run}} {{outcome}}"),
        )),
        Panel("Clips by outcome and reason", "short", (
            Query(total(CLIPS, (*OF_STEP, "outcome", "reason"), run=RUN), STEP_LEGEND + " {{outcome}} {{reason}}"),
        )),
        Panel("Share of failed clips", "percentunit", (
            Query(
                f'{total(CLIPS, OF_STEP, run=RUN, outcome="failed")} / {total(CLIPS, OF_STEP, run=RUN)}', STEP_LEGEND
            ),
        )),
        Panel("Attempts a second", "short", (
            Query(rate(ATTEMPTS, ("run", "mode", "outcome"), WINDOW, run=RUN), "{{run}} {{mode}} {{outcome}}"),
        )),
        Panel("Tokens a second", "short", (
            Query(rate(TOKENS, ("run", "kind", "pool"), WINDOW, run=RUN), "{{run}} {{kind}} {{pool}}"),
        )),
        Panel("Pieces written", "short", (Query(total(PIECES, OF_STEP, run=RUN), STEP_LEGEND),)),
        Panel("Times that an encoded clip is shown", "short", (
            Query(f"{total(CLIPS_SHOWN, (*OF_STEP, 'pool'), run=RUN)} / {ENCODED}", STEP_LEGEND),
        )),
    )),
    Row("Generators and decoding", (
        Panel("Where the generators' time goes, by cause of idleness", "percentunit", (
            Query(f"{_IDLE} / on (run, cycle, step) group_left () {_GENERATORS}", STEP_LEGEND + " {{cause}}"),
        )),
        Panel("Idle seconds by cause", "s", (
            Query(total(IDLE_SECONDS, (*OF_STEP, "cause"), run=RUN), STEP_LEGEND + " {{cause}}"),
        )),
        Panel("Generators at work", "short", (Query(rate(BUSY_SECONDS, OF_STEP, WINDOW, run=RUN), STEP_LEGEND),)),
        Panel("Generators that died", "short", (Query(increase(GENERATOR_DEATHS, OF_STEP, "1h", run=RUN), STEP_LEGEND),)),
        Panel("Pieces that wait for a stage", "short", (
            Query(latest(QUEUE, ("run", "step", "stage"), run=RUN), "{{run}} {{step}} {{stage}}"),
        )),
        Panel("CPUs that decode", "short", (Query(rate(DECODE_SECONDS, OF_STEP, WINDOW, run=RUN), STEP_LEGEND),)),
        Panel("Bytes of videos read", "Bps", (Query(rate(BYTES_READ, OF_STEP, WINDOW, run=RUN), STEP_LEGEND),)),
    )),
    Row("Training and evaluation", (
        Panel("Loss", "short", (Query(latest(LOSS, OF_STEP, run=RUN), STEP_LEGEND),)),
        Panel("Learning rate", "sci", (Query(latest(LEARNING_RATE, OF_STEP, run=RUN), STEP_LEGEND),)),
        Panel("Gradient norm", "short", (Query(latest(GRADIENT_NORM, OF_STEP, run=RUN), STEP_LEGEND),)),
        Panel("Answer tokens a second", "short", (Query(latest(TOKENS_PER_SECOND, OF_STEP, run=RUN), STEP_LEGEND),)),
        Panel("Optimizer steps", "short", (Query(total(OPTIMIZER_STEPS, OF_STEP, run=RUN), STEP_LEGEND),)),
        Panel("Accuracy", "percentunit", (Query(latest(ACCURACY, (*OF_STEP, "metric"), run=RUN), STEP_LEGEND + " {{metric}}"),)),
    )),
)  # fmt: skip
