"""Pins that docs/take_away.md is true: its commands run in their order, and its examples print what they say."""

import ast
import contextlib
import io
import re
import shlex
from pathlib import Path

import pytest

from command import starloop
from engine.run.refresh import refresh
from engine.run.work import read_seals
from engine.store.files import Store
from kept_runs import a_run, answers_to, with_videos

pytestmark = pytest.mark.loaders
PAGE = (Path(__file__).parents[2] / "docs" / "take_away.md").read_text()
COMMAND = re.compile(r"^    \.venv/bin/starloop (export-data .*?)(?:  +#.*)?$", re.MULTILINE)
"""`starloop export` merges a model: tests/jobs/test_convert.py runs it."""


def test_the_page_is_true(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clips, etags = with_videos(tmp_path / "videos", 12)
    store = Store(str(tmp_path / "runs" / "demo"))
    refresh(store, a_run(store, clips, answers_to(clips, etags)), read_seals(store))
    monkeypatch.chdir(tmp_path)
    commands = COMMAND.findall(PAGE)
    assert len(commands) == 7
    for command in commands:
        done = starloop(*shlex.split(command), cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        assert "8 rows of train, of cycle 0" in done.stdout
    blocks = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    assert len(blocks) == 3
    for block in blocks:
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(compile(ast.parse(block), "take_away.md", "exec"), {})
        assert printed.getvalue().splitlines() == re.findall(r"# -> (.*)", block), block


def test_every_format_and_option_of_the_command_is_on_the_page() -> None:
    help_text = starloop("export-data", "--help").stdout
    options = set(re.findall(r"--[a-z]+(?:-[a-z]+)*", help_text)) - {"--help", "--set"}
    assert options >= {"--format", "--cycle", "--split", "--shard-rows", "--json", "--out"}
    assert [option for option in sorted(options) if option not in PAGE] == []
