"""Pins the commands' manners: panels, examples that parse, one rule for --dry-run, completion, and the configuration reference."""

import json
import os
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import typer

from command import ROOT, Done, options, starloop
from engine.config import RunConfig
from engine.presets import load_config
from engine.reference import ENTRY, keys, to_markdown, to_toml
from engine.run import loop
from engine.store.files import Store
from jobs.cli import app
from jobs.commands.app import PANELS, example_text
from jobs.commands.complete import complete_clip, complete_run, complete_setting
from lived import write_run

COMMANDS: dict[str, Any] = typer.main.get_command(app).commands  # type: ignore[attr-defined]
CHANGING = ["selftrain", "generate", "train", "evaluate", "benchmark", "ingest", "extend", "failures", "submit", "gc"]
"""Commands that change or start something which may not be wanted. Others only write a file or a folder that is named by --out."""


def examples_of(name: str) -> list[str]:
    lines = str(COMMANDS[name].epilog).split("\n\n")
    assert lines[0] == "Examples:"
    return [line.removeprefix("starloop ").replace("\\[", "[") for line in lines[1:]]


def test_help_has_a_panel_for_each_kind_of_command() -> None:
    text = starloop("--help").stdout
    places = [text.index(f"─ {panel} ─") for panel in PANELS]
    assert places == sorted(places)
    assert {command.rich_help_panel for command in COMMANDS.values()} == set(PANELS)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_example_is_a_command_line(name: str) -> None:
    lines = examples_of(name)
    assert lines
    for line in lines:
        words = shlex.split(line.partition(" > ")[0])
        assert words[0] == name
        COMMANDS[name].make_context(name, words[1:])  # raises where an option, or the value of one, is wrong


def test_an_example_with_brackets_is_no_markup() -> None:
    assert example_text(["verify '[x]'"]) == "Examples:\n\nstarloop verify '\\[x]'"
    assert "starloop inspect runs/demo train-00007" in starloop("inspect", "--help").stdout


def test_help_is_text_and_no_markup() -> None:
    """rich leaves out what it takes for markup, as the name of a section."""
    words = starloop("ask", "--help").stdout.replace("│", " ").split()
    assert {"[model],", "[prompts.NAME],", "[limits]."} <= {*words}


def test_what_changes_or_starts_something_has_a_dry_run() -> None:
    dry = [name for name, command in COMMANDS.items() if any("--dry-run" in option.opts for option in command.params)]
    assert sorted(dry) == sorted(CHANGING)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def dry(folder: Path, *arguments: str) -> Done:
    """The command with --dry-run, which has changed nothing in the folder."""
    before = contents(folder)
    done = starloop(*arguments, "--dry-run", cwd=folder)
    assert contents(folder) == before
    return done


SETS = options(["data.manifest=m.csv", "model.allow_tiny=true", "run.uri=r"])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rows = "".join(f"v{number}.mp4,x,{'heldout' if number > 5 else 'train'}\n" for number in range(8))
    (tmp_path / "m.csv").write_text("video,label,split\n" + rows)
    return tmp_path


def test_a_dry_run_names_the_steps_of_a_new_run(folder: Path) -> None:
    lines = dry(folder, "selftrain", *SETS).stdout.splitlines()
    assert lines[0] == "run        r: no run is there, it would begin"
    assert lines[1] == (
        "would run  ingest, base/evaluate, cycle-000/generate, cycle-000/select, cycle-000/train, cycle-000/evaluate"
    )
    assert lines[2:4] == ["then       at most 2 more cycles, while accuracy gains", lines[3]]
    assert lines[3].startswith("clips      6 train, 2 heldout; ")
    assert lines[4] == "nothing is changed: this was --dry-run"
    until_train = dry(folder, "train", *SETS).stdout
    assert "would run  ingest, cycle-000/generate, cycle-000/select, cycle-000/train\n" in until_train
    assert "then" not in until_train


def test_a_dry_run_of_a_run_that_has_begun_names_what_is_reused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    loop.run(load_config(None, ["data.manifest=m.csv", "model.allow_tiny=true", "run.uri=r"]), lambda progress: None, "ingest")
    lines = dry(folder, "evaluate", *SETS).stdout.splitlines()
    assert lines[:3] == ["run        r: would be continued", "reused     ingest", "would run  base/evaluate"]
    refused = dry(folder, "evaluate", *SETS, "--set", "run.seed=7")
    assert refused.stderr.startswith("error: r was begun with another configuration (run.seed: 0 -> 7)")


def test_a_dry_run_refuses_what_a_run_would(folder: Path) -> None:
    done = dry(folder, "selftrain", *options(["data.manifest=m.csv", "run.uri=r"]))
    assert (done.returncode, done.stderr[:43]) == (1, 'error: model.base is "tiny", a toy that has')


def test_a_dry_ingest_counts_and_writes_nothing(folder: Path) -> None:
    (folder / "v0.mp4").write_bytes(b"x")
    done = dry(folder, "ingest", "m.csv", "--out", "c.parquet")
    assert "clips 8" in done.stdout
    assert "nothing is written by --dry-run; without it: " in done.stdout


