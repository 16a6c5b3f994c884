"""Prints docs/tree.md: the project's files, each with the first line of what it says about itself. `make tree` writes it."""

import ast
import subprocess
from functools import cache
from itertools import groupby
from pathlib import Path

ROOT = Path(__file__).parents[1]
FOLDERS = ("jobs", "engine", "worlds", "models", "cluster")
HEAD = """# The tree

Each file, with the first line of its own docstring; `make tree` writes this page, and a test holds it to the files.
Imports point one way: jobs -> worlds -> engine -> models. Inside engine they follow the data, in the order that ROOMS in
tests/pure/test_architecture.py gives.
"""


@cache
def first_line(path: Path) -> str:
    """What a file says of itself: a module's docstring, or a comment at the top of a text file."""
    text = path.read_text()
    if path.suffix == ".py":
        return (ast.get_docstring(ast.parse(text)) or "").split("\n")[0]
    line = text.split("\n")[0]
    return line.lstrip("# ") if line.startswith("#") else ""


def files() -> list[Path]:
    """The files under version control, new ones among them, of the folders that hold code."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", *FOLDERS]
    names = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    wanted = [ROOT / name for name in sorted(set(names)) if name.endswith((".py", ".toml", ".yaml", "Dockerfile"))]
    return [path for path in wanted if path.is_file()]


def render() -> str:
    lines = [HEAD]
    paths = sorted(files(), key=lambda path: (FOLDERS.index(path.relative_to(ROOT).parts[0]), path.parent, path.name))
    for folder, group in groupby(paths, key=lambda path: path.parent):
        members = list(group)
        init = next((path for path in members if path.name == "__init__.py"), None)
        lines.append(f"## {folder.relative_to(ROOT)}\n")
        if init is not None and first_line(init):
            lines.append(f"{first_line(init)}\n")
        shown = [path for path in members if path.name != "__init__.py"]
        lines += [f"- `{path.name}`: {first_line(path)}" for path in shown]
        lines += [""] if shown else []
    return "\n".join(lines).rstrip() + "\n"


if __name__ == "__main__":
    print(render(), end="")
