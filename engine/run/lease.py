"""One driver per run: a lease with an epoch. A second driver is refused while the first is alive, and replaces it once it is dead.

A driver that begins epoch 3 creates `lease/00003.json`, which describes its process, if that file is absent; while it is alive it
overwrites `lease/00003.beat` with a new heartbeat and the name of its step. To take a run over, no clocks of machines are compared:
a driver is dead when its heartbeat has not changed for STALE_S on the clock of the waiting driver. A driver that was only suspended
finds the record of the next epoch when it wakes, and stops before it seals anything. So does a driver that finds another process
in its own epoch's record: a store that checks first and writes then may tell two drivers that each of them created it.
"""

import json
import logging
import os
import re
import socket
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from engine.store.files import Store
from engine.store.parallel import parallel_map
from engine.store.troubles import StorageError

log = logging.getLogger(__name__)

FOLDER = "lease"
RECORD = re.compile(r"([0-9]{5})\.json")
"""The name of an epoch's record. Other files in the folder are not ours, and are left alone."""
BEAT_S, STALE_S = 3.0, 20.0
SILENT_S = 600.0
"""Who only looks takes a driver for dead whose last heartbeat is so old by their two clocks; nobody takes a run over by it."""
RELEASED = b"released"
"""The last heartbeat of a driver that has released the lease begins with it."""


class Occupied(ValueError):
    """Another driver is at work on the run."""


class Fenced(ValueError):
    """Another driver has taken the run over."""


class Lease:
    """with Lease(store) as lease: ... lease.check() ... lease.epoch"""

    def __init__(
        self,
        store: Store,
        stale_s: float = STALE_S,
        on_beat: Callable[[], None] = lambda: None,
        on_loss: Callable[[], None] = lambda: None,
    ) -> None:
        """`on_beat` is called after each heartbeat that was written, `on_loss` when another driver has taken the run over."""
        self._store, self._stale_s, self._on_beat, self._on_loss = store, stale_s, on_beat, on_loss
        self.epoch = 0
        self._record = b""
        """This driver's record, as it is in the store."""
        self._step = ""
        self._lost = ""
        """Why the lease is lost; "": it is not."""
        self._ended = threading.Event()
        self._writing = threading.Lock()
        """Held while a heartbeat is written: one that storage takes long for must not arrive after the release, and undo it."""
        self._renewer: threading.Thread | None = None

    def __enter__(self) -> Self:
        """Raises Occupied if another driver is alive."""
        latest = newest(self._store)
        while True:
            if latest:
                self._wait_until_free(latest)
            self._record = json.dumps(whoami() | {"token": uuid.uuid4().hex}).encode()
            if self._store.create(f"{FOLDER}/{latest + 1:05d}.json", self._record):
                break
            latest += 1  # another driver created this epoch first: wait for its heartbeat
        self.epoch = latest + 1
        self._beat()
        self._renewer = threading.Thread(target=self._renew, name="lease", daemon=True)
        self._renewer.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._ended.set()
        with self._writing:
            if self._lost:
                return
            try:
                self._store.write(f"{FOLDER}/{self.epoch:05d}.beat", RELEASED + f" {self._step}".encode())
            except StorageError as trouble:
                log.warning("the lease could not be released: %s", trouble)

    def begin(self, step: str) -> None:
        """Write the name of the step that begins into the heartbeat, for `starloop status`."""
        self._step = step
        self._beat()

    def check(self) -> None:
        """Raises Fenced if another driver has taken the run over, as far as the last heartbeat saw."""
        if self._lost:
            raise Fenced(self._lost)

    def confirm(self) -> None:
        """Read the store again, then check(): call before anything is sealed."""
        self._compare()
        self.check()

    def _renew(self) -> None:
        while not self._ended.wait(BEAT_S):
            try:
                self._beat()
                self._compare()
            except StorageError as error:
                log.warning("the lease cannot be renewed: %s", error)
            except Exception as error:  # of any kind: a driver without a heartbeat is taken for dead while it works
                log.warning("the lease cannot be renewed: %s: %s", type(error).__name__, error)
            if self._lost:
                log.error("%s", self._lost)
                return

    def _beat(self) -> None:
        with self._writing:
            if not self._ended.is_set() and not self._lost:
                self._store.write(f"{FOLDER}/{self.epoch:05d}.beat", heartbeat(self._step))
                self._on_beat()

    def _compare(self) -> None:
        """Note the lease as lost unless the newest record in the store is this driver's."""
        latest = newest(self._store)
        if latest > self.epoch or self._store.read(f"{FOLDER}/{latest:05d}.json") != self._record:
            driver = read_record(self._store, latest)
            self._lost = f"{self._store.url()} was taken over by {_name(driver)}; this driver stops, nothing is lost"
            self._on_loss()

    def _wait_until_free(self, epoch: int) -> None:
        """Return once the driver of the epoch has released the lease or is dead. Raises Occupied if it sends a heartbeat."""
        driver, path = read_record(self._store, epoch), f"{FOLDER}/{epoch:05d}.beat"
        first = self._store.read(path)
        if _is_released(first) or is_dead(driver):
            return
        log.info("%s holds this run; waiting %.0f s for a sign of life", _name(driver), self._stale_s)
        deadline = time.monotonic() + self._stale_s
        while time.monotonic() < deadline:
            time.sleep(min(1.0, self._stale_s / 5))
            beat = self._store.read(path)
            if _is_released(beat) or is_dead(driver):
                return
            if beat != first:
                raise Occupied(f"{self._store.url()} is being worked on by {_name(driver)}; wait for its end or stop it first")


