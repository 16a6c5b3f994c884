"""Prints the held-out accuracy of one adapter at many LoRA alphas."""

import math

from rich.table import Table

from engine.presets import load_config
from engine.run.sweep import SWEEP, sweep
from engine.store.files import Store
from jobs.view import View, reasons

ALPHAS = [0.0, 2.0, 4.0, 8.0, 12.0, 16.0, 20.0, 32.0]
"""The alphas of figure 9 of PLLaVA (2404.16994)."""


def alpha_sweep(uri: str, cycle: int | None, alphas: list[float], settings: list[str]) -> None:
    if wrong := [alpha for alpha in alphas if not 0 <= alpha < math.inf]:
        raise ValueError(f"--alpha {wrong[0]:g}: an alpha is a number of at least 0")
    store = Store(uri, load_config(None, settings).access())
    with View() as view:
        result = sweep(store, cycle, alphas or ALPHAS, view.show)
    table = Table(box=None, padding=(0, 2), header_style="bold")
    for column in ("alpha", "held-out", "clips", "failed"):
        table.add_column(column, justify="right")
    for row in result["alphas"]:
        trained = " (trained)" if row["alpha"] == result["trained_alpha"] else ""
        table.add_row(f"{row['alpha']:g}{trained}", f"{row['accuracy']:.3f}", str(row["clips"]), reasons(row["failed"]))
    view.console.print(table)
    base = "" if result["base_accuracy"] is None else f"; the base alone has {result['base_accuracy']:.3f}"
    view.console.print(f"cycle {result['cycle']}'s adapter{base}; {store.url(SWEEP)} has the answers")
