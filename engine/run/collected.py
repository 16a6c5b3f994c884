"""What `starloop gc` has deleted of a sealed step: noted in the step's folder before it goes, so that it is no damage."""

import json
from collections.abc import Iterable, Sequence

from engine.run.work import pieces_of
from engine.store.files import FileRecord, Store
from engine.store.parallel import parallel_map

COLLECTED = "collected.json"


def note_collected(store: Store, step: str, folders: Sequence[str]) -> None:
    """Add folders of a step, relative to the run, to those that are deleted."""
    noted = sorted({*collected_of(store, step), *folders})
    store.write(f"{step}/{COLLECTED}", json.dumps({"folders": noted}).encode())


def collected_of(store: Store, step: str) -> list[str]:
    """The folders of a step that are deleted. Raises ValueError where the note is not what gc writes."""
    data = store.read(f"{step}/{COLLECTED}")
    if data is None:
        return []
    try:
        return [str(folder) for folder in json.loads(data)["folders"]]
    except (ValueError, KeyError, TypeError):
        raise ValueError(f"{store.url(step)}/{COLLECTED} is not what `starloop gc` writes; restore it") from None


def collected_by_step(store: Store, steps: Iterable[str]) -> dict[str, list[str]]:
    """The folders that are deleted, of each of these steps that has such."""
    noted = parallel_map(lambda step: (step, collected_of(store, step)), steps, store.calls_at_once)
    return {step: folders for step, folders in noted if folders}


def refuse_collected(store: Store, step: str) -> None:
    """Raises ValueError where a step's pieces are deleted."""
    if pieces_of(step) in collected_of(store, step):
        raise ValueError(f"the answers of {step} in {store.url()} were deleted by `starloop gc`; its seal keeps their counts alone")


def uncollected(store: Store, step: str, records: Sequence[FileRecord]) -> list[FileRecord]:
    """Those of a step's files that were not deleted by gc."""
    folders = tuple(f"{folder}/" for folder in collected_of(store, step))
    return [record for record in records if not (folders and record.path.startswith(folders))]
