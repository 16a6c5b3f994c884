"""Pins that no link is dead, lines wrap, the contents list each page, and pages about the code name what is there."""

import ast
import re
from pathlib import Path

import pytest

import pages
from engine.audit.reviews import DROPPED, KEPT
from engine.rows import FAILURES
from engine.run.failures import DAMAGED
from engine.select.grounded import UNGROUNDED
from engine.verify.judging import DROP, KEEP, REFUSED, UNCLEAR
from jobs.exits import MEANINGS

DOCS = pages.ROOT / "docs"
WIDTH = 140
"""Maximum length of a line, but of a table."""
REASON = re.compile(r"[a-z]+(_[a-z]+)*")
REASONS_ELSEWHERE = {KEPT, DROPPED, UNGROUNDED, KEEP, DROP, REFUSED, UNCLEAR}


@pytest.mark.parametrize("page", pages.pages(), ids=pages.name_of)
def test_no_link_is_dead(page: Path) -> None:
    assert [str(link) for link in pages.links(page) if pages.is_dead(link)] == []


@pytest.mark.parametrize("page", pages.pages(), ids=pages.name_of)
def test_lines_wrap(page: Path) -> None:
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    assert [
        line
        for line in text.split("\n")
        if len(line) > WIDTH and not line.lstrip().startswith(("|", "<!--", "- `")) and not line.startswith("    ")
    ] == []


def test_the_contents_list_each_page_once() -> None:
    listed = re.findall(r"^([\w-]+)$", (DOCS / "index.md").read_text(), re.M)
    assert sorted(listed) == sorted(path.stem for path in DOCS.glob("*.md") if path.stem != "index")


def test_errors_has_every_kind_of_failure() -> None:
    assert _first_cells("Why a clip failed") == {*FAILURES, DAMAGED}


def test_errors_has_every_reason() -> None:
    """Reasons are written out where a verdict is made: as `reason=`, as an argument of `_rejected`, or in what names a reason."""
    found = set[str]()
    for path in (pages.ROOT / "engine" / "verify").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            found |= {text for text in _reasons(node) if REASON.fullmatch(text)}
    documented = _first_cells("Why an answer was dropped")
    assert found | REASONS_ELSEWHERE == documented


def test_errors_has_what_refuses() -> None:
    """The words of each refusal stand in the code."""
    code = "\n".join(path.read_text() for folder in ("engine", "jobs", "models") for path in (pages.ROOT / folder).rglob("*.py"))
    code = re.sub(r'"\s*\n\s*f?"', "", code)
    assert [words for words in _first_cells("Why a command refused") if words not in code] == []


def test_errors_has_the_exit_statuses() -> None:
    rows = re.findall(r"^\| (\d+) \| (.*) \|$", _section("Exit statuses"), re.M)
    assert rows == [(str(status.value), meaning) for status, meaning in MEANINGS.items()]


def test_the_life_of_a_clip_names_what_is_there() -> None:
    """`engine/FILE.py` followed by a name in code: a function or class of that file."""
    named = re.findall(r"(engine/[\w/]+\.py)\s+`(\w+)`", (DOCS / "life_of_a_clip.md").read_text())
    assert len(named) > 25
    assert [pair for pair in named if pair[1] not in _definitions(pages.ROOT / pair[0])] == []


def _reasons(node: ast.AST) -> list[str]:
    """Texts that may be reasons: of `reason=`, of `_rejected(...)`, of `reason = ...`, of a function named after a reason."""
    match node:
        case ast.keyword(arg="reason", value=value):
            return _texts(value)
        case ast.Call(func=ast.Name(id=name), args=args) if name.endswith("rejected"):
            return [text for argument in args[:2] for text in _texts(argument)]
        case ast.Assign(targets=[ast.Tuple(elts=[*names])], value=value) if "reason" in map(_name, names):
            return _texts(value)
        case ast.Assign(targets=[ast.Name(id="reason")], value=value):
            return _texts(value)
        case ast.FunctionDef(name=name) if "reason" in name:
            return [
                text for inner in ast.walk(node) if isinstance(inner, ast.Return) and inner.value for text in _texts(inner.value)
            ]
    return []


def _name(node: ast.expr) -> str:
    return node.id if isinstance(node, ast.Name) else ""


def _texts(node: ast.expr) -> list[str]:
    """Texts that an expression may be: itself, the branches of a condition, the elements of a tuple."""
    match node:
        case ast.Constant(value=str(text)):
            return [text]
        case ast.IfExp(body=body, orelse=other):
            return [*_texts(body), *_texts(other)]
        case ast.Tuple(elts=elements):
            return [text for element in elements for text in _texts(element)]
    return []


def _section(title: str) -> str:
    return (DOCS / "errors.md").read_text().split(f"\n## {title}\n")[1].split("\n## ")[0]


def _first_cells(title: str) -> set[str]:
    return set(re.findall(r"^\| `([^`]+)` \|", _section(title), re.M))


def _definitions(path: Path) -> set[str]:
    body = ast.parse(path.read_text()).body if path.is_file() else []
    return {node.name for node in body if isinstance(node, ast.FunctionDef | ast.ClassDef | ast.AsyncFunctionDef)}
