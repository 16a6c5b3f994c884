"""The device that a model computes on: whether it is there, and what its memory errors are called."""

import functools
from collections.abc import Callable
from typing import ParamSpec, TypeVar

import torch

from models.base import Device, EngineDied, OutOfMemory

OUT_OF_MEMORY = ("CUDA error: out of memory", "_STATUS_ALLOC_FAILED", "DefaultCPUAllocator: can't allocate memory")
"""What plain RuntimeErrors of torch say: of the driver, of cuBLAS and cuDNN, and of the CPU's allocator."""
P = ParamSpec("P")
R = TypeVar("R")


def refuse_missing_gpu(device: Device) -> None:
    """Raises ValueError where the configuration asks for a GPU and torch cannot use one: before any weight is read."""
    try:
        torch.zeros(1, device=device.kind)
    except (RuntimeError, AssertionError) as error:  # a torch built for CPUs asserts
        if is_out_of_memory(error):
            raise
        reason = _first_line(error)
        raise ValueError(
            f"the model is to run on {device.kind!r}, and torch cannot use it: {reason}; give the process a GPU, or "
            "compute on the CPU: cluster.generator_gpus = 0, or `starloop ask` without --gpu"
        ) from None


def is_out_of_memory(error: BaseException) -> bool:
    """
    >>> is_out_of_memory(RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"))
    True
    """
    is_plain = isinstance(error, RuntimeError) and any(words in str(error) for words in OUT_OF_MEMORY)
    return is_plain or isinstance(error, torch.OutOfMemoryError)


def _first_line(error: Exception) -> str:
    """Of the error's text; the name of its kind where it has none."""
    return str(error).partition("\n")[0] or type(error).__name__


def memory_errors_named(method: Callable[P, R]) -> Callable[P, R]:
    """The method, with torch's out-of-memory errors turned into models.base.OutOfMemory, and a GPU that is lost into EngineDied.

    Memory is given back first. The new error is raised after the except block has ended, because the old one's traceback holds
    the frames, and with them the tensors, of whatever ran out of memory. For the same reason the new one does not keep the
    arguments, which may hold a piece's keys and values. After any other error of a GPU its process cannot use it any more.
    """

    @functools.wraps(method)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return method(*args, **kwargs)
        except RuntimeError as error:
            if not is_out_of_memory(error):
                if isinstance(error, torch.AcceleratorError):
                    raise EngineDied(f"the GPU gives up: {_first_line(error)}") from None
                raise
            reason = _first_line(error)
        del args, kwargs
        torch.cuda.empty_cache()  # does nothing where CUDA was never used
        raise OutOfMemory(reason)

    return call
