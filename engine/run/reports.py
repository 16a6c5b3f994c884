"""report.html of a run, written where it would say something else now.

That of a large run is written by a process of its own: reading a million answers takes minutes, in which the run goes on, and the
driver's memory stays what its work needs.
"""

import contextlib
import ctypes
import json
import logging
import multiprocessing
import os
import re
import signal
from collections.abc import Mapping
from dataclasses import asdict, replace
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any

from engine.audit.audit import SAMPLES
from engine.audit.reviews import records_of
from engine.config import RunConfig
from engine.report.build import Subject, report_page
from engine.report.page import INPUTS, strips_in
from engine.run.lease import lease_state
from engine.run.logs import COMMAND, LOGS
from engine.run.plan import INGEST, next_step
from engine.run.seals import Seal
from engine.run.summary import has_report, summarize
from engine.store.files import Store, digest
from engine.store.troubles import StorageError

log = logging.getLogger(__name__)

REPORT = "report.html"
CURVE, ICL = "curve.json", "icl.json"
STEPS = re.compile(r"ingest$|base$|cycle-\d+$|logs$|lease$|report$|audit$|tensorboard$|trackers$|export$|videos$")
"""Folders of a run in which no curve lies."""
PAGE_VERSION = 5
"""Counts up where the same run gives another page."""
HEAD_BYTES = 4096
"""Of a page, that hold the digest of what it was made of."""
MANY_CLIPS = 10_000
"""From so many on a process of its own writes the report: starting it takes two seconds."""
NICE = 5
PR_SET_PDEATHSIG = 1
"""From linux/prctl.h."""


class Writing:
    """A report that is being written, or is: wait() returns when it is there."""

    def __init__(self, process: BaseProcess | None = None, outcome: Connection | None = None) -> None:
        self._process, self._outcome = process, outcome

    def wait(self) -> None:
        """Raises ValueError or StorageError where it could not be written."""
        if self._process is None or self._outcome is None:
            return
        error: Exception | None = ValueError("the process that wrote report.html ended; `starloop report RUN` writes it")
        with contextlib.suppress(EOFError):
            error = self._outcome.recv()
        self._process.join()
        self._process = None
        if error:
            raise error

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.join()
            self._process = None


def begin_report(store: Store, config: RunConfig, sealed: Mapping[str, Seal]) -> Writing:
    """Begin to write the report, unless the one that is there was made of the same. That of a small run is then written.

    Raises ValueError or StorageError where it could not be.
    """
    subject = subject_of(store, config, sealed)
    if not has_report(subject.summary) or inputs_of(store.read(REPORT)) == subject.inputs:
        return Writing()
    num_clips = sum(sum(sizes) for sizes in sealed[INGEST].facts["parts"].values()) if INGEST in sealed else 0
    if num_clips < MANY_CLIPS:
        _write(subject)
        return Writing()
    log.info("writing report.html of %d clips", num_clips)
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_write_elsewhere, args=(subject, sender), daemon=True)
    process.start()
    sender.close()  # so that the pipe ends when the process does
    return Writing(process, receiver)


def _write_elsewhere(subject: Subject, outcome: Connection) -> None:
    prctl = getattr(ctypes.CDLL(None), "prctl", None)
    if prctl is not None:
        prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the driver's, which ends this process
    os.nice(NICE)
    try:
        _write(subject)
    except (ValueError, StorageError) as error:
        outcome.send(error)
    else:
        outcome.send(None)


def _write(subject: Subject) -> None:
    subject.store.write(REPORT, page_of(subject))


def page_of(subject: Subject) -> bytes:
    """The report, with the film strips of the one that is there: their videos may be gone by now."""
    old = subject.store.read(REPORT)
    strips = strips_in(old.decode(errors="replace")) if old and inputs_of(old) else {}
    return report_page(replace(subject, strips=strips)).encode()


def subject_of(store: Store, config: RunConfig, sealed: Mapping[str, Seal]) -> Subject:
    summary = summarize(config, sealed)
    step, beside, curves = next_step(config, sealed), ablations_of(store), _curves(store)
    audited = [*store.names(SAMPLES), *(asdict(record) for record in records_of(store))]
    outputs = [[name, seal.output, seal.seconds] for name, seal in sealed.items()]
    commands, is_at_work = _commands(store), bool(lease_state(store).holder)
    return Subject(
        store=store,
        config=config,
        summary=summary,
        sealed=sealed,
        commands=commands,
        beside=beside,
        curves=curves,
        next_step="" if step is None else step.name,
        is_at_work=is_at_work,
        inputs=digest(
            [PAGE_VERSION, summary, outputs, audited, beside, curves, [of.get("outcome") or is_at_work for of in commands]]
        ),
    )


def inputs_of(page: bytes | None) -> str:
    """The digest of what a page was made of; "" where there is none.

    >>> inputs_of(b'<meta name="starloop-inputs" content="9f3c">')
    '9f3c'
    """
    _, _, after = (page or b"")[:HEAD_BYTES].partition(f'name="{INPUTS}" content="'.encode())
    return after.partition(b'"')[0].decode(errors="replace")


def _commands(store: Store) -> list[dict[str, Any]]:
    """What the first and the last command left about themselves; a file that is no JSON is left out."""
    folders = store.folders(LOGS)
    commands = []
    for name in dict.fromkeys([*folders[:1], *folders[-1:]]):
        try:
            commands.append(json.loads(store.read(f"{LOGS}/{name}/{COMMAND}") or b""))
        except ValueError:
            continue
    return [command for command in commands if isinstance(command, dict)]


def _curves(store: Store) -> dict[str, Any]:
    """The curves that `starloop few-shot` left in folders of the run, and icl.json of the `starloop icl` that the run is part of.

    A file that is no JSON is left out.
    """
    files = {name: (store, f"{name}/{CURVE}") for name in store.folders("") if not STEPS.match(name)}
    if match := re.fullmatch(r"(.+)/trained-on/[^/]+/seed-\d+", store.uri.rstrip("/")):
        files |= {ICL: (Store(match[1], store.storage), ICL)}
    curves = {}
    for name, (folder, path) in files.items():
        if (data := folder.read(path)) is not None:
            with contextlib.suppress(ValueError):
                curves[name] = json.loads(data)
    return curves


def ablations_of(store: Store) -> dict[str, dict[str, Any]]:
    """The summaries of the run's ablations, which `starloop demo --ablations` writes below it.

    A file that is no summary is left out.
    """
    summaries = {}
    for name in store.folders("ablations"):
        path = f"ablations/{name}/summary.json"
        if (data := store.read(path)) is None:
            continue
        try:
            value = json.loads(data)
        except ValueError:
            value = None
        if isinstance(value, dict) and all(_is_figure(value.get(key, "")) for key in ("base_accuracy", "best_accuracy")):
            summaries[name] = value
        else:
            log.warning("%s is no summary of a run; the report leaves it out", store.url(path))
    return summaries


def _is_figure(value: Any) -> bool:
    """A number, or null before it is measured."""
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool))
