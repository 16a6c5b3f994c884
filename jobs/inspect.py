"""Prints all that ever happened to a clip of a run: its row, each attempt with its verdict, and what became of it."""

from collections.abc import Iterator
from dataclasses import asdict
from itertools import groupby

from rich.console import Console
from rich.text import Text

from engine.inspect.clip import Attempted, ClipHistory, history_of
from engine.inspect.selected import Selected
from engine.presets import load_config
from engine.report.reasons import in_words
from engine.store.documents import to_json
from engine.store.files import Store
from jobs.view import a_console

INDENT = "  "
COLOURS = {"kept": "green", "rejected": "red", "failed": "yellow"}


def inspect(run: str, clip_id: str, split: str, settings: list[str], as_json: bool) -> None:
    store = Store(run.rstrip("/") or run, load_config(None, settings).access())
    history = history_of(store, clip_id, split)
    if as_json:
        print(to_json(asdict(history)).decode())
        return
    console = a_console()
    for line in row_lines(history):
        console.print(line)
    attempts = {step: list(rows) for step, rows in groupby(history.attempts, key=lambda attempt: attempt.step)}
    choices = {choice.step: choice for choice in history.selected}
    for step in sorted({*attempts, *choices, *history.absent}):  # by name: base first, then cycle by cycle, generate before select
        console.print(Text(f"\n{step}", style="bold"))
        for attempt in attempts.get(step, ()):
            _print_attempt(console, attempt)
        if step in choices:
            console.print(f"{INDENT}{choice_line(choices[step])}")
        if step in history.absent:
            console.print(f"{INDENT}no attempt: {history.absent[step]}")
    for review in history.reviews:
        console.print(f"people say {review.people}{f': {review.note}' if review.note else ''}")


def row_lines(history: ClipHistory) -> Iterator[str]:
    """The clip's own row, and where it lies."""
    clip = history.clip
    window = window_text(clip["start_s"], clip["end_s"])
    yield f"clip      {history.clip_id}  ({clip['split']}; row {history.row} of {history.part})"
    yield f"video     {clip['video']}  ({window})"
    yield f"question  {clip['question']}"
    label = {name: value for name, value in clip["label"].items() if name != "kind" and value}
    yield f"label     {clip['label']['kind']}: {', '.join(_plain(name, value) for name, value in label.items())}"
    narrated = {name: clip[name] for name in ("verb", "noun", "description", "narrator") if clip[name]}
    if narrated:
        yield f"narrated  {', '.join(f'{name} {value!r}' for name, value in narrated.items())}"
    if history.change:
        yield f"manifest  {history.change} since the run that this one continues"


def window_text(start_s: float | None, end_s: float | None) -> str:
    """
    >>> window_text(None, None), window_text(2.0, None), window_text(None, 7.5)
    ('the whole video', '2 s to the end', 'the start to 7.5 s')
    """
    if start_s is None and end_s is None:
        return "the whole video"
    return f"{'the start' if start_s is None else f'{start_s:g} s'} to {'the end' if end_s is None else f'{end_s:g} s'}"


def _plain(name: str, value: object) -> str:
    """
    >>> _plain("text", "rising"), _plain("aliases", ["up"])
    ('rising', "aliases ['up']")
    """
    return str(value) if name == "text" else f"{name} {value}"


def _print_attempt(console: Console, attempt: Attempted) -> None:
    sample = f" {attempt.sample}" if attempt.sample else ""
    head = Text(f"{INDENT}{attempt.mode}{sample}: ")
    head.append(outcome_of(attempt), style=COLOURS.get(attempt.outcome, ""))
    head.append(f", {attempt.reason}: {attempt.why}" if attempt.reason not in attempt.why else f": {attempt.why}")
    console.print(head)
    if attempt.outcome != "failed":
        console.print(marked(attempt))
    for line in attempt_lines(attempt):
        console.print(f"{INDENT}{INDENT}{line}")


def outcome_of(attempt: Attempted) -> str:
    """Of an evaluation's answer: right or wrong, as the table of cycles has it."""
    words = {"kept": "right", "rejected": "wrong"} if "/evaluate" in attempt.step else {}
    return words.get(attempt.outcome, attempt.outcome)


def marked(attempt: Attempted) -> Text:
    """The answer in one line; what decided is in » « and bold, so that it is seen without colours too.

    >>> marked_text("It is rising.", (6, 12)).plain
    'It is »rising«.'
    """
    text = marked_text(attempt.text, attempt.span)
    return Text(f"{INDENT}{INDENT}").append_text(text)


def marked_text(text: str, span: tuple[int, int] | None) -> Text:
    start, end = span or (0, 0)
    whole = Text(" ".join(text[:start].split(" ")))
    if end > start:
        whole.append("»").append(text[start:end], style="bold").append("«")
    return whole.append(text[end:])


def attempt_lines(attempt: Attempted) -> Iterator[str]:
    """What else is known of an attempt, a line each."""
    for judgement in attempt.judgements:
        if judgement.stage != "rules":
            by = f" ({judgement.model})" if judgement.model else ""
            yield f"{judgement.stage}{by}: {'keep' if judgement.keep else 'drop'}, {judgement.detail or in_words(judgement.reason)}"
    if attempt.support is not None:
        yield f"grounding {attempt.support:+.2f} nats against {', '.join(attempt.grounded_against)}"
    if attempt.people:
        yield f"people say {attempt.people}"
    if attempt.became:
        yield f"became {attempt.became}" if attempt.became.startswith("the ") else attempt.became
    if attempt.origin:
        yield f"reused: it was generated in {attempt.origin}"
    yield f"score {attempt.score:g}, {attempt.num_tokens} tokens, seed {attempt.seed}, model {attempt.model or 'none'}"


def choice_line(choice: Selected) -> str:
    """
    >>> choice_line(Selected(step="a/select", fate="pass_rate", why="its pass rate is 1", example_id=None, seed=None, trained=None))
    'no example: its pass rate is 1'
    """
    if choice.example_id is None:
        return f"no example: {choice.why}"
    return f"example {choice.example_id}; {choice.trained or 'nothing is trained on it yet'}"
