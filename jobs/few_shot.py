"""The few-shot curve of a model on a folder that `starloop episodes` wrote."""

from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from engine.evaluate.few_shot.step import few_shot, settings_of
from engine.presets import differing_keys, load_config
from engine.store.files import Store
from jobs.view import View


def narrate(episodes: str, out: str, adapter: str, settings: list[str]) -> None:
    access = load_config(None, settings).access()
    of_folder = settings_of(Store(episodes, access))
    config = load_config(None, [*of_folder, *settings])
    if changed := differing_keys(load_config(None, of_folder).episodes.model_dump(), config.episodes.model_dump(), "episodes."):
        raise ValueError(f"{episodes} was made with another value ({'; '.join(changed)}); leave --set out, or make another folder")
    with View() as view:
        title = adapter or config.model.base
        result = few_shot(Store(episodes, access), Store(out, access), config, adapter, title, view.show)
        print_points(view.console, result["points"])
        if "clips_shown" in result:
            view.console.print(f"{result['clips_encoded']} clips encoded for {result['clips_shown']} shown")
        view.console.print(f"{out}/curve.json has the figures, {out}/*.svg the plots, {out}/pieces every answer")


MEASURES = {
    "rouge_l": "ROUGE-L",
    "sts": "STS",
    "sts_cross": "STS-CE",
    "bert_score": "BERTScore",
    "bleu": "BLEU",
    "verb_f1": "verb F1",
    "noun_f1": "noun F1",
}
"""Of a point -> the head of its column, which is there where a point has a value."""
COUNTS = ("failed", "short", "by_class")


def print_points(console: Console, points: Sequence[dict[str, Any]]) -> None:
    table = Table(box=None, padding=(0, 2), header_style="bold")
    measured = {name: head for name, head in MEASURES.items() if any(point[name] is not None for point in points)}
    counted = [name.replace("_", " ") for name in COUNTS]
    for column in ("set", "shots", "queries", "verb", "noun", "both", *measured.values(), *counted):
        table.add_column(column, justify="left" if column == "set" else "right")
    for point in points:
        values = ["" if point[name] is None else f"{point[name]:.3f}" for name in ("verb", "noun", "both", *measured)]
        name = f"{point['set']}, {point['control']}" if point["control"] else point["set"]
        table.add_row(name, str(point["shots"]), str(point["queries"]), *values, *(str(point[count]) for count in COUNTS))
    console.print(table)
