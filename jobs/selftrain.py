"""Runs the loop to its end, or to the step that a command names."""

from pathlib import Path
from typing import Any

from engine.config import RunConfig
from engine.memory import collect_rarely
from engine.presets import load_config
from engine.run import loop
from engine.run.plan import Kind, base_evaluations, name_of
from engine.run.summary import has_report
from jobs.preview import preview
from jobs.view import View, a_console, print_summary


def selftrain(path: Path | None, settings: list[str], cycle: int = 0, kind: Kind | None = None, is_dry: bool = False) -> None:
    """Run the whole loop; with `kind`, stop after that step of the cycle. `is_dry`: only say what would be done."""
    config = load_config(path, settings)
    if cycle >= config.loop.max_cycles:
        raise ValueError(f"--cycle {cycle}: the last cycle is {config.loop.max_cycles - 1}; raise loop.max_cycles")
    until = name_of(cycle, kind) if kind else ""
    if is_dry:
        preview(config, until)
    else:
        run(config, until)


def evaluate(path: Path | None, settings: list[str], is_dry: bool = False) -> None:
    """Run the loop, and stop when the model before the first cycle is evaluated on every set of the cycles."""
    config = load_config(path, settings)
    until = base_evaluations(config)[-1].name
    if is_dry:
        preview(config, until)
    else:
        run(config, until)


def run(config: RunConfig, until: str = "") -> dict[str, Any]:
    """Run the loop, show its progress, and print the table; returns the summary."""
    collect_rarely()
    with View() as view:
        summary = loop.run(config, view.show, until)
    print_summary(summary)
    if has_report(summary):
        a_console().print(f"open {config.run.uri}/report.html for the evidence")
    return summary
