"""Pins what a process imports to look at a model, and to load one: import seconds are paid by every process of a run."""

import subprocess
import sys
from pathlib import Path

HEAVY = "{'torch', 'transformers', 'sklearn', 'scipy', 'pandas', 'peft', 'deepspeed', 'ray', 'PIL'}"
LOOK = """
from models import registry
from models.base import FinetuneSpec, ModelSpec, Turn
spec = ModelSpec(base="tiny")
registry.check(spec)
registry.size(spec, FinetuneSpec(rank=4, alpha=4.0, dropout=0.0))
registry.frame_spec(spec), registry.version(spec)
assert registry.token_counter(spec).count([Turn(0, "What?", "Yes.")]) > 32
"""
LOAD = """
import numpy as np
from models import registry
from models.base import Device, ModelSpec, Sampling, Video
llm = registry.load(ModelSpec(base="tiny"), Device("cpu", "float32"))
watched = llm.watch([Video(np.zeros((8, 48, 48, 3), np.uint8), (0.0,) * 8)])
assert watched.ask(0, "What happens?", 0, Sampling(temperature=0.0, max_tokens=4)).result().num_tokens
"""


def imported(code: str) -> list[str]:
    """Which heavy packages a process imports that runs the code."""
    script = f"{code}\nimport sys\nprint(*sorted({HEAVY} & set(sys.modules)))"
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", script], cwd=root, capture_output=True, text=True, timeout=200, check=True)
    return done.stdout.split()


def test_a_driver_looks_at_a_model_without_torch_and_transformers() -> None:
    assert imported(LOOK) == []


def test_a_generator_imports_what_it_runs() -> None:
    assert imported(LOAD) == ["torch", "transformers"]