@dataclass(frozen=True, slots=True)
class LeaseState:
    """The lease as seen from outside: LeaseState(holder="process 7 on a (since ...)", step="cycle-000/generate")"""

    holder: str
    """The driver that holds the lease, as far as can be known without waiting; "": it was released, its driver is dead, or has sent
    no heartbeat for SILENT_S."""
    step: str
    """The last step that a driver has begun; "" before the first."""


def lease_state(store: Store) -> LeaseState:
    epoch = newest(store)
    beat, record = parallel_map(store.read, [f"{FOLDER}/{epoch:05d}.beat", f"{FOLDER}/{epoch:05d}.json"])
    driver = _driver_of(record)
    is_free = not epoch or _is_released(beat) or is_dead(driver) or _is_silent(beat)
    return LeaseState(holder="" if is_free else _name(driver), step=(beat or b"").decode(errors="replace").partition(" ")[2])


def newest(store: Store) -> int:
    """The latest epoch; 0 before the first."""
    return max((int(match[1]) for name in store.names(FOLDER) if (match := RECORD.fullmatch(name))), default=0)


def read_record(store: Store, epoch: int) -> dict[str, Any]:
    """The driver of an epoch, as whoami() described it; {} if there is no record, or a damaged one."""
    return _driver_of(store.read(f"{FOLDER}/{epoch:05d}.json"))


def _driver_of(record: bytes | None) -> dict[str, Any]:
    """The driver that a record describes; {} if there is none, or a damaged one, whose driver only its heartbeat can show.

    >>> _driver_of(b'{"pid": 7, "host": "a"}'), _driver_of(b'{"pid": '), _driver_of(b"[7]"), _driver_of(None)
    ({'pid': 7, 'host': 'a'}, {}, {}, {})
    """
    try:
        driver = json.loads(record or b"{}")
    except ValueError:
        return {}
    return driver if isinstance(driver, dict) and isinstance(driver.get("pid"), int) else {}


def heartbeat(step: str) -> bytes:
    """What a driver at this step sends: never the same twice, with its time."""
    return f"{uuid.uuid4().hex}@{time.time():.0f} {step}".encode()


def _is_silent(beat: bytes | None) -> bool:
    """
    >>> _is_silent(heartbeat("ingest")), _is_silent(b"8a1f@1700000000 ingest"), _is_silent(b"8a1f ingest"), _is_silent(None)
    (False, True, False, False)
    """
    sent = re.match(rb"\w+@(\d+) ", beat or b"")
    return sent is not None and time.time() - int(sent[1]) > SILENT_S


def _is_released(beat: bytes | None) -> bool:
    return beat is not None and beat.startswith(RELEASED)


def whoami() -> dict[str, Any]:
    """This process, uniquely where /proc exists: host, boot of the machine, namespace of process ids, process id, its start."""
    return {"host": socket.gethostname(), "pid": os.getpid(), "since": time.strftime("%Y-%m-%d %H:%M:%S %z")} | _proc(os.getpid())


def _proc(pid: int) -> dict[str, str]:
    """{"boot", "namespace", "started"} of a process of this machine; "" for what /proc does not tell."""
    readers: dict[str, Callable[[], str]] = {
        "boot": lambda: Path("/proc/sys/kernel/random/boot_id").read_text().strip(),
        "namespace": lambda: os.readlink("/proc/self/ns/pid"),
        "started": lambda: Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19],
    }
    values = {}
    for name, read in readers.items():
        try:
            values[name] = read()
        except OSError:
            values[name] = ""
    return values


def is_dead(driver: dict[str, Any]) -> bool:
    """Whether the driver was a process of this machine and no longer exists. False where that cannot be known."""
    here = _proc(driver.get("pid", 0))
    is_local = driver.get("host") == socket.gethostname() and all(
        here[name] and driver.get(name) == here[name] for name in ("boot", "namespace")
    )
    return is_local and here["started"] != driver.get("started")


def _name(driver: dict[str, Any]) -> str:
    return f"process {driver.get('pid', '?')} on {driver.get('host', '?')} (since {driver.get('since', '?')})"
