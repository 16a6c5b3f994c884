"""Pins that code which has taken a decoding process over reaches no file, no socket, no program and no other process."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from builders import DECODING
from engine.decode import process
from engine.decode.confine import CLONE_THREAD, MACHINES, filter_of
from engine.decode.process import ChildProcess, NotStarted
from engine.decode.protocol import LENGTH
from engine.run.doctor import _isolation

ROOT = Path(__file__).parents[2]
ATTEMPTS = {
    "a file": "os.open('/etc/passwd', os.O_RDONLY)",
    "a new file": "os.open('/tmp/starloop-escape', os.O_CREAT | os.O_WRONLY)",
    "the parent's environment": "os.open(f'/proc/{parent}/environ', os.O_RDONLY)",
    "a file by openat2": "call(437, -100, b'/etc/passwd', bytes(24), 24)",
    "a socket": "socket.socket()",
    "a pair of sockets": "socket.socketpair()",
    "a connection": "connected.connect(('127.0.0.1', 9))",
    "a program": "os.execv('/bin/true', ['true'])",
    "a process": "os.fork()",
    "a process by clone3": "call(435, bytes(88), 88)",
    "a signal to the parent": "os.kill(parent, 0)",
    "a signal to a thread of the parent": "call({'x86_64': 234, 'aarch64': 131}[machine], parent, parent, 0)",
    "the parent's memory": "call({'x86_64': 310, 'aarch64': 270}[machine], parent, 0, 0, 0, 0, 0)",
    "tracing": "call({'x86_64': 101, 'aarch64': 117}[machine], 16, parent, 0, 0)",
    "a namespace": "call({'x86_64': 272, 'aarch64': 97}[machine], 0x10000000)",
    "memory as a file": "call({'x86_64': 319, 'aarch64': 279}[machine], b'x', 0)",
    "a ring of requests": "call(425, 1, bytes(120))",
    "a descriptor of the parent": "call(438, 0, 0, 0)",
    "another name": "os.rename('/tmp/a', '/tmp/b')",
    "its limits": "call({'x86_64': 160, 'aarch64': 164}[machine], 7, bytes(16))",
}
PROGRAM = """
import ctypes, errno, json, os, platform, socket, sys, threading
sys.path.insert(0, sys.argv[1])
from engine.decode.confine import confine
machine, parent, libc = platform.machine(), os.getppid(), ctypes.CDLL(None, use_errno=True)
def call(number, *arguments):
    if libc.syscall(number, *arguments) < 0:
        raise OSError(ctypes.get_errno(), "")
attempts, results, connected = json.loads(sys.argv[2]), {}, socket.socket()
reason = confine(4 << 30, 64)
for name, attempt in attempts.items():
    try:
        exec(attempt)
        results[name] = "done"
    except OSError as error:
        results[name] = errno.errorcode[error.errno]
thread = threading.Thread(target=lambda: results.update(thread="done"))
thread.start()
thread.join()
results["memory"] = len(bytearray(64 << 20))
print(json.dumps([reason, results]))
"""


def test_a_decoding_process_cannot_break_out() -> None:
    arguments = [sys.executable, "-c", PROGRAM, str(ROOT), json.dumps(ATTEMPTS)]
    reason, results = json.loads(subprocess.run(arguments, capture_output=True, check=True, timeout=60).stdout)
    if reason:
        pytest.skip(reason)
    assert results.pop("thread") == "done"
    assert results.pop("memory") == 64 << 20
    assert results.pop("a process by clone3") in ("ENOSYS", "EPERM"), "what a filter cannot look into does not exist"
    assert results == dict.fromkeys(results, "EPERM")
    assert not os.path.exists("/tmp/starloop-escape")


@pytest.mark.parametrize("machine", MACHINES)
def test_every_jump_of_the_filter_ends_in_a_verdict(machine: str) -> None:
    """By an interpreter of the filter: which calls pass on which machine, also where the tests run on the other one."""
    program = filter_of(machine, pid=77)
    openat, clone, tgkill, read = {"x86_64": (257, 56, 234, 0), "aarch64": (56, 220, 131, 63)}[machine]
    here, other = MACHINES[machine], next(value for name, value in MACHINES.items() if name != machine)
    assert verdict(program, here, read) == "allow"
    assert verdict(program, here, openat) == "refuse 1"
    assert verdict(program, here, clone, CLONE_THREAD | 0x100) == "allow"
    assert verdict(program, here, clone, 17) == "refuse 1"
    assert verdict(program, here, 435) == "refuse 38"
    assert [verdict(program, here, tgkill, pid) for pid in (77, 1)] == ["allow", "refuse 1"]
    assert verdict(program, here, 0x40000000 + read) == "kill"
    assert verdict(program, other, read) == "kill"
    assert {verdict(program, here, number) for number in range(500)} <= {"allow", "refuse 1", "refuse 38"}


def verdict(program: bytes, machine: int, number: int, argument: int = 0) -> str:
    """What the filter says about a call; its instructions are those of linux/bpf_common.h."""
    data = {0: number, 4: machine, 16: argument}
    at = accumulator = 0
    while True:
        code = int.from_bytes(program[at : at + 2], sys.byteorder)
        if_true, if_false = program[at + 2], program[at + 3]
        value = int.from_bytes(program[at + 4 : at + 8], sys.byteorder)
        at += 8
        if code == 0x20:
            accumulator = data[value]
        elif code == 0x54:
            accumulator &= value
        elif code == 0x06:
            action = {0x7FFF0000: "allow", 0x80000000: "kill", 0x00050000: "refuse"}[value & 0xFFFF0000]
            return f"{action} {value & 0xFFFF}" if action == "refuse" else action
        else:
            is_true = accumulator == value if code == 0x15 else accumulator >= value
            assert code in (0x15, 0x35)
            at += 8 * (if_true if is_true else if_false)


def test_a_kernel_that_does_not_confine_is_reported() -> None:
    reason = b"the kernel takes no filter of system calls (Invalid argument)"
    message = b"H" + LENGTH.pack(len(reason)) + reason
    program = f"import socket, sys; socket.socket(fileno=int(sys.argv[2])).sendall({message!r}); sys.stdin.read()"
    child = ChildProcess(1 << 30, "pyav", ("-c", program))
    child.close()
    assert child.unconfined == reason.decode()
    (finding,) = _isolation(DECODING)
    assert finding.what == "isolation"
    assert bool(finding.remedy) == ("could open files" in finding.detail)


def test_a_start_that_is_no_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "EXIT_WAIT_S", 0.1)
    for message in (b"?", b"H\xff\xff\xff\xff"):
        program = f"import socket, sys, time; socket.socket(fileno=int(sys.argv[2])).sendall({message!r}); time.sleep(60)"
        with pytest.raises(NotStarted):
            ChildProcess(1 << 30, "pyav", ("-c", program))
