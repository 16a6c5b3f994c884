"""Tells storage that is away, or that denies everything by now, from one object that storage does not give: others are read.

Without this, one object whose server always answers 503 would end a run, or storage that is away for an hour, or credentials that
expire during a run, would become a million failed clips.
"""

import os
import time
import uuid
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import islice

from engine.store.filesystems import Storage
from engine.store.locations import WEB, local_path, place_of, protocol_of
from engine.store.sources import Source
from engine.store.troubles import REMEDY, StorageError, Trouble

REMEMBERED_PLACES = 64
ANSWERS = 3
"""Each other object has to answer so often, one time after another: a server in trouble answers now and then."""
ASKING_S = 30.0
"""No further object of a web server is asked for once asking has taken so long: a server that drops packets costs a minute each."""
PAUSE_SHARE, LONGEST_PAUSE_S = 10, 300.0
"""A silent web server is left alone ten times as long as it took to learn that it is silent: a refused connection costs nothing."""


class Places:
    """Buckets, servers and folders that this process has read from: the last objects of each, and which web servers are silent."""

    def __init__(self, storage: Storage) -> None:
        self._storage, self._impatient = storage, replace(storage, tries_again=False)
        self._last_read: OrderedDict[str, list[str]] = OrderedDict()
        """Up to two for each place: windows of one video follow each other."""
        self._silent: dict[str, float] = {}
        """Web servers that were silent while another place was not, and until when they are left alone (time.monotonic)."""
        self._expected: list[str] = []
        self._began = time.monotonic()
        """When the last object was opened."""

    def expect(self, uris: Iterable[str]) -> None:
        """Name the objects that are read next, each once: they tell whether storage is there before any was read."""
        self._expected = list(dict.fromkeys(uris))

    @contextmanager
    def opened(self, uri: str, whole_bytes: int) -> Iterator[Source]:
        """Open an object, as Storage.opened does: without patience where its server was silent and another place was not.

        Raises StorageError, also without a connection, where the server was silent a short while ago.
        """
        self._began, place = time.monotonic(), place_of(uri)
        if self._began < self._silent.get(place, 0.0):
            raise StorageError("unavailable", f"cannot read {uri}: {place} was silent a short while ago; {REMEDY['unavailable']}")
        with (self._impatient if place in self._silent else self._storage).opened(uri, whole_bytes) as source:
            yield source

    def note(self, uri: str) -> None:
        """An object has been read."""
        place = place_of(uri)
        self._last_read[place] = [uri, *(other for other in self._last_read.get(place, ()) if other != uri)][:2]
        self._last_read.move_to_end(place)
        self._silent.pop(place, None)
        if len(self._last_read) > REMEMBERED_PLACES:
            self._last_read.popitem(last=False)

    def are_away(self, uri: str) -> bool:
        """True if an object cannot be read because storage is away; False if only this object is not given.

        Another object of the same place decides: one that was read before, else one that is expected, else a file nearby or a name
        that does not exist.

        A manifest may name videos of a thousand web servers, some of which are gone for good. So a web server is storage as a whole
        only where it or another place has given objects, and no place of these answers any more; a disk or a bucket that answers
        is enough. Where nothing was read yet, its clips fail, and limits.failure_rate stops the step.
        """
        here = place_of(uri)
        if protocol_of(uri) not in WEB:
            return not any(map(self._answers, self._known(here, uri) or _others(uri)))
        if time.monotonic() < self._silent.get(here, 0.0):
            return False
        began = self._began
        if here not in self._silent:
            began = time.monotonic()  # what came before was patience
            if self._one_answers_soon(self._known(here, uri) or _others(uri)):
                return False
        if self._last_read and not any(map(self._answers, self._elsewhere(here))):
            return True
        now = time.monotonic()
        self._silent[here] = now + min(LONGEST_PAUSE_S, PAUSE_SHARE * (now - began))
        return False

    def denied_by_now(self, uri: str) -> str:
        """Another object that was read before and that storage denies by now, as it denies this one; "" if only this one is denied.

        So credentials that expire during a run are told from one object that may not be read. The answer to a request for an
        object's size has no code, so any refusal counts. A web server counts only where no other place has given objects: it may
        have banned this machine, while the videos of a thousand others are read.
        """
        here = place_of(uri)
        if protocol_of(uri) in WEB and self._elsewhere(here):
            return ""
        known = [other for other in self._last_read.get(here, []) if other != uri]
        return known[-1] if known and all(self._trouble(other) in ("denied", "refused") for other in known) else ""

    def _known(self, place: str, without: str) -> list[str]:
        """Up to ANSWERS objects of a place, those that were read last before those that are expected."""
        expected = (uri for uri in self._expected if place_of(uri) == place)
        known = (uri for uri in dict.fromkeys([*self._last_read.get(place, ()), *expected]) if uri != without)
        return list(islice(known, ANSWERS))

    def _elsewhere(self, here: str) -> list[str]:
        """One object of each of up to ANSWERS other places that gave one: those that answer soonest first, no silent one."""
        places = [place for place in reversed(self._last_read) if place != here and place not in self._silent]
        places.sort(key=lambda place: protocol_of(place) in WEB)
        expected = [uri for uri in self._expected if protocol_of(uri) not in WEB]
        known = [*(self._last_read[place][0] for place in places), *expected]
        return known[:ANSWERS]

    def _one_answers_soon(self, uris: Iterable[str]) -> bool:
        """Whether an object answers, asking one after another for ASKING_S."""
        deadline = time.monotonic() + ASKING_S
        for uri in uris:
            if self._answers(uri):
                return True
            if time.monotonic() > deadline:
                return False
        return False

    def _answers(self, uri: str) -> bool:
        """Whether storage says anything definite about an object, if only that there is none."""
        return all(self._is_definite(uri) for _ in range(ANSWERS))

    def _is_definite(self, uri: str) -> bool:
        return self._trouble(uri) not in ("unavailable", "exhausted")

    def _trouble(self, uri: str) -> Trouble | None:
        """Of one request for an object, without patience; None if it is given."""
        try:
            with self._impatient.opened(uri, whole_bytes=0) as source:
                source.read(0, 1)
        except StorageError as error:
            return error.trouble
        return None


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
