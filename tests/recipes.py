"""The recipes in jobs/configs by what serves their model, and whether a file's head says what its budget says."""

import re
from pathlib import Path

from engine.presets import load_config
from engine.run.resources import afford

CONFIGS = Path("jobs/configs")
PLLAVA = ["llava-onevision-7b-pooled", "pllava-13b", "pllava-34b", "pllava-7b", "recaption-pllava-7b", "videostar-pllava-7b"]
NATIVE = ["internvl3.5-8b", "llava-onevision-7b", "qwen3-vl-8b", "smolvlm2-2.2b"]


def head_of(recipe: str) -> str:
    """Its comment."""
    lines = (CONFIGS / f"{recipe}.toml").read_text().split("\n\n")[0].splitlines()
    return " ".join(line.removeprefix("# ") for line in lines)


def assert_head_is_true(recipe: str) -> None:
    """Numbers of GiB and of GPU-hours."""
    lines, head = afford(load_config(CONFIGS / f"{recipe}.toml", [])), head_of(recipe)
    gib = {line.split(": ")[1]: line.split(": ")[2].split(" (")[0] for line in lines if " GiB a GPU (" in line}
    assert f"generate {gib['generate']}, train {gib['train']}" in head
    hours = re.search(r"10,000 long clips take about .* to learn from once", lines[-1])
    assert hours
    assert hours[0] in head
