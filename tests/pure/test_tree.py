"""Pins that docs/tree.md is the tree, and that every file and every folder of it says what it is."""

from pathlib import Path

import tree


def test_the_page_is_what_the_files_say() -> None:
    page = (Path(__file__).parents[2] / "docs" / "tree.md").read_text()
    assert page == tree.render(), "run `make tree`"


def test_every_file_says_what_it_is() -> None:
    assert [str(path.relative_to(tree.ROOT)) for path in tree.files() if not tree.first_line(path)] == []
