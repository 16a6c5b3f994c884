"""Operations and bytes a second of GPUs and CPUs."""

from collections.abc import Mapping
from dataclasses import dataclass

from engine.estimate.assumptions import Assumptions
from engine.estimate.bands import Band, exactly


@dataclass(frozen=True, slots=True, kw_only=True)
class Gpu:
    """Gpu(name="H100", flops=989.4e12, bytes_per_s=3.35e12, memory_gib=80, source="NVIDIA's data sheet")"""

    name: str
    flops: float
    """Peak operations a second in bfloat16, without sparsity."""
    bytes_per_s: float
    """Peak memory bandwidth."""
    memory_gib: float
    source: str


GPUS: dict[str, Gpu] = {
    gpu.name: gpu
    for gpu in (
        Gpu(
            name="A100-40GB",
            flops=312e12,
            bytes_per_s=1.555e12,
            memory_gib=40,
            source="NVIDIA A100 data sheet (nvidia-a100-datasheet-us-nvidia-1758950-r4-web.pdf), SXM4",
        ),
        Gpu(
            name="A100-80GB",
            flops=312e12,
            bytes_per_s=2.039e12,
            memory_gib=80,
            source="NVIDIA A100 data sheet (nvidia-a100-datasheet-us-nvidia-1758950-r4-web.pdf), SXM4",
        ),
        Gpu(
            name="H100", flops=989.4e12, bytes_per_s=3.35e12, memory_gib=80, source="NVIDIA H100 data sheet, SXM5, without sparsity"
        ),
        Gpu(
            name="H200", flops=989.4e12, bytes_per_s=4.8e12, memory_gib=141, source="NVIDIA H200 data sheet, SXM, without sparsity"
        ),
    )
}


def choose(name: str, memory_gib: float, more: Mapping[str, Gpu]) -> Gpu:
    """The GPU of a name; for "" the slowest one of the smallest memory that a configuration needs.

    `more`: GPUs of the user's table. Raises ValueError for a name that is in neither table.

    >>> choose("", 79.0, {}).name, choose("", 40.0, {}).name, choose("H200", 79.0, {}).name
    ('A100-80GB', 'A100-40GB', 'H200')
    """
    known = GPUS | dict(more)
    if not name:
        enough = [gpu for gpu in known.values() if gpu.memory_gib >= memory_gib] or list(known.values())
        return min(enough, key=lambda gpu: (gpu.memory_gib, gpu.flops))
    if name not in known:
        raise ValueError(
            f"--gpu {name}: known are {', '.join(known)}; describe it in the table of --prices: [gpus.{name}] tflops = ..., "
            "tb_per_s = ..., memory_gib = ..."
        )
    return known[name]


@dataclass(frozen=True, slots=True, kw_only=True)
class Speed:
    """What one process reaches: Speed(flops=Band(...), train_flops=Band(...), bytes_per_s=Band(...))"""

    flops: Band
    """While it encodes clips and reads prompts."""
    train_flops: Band
    bytes_per_s: Band
    """While it writes answers."""
    basis: str
    """In words, for whoever reads the estimate."""


def speed_of_gpus(gpu: Gpu, count: float, assumed: Assumptions) -> Speed:
    """Of a process that is given so many GPUs, or a share of one."""
    return Speed(
        flops=assumed["flops_share"] * (gpu.flops * count),
        train_flops=assumed["train_flops_share"] * (gpu.flops * count),
        bytes_per_s=assumed["bandwidth_share"] * (gpu.bytes_per_s * count),
        basis=f"computed for {gpu.name} from operations and bytes (flops_share, train_flops_share, bandwidth_share)",
    )


CORE_BYTES_PER_S = 10e9
"""Of one core. A CPU is bound by its operations before that, so it hardly matters."""


def speed_of_cpus(cpus: float, assumed: Assumptions) -> Speed:
    """Of a process that is given so many CPUs; one that is given none takes a core all the same."""
    flops = assumed["cpu_flops"] * max(1.0, cpus)
    return Speed(
        flops=flops,
        train_flops=flops,
        bytes_per_s=exactly(CORE_BYTES_PER_S * max(1.0, cpus)),
        basis="computed from operations (cpu_flops)",
    )
