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
from engine.inspect.changes import DataChange
from engine.inspect.clip import Attempted, ClipHistory
from engine.inspect.compare import ClipDifference, Difference
from engine.inspect.lineage import Ancestor, Lineage, Use
from engine.inspect.selected import Selected
from engine.reference import Key
from engine.run.catalog import RunRow
from engine.run.collect import Collectable, Collection
from engine.run.doctor import Finding
from jobs.exits import MEANINGS, Exit
from jobs.status import RunStatus, StepStatus

PAGE = (Path(__file__).parents[2] / "docs" / "scripts.md").read_text(encoding="utf-8")


def test_the_page_has_the_exit_statuses() -> None:
    assert [f"| {status.value} | {meaning} |" for status, meaning in MEANINGS.items()] == re.findall(r"^\| \d+ \|.*$", PAGE, re.M)
    assert set(MEANINGS) == set(Exit)


ROWS = [RunStatus, StepStatus, RunRow, Estimate, StepEstimate, Beside, Cost, OnPaper, Requests, Workload]
INSPECTED = [ClipHistory, Attempted, Selected, Difference, DataChange, ClipDifference, Lineage, Ancestor, Use]


def documented(line: str) -> set[str]:
    return set(re.findall(r"`(\w+)`", line))


@pytest.mark.parametrize("row", ROWS)
def test_the_page_has_each_key(row: type) -> None:
    lines = [line for line in PAGE.splitlines() if line.startswith("| `")]
    assert {field.name for field in fields(row)} <= {key for line in lines for key in documented(line.split("|")[1])}


@pytest.mark.parametrize("row", [*INSPECTED, Key, Finding, Collection, Collectable])
def test_the_page_has_each_key_of_rows_within_rows(row: type) -> None:
    assert {field.name for field in fields(row)} <= {
        key for line in PAGE.splitlines() if line.startswith("| ") for key in documented(line)
    }


def test_help_has_the_exit_statuses() -> None:
    text = " ".join(starloop("--help").stdout.split())
    for status, meaning in MEANINGS.items():
        assert f" {status.value} {meaning}" in text


@pytest.mark.parametrize("arguments", [["--nothing"], ["nothing"], ["status"], ["status", "r", "--set"]])
def test_a_wrong_command_line_is_a_usage_error(arguments: list[str]) -> None:
    assert starloop(*arguments).returncode == Exit.USAGE
