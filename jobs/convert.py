"""Converts checkpoints: a released PLLaVA into base and adapter, or base and adapter into one folder that others load."""

import shutil
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

from transformers.utils.logging import disable_progress_bar

from engine.presets import load_config
from engine.store.filesystems import Storage
from engine.store.weights import local, publish, refuse_occupied
from jobs.view import a_console
from models.base import ModelSpec
from models.pllava.convert import Report
from models.pllava.convert import convert as convert_checkpoint
from models.registry import export as export_checkpoint


def convert(source: str, out: str, settings: list[str]) -> None:
    config = load_config(None, settings)
    _write(partial(convert_checkpoint, place=out), config.spec(source), out, config.access())


def export(base: str, out: str, adapter: str, alpha: float | None, settings: list[str]) -> None:
    config = load_config(None, settings)
    _write(export_checkpoint, config.spec(base, adapter or None, alpha), out, config.access())


def _write(write_folder: Callable[[ModelSpec, Path, Report], None], spec: ModelSpec, out: str, storage: Storage) -> None:
    """Write into the folder `out`; if it is a URI, into a temporary folder that is then published there."""
    disable_progress_bar()
    console = a_console()

    def report(line: str) -> None:
        console.print(line)

    if "://" in out:
        refuse_occupied(out, storage)
    local_spec = local(spec, storage)
    if "://" not in out:
        write_folder(local_spec, Path(out).expanduser(), report)
    else:
        scratch = Path(tempfile.mkdtemp(prefix="starloop-convert-"))
        try:
            write_folder(local_spec, scratch / "checkpoint", report)
            publish(scratch / "checkpoint", out, storage)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
    console.print(f"wrote {out}")
