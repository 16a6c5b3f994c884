"""The docs site: Sphinx reads README.md and docs/*.md through MyST, docstrings through autodoc. `make docs` builds it, offline."""

import re
import sys
from functools import reduce
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from engine.reference import keys, to_markdown  # noqa: E402

project = "Starloop"
extensions = ["myst_parser", "sphinx.ext.autodoc"]
html_theme = "furo"
html_title = "Starloop"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_show_sphinx = False
html_copy_source = False
highlight_language = "none"
myst_heading_anchors = 4
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"

ABOVE = {"index": "README.md", "contributing": "CONTRIBUTING.md"}
"""Pages that are files of the folder above, so that GitHub shows these where people look for them."""
RENAMED = {f"../{file}": f"{page}.md" for page, file in ABOVE.items()}
"""Links to them, as the site has them."""
FIELDS = {"Args:": "param", "Raises:": "raises", "Returns:": "returns"}
"""Heads of paragraphs of a docstring, and the fields that Sphinx calls so."""
MENDED = {
    '<p class="caption" role="heading">': '<p class="caption" role="heading" aria-level="2">',
    '<aside class="sidebar-drawer">': '<aside class="sidebar-drawer" aria-label="All pages">',
    '<aside class="toc-drawer">': '<aside class="toc-drawer" aria-label="This page">',
    '<th class="head"><p></p></th>': "<td></td>",
    "<pre>": '<pre tabindex="0">',
    '<div class="table-wrapper ': '<div tabindex="0" class="table-wrapper ',
}
"""What Sphinx and furo write, and what axe-core asks for: keys reach what scrolls, headings and asides say which they are."""
KEYS = "\n## All keys\n\nWritten from the classes of the configuration. Keys with a star may change within a run.\n\n"


def setup(app: Any) -> None:
    app.connect("source-read", _complete)
    app.connect("autodoc-process-docstring", _as_plain_text)
    app.connect("build-finished", _mend)


def _mend(app: Any, error: Exception | None) -> None:
    for path in Path(app.outdir).glob("*.html") if error is None else ():
        text = path.read_text(encoding="utf-8")
        path.write_text(reduce(lambda html, words: html.replace(*words), MENDED.items(), text), encoding="utf-8")


def _complete(app: Any, page: str, source: list[str]) -> None:
    """The text of a page that lies above; below the configuration's page the tables of all keys; links as the site has them."""
    text = source[0]
    if page in ABOVE:
        above = (ROOT / ABOVE[page]).read_text(encoding="utf-8")
        text = re.sub(r"\]\((?!https?:|#|docs/)", "](../", above).replace("](docs/", "](") + "\n" + text
    if page == "configuration":
        text += KEYS + to_markdown(keys()).replace("\n## ", "\n### ").replace("<", "&lt;")
    source[0] = re.sub(r"\]\((\.\./[A-Z]+\.md)", lambda link: "](" + RENAMED.get(link[1], link[1]), text)


def _as_plain_text(app: Any, what: str, name: str, of: object, options: object, lines: list[str]) -> None:
    """Docstrings are plain text, not reStructuredText: what is indented or in columns is shown as it is, stars are stars.

    Of a module the first paragraph is shown; the others are its map, for those who read the code.
    """
    paragraphs = "\n".join(lines).strip().split("\n\n")[: 1 if what == "module" else None]
    lines[:] = "\n\n".join(map(_paragraph, paragraphs)).split("\n")


def _paragraph(text: str) -> str:
    lines = text.split("\n")
    if text.startswith(">>>"):
        return text
    if lines[0] in FIELDS:
        field = re.sub(r"^ {4}(\w+): ", rf":{FIELDS[lines[0]]} \1: ", "\n".join(lines[1:]), flags=re.MULTILINE)
        return _words(field if lines[0] != "Returns:" else f":returns: {' '.join(line.strip() for line in lines[1:])}")
    if any(re.search(r"^ |\S {2,}\S", line) for line in lines) or re.match(r"\w+\(.*\)$", text, re.DOTALL):
        return "::\n\n" + "\n".join(f"   {line}" for line in lines)
    return _words(text)


def _words(text: str) -> str:
    """Code stays code; other signs of reStructuredText mean nothing."""
    return re.sub(r"`+([^`]+)`+", r"``\1``", re.sub(r"([*|])", r"\\\1", text)).replace("_ ", "\\_ ")
