"""Tells storage that is away from one object that storage does not give: other objects of the same place are read.

Without this, one object whose server always answers 503 would end a run, or storage that is away for an hour would become a million
failed clips.
"""

import os
import uuid
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from functools import partial
from itertools import islice

from engine.store.filesystems import Storage
from engine.store.locations import WEB, local_path, place_of, protocol_of
from engine.store.troubles import StorageError

REMEMBERED_PLACES = 64
ANSWERS = 3
"""Each other object has to answer so often, one time after another: a server in trouble answers now and then."""


class Places:
    """Buckets, servers and folders that this process has read from: the last objects of each, and which web servers are silent."""

    def __init__(self, storage: Storage) -> None:
        self._storage, self._impatient = storage, replace(storage, patience_s=0.0)
        self._last_read: OrderedDict[str, list[str]] = OrderedDict()
        """Up to two for each place: windows of one video follow each other."""
        self._silent: set[str] = set()
        self._expected: list[str] = []

    def expect(self, uris: Iterable[str]) -> None:
        """Name the objects that are read next, each once: they tell whether storage is there before any was read."""
        self._expected = list(dict.fromkeys(uris))

    def storage_for(self, uri: str) -> Storage:
        """The storage to read an object with: without patience where its server was silent and another one was not."""
        return self._impatient if place_of(uri) in self._silent else self._storage

    def note(self, uri: str) -> None:
        """An object has been read."""
        place = place_of(uri)
        self._last_read[place] = [uri, *(other for other in self._last_read.get(place, ()) if other != uri)][:2]
        self._last_read.move_to_end(place)
        self._silent.discard(place)
        if len(self._last_read) > REMEMBERED_PLACES:
            self._last_read.popitem(last=False)

    def are_away(self, uri: str) -> bool:
        """True if an object cannot be read because storage is away; False if only this object is not given.

        Another object decides: one that was read before, else one that is expected, else a file nearby or a name that does not
        exist. A manifest may name videos of a thousand web servers, some of which are gone for good: where another server answers,
        a silent one is its own clips' trouble.
        """
        here = place_of(uri)
        if any(map(self._answers, self._known(lambda place: place == here, uri) or _others(uri))):
            return False
        is_another_server = partial(_is_another_server, here)
        if protocol_of(uri) in WEB and any(map(self._answers, self._known(is_another_server, uri))):
            self._silent.add(here)
            return False
        return True

    def _known(self, is_meant: Callable[[str], bool], without: str) -> list[str]:
        """Up to ANSWERS objects of the places that are meant, those that were read last before those that are expected."""
        read_last = [uri for uris in reversed(self._last_read.values()) for uri in uris]
        known = (uri for uri in [*read_last, *self._expected] if uri != without and is_meant(place_of(uri)))
        return list(islice(dict.fromkeys(known), ANSWERS))

    def _answers(self, uri: str) -> bool:
        """Whether storage says anything definite about an object, if only that there is none."""
        return all(self._is_definite(uri) for _ in range(ANSWERS))

    def _is_definite(self, uri: str) -> bool:
        try:
            with self._impatient.opened(uri, whole_bytes=0) as source:
                source.read(0, 1)
        except StorageError as error:
            return error.trouble != "unavailable"
        return True


def _is_another_server(here: str, place: str) -> bool:
    return place != here and protocol_of(place) in WEB


def _others(uri: str) -> Iterator[str]:
    """Objects that tell whether storage is there: other files of the folder or of folders beside it; names that do not exist.

    On a disk the names would tell too little: the system remembers which names there are while a mount is away.
    """
    if (path := local_path(uri)) is not None:
        yield from islice((other for other in _files_near(path) if other != path), ANSWERS)
        return
    name = uuid.uuid4().hex
    folder = (uri.partition("?")[0] if protocol_of(uri) in WEB else uri).rpartition("/")[0]
    yield from (f"{folder}/{name}", f"{place_of(uri)}/{name}")


def _files_near(path: str) -> Iterator[str]:
    folder = os.path.dirname(path)
    try:
        yield from (entry.path for entry in os.scandir(folder) if entry.is_file())
        for beside in os.scandir(os.path.dirname(folder)):
            if beside.is_dir() and beside.path != folder:
                yield from (entry.path for entry in os.scandir(beside) if entry.is_file())
    except OSError:
        return
