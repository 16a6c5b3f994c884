"""Writes the report of a run, finished or not, into the run or into a file."""

from pathlib import Path

from engine.presets import load_config
from engine.run.reports import REPORT, page_of, subject_of
from engine.run.work import read_seals, run_config
from engine.store.files import Store
from jobs.runs import size_of
from jobs.view import a_console


def report(run: str, out: str, settings: list[str]) -> None:
    """`out`: a file of this machine; "": the run's own report.html."""
    store = Store(run.rstrip("/") or run, load_config(None, settings).access())
    config = run_config(store)
    page = page_of(subject_of(store, config, read_seals(store)))
    if out:
        try:
            Path(out).expanduser().write_bytes(page)
        except OSError as error:
            raise ValueError(f"--out {out} cannot be written: {error.strerror}; name another file") from None
    else:
        store.write(REPORT, page)
    a_console().print(f"open {out or store.url(REPORT)} ({size_of(len(page))})")
