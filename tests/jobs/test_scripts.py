"""Pins what scripts rely on: exit statuses, and that docs/scripts.md has every key of the JSON output and every exit status."""

import re
from dataclasses import fields
from pathlib import Path

import pytest

from command import starloop
from engine.estimate.estimate import Beside, Cost, Estimate
from engine.estimate.points import OnPaper
from engine.estimate.steps import Requests, StepEstimate
from engine.estimate.workload import Workload
from engine.run.catalog import RunRow
from jobs.exits import MEANINGS, Exit
from jobs.status import RunStatus, StepStatus

PAGE = (Path(__file__).parents[2] / "docs" / "scripts.md").read_text(encoding="utf-8")


def test_the_page_has_the_exit_statuses() -> None:
    assert [f"| {status.value} | {meaning} |" for status, meaning in MEANINGS.items()] == re.findall(r"^\| \d+ \|.*$", PAGE, re.M)
    assert set(MEANINGS) == set(Exit)


@pytest.mark.parametrize("row", [RunStatus, StepStatus, RunRow, Estimate, StepEstimate, Beside, Cost, OnPaper, Requests, Workload])
def test_the_page_has_each_key(row: type) -> None:
    documented = {key for line in PAGE.splitlines() if line.startswith("| `") for key in re.findall(r"`(\w+)`", line.split("|")[1])}
    assert {field.name for field in fields(row)} <= documented


def test_help_has_the_exit_statuses() -> None:
    text = " ".join(starloop("--help").stdout.split())
    for status, meaning in MEANINGS.items():
        assert f" {status.value} {meaning}" in text


@pytest.mark.parametrize("arguments", [["--nothing"], ["nothing"], ["status"], ["status", "r", "--set"]])
def test_a_wrong_command_line_is_a_usage_error(arguments: list[str]) -> None:
    assert starloop(*arguments).returncode == Exit.USAGE
