"""The alerts: what of a run somebody has to look at, each with the time that it may last and the chapter of the runbook.

`alerts(scale)` are the rules with every duration multiplied: tests make a fault and do not wait for hours.
"""

from dataclasses import dataclass
from typing import Literal

from engine.metrics.queries import increase, latest, minutes, rate
from engine.metrics.table import (
    BUSY_SECONDS,
    CLIPS,
    GENERATOR_DEATHS,
    IDLE_SECONDS,
    LAST_PROGRESS,
    LEASE_LOST,
    LEASE_RENEWED,
    RUNNING,
    WAITING,
)

THAT_REPORT = "generate|train|evaluate.*"
"""Steps that report their progress; ingest and select do not."""
OF_STEP = ("run", "cycle", "step")
SHORTEST_WINDOW_S = 10.0
"""In which even a test's Prometheus has scraped several times."""
RUNBOOK = "docs/operations.md"


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """Alert(name="StarloopNoProgress", severity="critical", holds_s=60, query="...", summary="...", remedy="...")"""

    name: str
    severity: Literal["critical", "warning"]
    holds_s: float
    """Prometheus' `for`: how long the query has to give something before the alert fires."""
    query: str
    summary: str
    """What is the case, with Prometheus' templates for labels and value."""
    remedy: str
    """The first thing to look at."""

    @property
    def anchor(self) -> str:
        """Its chapter of the runbook.

        >>> alerts()[0].anchor
        'starloopnoprogress'
        """
        return self.name.lower()


def alerts(scale: float = 1.0) -> tuple[Alert, ...]:
    def lasting(seconds: float) -> str:
        return minutes(max(SHORTEST_WINDOW_S, seconds * scale))

    step = "{{ $labels.run }}, cycle {{ $labels.cycle }}, {{ $labels.step }}"
    is_running = f"{latest(RUNNING, OF_STEP)} == 1"
    is_waiting = f"{latest(WAITING, OF_STEP)} > 0"
    failed = rate(CLIPS, OF_STEP, lasting(600), outcome="failed")
    idle = rate(IDLE_SECONDS, OF_STEP, lasting(1200), cause="no_input|output_blocked")
    busy = rate(BUSY_SECONDS, OF_STEP, lasting(1200))
    unrenewed_s = max(1.0, 60 * scale)
    return (
        Alert(
            name="StarloopNoProgress",
            severity="critical",
            holds_s=60 * scale,
            query=(
                f"(time() - {latest(LAST_PROGRESS, OF_STEP, step=THAT_REPORT)} > {1800 * scale:g} and {is_running}) "
                f"unless {is_waiting}"
            ),
            summary=step + " has done nothing for {{ $value | humanizeDuration }}.",
            remedy="Look at the driver's last log lines, then at Ray's dashboard: which stage has tasks that do not end?",
        ),
        Alert(
            name="StarloopFailureRate",
            severity="warning",
            holds_s=120 * scale,
            query=f"{failed} / {rate(CLIPS, OF_STEP, lasting(600))} > 0.05",
            summary=step + ": {{ $value | humanizePercentage }} of the clips fail.",
            remedy="`starloop failures RUN` lists them by kind, with what to do. At limits.failure_rate the step stops by itself.",
        ),
        Alert(
            name="StarloopLeaseLost",
            severity="critical",
            holds_s=0,
            query=(
                f"max by (run) (max_over_time({LEASE_LOST.series}[{lasting(600)}])) == 1 or "
                f"(time() - {latest(LEASE_RENEWED, ('run',))} > {unrenewed_s:g} and on (run) {latest(RUNNING, ('run',))} == 1)"
            ),
            summary="{{ $labels.run }}: another driver has taken the run over, or the lease cannot be renewed.",
            remedy="`starloop status RUN` names who holds it. Two jobs of one run: stop one. Else storage takes no heartbeat.",
        ),
        Alert(
            name="StarloopWaitingForGPUs",
            severity="warning",
            holds_s=0,
            query=f"{latest(WAITING, OF_STEP, for_='GPU')} > {900 * scale:g}",
            summary=step + " has waited {{ $value | humanizeDuration }} for GPUs.",
            remedy="`ray status` shows pending demands; another run's job may hold the GPUs, or the autoscaler gets no node.",
        ),
        Alert(
            name="StarloopWaiting",
            severity="warning",
            holds_s=0,
            query=f"{latest(WAITING, OF_STEP, for_='CPU|start')} > {1800 * scale:g}",
            summary=step + " has waited {{ $value | humanizeDuration }} for its first result.",
            remedy="The driver's log says what for, once a minute.",
        ),
        Alert(
            name="StarloopDriverGone",
            severity="critical",
            holds_s=0,
            query=(
                f"max by (run) (last_over_time({RUNNING.series}[{lasting(900)}])) == 1 "
                f"unless on (run) {latest(LEASE_RENEWED, ('run',))}"
            ),
            summary="{{ $labels.run }}: its driver was in the middle of a step, and is gone.",
            remedy="`ray job list` and the pod's last state; then run the same command again, which continues.",
        ),
        Alert(
            name="StarloopGeneratorsIdle",
            severity="warning",
            holds_s=600 * scale,
            query=f"{idle} / on (run, cycle, step) ({busy} + on (run, cycle, step) {idle}) > 0.2",
            summary=step + ": generators wait for pieces, or with results, {{ $value | humanizePercentage }} of their time.",
            remedy="no_input: give decoding more CPUs. output_blocked: storage takes the results too slowly.",
        ),
        Alert(
            name="StarloopGeneratorsDie",
            severity="warning",
            holds_s=0,
            query=f"{increase(GENERATOR_DEATHS, OF_STEP, lasting(1800))} > 0.5",
            summary=step + ": {{ $value | humanize }} generators died and were started again.",
            remedy="Out of memory, a lost node, or a piece that kills them: `starloop failures RUN` lists its clips as crashed.",
        ),
    )
