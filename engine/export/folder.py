"""An exported folder while it is written: whose it is, which of its files are whole, and its own name at the end.

On a disk the files are written into a hidden folder beside it, which takes the folder's name when all of them are there. In an
object store, which renames nothing, README.md comes last, and the names of the files say how many there are. Either way CLAIM says
whose the files are and which ones are whole: the same command goes on with them, another one refuses the folder.
"""

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from engine.presets import differing_keys
from engine.run.plan import TRAIN
from engine.store.documents import to_json
from engine.store.drafts import DRAFT_PREFIX
from engine.store.files import Store
from engine.store.locations import local_path
from engine.store.weights import CARD

CLAIM = ".export.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Shard:
    """What a file holds: Shard(split="train", rows=250, failures={"missing": 1})."""

    split: str
    rows: int
    failures: dict[str, int] = field(default_factory=dict)
    """Rows that are not in it, by kind."""


@dataclass
class Folder:
    """The files of one export: with opened(Store("out"), about) as folder: ..."""

    store: Store
    """Where they are written."""
    about: Mapping[str, Any]
    """What decides the files: another export has another."""
    shards: dict[str, Shard]
    """Those that are whole, by path."""
    is_complete: bool

    def done(self, path: str, shard: Shard) -> None:
        """The file is whole: nobody writes it again."""
        self.shards[path] = shard
        self.claim()

    def finish(self, card: bytes) -> None:
        self.store.write(CARD, card)
        self.is_complete = True
        self.claim()

    def claim(self) -> None:
        shards = {path: asdict(shard) for path, shard in sorted(self.shards.items())}
        claim = {"about": self.about, "complete": self.is_complete, "shards": shards}
        self.store.write(CLAIM, to_json(claim, indent=1))


@contextmanager
def opened(out: Store, about: Mapping[str, Any]) -> Iterator[Folder]:
    """The folder, to be written or, where it is complete already, to be looked at. Raises ValueError where it is another's.

    `about`: JSON values.
    """
    path = local_path(out.uri)
    if path is not None and os.path.isfile(path):
        raise ValueError(f"{path} is a file; name a folder with --out")
    place = Store(_beside(path), out.storage) if path is not None else out
    folder = _claimed(out, about)
    if folder is not None and (folder.is_complete or path is None):
        yield folder
        return
    if folder is None and (out.names("") or out.folders("")):
        raise ValueError(f"{out.uri} is not empty and is no export of Starloop; name another folder with --out")
    if path is not None and os.path.isdir(_beside(path)):
        begun = _claim_of(place)
        if begun is None or begun["about"] != about:
            shutil.rmtree(_beside(path))  # of a command that was given up for this one, or was killed before it claimed the folder
    folder = _claimed(place, about)
    if folder is None:
        folder = Folder(place, about, {}, False)
        folder.claim()  # before the first file: what a killed command leaves is known as its own
    if path is not None:
        for draft in Path(_beside(path)).rglob(f"{DRAFT_PREFIX}*"):
            draft.unlink()  # of a process that was killed while it wrote
    yield folder
    if path is not None and folder.is_complete:
        if os.path.isdir(path):
            os.rmdir(path)
        os.rename(_beside(path), path)
        folder.store = out


def _beside(path: str) -> str:
    whole = Path(path)
    return str(whole.with_name(f".{whole.name}.unfinished"))


def _claimed(store: Store, about: Mapping[str, Any]) -> Folder | None:
    """The export that a folder holds; None where it holds none. Raises ValueError where it is another one."""
    claim = _claim_of(store)
    if claim is None:
        return None
    if claim["about"] != about:
        differing = "; ".join(differing_keys(claim["about"], dict(about)))
        raise ValueError(f"{store.uri} holds another export ({differing}); name another folder with --out, or delete this one")
    shards = {path: Shard(**shard) for path, shard in claim["shards"].items()}
    return Folder(store, about, shards, bool(claim["complete"]))


def _claim_of(store: Store) -> dict[str, Any] | None:
    """What the folder's claim says. Those of an earlier version name the rows of train alone; one that is stopped is another's."""
    data = store.read(CLAIM)
    if data is None:
        return None
    try:
        claim: dict[str, Any] = json.loads(data)
        about, is_complete, _ = claim["about"], claim["complete"], claim["shards"]
        if is_complete and isinstance(of_train := about.get("rows"), str):
            about["rows"] = {TRAIN: of_train}
        return claim
    except (ValueError, KeyError, TypeError, AttributeError):
        raise ValueError(f"{store.url(CLAIM)} is not what an export writes; delete {store.uri}, or name another folder") from None
