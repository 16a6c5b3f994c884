"""Prints what differs between two runs: configuration, clips, yields, and held-out answers with a paired test."""

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from rich.table import Table

from engine.inspect.changes import DataChange
from engine.inspect.compare import ClipDifference, Difference, difference
from engine.presets import load_config
from engine.report.figures import measured_as
from engine.report.reasons import in_words
from engine.store.documents import to_json
from engine.store.files import Store
from jobs.view import a_console, reasons

VALUE_CHARS = 60
"""Of a value of the configuration in the table; --json has it whole."""


def compare(run: str, other: str, clips: int, settings: list[str], as_json: bool) -> None:
    access = load_config(None, settings).access()
    a, b = (Store(uri.rstrip("/") or uri, access) for uri in (run, other))
    value = difference(a, b, clips)
    if as_json:
        print(to_json(asdict(value)).decode())
        return
    console = a_console()
    console.print(f"a  {value.a}\nb  {value.b}")
    console.print(_table("configuration", ((key, *pair) for key, pair in value.configuration.items())))
    for change in value.data:
        for line in data_lines(change):
            console.print(line)
    rows = (("" if row["cycle"] is None else f"cycle {row['cycle']} ") + row["name"].replace("_", " ") for row in value.yields)
    console.print(_table("yields", ((name, row["a"], row["b"]) for name, row in zip(rows, value.yields, strict=True))))
    for line in test_lines(value):
        console.print(line)
    for clip in value.clips:
        console.print("\n".join(clip_lines(clip)))
    if value.differing > len(value.clips):
        console.print(f"{value.differing - len(value.clips)} more clips differ; --clips {value.differing} shows all")


def _table(name: str, rows: Iterator[tuple[str, Any, Any]]) -> Table | str:
    table = Table(box=None, padding=(0, 2), header_style="bold")
    for column in (name, "a", "b"):
        table.add_column(column, overflow="fold")
    for key, *pair in rows:
        table.add_row(key, *map(shown, pair))
    return table if table.row_count else f"{name}: no difference"


def shown(value: Any) -> str:
    """
    >>> shown({"label_missing": 3}), shown(0.97000001), shown(None), shown("x" * 90)[-5:], shown(True), shown({})
    ('3 label missing', '0.97', '-', 'xx...', 'true', '0')
    """
    if isinstance(value, dict) and all(isinstance(count, int) for count in value.values()):
        return reasons(value)
    if isinstance(value, float):
        return f"{value:.4g}"
    text = "-" if value is None else value if isinstance(value, str) else to_json(value).decode()
    return text if len(text) <= VALUE_CHARS else f"{text[:VALUE_CHARS]}..."


def data_lines(change: DataChange) -> Iterator[str]:
    yield f"{change.split} clips: {change.clips[0]} in a, {change.clips[1]} in b"
    for name, count, words in (
        ("only_a", change.only_a, "only in a"),
        ("only_b", change.only_b, "only in b"),
        ("changed", change.changed, "with another video, window, question or label"),
    ):
        if count:
            more = ", ..." if count > len(change.first[name]) else ""
            yield f"  {count} {words}: {', '.join(change.first[name])}{more}"


def test_lines(value: Difference) -> Iterator[str]:
    """The paired test, in words."""
    names = f"{value.models[0]} of a and {value.models[1]} of b"
    test = value.test
    if test is None:
        yield f"held-out answers: {names} have no clip in common, or are not there yet"
        return
    yield (
        f"held-out answers: {names} both answered {test.clips} clips of {test.videos} videos; b alone is right about {test.won}, "
        f"a alone about {test.lost}"
    )
    if value.instead_of:
        judged = measured_as(value.instead_of)
        yield f"  by {measured_as(value.metric)}: a run lacks replies of the judge for {judged}, and nobody is asked"
    yield f"  b gains {test.gain:+.3f}; one-sided paired test: p = {test.p:.2g} for b being better, {value.p_worse:.2g} for a"


def clip_lines(clip: ClipDifference) -> Iterator[str]:
    yield f"{clip.clip_id} [{clip.label}]: {clip.better} is right"
    for name, text, reason in (("a", clip.text_a, clip.reason_a), ("b", clip.text_b, clip.reason_b)):
        why = "" if name == clip.better else f"  ({in_words(reason)})"
        yield f"  {name}  {' '.join(text.split())}{why}"
