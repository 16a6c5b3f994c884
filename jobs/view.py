"""Shows a run: a live line in a terminal, plain lines elsewhere, a table at the end; or all of it as JSON lines."""

import logging
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import asdict
from typing import Any, Self

from rich.console import Console, ConsoleOptions, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from engine.logs.lines import LOGGERS
from engine.quantities import quantity
from engine.report.figures import comparison_text, intervals_line, measured_as
from engine.run.work import Progress
from jobs import json_log

PLAIN_EVERY_S = 5.0
COUNTED = {"steps": "optimizer steps"}
"""What a line calls the unit of a step's progress, where the unit alone could mean something else."""
WIDTH_FOR_BAR = 100
"""Columns of a terminal from which there is room for a progress bar beside the line."""


CONTROLS = dict.fromkeys({*range(0x20), *range(0x7F, 0xA0)} - {*map(ord, "\t\n")})
"""Control characters, of which terminals make more than text: for str.translate."""


class PlainConsole(Console):
    """Without the control characters of what it prints: an answer or a label cannot change the terminal."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterator[Segment]:
        for segment in super().render(renderable, options):
            yield segment if segment.control else segment._replace(text=segment.text.translate(CONTROLS))


def a_console() -> Console:
    """A console of the terminal's width, which wraps at words; where there is no terminal, wide enough for the table.

    Text from users and data is printed as it is: a label like "[/INST]" is no markup. What writes colours says markup=True.
    With --log-format json each line that is printed is an object.
    """
    if json_log.is_json():
        file = json_log.JsonFile()
        return Console(file=file, highlight=False, soft_wrap=True, markup=False, emoji=False, width=160, color_system=None)
    is_terminal = sys.stdout.isatty()
    width = None if is_terminal else 160
    return PlainConsole(highlight=False, soft_wrap=not is_terminal, markup=False, emoji=False, width=width)


class View(logging.Handler):
    """Shows Progress from the loop, and our own log records.

    with View() as view: loop.run(config, view.show)
    """

    def __init__(self, console: Console | None = None) -> None:
        super().__init__(logging.INFO)
        self.console = console or a_console()
        self._live = Live(console=self.console, refresh_per_second=4, transient=True) if self.console.is_terminal else None
        self._last: Progress | None = None
        self._began = (0.0, 0)
        """When the step's first progress came, on time.monotonic's clock, and how much was done then."""
        self._printed_at = 0.0
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        if json_log.is_json():
            self._stack.enter_context(json_log.everything_as_json())
            return self
        for name in LOGGERS:
            self._stack.enter_context(json_log.only_handled(logging.getLogger(name), self, logging.INFO))
        if self._live:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()
        if self._live:
            self._live.stop()

    def emit(self, record: logging.LogRecord) -> None:
        self.console.print(f"{time.strftime('%H:%M:%S')}  {record.getMessage()}")

    def show(self, progress: Progress) -> None:
        now = time.monotonic()
        if self._last is None or self._last.step != progress.step or self._last.unit != progress.unit:
            self._began = (now, progress.done)
            self._printed_at = 0.0
        self._last = progress
        began_at, done_before = self._began
        seconds = now - began_at
        rate = (progress.done - done_before) / seconds if seconds > 0 else 0.0
        if self._live:
            self._live.update(self._row(progress, rate))
        elif not progress.unit:
            self._print(progress, rate)
        elif now - self._printed_at >= PLAIN_EVERY_S or progress.done == progress.total:
            self._print(progress, rate)
            self._printed_at = now

    def _print(self, progress: Progress, rate: float) -> None:
        if json_log.is_json():
            json_log.write(line(progress, rate), **figures_of(progress))
        else:
            self.console.print(f"{time.strftime('%H:%M:%S')}  {line(progress, rate)}")

    def _row(self, progress: Progress, rate: float) -> Table | Text:
        if self.console.width < WIDTH_FOR_BAR:
            return Text(line(progress, rate))
        row = Table.grid(padding=(0, 2))
        row.add_row(ProgressBar(total=max(1, progress.total), completed=progress.done, width=28), Text(line(progress, rate)))
        return row


def figures_of(progress: Progress) -> dict[str, Any]:
    """What a JSON line has of a step's progress.

    >>> figures_of(Progress(step="cycle-000/train", unit="steps", done=1, total=4, loss=0.5))
    {'step': 'cycle-000/train', 'unit': 'steps', 'done': 1, 'total': 4, 'loss': 0.5}
    """
    optional = ("before", "kept", "failed", "loss", "metrics") if progress.unit else ()
    names = ("step", *(("unit", "done", "total") if progress.unit else ()), *(n for n in optional if getattr(progress, n)))
    values = asdict(progress)
    return {name: values[name] for name in names}


def line(progress: Progress, rate: float) -> str:
    """Progress as one line of text. `rate`: units per second; 0 if it is not known yet.

    >>> line(Progress(step="cycle-001/generate", unit="clips", done=64, total=320, kept=60), 12.8)
    'cycle-001/generate  64 of 320 clips  kept 60  12.8 clips/s  20 s left'
    >>> line(Progress(step="cycle-001/generate", unit="clips", done=64, total=320, before=32, kept=30), 0.0)
    'cycle-001/generate  64 of 320 clips  32 from before  kept 30'
    >>> line(Progress(step="cycle-001/evaluate-mine", unit="clips", done=8, total=8, kept=6), 0.0)
    'cycle-001/evaluate-mine  8 of 8 clips  right 6'
    >>> line(Progress(step="cycle-001/train", unit="steps", done=3, total=9, loss=0.5), 0.0)
    'cycle-001/train  3 of 9 optimizer steps  loss 0.500'
    >>> line(Progress(step="cycle-001/train", unit="", done=0, total=0), 0.0)
    'cycle-001/train  starting'
    """
    if not progress.unit:
        return f"{progress.step}  starting"
    counted = COUNTED.get(progress.unit, progress.unit)
    parts = [progress.step, f"{progress.done} of {progress.total} {counted}"]
    if progress.before:
        parts.append(f"{progress.before} from before")
    if progress.unit == "clips":
        parts.append(f"{'right' if '/evaluate' in progress.step else 'kept'} {progress.kept}")
    if progress.failed:
        parts.append(f"failed {progress.failed}")
    if progress.loss is not None:
        parts.append(f"loss {progress.loss:.3f}")
    if rate > 0:
        parts += [f"{rate:.1f} {counted}/s", f"{_span((progress.total - progress.done) / rate)} left"]
    return "  ".join(parts)


def _span(seconds: float) -> str:
    """
    >>> _span(20.4), _span(3700)
    ('20 s', '1 h 2 min')
    """
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def print_summary(summary: Mapping[str, Any], console: Console | None = None) -> None:
    """Print the cycles as a table, then the accuracies in a sentence."""
    console = console or a_console()
    if json_log.is_json():
        json_log.write("the run's summary", summary=summary)
    elif summary["cycles"]:
        console.print(_table(summary))
    if summary["base_accuracy"] is None:
        return
    clips, measured = quantity(summary["heldout_clips"], "clip"), f"held-out {measured_as(summary['metric'])}"
    if all(cycle["heldout_accuracy"] is None for cycle in summary["cycles"]):
        console.print(f"{measured} of the base {summary['base_accuracy']:.3f} on {clips}; {_end(summary)}")
    else:
        where = f"cycle {summary['best_cycle']}" if summary["best_cycle"] >= 0 else "the base itself"
        accuracies = f"{summary['base_accuracy']:.3f} -> {summary['best_accuracy']:.3f} ({where})"
        console.print(f"{measured} {accuracies} on {clips}; {_end(summary)}")
    cycles = [(cycle["cycle"], comparison_text(cycle["comparison"])) for cycle in summary["cycles"]]
    for text in filter(None, [intervals_line(summary), *(f"  cycle {cycle}: {text}" for cycle, text in cycles if text)]):
        console.print(text)
    if summary["note"]:
        console.print(summary["note"])
    for name, values in summary["sets"].items():
        console.print(f"{name}: {values['base']:.3f} -> {values['best']:.3f} ({values['metric']})")
    if test := summary["test"]:
        console.print(headline_of(test))
    if summary["best_model"]:
        console.print(f"the promoted model is {summary['best_model']}")
    for name, ablation in summary.get("ablations", {}).items():
        console.print(f"  {name.replace('_', ' ')}: {ablation['base_accuracy']:.3f} -> {ablation['best_accuracy']:.3f}")


def _end(summary: Mapping[str, Any]) -> str:
    """
    >>> _end({"stopped_because": "plateau"}), _end({"stopped_because": "not finished"})
    ('stopped because: plateau', 'the run is not finished')
    """
    reason = summary["stopped_because"]
    return "the run is not finished" if reason == "not finished" else f"stopped because: {reason}"


def headline_of(test: Mapping[str, Any]) -> str:
    """The headline of a run that has set clips apart (data.test).

    >>> test = {"metric": "qa_score", "base": 2.4, "best": 3.1, "clips": 100, "comparison": None}
    >>> headline_of(test | {"base_interval": None, "best_interval": None})
    'test qa score 2.400 -> 3.100 on 100 clips that decided nothing'
    """
    texts = [intervals_line(test), comparison_text(test["comparison"])]
    measured = f"test {measured_as(test['metric'])}"
    line = f"{measured} {test['base']:.3f} -> {test['best']:.3f} on {test['clips']} clips that decided nothing"
    return "; ".join(filter(None, [line, *texts]))


def _table(summary: Mapping[str, Any]) -> Table:
    table = Table(box=None, padding=(0, 2), header_style="bold")
    for column in (
        "cycle",
        "clips",
        "direct kept",
        "rationalized kept",
        "dropped",
        "failed",
        "examples",
        "loss",
        "held-out",
        "seconds",
    ):
        table.add_column(column, justify="left" if column in ("dropped", "failed") else "right", overflow="fold")
    for cycle in summary["cycles"]:
        loss = "" if cycle["loss_first"] is None else f"{cycle['loss_first']:.2f} -> {cycle['loss_last']:.2f}"
        accuracy, has_asked = cycle["heldout_accuracy"], "generate" in cycle["seconds"]
        counts = [str(cycle[name]) for name in ("clips", "direct_kept", "rationalized_kept")]
        table.add_row(
            f"{cycle['cycle']}{' *' if cycle['cycle'] == summary['best_cycle'] else ''}",
            *([*counts, reasons(cycle["dropped"]), reasons(cycle["failed"])] if has_asked else ["-"] * 5),
            str(cycle["examples"] if cycle["examples"] is not None else ""),
            loss,
            "" if accuracy is None else f"{accuracy:.3f}",
            f"{sum(cycle['seconds'].values()):.0f}",
        )
    return table


def reasons(counts: Mapping[str, int]) -> str:
    """Counts by reason, in words.

    >>> reasons({"label_missing": 3, "cut_off": 1}), reasons({})
    ('3 label missing, 1 cut off', '0')
    """
    return ", ".join(f"{count} {reason.replace('_', ' ')}" for reason, count in counts.items()) or "0"
