"""Pins that the command line takes each command of the documentation, and that the quick ones end well."""

import re
import shutil
import tomllib
from pathlib import Path
from typing import Any

import pytest
import typer

import pages
from command import starloop
from engine.logs.lines import choose_format
from engine.presets import load_config
from jobs.cli import app
from loops import Finished
from pages import Command

NOT_QUICK = {
    "demo": "renders videos, and trains",
    "selftrain": "trains",
    "generate": "asks a model about every clip",
    "train": "trains",
    "evaluate": "asks a model about every clip",
    "extend": "asks a model about new clips",
    "icl": "trains",
    "make-base": "trains",
    "few-shot": "asks a model",
    "ask": "asks a model",
    "alpha-sweep": "asks a model",
    "benchmark": "asks a model",
    "doctor": "starts a Ray, or loads a model",
    "convert": "reads a published checkpoint",
    "submit": "needs a cluster",
    "attach": "needs a cluster",
    "logs": "needs a cluster",
    "stop": "needs a cluster",
    "list": "needs a cluster",
}
"""Commands that are parsed and not run, and why."""
ELSEWHERE = re.compile(r"s3://|http://|:MODEL")
"""Arguments that name what no test has: a bucket, a server, a parser's model."""
WORDS_FOR_A_RUN = {"RUN": "runs/demo"}


def _commands() -> list[Command]:
    return [command for page in pages.pages() for command in pages.commands(page)]


def _is_ours(command: Command) -> bool:
    return command.words[0] == "starloop"


def _needs(command: Command) -> str:
    """Why a command of ours is only parsed; "": it is run."""
    name, *arguments = command.words[1:] or [""]
    if name in NOT_QUICK:
        return NOT_QUICK[name]
    if any(ELSEWHERE.search(argument) for argument in arguments):
        return "names what no test has"
    if command.reason:
        return command.reason
    return "prints and ends" if name.startswith("-") else ""


OURS = [command for command in _commands() if _is_ours(command)]
RUN_PAGES = sorted({command.page for command in OURS if not _needs(command)})


def test_there_are_commands() -> None:
    assert len(OURS) > 50
    assert len([command for command in OURS if not _needs(command)]) > 20


@pytest.mark.parametrize("command", OURS, ids=str)
def test_the_command_line_takes_it(command: Command) -> None:
    """Its options are known, and the keys of its --set are keys of the configuration."""
    group: Any = typer.main.get_command(app)
    words = [WORDS_FOR_A_RUN.get(word, word) for word in command.words[1:]]
    if words[0].startswith("--"):
        assert words[0] in [option for parameter in group.params for option in parameter.opts]
        return
    try:
        parsed = group.commands[words[0]].make_context(words[0], words[1:]).params
    finally:
        choose_format("text")
    config = parsed.get("config")
    path = pages.ROOT / str(config) if config and (pages.ROOT / str(config)).is_file() else None
    assert path or not str(config or "").startswith("jobs/"), f"{config} is no file"
    load_config(path, list(parsed.get("settings", [])))


@pytest.mark.parametrize("command", [command for command in _commands() if not _is_ours(command)], ids=str)
def test_another_program_is_checked_or_marked(command: Command) -> None:
    """A target of make, an extra of ours, a test that is there; or it says above its block why it is not run."""
    program, *arguments = command.words
    if command.reason:
        return
    if program == "make":
        assert re.search(rf"^{re.escape(arguments[0])}:", (pages.ROOT / "Makefile").read_text(), re.M)
    elif program == "pip" and (extra := re.search(r"\[(\w+)\]", command.text)):
        assert extra[1] in tomllib.loads((pages.ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    elif program == "python" and (files := [word for word in arguments if "/" in word]):
        assert [file for file in files if not (pages.ROOT / file).exists()] == []
    elif program.startswith("."):
        assert (pages.ROOT / program).is_file()
    else:
        pytest.fail(f"{command} is neither checked nor marked; write <!-- not run: REASON --> before its block")


@pytest.fixture(scope="module")
def before(undisturbed: Finished, world: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A working directory as the pages take it: two runs, manifests, class folders, annotations."""
    folder = tmp_path_factory.mktemp("documented")
    for name in ("demo", "mine"):
        undisturbed.copy(folder / "runs" / name)
    for link in ("tests", "jobs", "engine"):
        (folder / link).symlink_to(pages.ROOT / link)
    (folder / "my.csv").write_text(
        "video,label\n" + "".join(f"{video},moving\n" for video in sorted(world.parent.glob("*.mp4"))[:20])
    )
    (folder / "mine.csv").write_text((folder / "my.csv").read_text().replace("video,label", "file,class"))
    done = starloop("ingest", str(world), "--out", "clips.parquet", cwd=folder)
    assert done.returncode == 0, done.stderr
    (folder / "mine.toml").write_text('[columns]\nvideo = "file"\nlabel = "class"\n')
    (folder / "prices.toml").write_text('currency = "USD"\n[gpu_hour]\nA100-80GB = 2.0\n')
    (folder / "cases.jsonl").write_text('{"text": "It rises.", "label": "rising", "question": "What does it do?"}\n')
    for name in ("Archery", "Diving"):
        (folder / "UCF-101" / name).mkdir(parents=True)
        for number, video in enumerate(sorted(world.parent.glob("heldout*.mp4"))[:6]):
            shutil.copy(video, folder / "UCF-101" / name / f"{name}{number}.mp4")
    return folder


@pytest.mark.parametrize("page", RUN_PAGES)
def test_quick_commands_of_a_page_run(page: str, before: Path, tmp_path: Path) -> None:
    """In the page's order, in a folder of its own."""
    folder = tmp_path / "here"
    shutil.copytree(before, folder, symlinks=True)
    for command in OURS:
        if command.page == page and not _needs(command):
            words = [WORDS_FOR_A_RUN.get(word, word) for word in command.words[1:]]
            if standard_input := command.standard_input:
                (folder / "input").write_text(standard_input)
                words = ["input" if word == "-" else word for word in words]
            done = starloop(*words, cwd=folder)
            assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
