"""Evaluates a model, or a run's promoted model, on evaluation sets, and prints a table for each."""

import json
import re
import sys
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from rich.table import Table

from engine.config import EvaluationSet, RunConfig
from engine.evaluate.judge.asker import warning_of
from engine.presets import load_config, one_line, with_settings
from engine.run.benchmark import Subject, benchmark, configured, promoted
from engine.run.catalog import is_run
from engine.store.documents import to_json
from engine.store.files import Store
from engine.store.filesystems import Storage
from jobs.preview import preview
from jobs.view import View, reasons

FOLDER = "runs/bench"


@dataclass(frozen=True, slots=True, kw_only=True)
class Benchmark:
    """Benchmark(model="tiny", config=Path("bench.toml"), only=("mvbench",), out="runs/bench/tiny"): the command's options."""

    model: str
    config: Path | None = None
    adapter: str = ""
    only: tuple[str, ...] = ()
    name: str = ""
    form: str = ""
    files: str = ""
    videos: str = ""
    metrics: tuple[str, ...] = ()
    prompts: str = ""
    out: str = ""
    is_dry: bool = False
    as_json: bool = False


def run(options: Benchmark, settings: list[str]) -> None:
    if wrong := next((setting for setting in settings if "=" not in setting), None):
        raise ValueError(f"--set {wrong}: expected section.key=value; --only {wrong} names an evaluation set")
    if options.is_dry and options.as_json:
        raise ValueError("--json prints what was measured, and --dry-run measures nothing; leave one of them out")
    access = load_config(None, [setting for setting in settings if setting.startswith("storage.")]).access()
    subject, config = subject_of(options, access, settings)
    out = options.out or f"{FOLDER}/{slug(options.model)}"
    configs = [configured(config, subject, own, out) for own in chosen(config, options)]
    if options.is_dry:
        for own in configs:
            preview(own, "")
        return
    if options.as_json:
        print(
            to_json({"model": subject.base, "adapter": subject.adapter or None, "sets": list(benchmark(configs, _ignore))}).decode()
        )
        return
    with View() as view:
        for result in benchmark(configs, view.show):
            for line in lines_of(result):
                view.console.print(line)


def _ignore(progress: object) -> None:
    """With --json nothing but the result is printed."""


def subject_of(options: Benchmark, access: Storage, settings: list[str]) -> tuple[Subject, RunConfig]:
    """What is evaluated, and how it is asked: as the file says; a run has its own [model], and without a file all else, too."""
    if not is_run(Store(options.model, access)):
        return Subject(name=options.model, base=options.model, adapter=options.adapter), load_config(options.config, settings)
    if options.adapter:
        raise ValueError(
            f"--adapter {options.adapter}: {options.model} is a run, whose promoted model has one; name a base instead"
        )
    subject, config = promoted(options.model, access)
    if not subject.adapter:
        print(f"no cycle of {options.model} is promoted: its base {subject.base} is asked", file=sys.stderr)
    if options.config is None:
        return subject, with_settings(config, settings)
    model = [f"model.{key}={_toml(value)}" for key, value in config.model.model_dump(mode="json").items() if value is not None]
    return subject, load_config(options.config, [*model, *settings])


def _toml(value: Any) -> str:
    """A value as --set takes it: numbers, booleans, texts and lists of numbers are written in TOML as in JSON."""
    text = json.dumps(value)
    assert tomllib.loads(f"value = {text}"), text
    return text


