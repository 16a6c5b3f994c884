"""Draws answers of a run for people to read, takes their words back, and prints what these make of the verifiers."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from shlex import quote
from typing import BinaryIO

from engine.audit import sheet
from engine.audit.audit import Audit, audits, draw, step_of, take_back, to_value
from engine.config import RunConfig
from engine.presets import load_config
from engine.report.people import audit_lines
from engine.run.lease import lease_state
from engine.run.plan import has_ended, history, name_of, next_step, so_far
from engine.run.promotion import final_cycle
from engine.run.refresh import refresh
from engine.run.seals import Seal
from engine.run.work import read_seals, run_config
from engine.store.documents import to_json
from engine.store.files import Store
from jobs.view import a_console

FORMS = {".csv": sheet.to_csv, ".jsonl": sheet.to_jsonl}


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditOptions:
    """AuditOptions(sample=50, seed=1, cycle=None, out=Path("audit.csv"), overrides="", as_json=False)"""

    sample: int
    seed: int
    cycle: int | None
    """None: the latest."""
    out: Path
    overrides: str
    """A file that came back; "": a sample is drawn."""
    as_json: bool


def audit(run: str, options: AuditOptions, settings: list[str]) -> None:
    store = Store(run.rstrip("/") or run, load_config(None, settings).access())
    lines = list[str]()
    if options.overrides:
        lines = _take_back(store, options.overrides)
    elif not options.as_json:  # a script that asks for figures draws nothing
        lines = _draw(store, options)
    results = audits(store, read_seals(store))
    _refresh(store)
    if options.as_json:
        for result in results:
            print(to_json(to_value(result)).decode())
        return
    console = a_console()
    for line in [*lines, *(line for result in results for line in _judged_lines(result))]:
        console.print(line, markup=False)


def _judged_lines(result: Audit) -> list[str]:
    return audit_lines(result) if result.judged else []


def _draw(store: Store, options: AuditOptions) -> list[str]:
    """Write the sample into a new file. Raises ValueError where one is there: somebody may have marked it."""
    form = FORMS.get(options.out.suffix)
    if form is None:
        raise ValueError(f"--out {options.out}: name a .csv or a .jsonl file")
    if options.out.exists():
        raise ValueError(
            f"{options.out} is there already, and people may have marked it: hand it back with --overrides {options.out}, or name "
            "another file with --out"
        )
    run_config(store)
    sealed = read_seals(store)
    step = step_of(sealed, options.cycle)
    with _new(options.out) as file:  # before the run keeps a sample that nobody can read
        try:
            sample = draw(store, sealed, step, options.sample, options.seed)
        except BaseException:
            options.out.unlink()
            raise
        file.write(form(sample.rows))
    sizes = ", ".join(f"{count:,} {name}" for name, count in sorted(sample.strata.items()))
    back = f"starloop audit {quote(store.uri)} --overrides {quote(str(options.out))}"
    return [
        f"{options.out} has {len(sample.rows)} answers of {sample.step} ({sizes})",
        f"write keep, drop or unsure into its column people, then: {back}",
    ]


def _new(path: Path) -> BinaryIO:
    try:
        return open(path, "xb")
    except OSError as error:
        raise ValueError(f"--out {path} cannot be written: {error.strerror}; name another file") from None


def _take_back(store: Store, path: str) -> list[str]:
    config = run_config(store)
    sealed = read_seals(store)
    fresh = take_back(store, sealed, os.path.expanduser(path))
    if not fresh:
        return [f"{path} says nothing new"]
    return [f"{len(fresh)} words are taken over; {counts_from(config, sealed, bool(lease_state(store).holder), store.uri)}"]


def counts_from(config: RunConfig, sealed: Mapping[str, Seal], is_driven: bool, run: str) -> str:
    """In which select step new words count. `is_driven`: a driver is at work, and a select that is next has read its words."""
    step, continuation = next_step(config, sealed), f"starloop extend {quote(run)} MANIFEST, with the same manifest"
    if step is None:
        return f"the run is complete, so they count in one that continues it ({continuation})"
    waiting = [of for of in so_far(config, sealed) if of.kind == "select" and of.name not in sealed]
    if waiting and not (is_driven and step.kind == "select"):
        return f"they count from {waiting[0].name} on"
    under_way = f"{step.name} has read its words already, so " if step.kind == "select" else ""
    if has_ended(config, sealed) or step.cycle >= final_cycle(config.loop, history(sealed)):
        return f"{under_way}the run has no select step to come, and they count in one that continues it ({continuation})"
    later = name_of(step.cycle + 1, "select")
    return f"{under_way}they count from {later} on; if the loop ends before it, in a run that continues this one ({continuation})"


def _refresh(store: Store) -> None:
    """The report, unless a driver is at work, which writes it at its end."""
    if not lease_state(store).holder:
        refresh(store, run_config(store), read_seals(store))
