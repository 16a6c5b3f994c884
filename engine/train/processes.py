"""Ranks as processes of this machine, without Ray: what a rehearsal and tests train with."""

import multiprocessing
import os
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any

from engine.train.backends import load_backend
from engine.train.job import Rank
from models.base import Device

END_S = 10.0
"""How long a rank may take to end after its last result."""


class RankFailed(RuntimeError):
    """One line: what stopped a rank."""


def run_ranks(
    world_size: int, device: Device, work: Callable[[Rank, Any], Any], values: Sequence[Any], timeout_s: float
) -> Iterator[Any]:
    """What rank 0 returns for each value; every rank calls work(rank, value) for each value in order, in one process.

    `work` is a function of a module. torch's process group exists when it is called. Raises RankFailed where a rank raises, dies or
    is not done in time; no process is left.
    """
    context = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory(prefix="starloop-ranks-") as folder:
        receiver, sender = context.Pipe(duplex=False)
        processes = [
            context.Process(
                target=_run_rank, args=(Rank(number, world_size, number), device, work, values, folder, sender), daemon=True
            )
            for number in range(world_size)
        ]
        for process in processes:
            process.start()
        sender.close()  # so that the pipe ends when the ranks do
        deadline = time.monotonic() + timeout_s
        try:
            for _ in values:
                yield _receive(receiver, processes, deadline)
            for process in processes:
                process.join(END_S)
        finally:
            for process in processes:
                process.kill()
                process.join()


def _receive(receiver: Connection, processes: Sequence[BaseProcess], deadline: float) -> Any:
    if not receiver.poll(max(0.0, deadline - time.monotonic())):
        raise RankFailed("the ranks were not done in time; they may wait for each other")
    try:
        problem, result = receiver.recv()
    except EOFError:
        for process in processes:
            process.join()
        codes = ", ".join(str(process.exitcode) for process in processes)
        raise RankFailed(f"the ranks ended without a result; exit codes {codes}") from None
    if problem:
        raise RankFailed(problem)
    return result


def _run_rank(
    rank: Rank, device: Device, work: Callable[[Rank, Any], Any], values: Sequence[Any], folder: str, sender: Connection
) -> None:
    """A rank's process. What DeepSpeed and torch print goes into a file."""
    os.environ.update(load_backend("deepspeed").environment(device))
    os.environ.update(RANK=str(rank.rank), WORLD_SIZE=str(rank.world_size), LOCAL_RANK=str(rank.local_rank))
    with open(f"{folder}/log-{rank.rank}", "w") as log:
        for descriptor in (1, 2):
            os.dup2(log.fileno(), descriptor)
    import torch.distributed
    from tqdm import tqdm  # type: ignore[import-untyped]

    tqdm.set_lock(threading.RLock())  # its own is a semaphore of the machine, which a killed process would leave
    torch.set_num_threads(1)
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{folder}/rendezvous", rank=rank.rank, world_size=rank.world_size
    )
    for value in values:
        try:
            result = work(rank, value)
        except Exception as error:  # of any kind: the caller is told
            sender.send((_one_line(error), None))
            return
        if rank.rank == 0:
            sender.send(("", result))
    torch.distributed.destroy_process_group()


def _one_line(error: Exception) -> str:
    message = " ".join(str(error).split())[:500]
    return message if isinstance(error, ValueError) else f"{type(error).__name__}: {message}"
