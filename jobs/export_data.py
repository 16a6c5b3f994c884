"""Takes kept rows away in the format of another tool: a folder with files and a card."""

from dataclasses import dataclass, field
from shlex import quote
from typing import get_args

from engine.audit.reviews import unheard
from engine.config import RunConfig
from engine.export.export import Exported, export
from engine.export.formats import LAYOUTS, Form
from engine.export.kept import Source, default_cycle
from engine.presets import load_config, with_settings
from engine.quantities import quantity
from engine.run.plan import TRAIN
from engine.run.work import read_seals, run_config
from engine.store.documents import to_json
from engine.store.files import Store
from jobs.view import a_console, reasons

FORMATS: tuple[Form, ...] = get_args(Form)


@dataclass(frozen=True, kw_only=True)
class ExportOptions:
    """ExportOptions(form="hub", out="", cycle=None, splits=["train"], shard_rows=None, as_json=False)"""

    form: str
    out: str = ""
    """"": RUN/export/FORMAT-cycle-000."""
    cycle: int | None = None
    """None: the cycle whose model is promoted."""
    splits: list[str] = field(default_factory=lambda: [TRAIN])
    shard_rows: int | None = None
    as_json: bool = False


def export_data(run: str, options: ExportOptions, settings: list[str]) -> None:
    form = _form(options.form)
    store, config = _opened(run, settings)
    sealed = read_seals(store)
    cycle = default_cycle(sealed) if options.cycle is None else options.cycle
    source = Source(store=store, config=config, sealed=sealed, cycle=cycle)
    out = Store(options.out or store.url(f"export/{form}-cycle-{cycle:03d}"), store.storage)
    done = export(source, form, out, options.splits, options.shard_rows)
    if options.as_json:
        keys = {
            "uri": done.uri,
            "cycle": done.cycle,
            "format": form,
            "rows": done.rows,
            "failures": done.failures,
            "new": done.is_new,
        }
        print(to_json(keys).decode())
        return
    lines = _lines(done, form)
    if late := unheard(store, sealed):
        words = f"people's words about {quantity(late, 'answer')} came after these rows were chosen"
        lines.append(f"{words}: starloop extend {quote(store.uri)} MANIFEST, with the same manifest, chooses again")
    for line in lines:
        a_console().print(line, soft_wrap=True)


def _form(name: str) -> Form:
    """Raises ValueError for a format that is not known."""
    for form in FORMATS:
        if form == name:
            return form
    raise ValueError(f"--format {name} is not known; choose one of {', '.join(FORMATS)}")


def _opened(run: str, settings: list[str]) -> tuple[Store, RunConfig]:
    """The run, and its configuration with what --set changes of how it is read and described."""
    access = load_config(None, settings).access()
    store = Store(run.rstrip("/") or run, access)
    return store, with_settings(run_config(store), settings)


def _lines(done: Exported, form: Form) -> list[str]:
    rows = ", ".join(f"{quantity(count, 'row')} of {split}" for split, count in done.rows.items())
    wrote = "wrote" if done.is_new else "nothing to do:"
    lines = [f"{wrote} {done.uri}: {rows}, of cycle {done.cycle}, as {form}; read by {LAYOUTS[form].read_by}"]
    if done.failures:
        lines.append(f"rows left out, for their video: {reasons(done.failures)}; failures/ in the folder names each")
    return lines
