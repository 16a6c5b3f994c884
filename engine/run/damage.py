"""Damage: files of a run that are not what their step wrote: gone, of another size, or with another sha256.

A seal records its files, through its index each piece, and in its facts the note of the step's model. Sizes are compared by one
listing of each folder, so they can be looked at often. Contents are compared where a file is read anyway, and all of them by
`starloop failures RUN --retry damaged`.
"""

import posixpath
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial

from engine.generate.one_model import note_of
from engine.run.collected import uncollected
from engine.run.seals import Seal
from engine.run.work import PartOfAttempt, is_index, read_rows, records_of
from engine.store.files import RESTORE, FileRecord, Store
from engine.store.parallel import parallel_map
from engine.store.troubles import StorageError


@dataclass(frozen=True, slots=True)
class Damage:
    """A file that is not what its step wrote.

    Damage(step="cycle-000/generate", path="cycle-000/generate/pieces/00000-00064-032-9f3c.parquet", detail="is gone")
    """

    step: str
    path: str
    """Relative to the run."""
    detail: str
    """The end of a sentence about the file."""


def damage_by_sizes(store: Store, seals: Iterable[Seal]) -> list[Damage]:
    """What listings show of the files of sealed steps; indexes and notes are read too. A call for each folder, index and note."""
    return [damage for of_step in parallel_map(partial(_by_sizes, store), seals) for damage in of_step]


def damage_by_contents(store: Store, seal: Seal) -> list[Damage]:
    """Reads all files of a sealed step."""
    records, damage = recorded(store, seal)
    return damage + [file for file in parallel_map(partial(_by_content, store, seal.step), records) if file is not None]


def recorded(store: Store, seal: Seal) -> tuple[list[FileRecord], list[Damage]]:
    """The files that a seal records, itself and through its indexes; and damaged indexes, without which their pieces are not known.

    What gc has taken is left out.
    """
    records, damage = [record for record in seal.files if not is_index(record.path)], list[Damage]()
    for index in (record for record in seal.files if is_index(record.path)):
        try:
            records += records_of(store, index)
        except StorageError as error:
            damage.append(_damage(store, seal.step, index.path, error))
    return uncollected(store, seal.step, records), damage


def damage_of_note(store: Store, seal: Seal) -> Damage | None:
    """Whether the note of the step's model is what the seal holds of it; a step that asked no model has none."""
    if not (model := seal.facts.get("model")):
        return None
    record = note_of(seal.step, model)
    try:
        store.read_recorded(record)
    except StorageError as error:
        return _damage(store, seal.step, record.path, error)
    return None


def read_or_damage(store: Store, step: str, row: type[PartOfAttempt], piece: str | FileRecord) -> list[PartOfAttempt] | Damage:
    """The attempts of a piece file, or why they cannot be read. Raises StorageError only where storage itself fails."""
    try:
        return read_rows(store, row, piece)
    except StorageError as error:
        return _damage(store, step, piece if isinstance(piece, str) else piece.path, error)


def _damage(store: Store, step: str, path: str, error: StorageError) -> Damage:
    """What an error of a read means for the file; raises it again where storage itself failed."""
    if error.trouble not in ("missing", "replaced"):
        raise error
    return Damage(step, path, str(error).removeprefix(f"{store.url(path)} ").removesuffix(f"; {RESTORE}"))


def _by_sizes(store: Store, seal: Seal) -> list[Damage]:
    records, damage = recorded(store, seal)
    sizes = {folder: store.sizes(folder) for folder in {posixpath.dirname(record.path) for record in records}}
    for record in records:
        folder, name = posixpath.split(record.path)
        size = sizes[folder].get(name)
        if size is None:
            damage.append(Damage(seal.step, record.path, "is gone"))
        elif size != record.size:
            damage.append(Damage(seal.step, record.path, f"has {size} bytes instead of {record.size}"))
    note = damage_of_note(store, seal)
    return damage if note is None else [*damage, note]


def _by_content(store: Store, step: str, record: FileRecord) -> Damage | None:
    try:
        (current,) = store.describe([record.path])
    except StorageError as error:
        return _damage(store, step, record.path, error)
    return None if current == record else Damage(step, record.path, "is not what was written: its sha256 is another")
