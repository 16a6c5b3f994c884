"""The life of one decoding process, as its parent sees it: start it, exchange bytes with it, learn how it died."""

import contextlib
import io
import math
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import engine
from engine.decode.protocol import LARGEST_REASON, LENGTH
from engine.decode.request import Backend

START_TIMEOUT_S = 60.0
LOOK_S = 0.5
"""Between two looks at the CPU time of a process that is waited for."""
EXIT_WAIT_S = 5.0
"""A process whose socket is closed is given so long to end, so that its exit code can be reported."""
PROGRAM = (
    "import sys; sys.path.insert(0, sys.argv[1]); from engine.decode.child import main;"
    "main(int(sys.argv[2]), int(sys.argv[3]), sys.argv[4])"
)


class ChildDied(Exception):
    """The process ended, or sent what it must not send; it cannot be used any more."""


class ChildTimeout(Exception):
    """The process did not answer in time; it cannot be used any more."""


class NotStarted(Exception):
    """The process did not come up."""


class ChildProcess:
    """A decoding process (engine/decode/child.py), and the socket to it. Raises NotStarted.

    `unconfined`: why the kernel does not forbid it files, sockets and other processes (engine/decode/confine.py); "" where it does.
    """

    def __init__(self, memory_bytes: int, backend: Backend, program: Sequence[str] = ("-c", PROGRAM)) -> None:
        root = str(Path(engine.__file__ or "").parents[1])
        environment = {name: value for name in ("PATH", "LD_LIBRARY_PATH", "LANG") if (value := os.environ.get(name))}
        with contextlib.ExitStack() as opened, contextlib.ExitStack() as childs:
            try:
                self._connection, childs_end = socket.socketpair()
                opened.enter_context(self._connection)
                childs.enter_context(childs_end)
                read_end, write_end = os.pipe()
                self._stderr = opened.enter_context(io.FileIO(read_end))
                childs.enter_context(io.FileIO(write_end, "w"))
                for end in (read_end, write_end):
                    os.set_blocking(end, False)  # a library that prints much must not wait for a reader
                self._process = subprocess.Popen(
                    [sys.executable, *program, root, str(childs_end.fileno()), str(memory_bytes), backend],
                    pass_fds=[childs_end.fileno()],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=write_end,
                    env=environment | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
                )
            except OSError as error:  # the node is out of processes, memory or descriptors
                raise NotStarted(str(error)) from None
            opened.pop_all()  # close() closes these from here on
        self._cpu_until_s = math.inf
        try:
            self.unconfined = self._receive_start()
        except (EOFError, OSError, ValueError):
            reason = self._cause_of_death() or "no word from it"
            self.close()
            raise NotStarted(reason) from None

    def _receive_start(self) -> str:
        """Why the kernel does not confine the process, "" where it does. Raises ValueError for anything else."""
        if self.receive(1, START_TIMEOUT_S) != b"H":
            raise ValueError
        length = LENGTH.unpack(self.receive(LENGTH.size, START_TIMEOUT_S))[0]
        if length > LARGEST_REASON:
            raise ValueError
        return self.receive(length, START_TIMEOUT_S).decode(errors="replace")

    @property
    def pid(self) -> int:
        return self._process.pid

    def close(self) -> None:
        """Kill the process."""
        self._connection.close()
        self._process.kill()
        self._process.wait()
        self._stderr.close()

    def allow(self, cpu_s: float) -> None:
        """From now on so much CPU time may be used: receive() raises TimeoutError when it is."""
        self._cpu_until_s = self.cpu_s() + cpu_s

    def cpu_s(self) -> float:
        """CPU time of the process so far, in seconds; 0 without /proc: there the clock alone counts."""
        try:
            values = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            return 0.0
        return (int(values[11]) + int(values[12])) / os.sysconf("SC_CLK_TCK")

    def send(self, body: bytes, timeout_s: float) -> None:
        """Send the length and the bytes."""
        self._connection.settimeout(timeout_s)
        self._connection.sendall(LENGTH.pack(len(body)))
        self._connection.sendall(body)

    def send_length(self, length: int, timeout_s: float) -> None:
        """Send a length that no bytes follow."""
        self._connection.settimeout(timeout_s)
        self._connection.sendall(LENGTH.pack(length))

    def receive(self, length: int, timeout_s: float) -> bytearray:
        """Exactly so many bytes. Raises TimeoutError, also where the allowed CPU time is used up, and EOFError."""
        buffer, deadline = bytearray(length), time.monotonic() + timeout_s
        view, is_late = memoryview(buffer), self.cpu_s() > self._cpu_until_s
        while view:
            if is_late:
                raise TimeoutError
            self._connection.settimeout(max(1e-3, min(LOOK_S, deadline - time.monotonic())))
            try:
                count = self._connection.recv_into(view)
            except TimeoutError:
                is_late = time.monotonic() > deadline or self.cpu_s() > self._cpu_until_s
                continue
            if not count:
                raise EOFError
            view = view[count:]
        return buffer

    @contextlib.contextmanager
    def errors_named(self) -> Iterator[None]:
        """Turn the errors of the socket, and what the process must not send, into ChildTimeout and ChildDied."""
        try:
            yield
        except TimeoutError:
            raise ChildTimeout from None
        except (EOFError, OSError, ValueError) as error:
            raise ChildDied(self._cause_of_death() or str(error) or repr(error)) from None

    def _cause_of_death(self) -> str:
        """Its signal, or its exit code and last line; "" if it is still alive."""
        try:
            code = self._process.wait(EXIT_WAIT_S)
        except subprocess.TimeoutExpired:
            return ""
        if code < 0:
            return signal.Signals(-code).name
        lines = (self._stderr.read(1 << 16) or b"").decode(errors="replace").strip().splitlines()
        return f"exit {code}{f': {lines[-1][-200:]}' if lines else ''}"
