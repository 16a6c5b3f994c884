"""Asks every node whether it can do its part: packages and their versions against the driver's, and CUDA where it has GPUs.

Without it a node with another image shows itself hours later, in the middle of a step, by a stack trace of Ray's.
"""

import ctypes
import importlib.metadata
import importlib.util
import platform
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import GetTimeoutError, NodeDiedError, RayError, TaskUnschedulableError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from engine.config import Cluster
from engine.nodes.demand import matches
from engine.nodes.inventory import Inventory, Node

ANSWER_S = 60.0
"""How long a node may take to start a process; a node that does not answer is left to the step that needs it."""
DECODES = ("ray", "av", "pyarrow", "fsspec", "pydantic")
COMPUTES = (*DECODES, "torch", "transformers", "peft", "deepspeed")
"""Distributions without which a node cannot decode, or neither generate nor train."""
ONE_IMAGE = "give all nodes images of one commit (cluster/Dockerfile), or select other nodes ([cluster] selectors)"


def examine(packages: tuple[str, ...], has_gpus: bool) -> dict[str, str]:
    """Versions of the packages that are installed here, of Python, and of CUDA: what torch needs, and what the driver offers."""
    versions = {"python": platform.python_version()}
    for name in packages:
        if any(importlib.metadata.distributions(name=name)):
            versions[name] = importlib.metadata.version(name).partition("+")[0]  # +cpu and +cu130 are of one version
    return versions | ({"torch's CUDA": _cuda_of_torch(), "driver's CUDA": _cuda_of_driver()} if has_gpus else {})


def _cuda_of_torch() -> str:
    """As torch's own file says, such as "13.0": importing torch takes seconds. "" for a torch without CUDA, or no torch."""
    spec = importlib.util.find_spec("torch")
    text = Path(spec.origin).with_name("version.py").read_text() if spec and spec.origin else ""
    match = re.search(r"^cuda\b[^=]*=\s*['\"]([\d.]+)['\"]", text, re.MULTILINE)
    return match[1] if match else ""


def _cuda_of_driver() -> str:
    """The newest CUDA that the node's driver runs; "" where there is none."""
    number = ctypes.c_int()
    try:
        status = ctypes.CDLL("libcuda.so.1").cuDriverGetVersion(ctypes.byref(number))
    except OSError:
        return ""
    return f"{number.value // 1000}.{number.value % 1000 // 10}" if status == 0 and number.value else ""


def troubles(inventory: Inventory, cluster: Cluster) -> Iterator[str]:
    """One line for each node that cannot do what its labels let it do, with the remedy. All nodes are asked at the same time.

    Nodes to which the run may give no work are left alone: they may be another team's.
    """
    parts = {node.node_id: part_of(node, cluster) for node in inventory.nodes}
    work = [node for node in inventory.nodes if node.total.get("CPU") and not node.is_leaving and parts[node.node_id].packages]
    here = examine(COMPUTES, has_gpus=False)
    answers = {node.node_id: _remote(node) for node in work}
    ray.wait([*answers.values()], num_returns=len(answers), timeout=ANSWER_S) if answers else None
    for node in work:
        try:
            of_node = ray.get(answers[node.node_id], timeout=0)
        except (GetTimeoutError, NodeDiedError, TaskUnschedulableError):
            continue
        except RayError as error:
            yield f"node {node} cannot run Starloop: {_last_line(error)}; {ONE_IMAGE}"
            continue
        part = parts[node.node_id]
        for line in differences(here, of_node, part.packages, part.uses_gpus):
            yield f"node {node} {line}"


@dataclass(frozen=True, kw_only=True)
class Part:
    """What a node's labels let a run do there: Part(packages=DECODES, uses_gpus=False)"""

    packages: tuple[str, ...]
    """Empty where they let it do nothing."""
    uses_gpus: bool


def part_of(node: Node, cluster: Cluster) -> Part:
    """
    >>> pools = Cluster(decode_selector={"pool": "decode"}, generator_selector={"pool": "gpu"}, train_selector={"pool": "gpu"})
    >>> [part_of(Node(node_id="", address="", labels={"pool": pool}), pools).packages[:6][-1:] for pool in ("decode", "gpu", "web")]
    [('pydantic',), ('torch',), ()]
    """
    generates, trains, decodes = (
        matches(node.labels, selector) for selector in (cluster.generator_selector, cluster.train_selector, cluster.decode_selector)
    )
    gpus = (generates and cluster.generator_gpus) or (trains and cluster.train_gpus)
    packages = COMPUTES if generates or trains else DECODES if decodes else ()
    return Part(packages=packages, uses_gpus=bool(gpus and node.total.get("GPU")))


def _remote(node: Node) -> Any:
    where = NodeAffinitySchedulingStrategy(node.node_id, soft=False)
    task = ray.remote(num_cpus=0, max_retries=0)(examine).options(scheduling_strategy=where)
    return task.remote(COMPUTES, bool(node.total.get("GPU")))


def differences(here: Mapping[str, str], there: Mapping[str, str], needed: tuple[str, ...], uses_gpus: bool) -> Iterator[str]:
    """What is wrong with a node.

    >>> here = {"python": "3.11.2", "torch": "2.13.0"}
    >>> list(differences(here, {"python": "3.11.2"}, ("torch",), False))[0][:21]
    'has no torch, and the'
    >>> list(differences(here, here | {"torch's CUDA": "13.0", "driver's CUDA": "12.8"}, (), True))[0][:60]
    'has a driver for CUDA 12.8 at most, and its torch needs 13.0'
    """
    for name in needed:
        if name in here and name not in there:
            yield f"has no {name}, and the driver has {here[name]}; {ONE_IMAGE}"
    for name in sorted({"python", *needed} & here.keys() & there.keys()):
        if here[name] != there[name]:
            yield f"has {name} {there[name]}, and the driver has {here[name]}; {ONE_IMAGE}"
    if not uses_gpus or "torch" not in there:
        return
    wheel, driver = there["torch's CUDA"], there["driver's CUDA"]
    if not wheel:
        yield "has GPUs, and its torch was built without CUDA; give it the image of the stage cuda of cluster/Dockerfile"
    elif not driver:
        yield "has GPUs for Ray, and no driver of NVIDIA's (libcuda.so.1); install it, or give the container its GPUs"
    elif _number(driver) < _number(wheel.partition(".")[0] + ".0"):  # CUDA runs on each driver of its major version
        yield f"has a driver for CUDA {driver} at most, and its torch needs {wheel}; update the driver, or install another torch"


def _number(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))


def _last_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if "Error" in line] or [str(error).strip() or type(error).__name__]
    return lines[-1][:200]
