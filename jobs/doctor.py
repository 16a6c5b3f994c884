"""Prints the findings of the preflight checks."""

import sys
from pathlib import Path

from transformers.utils.logging import disable_progress_bar

from engine.config import load_config
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
