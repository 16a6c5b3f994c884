"""Checkpoints into other layouts: a released PLLaVA into base and adapter, a finetune into a stock LLaVA folder."""

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from transformers.utils.logging import disable_progress_bar

from engine.config import RunConfig, load_config
from engine.store.weights import local, publish, refuse_occupied
from jobs.view import a_console
from models.base import ModelSpec
from models.pllava.convert import Tell
from models.pllava.convert import convert as convert_checkpoint
from models.pllava.convert import export as export_checkpoint


def convert(source: str, out: str, settings: list[str]) -> None:
    config = load_config(None, settings)
    _make(convert_checkpoint, config, config.spec(source), out)


def export(base: str, out: str, adapter: str, alpha: float | None, settings: list[str]) -> None:
    config = load_config(None, settings)
    _make(export_checkpoint, config, config.spec(base, adapter or None, alpha), out)


def _make(make: Callable[[ModelSpec, Path, Tell], None], config: RunConfig, spec: ModelSpec, out: str) -> None:
    """Into a local folder, and from there to `out` where that is a URI."""
    disable_progress_bar()
    console, storage = a_console(), config.access()

    def tell(line: str) -> None:
        console.print(line, markup=False)

    if "://" in out:
        refuse_occupied(out, storage)
    there = local(spec, storage)
    if "://" not in out:
        make(there, Path(out).expanduser(), tell)
    else:
        scratch = Path(tempfile.mkdtemp(prefix="starloop-convert-"))
        try:
            make(there, scratch / "made", tell)
            publish(scratch / "made", out, storage)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
    console.print(f"wrote {out}", markup=False)