def chosen(config: RunConfig, options: Benchmark) -> list[EvaluationSet]:
    """The set that the options describe, or those of the configuration that name files. Raises ValueError where there is none."""
    own = [evaluation_set for evaluation_set in config.evaluate.sets if evaluation_set.files]
    if options.files:
        fields = {"files": options.files, "videos": options.videos, "prompts": options.prompts}
        fields |= {"format": options.form} if options.form else {}
        values: dict[str, Any] = {key: value for key, value in fields.items() if value}
        values |= {"metrics": options.metrics} if options.metrics else {}
        try:
            return [EvaluationSet(name=options.name or slug(options.form or Path(options.files).stem), **values)]
        except ValidationError as error:
            raise ValueError(f"the options describe no evaluation set: {one_line(error)}") from None
    given = {"--format": options.form, "--videos": options.videos, "--metric": options.metrics, "--prompts": options.prompts}
    if without := next((option for option, value in given.items() if value), None):
        raise ValueError(f"{without} describes a set, and --files names none; give --files FILE")
    names = [evaluation_set.name for evaluation_set in own]
    if unknown := [name for name in options.only if name not in names]:
        known = ", ".join(names) or "none"
        raise ValueError(f"--only {unknown[0]}: the evaluation sets of the configuration are: {known}; name one of them")
    if not own:
        raise ValueError(
            "no evaluation set: name a file with [[evaluate.sets]], or give --format FORMAT --files FILE --videos FOLDER; "
            "docs/benchmarks.md lists the formats"
        )
    return [evaluation_set for evaluation_set in own if not options.only or evaluation_set.name in options.only]


def slug(text: str) -> str:
    """The last part of a name, as a folder or a set may be called.

    >>> slug("s3://bucket/runs/Mine 2/"), slug("OpenGVLab/InternVL3_5-8B-HF"), slug("...")
    ('mine-2', 'internvl3_5-8b-hf', 'model')
    """
    last = text.rstrip("/").rpartition("/")[2].lower()
    return re.sub(r"[^a-z0-9_-]+", "-", last).strip("-_") or "model"


def lines_of(result: Mapping[str, Any]) -> Iterator[Table | str]:
    """What is printed of a set: its metrics, its groups, what failed, what the judge did, and where the answers are."""
    yield f"{result['set']} ({result['format']}): {result['clips']} clips of {result['videos']} videos"
    yield _metrics(result)
    if result["groups"]:
        yield _groups(result)
    if failed := sum(result["failed"].values()):
        names = ", ".join(f"{name} {values['answered']:.4g}" for name, values in result["metrics"].items())
        yield (
            f"{failed} of {result['clips']} clips failed ({reasons(result['failed'])}), and count as wrong; over those that could "
            f"be answered: {names}"
        )
    if judge := result["judge"]:
        yield (
            f"{judge['judge']} gave {judge['marks']} marks, {judge['new']} of them new, as {', '.join(judge['models'])}; "
            f"{judge['prompt_tokens']:,} prompt and {judge['reply_tokens']:,} reply tokens"
        )
        if line := warning_of(judge):
            yield line
    yield f"the answers are in {result['answers']}"


def _metrics(result: Mapping[str, Any]) -> Table:
    table = Table(box=None, padding=(0, 2), header_style="bold")
    for column in ("metric", "value", "95 % interval", "n", "failed"):
        table.add_column(column, justify="left" if column == "metric" else "right")
    failed = str(sum(result["failed"].values()))
    for name, values in result["metrics"].items():
        ends = f"{values['low']:.4g} to {values['high']:.4g}"
        table.add_row(name, f"{values['value']:.4g}", ends, str(values["clips"]), failed)
    return table


def _groups(result: Mapping[str, Any]) -> Table:
    """A row a group, with a column for each metric that any of them has."""
    groups = result["groups"]
    names = list(dict.fromkeys(name for group in groups.values() for name in group["metrics"]))
    table = Table(box=None, padding=(0, 2), header_style="bold")
    for column in ("group", *names, "n", "failed"):
        table.add_column(column, justify="left" if column == "group" else "right", overflow="fold")
    for name, group in groups.items():
        values = (f"{group['metrics'][metric]:.4g}" if metric in group["metrics"] else "" for metric in names)
        table.add_row(name, *values, str(group["clips"]), str(group["failed"]))
    return table
