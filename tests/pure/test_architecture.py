"""Pins the shape of the house: imports point one way, one file uses ray.data, pure code needs neither Ray nor torch."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LAYERS = {"models": 0, "engine": 1, "worlds": 2, "jobs": 3}
SOURCES = [path for layer in LAYERS for path in sorted((ROOT / layer).rglob("*.py"))]
ROOMS = [
    (
        "engine.labels", "engine.rows", "engine.section", "engine.engines", "engine.judging", "engine.config", "engine.presets",
        "engine.reference", "engine.quantities",
        "engine.memory", "engine.flow", "engine.connection", "engine.store", "engine.logs", "engine.nodes",
    ),
    ("engine.metrics",),
    ("engine.language",),
    ("engine.verify",),
    ("engine.ingest.clips", "engine.ingest.pieces"),
    ("engine.decode",),
    (
        "engine.run.promotion", "engine.run.plan", "engine.run.seals", "engine.run.lease", "engine.run.work",
        "engine.run.resources", "engine.run.costs", "engine.run.waiting", "engine.run.collected",
    ),
    (
        "engine.ingest", "engine.evaluate.sets", "engine.evaluate.intervals", "engine.evaluate.metrics", "engine.evaluate.outcomes",
        "engine.evaluate.paired", "engine.evaluate.text_metrics",
    ),
    ("engine.generate",),
    ("engine.audit",),
    ("engine.episodes",),
    ("engine.select",),
    ("engine.train",),
    ("engine.report",),
    ("engine.evaluate",),
    ("engine.estimate",),
    ("engine.export",),
    ("engine.run",),
    ("engine.extend",),
    ("engine.inspect",),
    ("engine.library",),
]  # fmt: skip
"""Engine's rooms in the order of the data: a module imports from its own row and from the rows above it."""
PURE = [
    "engine.config", "engine.presets", "engine.rows", "engine.store.filesystems", "engine.store.files",
    "engine.run.seals", "engine.run.lease", "engine.run.plan", "engine.run.promotion", "engine.run.summary", "engine.run.resources",
    "engine.run.costs", "engine.run.logs", "engine.logs.workers", "engine.nodes.demand", "engine.nodes.inventory",
    "engine.nodes.placement", "engine.nodes.shortage",
    "engine.ingest.clips", "engine.ingest.manifest", "engine.ingest.pieces", "engine.decode.frames",
    "engine.language.answer", "engine.verify.keywords", "engine.verify.leakage", "engine.verify.verdict",
    "engine.generate.ledger", "engine.generate.prompts", "engine.generate.seeds",
    "engine.select.choose", "engine.select.duplicates",
    "engine.episodes.build", "engine.episodes.export", "engine.episodes.properties",
    "engine.train.mixture", "engine.train.batches", "engine.train.schedule", "engine.train.job", "engine.train.backends.deepspeed",
    "engine.metrics.table", "engine.metrics.board", "engine.metrics.idle", "engine.metrics.files",
    "engine.evaluate.metrics", "engine.evaluate.outcomes", "engine.evaluate.intervals", "engine.evaluate.paired",
    "engine.evaluate.text_metrics", "engine.evaluate.sets", "engine.evaluate.few_shot.curve",
    "engine.verify.stages", "engine.verify.rules",
    "engine.audit.strata", "engine.audit.figures", "engine.audit.sheet", "engine.audit.reviews",
    "engine", "engine.library", "engine.export.kept", "engine.export.formats", "engine.export.export",
    "engine.reference", "engine.inspect.clip", "engine.inspect.compare", "engine.inspect.lineage",
    "engine.estimate.estimate", "engine.report.page", "engine.report.curve", "engine.report.counts",
    "engine.report.chosen", "engine.report.beliefs", "engine.report.tables", "engine.report.charts",
    "models.base", "models.registry", "models.folders", "models.pllava.size", "jobs.cli", "jobs.plan",
]  # fmt: skip
ACTORS = ("engine.generate.generator", "engine.train.trainer", "engine.evaluate.few_shot.narrator")
"""What runs on Ray: another step's room does not import it."""


@cache
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


def room_of(module: str) -> int:
    """The lowest row of ROOMS that names the module or a package above it most exactly."""
    matches = [(len(name), row) for row, names in enumerate(ROOMS) for name in names if f"{module}.".startswith(f"{name}.")]
    return max(matches)[1] if matches else -1


@pytest.mark.parametrize(
    "path", [path for path in SOURCES if path.relative_to(ROOT).parts[0] == "engine"], ids=lambda path: str(path.relative_to(ROOT))
)
def test_rooms_follow_the_data(path: Path) -> None:
    module = ".".join(path.relative_to(ROOT).with_suffix("").parts)
    against = [name for name in imports(path) if name.startswith("engine.") and room_of(name) > room_of(module) >= 0]
    assert against == []


def test_no_step_imports_what_another_step_runs_on_ray() -> None:
    borrowed = [
        (str(path.relative_to(ROOT)), name)
        for path in SOURCES
        for name in imports(path)
        if name in ACTORS and path.relative_to(ROOT).parts[0] == "engine"
        if path.relative_to(ROOT).parts[1] != name.split(".")[1]
    ]
    assert borrowed == []


def names_of(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Line and name of what is assigned, taken as an argument or defined."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Name | ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield node.lineno, node.id if isinstance(node, ast.Name) else node.attr
        elif isinstance(node, ast.arg):
            yield node.lineno, node.arg
        elif isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield node.lineno, node.name


@pytest.mark.waits
def test_names_are_nouns() -> None:
    verbs = {"said", "found", "made", "asked", "asked_again", "told", "seen", "some", "one"}
    against = [
        f"{path.relative_to(ROOT)}:{line} {name}"
        for path in SOURCES
        for line, name in names_of(ast.parse(path.read_text()))
        if name.strip("_") in verbs | {verb.title() for verb in verbs}
    ]
    assert against == []


def test_one_file_uses_ray_data() -> None:
    users = [str(path.relative_to(ROOT)) for path in SOURCES if any(name.startswith("ray.data") for name in imports(path))]
    assert users == ["engine/flow.py"]


def test_models_know_no_ray() -> None:
    users = [path.name for path in (ROOT / "models").rglob("*.py") if any(n.split(".")[0] == "ray" for n in imports(path))]
    assert users == []


@pytest.mark.waits
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
