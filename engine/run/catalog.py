"""The runs below a URI: state, cycles, accuracy, size and parent of each, from their stores alone."""

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Literal

from engine.run.lease import lease_state
from engine.run.plan import gap, history, next_step
from engine.run.summary import summarize
from engine.run.work import read_seals, run_config
from engine.store.files import Store
from engine.store.parallel import parallel_map
from engine.store.troubles import StorageError

log = logging.getLogger(__name__)

DEPTH = 4
"""Folders below the given one that are looked into: a run's own folders are not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRow:
    """A run, as `starloop runs --json` has it. RunRow(run="runs/first", state="complete", next_step=None, cycles=2, ...)"""

    run: str
    """Its folder or URI."""
    state: Literal["complete", "running", "not finished", "unreadable"]
    """running: a driver holds the lease. unreadable: its configuration or a seal is damaged, or storage refuses it: see `note`."""
    next_step: str | None = None
    """null if the run is complete, or unreadable."""
    cycles: int | None = None
    """Evaluated ones."""
    base_accuracy: float | None = None
    best_accuracy: float | None = None
    best_cycle: int | None = None
    """-1: no cycle is better than the base."""
    bytes: int = 0
    """Of all its files."""
    parent: str | None = None
    """URI of the run that it continues; null: none."""
    note: str | None = None
    """What a reader has to know, in one line."""


def runs_below(store: Store, skips: bool = False) -> Iterator[Store]:
    """The runs in a folder and in the folders below it, in the order of their names; the folder itself if it is one.

    `skips`: a folder below it that storage does not show is left out with a warning. Raises StorageError.
    """
    level = [store]
    for depth in range(DEPTH + 1):
        below: list[Store] = []
        for folder, held in zip(level, parallel_map(partial(_look, skips=skips and depth > 0), level), strict=True):
            if held is None:
                yield folder
            else:
                below += [Store(f"{folder.uri.rstrip('/')}/{name}", folder.storage) for name in held]
        level = below


def _look(folder: Store, skips: bool) -> list[str] | None:
    """The folders in a folder; None: it is a run."""
    try:
        if "config.json" not in folder.names(""):
            return folder.folders("")
        return None if is_run(folder) else []
    except StorageError as error:
        if not skips:
            raise
        log.warning("left out: %s", error)
        return []


def is_run(store: Store) -> bool:
    """False for other folders with a config.json, such as a model's: a run has a lease as soon as it has begun, or can be read."""
    if store.names("lease"):
        return True
    try:
        run_config(store)
    except ValueError:
        return False
    return True


def row_of(store: Store) -> RunRow:
    try:
        return _row_of(store)
    except (ValueError, StorageError) as error:
        return RunRow(run=store.uri, state="unreadable", bytes=_bytes_of(store), note=str(error))


def _bytes_of(store: Store) -> int:
    """0 where storage does not say."""
    try:
        return store.total_bytes()
    except StorageError:
        return 0


def _row_of(store: Store) -> RunRow:
    config, sealed = run_config(store), read_seals(store)
    step, holder = next_step(config, sealed), lease_state(store).holder
    summary = summarize(config, sealed)
    return RunRow(
        run=store.uri,
        state="complete" if step is None else "running" if holder else "not finished",
        next_step=None if step is None else step.name,
        cycles=len(history(sealed).cycles),
        base_accuracy=summary["base_accuracy"],
        best_accuracy=summary["best_accuracy"],
        best_cycle=summary["best_cycle"],
        bytes=store.total_bytes(),
        parent=config.parent.run or None,
        note=gap(config, sealed) or summary["note"] or None,
    )
