"""Prints what a run has done, and what failed in it: as tables and lines, or as JSON for other programs."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from shlex import quote
from typing import Any, Literal

from rich.table import Table

from engine.evaluate.judge import asker
from engine.generate import judged, tokens
from engine.presets import load_config
from engine.run import failures as failing
from engine.run import status as runs
from engine.run.damage import Damage
from engine.run.seals import Seal
from engine.run.summary import result_of, results_of
from engine.store.documents import to_json
from engine.store.files import Store
from jobs.view import CONTROLS, a_console, reasons


@dataclass(frozen=True, kw_only=True)
class StepStatus:
    """A step of the run, as `starloop status --json` has it. What a step of its kind or its state does not have is null.

    StepStatus(step="cycle-000/generate", state="running", pieces=3, planned_pieces=12, clips=96, direct_kept=40, ...)
    """

    step: str
    state: Literal["sealed", "running", "not finished", "next"]
    """running: a driver holds the lease. not finished: pieces are written, and no driver is at work. next: nothing is written."""
    pieces: int | None = None
    """Written so far, of a step that is not sealed."""
    planned_pieces: int | None = None
    clips: int | None = None
    """Of a generate and an evaluate step, and the fields up to `failed`."""
    direct_kept: int | None = None
    """Of an evaluate step: right."""
    rationalized_kept: int | None = None
    samples: int | None = None
    """Answers without a hint, of which a clip may have several (generate.samples)."""
    samples_kept: int | None = None
    dropped: Mapping[str, int] | None = None
    """Clips by reason."""
    failed: Mapping[str, int] | None = None
    """Clips by kind of failure."""
    unused: int | None = None
    """Examples and episodes that a select or a train step could not use."""
    accuracy: float | None = None
    """The headline metric of a sealed evaluate step."""
    loss_first: float | None = None
    """Mean of the first training steps, and of the last ones."""
    loss_last: float | None = None
    seconds: float | None = None
    cost: float | None = None
    """What the server of generate.openai and the judge cost in a sealed generate step, by the prices of the configuration."""
    damaged: int = 0
    """Files that are not what the step wrote."""
    deleted: list[str] = field(default_factory=list)
    """Folders of it that `starloop gc` has deleted."""


@dataclass(frozen=True, kw_only=True)
class RunStatus:
    """A run, as `starloop status --json` prints it in one line."""

    run: str
    """Its folder or URI."""
    complete: bool
    next_step: str | None
    """The step that is being done or would be done next; null if the run is complete."""
    driver: str | None
    """Who holds the lease, in words; null: nobody does."""
    report: str | None
    """Where the report is."""
    logs: str | None
    """The folder with the logs of the last command; null: it left none."""
    steps: list[StepStatus]
    """In the order of the plan."""
    damage: list[Damage]
    """{"step", "path", "detail"} of each file that is not what its step wrote."""
    gap: str | None
    """Which step is sealed although a step that it was made from is not, and the remedy; null: none is."""


def status(uri: str, settings: list[str], as_json: bool) -> None:
    now = runs.status(_store(uri, settings))
    uri = uri.rstrip("/") or uri
    value = run_status(uri, now)
    if as_json:
        print(to_json(asdict(value)).decode())
        return
    console = a_console()
    console.print(_table(value.steps, now.sealed))
    for line in _server_lines(now.sealed):
        console.print(line, markup=False)
    console.print(f"{now.holder} holds the lease" if now.holder else "no driver holds the lease")
    if value.complete:
        console.print("complete")
    elif not now.holder:
        console.print(f"next is {value.next_step}; the last command, given again, goes on where it was")
    if value.report:
        console.print(f"{value.report} has the evidence up to the last command that ended")
    if value.logs:
        console.print(f"{value.logs} has the logs of the last command")
    if any(step.failed or step.unused for step in value.steps):
        console.print(f"starloop failures {quote(uri)} names what failed, and what to do about it")
    if deleted := [folder for step in value.steps for folder in step.deleted]:
        console.print(f"deleted by starloop gc: {', '.join(deleted)}")
    if value.gap:
        console.print(value.gap)
    if value.damage:
        console.print(f"{damage_line(value.damage)}; {remedy(uri)}")


def _server_lines(sealed: Mapping[str, Seal]) -> list[str]:
    """What servers answered and judged, step by step."""
    lines = []
    for step, seal in sealed.items():
        words = {"asked": tokens.line_of, "judge": judged.line_of if step.endswith("/generate") else asker.line_of}
        lines += [f"{step}: {line_of(seal.facts[name])}" for name, line_of in words.items() if seal.facts.get(name)]
    return lines


def run_status(uri: str, now: runs.Status) -> RunStatus:
    """Everything that the table shows, as one value."""
    damaged = Counter(file.step for file in now.damage)
    steps = [_sealed(name, seal, damaged[name], now.collected.get(name, [])) for name, seal in now.sealed.items()]
    steps += [
        StepStatus(
            step=begun.step,
            state="running" if now.holder else "not finished",
            pieces=begun.written,
            planned_pieces=begun.planned,
            damaged=damaged[begun.step],
            **_accounts(asdict(begun.accounts)),
        )
        for begun in now.begun
    ]
    next_step = now.next_step.name if now.next_step is not None else None
    if next_step is not None and next_step not in {step.step for step in steps}:
        steps.append(StepStatus(step=next_step, state="running" if now.holder else "next"))
    return RunStatus(
        run=uri,
        complete=next_step is None,
        next_step=next_step,
        driver=now.holder or None,
        report=f"{uri}/report.html" if now.has_report else None,
        logs=now.logs or None,
        steps=steps,
        damage=now.damage,
        gap=now.gap or None,
    )


def _sealed(name: str, seal: Seal, damaged: int, deleted: list[str]) -> StepStatus:
    has_accounts = "accuracy" in seal.facts or name.endswith("/generate")
    return StepStatus(
        step=name,
        state="sealed",
        unused=seal.counts.get("unused"),
        seconds=seal.seconds,
        cost=sum(bill["cost"] for bill in bills) if (bills := _bills(seal)) else None,
        damaged=damaged,
        deleted=deleted,
        **(_accounts(seal.facts) if has_accounts else {}),
        **results_of(seal),
    )


def _bills(seal: Seal) -> list[dict[str, Any]]:
    """What servers were asked in a step, each with its tokens and its cost."""
    return [seal.facts[name] for name in ("asked", "judge") if seal.facts.get(name)]


def _accounts(facts: Mapping[str, Any]) -> dict[str, Any]:
    accounts = {name: facts[name] for name in ("clips", "direct_kept", "rationalized_kept", "dropped", "failed")}
    return accounts | {"samples": facts.get("direct"), "samples_kept": facts.get("direct_right")}


def damage_line(damage: list[Damage]) -> str:
    """
    >>> damage_line([Damage("ingest", "ingest/train/00000.parquet", "is gone"), Damage("a", "a/b", "is gone")])
    '2 files are damaged; the first, ingest/train/00000.parquet, is gone'
    """
    counted = "1 file is damaged" if len(damage) == 1 else f"{len(damage)} files are damaged"
    return f"{counted}; the first, {damage[0].path}, {damage[0].detail}"


def remedy(uri: str) -> str:
    deletes = f"`starloop failures {quote(uri)} --retry {failing.DAMAGED}`"
    return f"restore what is damaged, or {deletes} deletes it, so that it is made again"


def _table(steps: list[StepStatus], sealed: Mapping[str, Seal]) -> Table:
    table = Table(box=None, padding=(0, 2), header_style="bold")
    for column in ("step", "state", "result", "clips", "kept", "dropped", "failed", "seconds"):
        table.add_column(column, justify="right" if column in ("clips", "kept", "seconds") else "left", overflow="fold")
    for step in steps:
        state = step.state if step.pieces is None else f"{step.state}, {step.pieces} of {step.planned_pieces} pieces"
        cells = ("", "", "", "")
        if step.clips is not None:
            hinted = f" + {step.rationalized_kept} hinted" if step.rationalized_kept else ""
            cells = (str(step.clips), f"{step.direct_kept or 0}{hinted}", reasons(step.dropped or {}), _kinds(step.failed or {}))
        table.add_row(
            step.step,
            f"{state}, {step.damaged} damaged" if step.damaged else state,
            result_of(sealed[step.step]) if step.step in sealed else "",
            *cells,
            "" if step.seconds is None else f"{step.seconds:.0f}",
        )
    return table


def _kinds(counts: Mapping[str, int]) -> str:
    """Counts of failures by the kinds that --retry takes.

    >>> _kinds({"not_video": 2, "missing": 1}), _kinds({})
    ('2 not_video, 1 missing', '0')
    """
    return ", ".join(f"{count} {kind}" for kind, count in counts.items()) or "0"


@dataclass(frozen=True, slots=True)
class FailureOptions:
    """FailureOptions(retry="missing", rewind=False, as_json=False): what `starloop failures` is to do."""

    retry: str
    """A kind of failure; "": list failures."""
    rewind: bool
    as_json: bool
    is_dry: bool = False
    """With retry: only say what would be made again."""


def failures(uri: str, options: FailureOptions, settings: list[str]) -> None:
    if options.rewind and not options.retry:
        raise ValueError("--rewind goes with --retry KIND")
    if options.is_dry and not options.retry:
        raise ValueError("--dry-run goes with --retry KIND: the list of failures changes nothing")
    if options.as_json and options.retry:
        raise ValueError("--json is for the list of failures, and does not go with --retry")
    store = _store(uri, settings)
    if options.retry:
        text = _retried(options.retry, failing.retry(store, options.retry, options.rewind, options.is_dry))
        a_console().print(f"nothing is changed by --dry-run; without it: {text}" if options.is_dry else text)
        return
    kinds: Counter[str] = Counter()
    for row in failing.failures(store):
        kinds[row.kind] += 1
        print(to_json(failure_json(row)).decode() if options.as_json else tsv_line(row))
    if not options.as_json:
        a_console().print(f"{kinds.total()} failed: {_kinds(kinds)}" if kinds else "nothing failed in what is written so far")


def failure_json(row: failing.Failed) -> dict[str, str]:
    """A line of `starloop failures --json`."""
    return {"step": row.step, "id": row.name, "kind": row.kind, "detail": row.detail}


def _retried(kind: str, again: failing.Retried | failing.Restored | None) -> str:
    """What will be made again, in a sentence."""
    if isinstance(again, failing.Restored):
        return f"written again from what the seals hold: {', '.join(again.paths)}; nothing has to be done again"
    is_damage = kind == failing.DAMAGED
    if again is None:
        return "no file is damaged" if is_damage else f"no clip failed as {kind}, and select left no example out as that"
    if not again.pieces:
        what = "has damaged files; it" if is_damage else f"left {again.failed} examples out as {kind}; it"
        return f"{again.step} {what} will be done again: run the same command as before"
    failed = f"{again.failed} clips of {again.step} failed as {kind}; they are in {again.pieces} pieces, whose {again.clips} clips"
    damaged = f"damaged pieces of {again.step}: {again.pieces}; they"
    return f"{damaged if is_damage else failed} will be made again: run the same command as before"


def tsv_line(row: failing.Failed) -> str:
    r"""Step, id, kind and detail, separated by tabs, without control characters: what would break the line or a column becomes a
    space, half a character `?`.

    >>> tsv_line(failing.Failed("cycle-000/generate", "a\tb", "missing", "no such\nfile"))
    'cycle-000/generate\ta b\tmissing\tno such file'
    """
    cells = (
        " ".join(cell.split()) if set(cell) & set("\t\r\n\v\f") else cell for cell in (row.step, row.name, row.kind, row.detail)
    )
    return "\t".join(cell.translate(CONTROLS) for cell in cells).encode(errors="replace").decode()


def _store(uri: str, settings: list[str]) -> Store:
    return Store(uri, load_config(None, settings).access())
