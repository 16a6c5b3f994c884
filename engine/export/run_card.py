"""The card of a run's own folder: by it `datasets.load_dataset(RUN, NAME)` finds each table, and no split is left out.

Without it `datasets` guesses splits from the names of folders: it takes ingest/train for the whole of ingest, and cycle-000/train
for examples.
"""

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from huggingface_hub.repocard_data import DatasetCardData

from engine.config import RunConfig
from engine.export.front import LICENSE_UNKNOWN, card, split_name, table
from engine.export.kept import default_cycle, selected_cycles
from engine.run.plan import INGEST, TRAIN, name_of
from engine.run.seals import Seal
from engine.run.work import pieces_of
from engine.store.weights import CARD


def run_card(config: RunConfig, sealed: Mapping[str, Seal], run: str, collected: Collection[str] = ()) -> bytes:
    """README.md of a run. `run`: its URI. `collected`: folders that `starloop gc` has deleted."""
    tables = dict(_tables(config, sealed, collected))
    default = f"examples-{default_cycle(sealed):03d}"
    data = DatasetCardData(
        pretty_name=_name(run),
        license=config.data.license or LICENSE_UNKNOWN,
        tags=["video", "starloop"],
        configs=[
            {"config_name": name, **({"default": True} if name == default else {}), "data_files": files}
            for name, files in tables.items()
        ],
    )
    return card(data, _body(tables, run, collected))


def clips_card(config: RunConfig, sealed: Mapping[str, Seal], run: str) -> bytes:
    """README.md of a run's ingest folder: its splits."""
    files = [file | {"path": file["path"].removeprefix(f"{INGEST}/")} for file in _clips(config, sealed)]
    data = DatasetCardData(
        pretty_name=f"{_name(run)}, clips",
        license=config.data.license or LICENSE_UNKNOWN,
        tags=["video", "starloop"],
        configs=[{"config_name": "clips", "default": True, "data_files": files}],
    )
    return card(data, [f"The clips of {_name(run)}: one row each, a folder for each split."])


def _tables(
    config: RunConfig, sealed: Mapping[str, Seal], collected: Collection[str]
) -> Iterator[tuple[str, list[dict[str, str]]]]:
    """Name of a table -> its files by split; without tables that have no row or no file, which `datasets` does not load."""
    for cycle in selected_cycles(sealed):
        counts = sealed[name_of(cycle, "select")].counts
        for kind in ("examples", "preferences"):
            if counts.get(kind):
                yield f"{kind}-{cycle:03d}", [{"split": TRAIN, "path": f"{name_of(cycle, 'select')}/{kind}.parquet"}]
    yield "clips", _clips(config, sealed)
    for cycle in (-1, *selected_cycles(sealed)):
        steps = {TRAIN: name_of(cycle, "generate")} | {own.name: name_of(cycle, "evaluate", own.name) for own in config.sets}
        answers = [
            {"split": split_name(split), "path": f"{pieces_of(step)}/*.parquet"}
            for split, step in steps.items()
            if step in sealed and pieces_of(step) not in collected
        ]
        if answers:
            yield "attempts-base" if cycle < 0 else f"attempts-{cycle:03d}", answers


def _clips(config: RunConfig, sealed: Mapping[str, Seal]) -> list[dict[str, str]]:
    splits = dict.fromkeys(record.path.split("/")[1] for record in sealed[INGEST].files if record.path.count("/") > 1)
    return [{"split": split_name(split), "path": f"{INGEST}/{split}/*.parquet"} for split in splits]


def _body(tables: Mapping[str, list[dict[str, str]]], run: str, collected: Collection[str]) -> Iterator[str]:
    yield f"# {_name(run)}: a run of Starloop"
    yield ""
    yield "Each table below loads by its name: `datasets.load_dataset(FOLDER, NAME)`. `examples` is what a cycle trains on,"
    yield "`attempts` is every answer with its verdict, `preferences` are pairs of a kept and a rejected answer, `clips` are the"
    yield "clips of the manifest."
    yield "`starloop export-data` writes the examples with their labels and verdicts, in the formats of other tools."
    yield ""
    yield from table(
        ["table", "split", "files"], [[name, file["split"], file["path"]] for name, files in tables.items() for file in files]
    )
    if answers := [folder for folder in sorted(collected) if folder.endswith(pieces_of(""))]:
        yield ""
        yield f"Answers that were deleted by `starloop gc`: {', '.join(answers)}."


def _name(run: str) -> str:
    return run.rstrip("/").rpartition("/")[2]


def cards(config: RunConfig, sealed: Mapping[str, Seal], run: str, collected: Collection[str] = ()) -> dict[str, Any]:
    """Path -> contents of both."""
    return {CARD: run_card(config, sealed, run, collected), f"{INGEST}/{CARD}": clips_card(config, sealed, run)}
