"""Pins that docs/tree.md is the tree, that every file says what it is, and that the map of a folder has every module in it."""

import re
from pathlib import Path

import pytest

import tree


@pytest.mark.waits  # for git, and for a parse of every file
def test_the_page_is_what_the_files_say() -> None:
    page = (Path(__file__).parents[2] / "docs" / "tree.md").read_text()
    assert page == tree.render(), "run `make tree`"


def test_every_file_says_what_it_is() -> None:
    assert [str(path.relative_to(tree.ROOT)) for path in tree.files() if not tree.first_line(path)] == []


def test_the_map_of_a_folder_has_all_its_modules() -> None:
    """The docstring of __init__.py, where it has more than a line."""
    missing = []
    for path in tree.files():
        folder_map = (path.parent / "__init__.py").read_text() if (path.parent / "__init__.py").is_file() else ""
        lines = {re.split(r"\s", line)[0] for line in folder_map.splitlines()}
        if path.suffix == ".py" and not path.stem.startswith("__") and folder_map.count("\n") > 2 and path.stem not in lines:
            missing.append(str(path.relative_to(tree.ROOT)))
    assert missing == []
