"""CPU seconds of a process and of all that it starts, Ray's processes among them."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import psutil


@contextmanager
def counted_cpu() -> Iterator[Callable[[], float]]:
    """CPU seconds of this process and all its descendants, also of those that end meanwhile."""
    cpu_seconds: dict[tuple[int, float], float] = {}
    stop = threading.Event()

    def look() -> None:
        for process in [psutil.Process(), *psutil.Process().children(recursive=True)]:
            try:
                times = process.cpu_times()
                cpu_seconds[process.pid, process.create_time()] = times.user + times.system
            except psutil.NoSuchProcess:
                continue

    def keep_looking() -> None:
        while not stop.wait(0.25):
            look()

    thread = threading.Thread(target=keep_looking, daemon=True)
    thread.start()

    def total() -> float:
        look()
        return sum(cpu_seconds.values())

    try:
        yield total
    finally:
        stop.set()
        thread.join()
