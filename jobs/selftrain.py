"""The loop, to its end or to a named step."""

from pathlib import Path

from engine import loop
from engine.config import RunConfig, load_config
from engine.store import Store
from jobs.view import View, print_summary


def selftrain(path: Path | None, settings: list[str], until: str = "") -> None:
    config = load_config(path, settings)
    run(config, until)


def run(config: RunConfig, until: str = "") -> dict[str, object]:
    """Run, show progress, print the table; says so where nothing was left to do."""
    store = Store(config.run.uri, config.run.storage_options)
    complete = loop.is_complete(config, until)
    with View() as view:
        summary = loop.run(config, view.show, until)
        if complete:
            view.console.print(f"nothing to do: {until or 'the run'} is complete in {store.url()}")
    print_summary(summary)
    return summary
