"""Prints docs/models.md's table of architectures, each row measured on a small random checkpoint: python tests/models_table.py.

It needs torchvision and num2words (make test-native). `--loop` also runs two cycles of each, with Ray: minutes.
"""

import argparse
import logging
import os
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

os.environ |= {
    "HF_HUB_OFFLINE": "1",
    "RAY_AUTH_MODE": "disabled",
    "TRANSFORMERS_VERBOSITY": "error",
    "RAY_USAGE_STATS_ENABLED": "0",
}
COLUMNS = (
    "architecture",
    "greedy equal",
    "loss equal (1e-5)",
    "vision modules with LoRA",
    "prefix shared",
    "export equal",
    "two cycles",
)


def row(kind: str, folder: Path, with_loop: bool) -> list[str]:
    from models import registry
    from native import checks, loop
    from native.architectures import CPU, UNTRAINABLE, a_checkpoint

    spec = a_checkpoint(kind, folder / kind)
    llm: Any = registry.load(spec, CPU)
    shared = "yes" if llm.shares_prefixes else "no"
    cells = [kind, yes(checks.greedy_equal(spec))]
    if kind in UNTRAINABLE:
        return [*cells, "not trained", "not trained", shared, "not trained", "not trained"]
    cells += [
        yes(checks.loss_difference(spec) < 1e-5),
        str(checks.vision_modules_with_lora(spec)),
        shared,
    ]
    cells.append(yes(checks.export_difference(spec, folder / f"{kind}-export") < 1e-4))
    cells.append(yes(len(loop.two_cycles(spec, folder / f"{kind}-loop")["cycles"]) == 2) if with_loop else "")
    return cells


def yes(holds: bool) -> str:
    return "yes" if holds else "NO"


def main(arguments: Sequence[str], write: Callable[[str], None] = print) -> None:
    from native.architectures import FIELDS

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kinds", nargs="*", default=sorted(FIELDS))
    parser.add_argument("--loop", action="store_true")
    options = parser.parse_args(arguments)
    logging.disable(logging.WARNING)
    write(f"| {' | '.join(COLUMNS)} |")
    write(f"|{'---|' * len(COLUMNS)}")
    with tempfile.TemporaryDirectory(prefix="sl-") as folder:
        if options.loop:
            from engine.connection import connect

            os.environ.setdefault("RAY_TMPDIR", folder)
            with connect(""):
                for kind in options.kinds:
                    write(f"| {' | '.join(row(kind, Path(folder), True))} |")
            return
        for kind in options.kinds:
            write(f"| {' | '.join(row(kind, Path(folder), False))} |")


if __name__ == "__main__":
    main(sys.argv[1:])
