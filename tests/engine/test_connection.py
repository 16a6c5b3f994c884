"""Pins that what Ray prints while it starts is held back, and shown if the start fails, also by an abort of the whole process."""

import subprocess
import sys

import pytest

from command import ROOT

START = """
import os
from engine.connection import _quiet_stderr
with _quiet_stderr():
    os.write(2, b"Check failed: no room")
    {end}
os.write(2, b" afterwards")
"""


@pytest.mark.parametrize(
    ("end", "printed"),
    [
        ("os.abort()", "Check failed: no room"),
        ("raise SystemExit(1)", "Check failed: no room"),
        ("pass", " afterwards"),
    ],
)
def test_what_is_printed_during_a_start_that_fails_is_shown(end: str, printed: str) -> None:
    done = subprocess.run([sys.executable, "-c", START.format(end=end)], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.stderr == printed
