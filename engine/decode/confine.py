"""What a decoding process may do once its libraries are loaded: compute, use memory, and talk over the descriptors that it has.

The kernel enforces it (seccomp, a filter of system calls): no file or socket is opened, no program or process started, no other
process looked at. A filter of a few calls in plain numbers needs no library: libseccomp is not on every node.
"""

import ctypes
import os
import platform
import resource
import signal
import struct

PR_SET_PDEATHSIG, PR_SET_NO_NEW_PRIVS = 1, 38
SECCOMP_SET_MODE_FILTER, ALL_THREADS = 1, 1
ALLOW, KILL, REFUSE = 0x7FFF0000, 0x80000000, 0x00050000
"""What the kernel does about a call (linux/seccomp.h); the low bits of REFUSE are the error that the caller gets."""
EPERM, ENOSYS = 1, 38
NUMBER_AT, MACHINE_AT, ARGUMENTS_AT = 0, 4, 16
"""Offsets in the kernel's struct seccomp_data."""
LOAD, EQUAL, AT_LEAST, MASK, RETURN = 0x20, 0x15, 0x35, 0x54, 0x06
"""Instructions of the kernel's packet filter (linux/bpf_common.h) on 32-bit words."""
CLONE_THREAD = 0x10000
X32 = 0x40000000
"""x86-64 processes may call by a second table of numbers, from this one on."""
MACHINES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
SECCOMP = {"x86_64": 317, "aarch64": 277}
NOT_ON = {"aarch64": ("poll",)}
# numbers of the calls on x86-64 and AArch64, the most frequent first
ALLOWED = {
    "read": (0, 63),
    "write": (1, 64),
    "close": (3, 57),
    "fstat": (5, 80),
    "poll": (7, 0),
    "lseek": (8, 62),
    "mmap": (9, 222),
    "mprotect": (10, 226),
    "munmap": (11, 215),
    "brk": (12, 214),
    "rt_sigaction": (13, 134),
    "rt_sigprocmask": (14, 135),
    "rt_sigreturn": (15, 139),
    "readv": (19, 65),
    "writev": (20, 66),
    "sched_yield": (24, 124),
    "mremap": (25, 216),
    "madvise": (28, 233),
    "nanosleep": (35, 101),
    "getpid": (39, 172),
    "sendto": (44, 206),
    "recvfrom": (45, 207),
    "sendmsg": (46, 211),
    "recvmsg": (47, 212),
    "exit": (60, 93),
    "uname": (63, 160),
    "gettimeofday": (96, 169),
    "getrlimit": (97, 163),
    "getrusage": (98, 165),
    "sysinfo": (99, 179),
    "times": (100, 153),
    "sigaltstack": (131, 132),
    "gettid": (186, 178),
    "futex": (202, 98),
    "sched_getaffinity": (204, 123),
    "restart_syscall": (219, 128),
    "clock_gettime": (228, 113),
    "clock_getres": (229, 114),
    "clock_nanosleep": (230, 115),
    "exit_group": (231, 94),
    "set_robust_list": (273, 99),
    "ppoll": (271, 73),
    "getrandom": (318, 278),
    "membarrier": (324, 283),
    "rseq": (334, 293),
}
CLONE, CLONE3, TGKILL = (56, 220), (435, 435), (234, 131)
"""Calls that depend on their arguments: a thread may be started and a process not, a signal may be sent to this process alone."""


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.c_char_p))


def confine(memory_bytes: int, num_descriptors: int) -> str:
    """Bound this process's memory and descriptors, end it with its parent, and forbid all calls that are not in ALLOWED.

    "" or, where the kernel does not do the last, the reason. The other bounds hold all the same.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    for limit, value in (
        (resource.RLIMIT_AS, memory_bytes),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_NOFILE, num_descriptors),
    ):
        resource.setrlimit(limit, (value, value))
    machine = platform.machine()
    if machine not in MACHINES:
        return f"no filter of system calls is known for {machine}"
    program = filter_of(machine, os.getpid())
    address = ctypes.byref(_Program(len(program) // 8, program))
    if libc.syscall(SECCOMP[machine], SECCOMP_SET_MODE_FILTER, ALL_THREADS, address):
        return f"the kernel takes no filter of system calls ({os.strerror(ctypes.get_errno())})"
    return ""


def filter_of(machine: str, pid: int) -> bytes:
    """The filter as the kernel's instructions, of 8 bytes each: code, jump if true, jump if false, value."""
    column = list(MACHINES).index(machine)
    program = [
        (LOAD, 0, 0, MACHINE_AT),
        (EQUAL, 1, 0, MACHINES[machine]),
        (RETURN, 0, 0, KILL),
        (LOAD, 0, 0, NUMBER_AT),
        (AT_LEAST, 0, 1, X32),
        (RETURN, 0, 0, KILL),
    ]
    for number in (numbers[column] for name, numbers in ALLOWED.items() if name not in NOT_ON.get(machine, ())):
        program += [(EQUAL, 0, 1, number), (RETURN, 0, 0, ALLOW)]
    program += [
        (EQUAL, 0, 1, CLONE3[column]),  # its flags lie in memory, which a filter cannot read: the C library then uses clone
        (RETURN, 0, 0, REFUSE | ENOSYS),
        (EQUAL, 0, 4, CLONE[column]),
        (LOAD, 0, 0, ARGUMENTS_AT),
        (MASK, 0, 0, CLONE_THREAD),
        (EQUAL, 4, 0, CLONE_THREAD),
        (RETURN, 0, 0, REFUSE | EPERM),
        (EQUAL, 0, 3, TGKILL[column]),  # how a process ends itself by a signal
        (LOAD, 0, 0, ARGUMENTS_AT),
        (EQUAL, 0, 1, pid),
        (RETURN, 0, 0, ALLOW),
        (RETURN, 0, 0, REFUSE | EPERM),
    ]
    return b"".join(struct.pack("=HBBI", *instruction) for instruction in program)
