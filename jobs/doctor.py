"""Prints the findings of the preflight checks."""

import sys
from pathlib import Path

from transformers.utils.logging import disable_progress_bar

from engine.presets import load_config
from engine.run.doctor import examine
from jobs.view import a_console


def doctor(path: Path | None, settings: list[str], model: bool) -> None:
    """Exits with status 1 if a finding is not ok."""
    disable_progress_bar()
    config, console, failed = load_config(path, settings), a_console(), 0
    for finding in examine(config, model):
        failed += bool(finding.remedy)
        verdict = f"[red]not ok[/]  {finding.what}: " if finding.remedy else f"[green]ok[/]      {finding.what}: "
        console.print(verdict, end="")
        console.print(finding.detail + (f"; {finding.remedy}" if finding.remedy else ""), markup=False)
    if failed:
        sys.exit(1)


def rehearse_training(path: Path | None, settings: list[str]) -> None:
    """A line for each rehearsal. Exits with status 1 if one fails."""
    from engine.run.rehearsal import rehearse  # only here is training's code needed

    disable_progress_bar()
    config, console, failed = load_config(path, settings), a_console(), False
    for outcome in rehearse(config):
        failed = failed or bool(outcome.problem)
        console.print(f"[red]not ok[/]  {outcome.name}: " if outcome.problem else f"[green]ok[/]      {outcome.name}: ", end="")
        losses = ", ".join(f"{loss:.4f}" for loss in outcome.losses)
        passed = f"losses {losses}; the same after a resume; the adapter answers in bfloat16"
        console.print(outcome.problem or passed, markup=False)
    if failed:
        sys.exit(1)
