"""Prints what an example was made from, back to the base model, and which models were trained on it."""

from collections.abc import Iterator
from dataclasses import asdict

from engine.inspect.lineage import Ancestor, Lineage, Use, lineage_of
from engine.presets import load_config
from engine.report.reasons import in_words
from engine.store.documents import to_json
from engine.store.files import Store
from jobs.view import a_console


def lineage(run: str, example_id: str, settings: list[str], as_json: bool) -> None:
    store = Store(run.rstrip("/") or run, load_config(None, settings).access())
    value = lineage_of(store, example_id)
    if as_json:
        print(to_json(asdict(value)).decode())
        return
    console = a_console()
    for line in [*example_lines(value), *back_lines(value), *map(use_line, value.uses)]:
        console.print(line)


def example_lines(value: Lineage) -> Iterator[str]:
    example = value.example
    yield f"example   {example['example_id']}  ({example['source']}, {example['mode']}, clip {example['clip_id']})"
    yield f"video     {example['video'] or 'none: text alone'}"
    yield f"prompt    {' '.join(example['prompt'].split())}"
    yield f"answer    {' '.join(example['answer'].split())}"
    if example["people"]:
        yield f"people    {example['people']}"


def back_lines(value: Lineage) -> Iterator[str]:
    """From the attempt to the base."""
    attempt = value.attempt
    if attempt is not None:
        yield f"attempt   of {value.generate}, piece {attempt['piece_id']}: {attempt['reason']}, {in_words(attempt['reason'])}"
    elif value.example["source"] == "star":
        yield "attempt   its piece is gone: `starloop gc` deletes those of cycles in the middle"
    for number, ancestor in enumerate(value.ancestors):
        yield f"{'answered' if number == 0 else 'before':9} {ancestor_line(ancestor)}"
    if value.ancestors:
        yield f"base      {value.ancestors[-1].base}"


def ancestor_line(ancestor: Ancestor) -> str:
    """
    >>> ancestor_line(Ancestor(model="tiny", digest="d5", answered="r/g", trained_by=None, examples=None, base="tiny"))
    'by tiny (digest d5), which was there before the run'
    """
    line = f"by {ancestor.model} (digest {ancestor.digest or 'unknown'})"
    if ancestor.trained_by is None:
        return f"{line}, which was there before the run"
    examples = ", ".join(f"{count} {name}" for name, count in (ancestor.examples or {}).items())
    return f"{line}, which {ancestor.trained_by} made of {ancestor.base} with {examples or 'no'} examples"


def use_line(use: Use) -> str:
    model = use.model or f"{use.train} of {use.run} is not done yet"
    model += f"{' (promoted)' if use.promoted else ''}{' (deleted by starloop gc)' if use.is_deleted else ''}"
    accuracy = "" if use.accuracy is None else f", {use.accuracy:.3f} on the held-out clips"
    return f"used      {model}{accuracy}: {use.trained or f'selected by {use.select}'}"
