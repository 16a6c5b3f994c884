"""Prints what a terminal shows at the end of a run as an SVG: python tests/terminal.py RUN; `make pictures` writes it."""

import io
import json
import re
import sys
from pathlib import Path

from rich.console import Console
from rich.terminal_theme import MONOKAI

from jobs.view import print_summary

COLUMNS = 128


def picture(summary: dict[str, object], title: str) -> str:
    """An SVG of the summary as jobs/view.py prints it. It asks for no font of another server, as rich's own template does."""
    console = Console(
        record=True, width=COLUMNS, file=io.StringIO(), force_terminal=True, highlight=False, markup=False, emoji=False
    )
    print_summary(summary, console)
    svg = console.export_svg(title=title, theme=MONOKAI, unique_id="terminal")
    return re.sub(r"@font-face \{.*?\}\n\s*", "", svg, flags=re.DOTALL)


if __name__ == "__main__":
    print(picture(json.loads((Path(sys.argv[1]) / "summary.json").read_text()), f"starloop demo --out {sys.argv[1]}"))