def test_a_dry_retry_deletes_nothing(tmp_path: Path) -> None:
    write_run(tmp_path / "r")
    done = dry(tmp_path, "failures", "r", "--retry", "missing", "--rewind")
    assert done.stdout.startswith("nothing is changed by --dry-run; without it: 1 clips of cycle-000/generate failed as missing")
    assert "--dry-run goes with --retry KIND" in dry(tmp_path, "failures", "r").stderr
    assert starloop("gc", "r", "--delete", "--dry-run", cwd=tmp_path).returncode == 2
    assert "--dry-run measures nothing" in dry(tmp_path, "benchmark", "tiny", "--json").stderr
    assert "--rehearse makes none" in starloop("doctor", "--rehearse", "--no-model", cwd=tmp_path).stderr.replace("\n", " ")


def test_gc_as_json_says_what_could_go(tmp_path: Path) -> None:
    write_run(tmp_path / "r")
    [line] = starloop("gc", "r", "--json", cwd=tmp_path).stdout.splitlines()
    assert json.loads(line) == {
        "run": "r",
        "folders": [],
        "kept": "it is not finished, its next step is cycle-001/generate",
        "deleted": False,
    }


def test_runs_and_clips_are_completed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_run(tmp_path / "runs" / "mine")
    (tmp_path / "runs" / "other").mkdir()
    context = typer.Context(COMMANDS["inspect"])
    assert complete_run(context, "") == ["runs/mine"]
    assert complete_run(context, "runs/o") == ["runs/other/"]
    assert complete_run(context, "s3://bucket/") == []
    assert complete_run(context, "nowhere/") == []
    context.params = {"run": "runs/mine"}
    assert complete_clip(context, "c") == [f"c{number}" for number in range(9)]
    assert complete_clip(context, "h1") == ["h1"]
    context.params = {"run": "nowhere"}
    assert complete_clip(context, "") == []
    assert complete_setting(context, "loop.m") == ["loop.max_cycles=", "loop.min_delta="]


def test_a_shell_gets_commands_and_keys(tmp_path: Path) -> None:
    """In a process of its own, as the script of `starloop --install-completion` asks."""
    program = "import sys; sys.argv = ['starloop']; from jobs.cli import main; main()"
    for words, expected in (("starloop ins", ["inspect"]), ("starloop config loop.p", ["loop.promote", "loop.patience"])):
        asked = {"_STARLOOP_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": str(words.count(" "))}
        environment = os.environ | asked | {"PYTHONPATH": str(ROOT)}
        command = [sys.executable, "-c", program]
        done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
        assert done.stdout.split() == expected


def uncommented(text: str) -> str:
    """The keys of the reference as if their comment signs were taken away, but for those without a default and for entries."""
    lines, in_entry = [], False
    for line in text.splitlines():
        if line.startswith(("[", "#[")):
            in_entry = line.startswith("#[")
        if in_entry or line.startswith("# ") or line.endswith(" ="):
            continue
        lines.append(line.removeprefix("#"))
    return "\n".join(lines)


def test_every_default_of_the_reference_is_the_default() -> None:
    values = tomllib.loads(uncommented(to_toml(keys())))
    assert RunConfig.model_validate(values) == RunConfig()
    assert values["train"]["lr"] == 2e-5


def test_a_run_of_the_reference_as_it_is_is_the_default(tmp_path: Path) -> None:
    (tmp_path / "all.toml").write_text(starloop("config").stdout)
    assert load_config(tmp_path / "all.toml", []) == RunConfig()


def test_every_key_has_a_meaning_and_a_type() -> None:
    assert [key.key for key in keys() if not key.meaning or not key.type] == []
    assert set(ENTRY) <= {key.key for key in keys()}
    assert {key.key: key.decides for key in keys()}["limits.failure_rate"] is False


def test_the_resolved_configuration_is_one_that_can_be_read(tmp_path: Path) -> None:
    (tmp_path / "c.toml").write_text('preset = "paper"\n[generate]\ntemperature = 0.5\n[prompts.mine]\nanswer = "{question}?"\n')
    text = starloop("config", "--from", "c.toml", "--set", "loop.max_cycles=9", cwd=tmp_path).stdout
    (tmp_path / "resolved.toml").write_text(text)
    expected = load_config(tmp_path / "c.toml", ["loop.max_cycles=9"])
    assert load_config(tmp_path / "resolved.toml", []) == expected
    store = write_run(tmp_path / "r")
    assert "max_per_label = 1\n" in starloop("config", "select", "--from", "r", cwd=tmp_path).stdout
    assert Store(store.uri).read("config.json")


def test_a_key_is_found_by_its_section_or_named() -> None:
    [line] = starloop("config", "train.lr", "--json").stdout.splitlines()
    value = json.loads(line)
    assert (value["key"], value["type"], value["default"], value["decides"]) == ("train.lr", "number > 0", 2e-05, True)
    assert starloop("config", "lr").stderr == "error: the configuration has no key or section 'lr'; did you mean train.lr?\n"
    assert starloop("config", "--from", "none.toml").stderr.startswith("error: --from none.toml: no such file or folder; name a")


def test_the_page_of_the_reference_has_each_key() -> None:
    page = to_markdown(keys())
    assert "## [generate.vllm]" in page
    assert all(f"| `{key.name}`" in page for key in keys())
