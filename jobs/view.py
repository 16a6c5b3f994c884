"""Shows a run: a live line in a terminal, plain lines elsewhere, a table at the end."""

import logging
import sys
import time
from collections.abc import Mapping
from typing import Any, Self

from rich.console import Console
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from engine.run.work import Progress

PLAIN_EVERY_S = 5.0
WIDTH_FOR_BAR = 100
"""Columns of a terminal from which there is room for a progress bar beside the line."""


def a_console() -> Console:
    """A console of the terminal's width, which wraps at words; where there is no terminal, wide enough for the table.

    Text from users and data is printed as it is: a label like "[/INST]" is no markup. What writes colours says markup=True.
    """
    is_terminal = sys.stdout.isatty()
    width = None if is_terminal else 160
    return Console(highlight=False, soft_wrap=not is_terminal, markup=False, emoji=False, width=width)


class View(logging.Handler):
    """Shows Progress from the loop, and log records of the engine.

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

    def __enter__(self) -> Self:
        logger = logging.getLogger("engine")
        logger.setLevel(logging.INFO)
        logger.propagate = False
        logger.addHandler(self)
        if self._live:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        logging.getLogger("engine").removeHandler(self)
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
            self.console.print(f"{time.strftime('%H:%M:%S')}  {line(progress, rate)}")
        elif now - self._printed_at >= PLAIN_EVERY_S or progress.done == progress.total:
            self.console.print(f"{time.strftime('%H:%M:%S')}  {line(progress, rate)}")
            self._printed_at = now

    def _row(self, progress: Progress, rate: float) -> Table | Text:
        if self.console.width < WIDTH_FOR_BAR:
            return Text(line(progress, rate))
        row = Table.grid(padding=(0, 2))
        row.add_row(ProgressBar(total=max(1, progress.total), completed=progress.done, width=28), Text(line(progress, rate)))
        return row


def line(progress: Progress, rate: float) -> str:
    """Progress as one line of text. `rate`: units per second; 0 if it is not known yet.

    >>> line(Progress(step="cycle-001/generate", unit="clips", done=64, total=320, kept=60), 12.8)
    'cycle-001/generate  64/320 clips  kept 60  12.8 clips/s  20 s left'
    >>> line(Progress(step="cycle-001/generate", unit="clips", done=64, total=320, before=32, kept=30), 0.0)
    'cycle-001/generate  64/320 clips  32 from before  kept 30'
    >>> line(Progress(step="cycle-001/evaluate-mine", unit="clips", done=8, total=8, kept=6), 0.0)
    'cycle-001/evaluate-mine  8/8 clips  right 6'
    >>> line(Progress(step="cycle-001/train", unit="", done=0, total=0), 0.0)
    'cycle-001/train  starting'
    """
    if not progress.unit:
        return f"{progress.step}  starting"
    parts = [progress.step, f"{progress.done}/{progress.total} {progress.unit}"]
    if progress.before:
        parts.append(f"{progress.before} from before")
    if progress.unit == "clips":
        parts.append(f"{'right' if '/evaluate' in progress.step else 'kept'} {progress.kept}")
    if progress.failed:
        parts.append(f"failed {progress.failed}")
    if progress.loss is not None:
        parts.append(f"loss {progress.loss:.3f}")
    if rate > 0:
        parts += [f"{rate:.1f} {progress.unit}/s", f"{_span((progress.total - progress.done) / rate)} left"]
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
    if summary["cycles"]:
        console.print(_table(summary))
    if summary["base_accuracy"] is None:
        return
    where = f"cycle {summary['best_cycle']}" if summary["best_cycle"] >= 0 else "the base itself"
    console.print(
        f"held-out accuracy {summary['base_accuracy']:.3f} -> {summary['best_accuracy']:.3f} ({where}) "
        f"on {summary['heldout_clips']} clips; stopped because: {summary['stopped_because']}"
    )
    if summary["note"]:
        console.print(summary["note"])
    for name, values in summary["sets"].items():
        console.print(f"{name}: {values['base']:.3f} -> {values['best']:.3f} ({values['metric']})")
    if summary["best_model"]:
        console.print(f"the promoted model is {summary['best_model']}, an adapter on the base")
    for name, ablation in summary.get("ablations", {}).items():
        console.print(f"  {name.replace('_', ' ')}: {ablation['base_accuracy']:.3f} -> {ablation['best_accuracy']:.3f}")


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
        accuracy = cycle["heldout_accuracy"]
        table.add_row(
            f"{cycle['cycle']}{' *' if cycle['cycle'] == summary['best_cycle'] else ''}",
            str(cycle["clips"]),
            str(cycle["direct_kept"]),
            str(cycle["rationalized_kept"]),
            reasons(cycle["dropped"]),
            reasons(cycle["failed"]),
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
