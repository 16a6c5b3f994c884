"""Lists the runs below a URI, and deletes what nobody needs of finished ones."""

from collections.abc import Iterator
from dataclasses import asdict

from rich.table import Table

from engine.presets import load_config
from engine.run import collect as collecting
from engine.run.catalog import RunRow, row_of, runs_below
from engine.run.collect import Collection
from engine.store.documents import to_json
from engine.store.files import Store
from jobs.view import a_console


def list_runs(uri: str, settings: list[str], as_json: bool) -> None:
    rows = map(row_of, _runs(uri, settings, skips=True))
    if as_json:
        for row in rows:
            print(to_json(asdict(row)).decode())
        return
    table = Table(box=None, padding=(0, 2), header_style="bold")
    for column in ("run", "state", "cycles", "base", "best", "size", "continues"):
        table.add_column(column, justify="right" if column in ("cycles", "base", "best", "size") else "left", overflow="fold")
    notes = []
    for row in rows:
        table.add_row(*_cells(row))
        notes += [f"{row.run}: {row.note}"] if row.note else []
    console = a_console()
    console.print(table)
    for note in notes:
        console.print(note)


def _cells(row: RunRow) -> list[str]:
    state = f"{row.state}, {row.next_step}" if row.next_step else row.state
    accuracies = ["" if value is None else f"{value:.3f}" for value in (row.base_accuracy, row.best_accuracy)]
    cycles = "" if row.cycles is None else str(row.cycles)
    return [row.run, state, cycles, *accuracies, size_of(row.bytes), row.parent or ""]


def collect(uri: str, settings: list[str], is_deleting: bool, as_json: bool = False) -> None:
    """One run that cannot be read stops it before anything of the others is deleted: it may need what they have."""
    stores = list(_runs(uri, settings))
    planned = [collecting.collectable(store) for store in stores]
    collections = map(collecting.delete, stores) if is_deleting else iter(planned)
    if as_json:
        for collection in collections:
            print(to_json(asdict(collection) | {"deleted": is_deleting}).decode(), flush=True)
        return
    console, size = a_console(), 0
    for collection in collections:
        for line in _lines(collection):
            console.print(line)
        size += sum(folder.size for folder in collection.folders)
    verb = "deleted" if is_deleting else "could be deleted"
    console.print(f"{size_of(size)} {verb}{'' if is_deleting or not size else '; add --delete to do it'}")


def _lines(collection: Collection) -> Iterator[str]:
    if collection.kept:
        yield f"{collection.run}: nothing, because {collection.kept}"
    for folder in collection.folders:
        yield f"{collection.run}/{folder.path}  {size_of(folder.size)}  {folder.why}"


def _runs(uri: str, settings: list[str], skips: bool = False) -> Iterator[Store]:
    """See runs_below. Raises ValueError where there is none."""
    store = Store(uri.rstrip("/") or uri, load_config(None, settings).access())
    is_empty = True
    for run in runs_below(store, skips):
        is_empty = False
        yield run
    if is_empty:
        raise ValueError(f"no run below {uri}: no folder has a run's config.json; name a run, or a folder that holds runs")


def size_of(size: float) -> str:
    """
    >>> size_of(0), size_of(5_300), size_of(2_000_000_000)
    ('0 B', '5.3 kB', '2.0 GB')
    """
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if size < 1000 or unit == "TB":
            break
        size /= 1000
    return f"{size:.1f} {unit}" if unit != "B" else f"{size:.0f} B"
