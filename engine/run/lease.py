"""One driver a run: a lease with an epoch. A second driver is refused while the first one lives, and fences it when it does not.

`lease/00003.json` is created if absent by whoever begins epoch 3, and names him; `lease/00003.beat` is what he overwrites while he
lives, and names the step he is at. Nobody's clock is compared with anybody's: a beat that does not change for STALE_S is a driver
that is no more. A driver that was only asleep finds the next epoch's record when it wakes, and stops before it seals anything. So
does one whose own record names another: some stores look first and write then, and may tell two who come at once that each of them
was the first.
"""

import json
import logging
import os
import socket
import threading
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from engine.store.files import Store
from engine.store.filesystems import StorageError

log = logging.getLogger(__name__)

FOLDER = "lease"
BEAT_S, STALE_S = 3.0, 20.0
RELEASED = b"released"
"""Begins the last beat of one who gave the run back."""


class Fenced(ValueError):
    """Another driver has taken the run over."""


class Lease:
    """with Lease(store) as lease: ... lease.check() ... lease.epoch"""

    def __init__(self, store: Store, stale_s: float = STALE_S) -> None:
        self._store, self._stale_s = store, stale_s
        self.epoch = 0
        self._me = b""
        self._step = ""
        self._lost: str = ""
        self._done = threading.Event()
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        """Raises ValueError where another driver is at work."""
        latest = newest(self._store)
        while True:
            if latest:
                self._wait_for_the_end_of(latest)
            self._me = json.dumps(whoami() | {"token": uuid.uuid4().hex}).encode()
            if self._store.create(f"{FOLDER}/{latest + 1:05d}.json", self._me):
                break
            latest += 1  # somebody was faster; he is alive, or a beat will tell
        self.epoch = latest + 1
        self._beat()
        self._thread = threading.Thread(target=self._go_on, name="lease", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._done.set()
        if self._thread is not None:
            self._thread.join(2 * BEAT_S)
        if not self._lost:
            try:
                self._store.write(f"{FOLDER}/{self.epoch:05d}.beat", RELEASED + f" {self._step}".encode())
            except StorageError as trouble:
                log.warning("the lease could not be given back: %s", trouble)

    def begin(self, step: str) -> None:
        """Let whoever looks know what is being done."""
        self._step = step
        self._beat()

    def check(self) -> None:
        """Raises Fenced where another driver has taken the run over: call before anything is sealed."""
        if self._lost:
            raise Fenced(self._lost)

    def confirm(self) -> None:
        """As check(), after a fresh look."""
        self._look()
        self.check()

    def _go_on(self) -> None:
        while not self._done.wait(BEAT_S):
            try:
                self._beat()
                self._look()
            except StorageError as error:
                log.warning("the lease cannot be renewed: %s", error)
            if self._lost:
                log.error("%s", self._lost)
                return

    def _beat(self) -> None:
        if not self._done.is_set() and not self._lost:
            self._store.write(f"{FOLDER}/{self.epoch:05d}.beat", f"{uuid.uuid4().hex} {self._step}".encode())

    def _look(self) -> None:
        latest = newest(self._store)
        if latest > self.epoch or self._store.read(f"{FOLDER}/{latest:05d}.json") != self._me:
            self._lost = (
                f"{self._store.url()} was taken over by {_name(holder(self._store, latest))}; this driver stops, nothing is lost"
            )

    def _wait_for_the_end_of(self, epoch: int) -> None:
        him, path = holder(self._store, epoch), f"{FOLDER}/{epoch:05d}.beat"
        beat = self._store.read(path)
        if _is_released(beat) or is_gone(him):
            return
        log.info("%s holds this run; waiting %.0f s for a sign of life", _name(him), self._stale_s)
        deadline = time.monotonic() + self._stale_s
        while time.monotonic() < deadline:
            time.sleep(min(1.0, self._stale_s / 5))
            now = self._store.read(path)
            if _is_released(now) or is_gone(him):
                return
            if now != beat:
                raise ValueError(f"{self._store.url()} is being worked on by {_name(him)}; wait for its end or stop it first")


def newest(store: Store) -> int:
    """The latest epoch; 0 before the first."""
    return max((int(name.removesuffix(".json")) for name in store.names(FOLDER) if name.endswith(".json")), default=0)


def holder(store: Store, epoch: int) -> dict[str, Any]:
    data = store.read(f"{FOLDER}/{epoch:05d}.json")
    value: dict[str, Any] = json.loads(data) if data else {}
    return value


def is_held(store: Store) -> str:
    """Who holds the run, as far as can be told without waiting; "" if it was given back or its holder is dead."""
    epoch = newest(store)
    if not epoch or _is_released(store.read(f"{FOLDER}/{epoch:05d}.beat")) or is_gone(holder(store, epoch)):
        return ""
    return _name(holder(store, epoch))


def last_step(store: Store) -> str:
    """The step that the run's driver, or the last one, was at; "" where none has begun."""
    beat = store.read(f"{FOLDER}/{newest(store):05d}.beat") or b""
    return beat.decode(errors="replace").partition(" ")[2]


def _is_released(beat: bytes | None) -> bool:
    return beat is not None and beat.startswith(RELEASED)


def whoami() -> dict[str, Any]:
    """Names this process beyond doubt where /proc is there: machine since its start, process namespace, process, its start."""
    return {"host": socket.gethostname(), "pid": os.getpid(), "since": time.strftime("%Y-%m-%d %H:%M:%S %z")} | _traces(os.getpid())


def _traces(pid: int) -> dict[str, str]:
    readers: dict[str, Callable[[], str]] = {
        "boot": lambda: Path("/proc/sys/kernel/random/boot_id").read_text().strip(),
        "namespace": lambda: os.readlink("/proc/self/ns/pid"),
        "started": lambda: Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19],
    }
    found = {}
    for name, read in readers.items():
        try:
            found[name] = read()
        except OSError:
            found[name] = ""
    return found


def is_gone(him: dict[str, Any]) -> bool:
    """Whether he was a process of this very machine, and is no more. False where that cannot be known."""
    here = _traces(int(him.get("pid", 0)))
    same_place = him.get("host") == socket.gethostname() and all(here[n] and him.get(n) == here[n] for n in ("boot", "namespace"))
    return same_place and here["started"] != him.get("started")


def _name(him: dict[str, Any]) -> str:
    return f"process {him.get('pid', '?')} on {him.get('host', '?')} (since {him.get('since', '?')})"
