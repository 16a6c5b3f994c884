"""Writes the report of a run, finished or not, into the run or into a file."""

import os
from pathlib import Path

from engine.presets import load_config
from engine.run.reports import REPORT, page_of, subject_of
from engine.run.work import read_seals, run_config
from engine.store.drafts import publish_bytes
from engine.store.files import Store
from jobs.runs import size_of
from jobs.view import a_console


def report(run: str, out: str, settings: list[str]) -> None:
    """`out`: a file of this machine; "": the run's own report.html."""
    store = Store(run.rstrip("/") or run, load_config(None, settings).access())
    config = run_config(store)
    page = page_of(subject_of(store, config, read_seals(store)))
    if out:
        _publish(out, page)
    else:
        store.write(REPORT, page)
    a_console().print(f"open {out or store.url(REPORT)} ({size_of(len(page))})")


def _publish(out: str, page: bytes) -> None:
    """Write the page beside the file, then move it there: whoever reads the file sees a whole page."""
    file = Path(out).expanduser().resolve()
    if file.exists() and not file.is_file():
        raise ValueError(f"--out {out} is no file; name a file")
    try:
        publish_bytes(str(file), page, os.replace)
    except OSError as error:
        raise ValueError(f"--out {out} cannot be written: {error.strerror}; name another file") from None
