"""Pins the shape of the house: imports point one way, one file uses ray.data, pure code needs neither Ray nor torch."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LAYERS = {"models": 0, "engine": 1, "jobs": 2}
SOURCES = [path for layer in LAYERS for path in sorted((ROOT / layer).rglob("*.py"))]
PURE = [
    "engine.config", "engine.rows", "engine.storage", "engine.store", "engine.seals", "engine.lease", "engine.data.clips",
    "engine.plan", "engine.summary", "engine.data.frames", "engine.data.manifest",
    "engine.data.pieces", "engine.evaluate.accuracy",
    "engine.report.evidence", "engine.report.page", "engine.generate.ledger", "engine.generate.prompts", "engine.train.mixture",
    "engine.train.deepspeed_config", "engine.verify.keywords", "engine.verify.leakage", "engine.verify.text",
    "engine.episodes.build", "engine.episodes.export", "engine.episodes.properties", "engine.evaluate.few_shot",
    "engine.train.batches", "engine.report.curve",
    "engine.verify.verdict", "engine.budget", "models.base", "models.size", "jobs.cli",
]  # fmt: skip


def imports(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            names |= {node.module or ""} | {f"{node.module}.{alias.name}" for alias in node.names}
    return names


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_point_one_way(path: Path) -> None:
    mine = LAYERS[path.relative_to(ROOT).parts[0]]
    against = [name for name in imports(path) if LAYERS.get(name.split(".")[0], -1) > mine]
    assert against == []


def test_one_file_uses_ray_data() -> None:
    users = [str(path.relative_to(ROOT)) for path in SOURCES if any(name.startswith("ray.data") for name in imports(path))]
    assert users == ["engine/flow.py"]


def test_models_know_no_ray() -> None:
    users = [path.name for path in (ROOT / "models").rglob("*.py") if any(n.split(".")[0] == "ray" for n in imports(path))]
    assert users == []


def test_pure_modules_import_neither_ray_nor_torch() -> None:
    code = f"import sys, {', '.join(PURE)}; print(*sorted({{'ray', 'torch', 'transformers', 'av'}} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.split() == []


def test_our_folders_are_the_ones_imported() -> None:
    import engine
    import models

    assert Path(engine.__file__ or "").parents[1] == ROOT
    assert Path(models.__file__ or "").parents[1] == ROOT


def test_no_drawers() -> None:
    drawers = {"utils", "common", "helpers", "misc", "constants"}
    assert [path.name for path in SOURCES if path.stem in drawers] == []
