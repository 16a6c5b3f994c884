"""Prints the findings of the preflight checks."""

import sys
from dataclasses import asdict
from pathlib import Path

from rich.console import Console
from transformers.utils.logging import disable_progress_bar

from engine.presets import load_config
from engine.run.doctor import examine
from engine.store.documents import to_json
from jobs.exits import Exit
from jobs.view import a_console


def doctor(path: Path | None, settings: list[str], model: bool, as_json: bool) -> None:
    """Exits with status 1 if a finding is not ok."""
    disable_progress_bar()
    config, console, failed = load_config(path, settings), a_console(), 0
    for finding in examine(config, model):
        failed += bool(finding.remedy)
        if as_json:
            print(to_json({"ok": not finding.remedy} | asdict(finding)).decode())
            continue
        _print_verdict(console, not finding.remedy)
        console.print(f"{finding.what}: {finding.detail}" + (f"; {finding.remedy}" if finding.remedy else ""))
    if failed:
        sys.exit(Exit.FAILED)


def rehearse_training(path: Path | None, settings: list[str], as_json: bool) -> None:
    """A line, or an object, for each rehearsal. Exits with status 1 if one fails."""
    from engine.run.rehearsal import rehearse  # only here is training's code needed

    disable_progress_bar()
    config, console, failed = load_config(path, settings), a_console(), False
    for outcome in rehearse(config):
        failed = failed or bool(outcome.problem)
        losses = ", ".join(f"{loss:.4f}" for loss in outcome.losses)
        passed = f"losses {losses}; the same after a resume; the adapter answers in bfloat16"
        if as_json:
            value = {"ok": not outcome.problem, "what": outcome.name, "detail": outcome.problem or passed, "remedy": ""}
            print(to_json(value).decode())
            continue
        _print_verdict(console, not outcome.problem)
        console.print(f"{outcome.name}: {outcome.problem or passed}")
    if failed:
        sys.exit(Exit.FAILED)


def _print_verdict(console: Console, is_ok: bool) -> None:
    console.print("[green]ok[/]      " if is_ok else "[red]not ok[/]  ", end="", markup=True)
