"""Pins that what a model or a manifest writes cannot change the terminal, and that colours of ours still do."""

import io

import pytest
from rich.table import Table
from rich.text import Text

from engine.run.failures import Failed
from jobs.status import tsv_line
from jobs.view import PlainConsole

ANSWER = "\x1b]0;title\x07it \x1b[2Jrises\x9b31m"


@pytest.mark.parametrize("printed", [ANSWER, Text(ANSWER)], ids=["text", "styled text"])
def test_control_characters_of_an_answer_are_not_printed(printed: str | Text) -> None:
    file = io.StringIO()
    console = PlainConsole(file=file, force_terminal=True, markup=False, highlight=False)
    console.print(printed)
    table = Table("answer")
    table.add_row(printed)
    console.print(table)
    console.print(Text("kept", style="green"))
    plain, coloured = file.getvalue().split("kept")
    assert "]0;titleit [2Jrises31m" in plain
    assert "\x1b]" not in plain + coloured
    assert not {"\x07", "\x9b"} & set(plain)
    assert plain.endswith("\x1b[32m")


def test_a_line_of_tabs_holds_no_control_character() -> None:
    assert tsv_line(Failed("ingest", "a\x1b[2J", "missing", "no\x07")) == "ingest\ta[2J\tmissing\tno"
