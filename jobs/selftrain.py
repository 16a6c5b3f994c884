"""Runs the loop to its end, or to the step that a command names."""

from pathlib import Path
from typing import Any

from engine.config import RunConfig
from engine.presets import load_config
from engine.run import loop
from engine.run.plan import Kind, name_of
from engine.run.summary import has_report
from jobs.view import View, a_console, print_summary


def selftrain(path: Path | None, settings: list[str], cycle: int = 0, kind: Kind | None = None) -> None:
    """Run the whole loop; with `kind`, stop after that step of the cycle."""
    config = load_config(path, settings)
    if cycle >= config.loop.max_cycles:
        raise ValueError(f"--cycle {cycle}: the last cycle is {config.loop.max_cycles - 1}; raise loop.max_cycles")
    run(config, name_of(cycle, kind) if kind else "")


def evaluate(path: Path | None, settings: list[str]) -> None:
    """Run the loop, and stop when the model before the first cycle is evaluated on every set."""
    config = load_config(path, settings)
    run(config, name_of(-1, "evaluate", config.evaluate.sets[-1].name))


def run(config: RunConfig, until: str = "") -> dict[str, Any]:
    """Run the loop, show its progress, and print the table; returns the summary."""
    with View() as view:
        summary = loop.run(config, view.show, until)
    print_summary(summary)
    if has_report(summary):
        a_console().print(f"open {config.run.uri}/report.html for the evidence")
    return summary
