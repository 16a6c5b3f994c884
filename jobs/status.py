"""Prints what a run has done, and which clips failed in it."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from rich.table import Table

from engine.presets import load_config
from engine.run import status as runs
from engine.run.summary import result_of
from engine.store.files import Store
from jobs.view import a_console, reasons


def status(uri: str, settings: list[str]) -> None:
    now, console = runs.status(_store(uri, settings)), a_console()
    table = Table(box=None, padding=(0, 2), header_style="bold")
    for column in ("step", "state", "result", "clips", "kept", "dropped", "failed", "seconds"):
        table.add_column(column, justify="right" if column in ("clips", "kept", "seconds") else "left", overflow="fold")
    for name, seal in now.sealed.items():
        facts = seal.facts if "accuracy" in seal.facts or name.endswith("generate") else {}
        table.add_row(name, "sealed", result_of(seal), *_accounts(facts), f"{seal.seconds:.0f}")
    for begun in now.begun:
        state = f"{'running' if now.holder else 'not finished'}, {begun.written} of {begun.planned} pieces"
        table.add_row(begun.step, state, "", *_accounts(asdict(begun.accounts)))
    if now.next_step is not None and now.next_step.name not in {begun.step for begun in now.begun}:
        table.add_row(now.next_step.name, "running" if now.holder else "next")
    console.print(table)
    console.print(f"{now.holder} holds the lease" if now.holder else "no driver holds the lease")
    if now.next_step is None:
        console.print("complete")
    if now.has_report:
        console.print(f"{uri}/report.html has the evidence up to the last command that ended")
    accounts = [seal.facts.get("failed") for seal in now.sealed.values()] + [begun.accounts.failed for begun in now.begun]
    if any(accounts) or any(seal.counts.get("unused") for seal in now.sealed.values()):
        console.print(f"starloop failures {uri} names what failed, and what to do about it")


def _accounts(facts: Mapping[str, Any]) -> tuple[str, str, str, str]:
    if not facts:
        return "", "", "", ""
    kept = facts["direct_kept"] + facts["rationalized_kept"]
    return str(facts["clips"]), str(kept), reasons(facts["dropped"]), _kinds(facts["failed"])


def _kinds(counts: Mapping[str, int]) -> str:
    """Counts of failures by the kinds that --retry takes.

    >>> _kinds({"not_video": 2, "missing": 1}), _kinds({})
    ('2 not_video, 1 missing', '0')
    """
    return ", ".join(f"{count} {kind}" for kind, count in counts.items()) or "0"


def failures(uri: str, retry: str, rewind: bool, settings: list[str]) -> None:
    if rewind and not retry:
        raise ValueError("--rewind goes with --retry KIND")
    store, console = _store(uri, settings), a_console()
    if retry:
        again = runs.retry(store, retry, rewind)
        if again is None:
            console.print(
                "no piece is damaged"
                if retry == runs.DAMAGED
                else f"no clip failed as {retry}, and select left no example out as that"
            )
            return
        if not again.pieces:
            console.print(
                f"{again.step} left {again.failed} examples out as {retry}; it will be done again: run the same command as before"
            )
            return
        failed = (
            f"{again.failed} clips of {again.step} failed as {retry}; they are in {again.pieces} pieces, whose {again.clips} clips"
        )
        damaged = f"{again.pieces} pieces of {again.step} are damaged; they"
        console.print(f"{failed if again.failed else damaged} will be made again: run the same command as before")
        return
    kinds: Counter[str] = Counter()
    for row in runs.failures(store):
        kinds[row.kind] += 1
        print(row.step, row.name, row.kind, row.detail, sep="\t")
    console.print(f"{kinds.total()} failed: {_kinds(kinds)}" if kinds else "nothing failed in what is written so far")


def _store(uri: str, settings: list[str]) -> Store:
    return Store(uri, load_config(None, settings).access())
