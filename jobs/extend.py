"""Continues a finished run with a changed manifest."""

from dataclasses import dataclass

from engine.extend.begin import Extension, extend
from engine.presets import load_config
from engine.run.summary import has_report
from jobs.view import View, a_console, print_summary


@dataclass(frozen=True, slots=True, kw_only=True)
class Continuation:
    """Continuation(run="runs/mine", manifest="new.csv", out="", is_dry=False): the options of the command."""

    run: str
    manifest: str
    out: str
    is_dry: bool


def continue_run(what: Continuation, settings: list[str]) -> None:
    """What `starloop extend` does; the settings of storage and limits hold for all runs that it opens."""
    access = load_config(None, [text for text in settings if text.strip().startswith(("storage.", "limits."))]).access()
    with View() as view:
        extension = Extension(run=what.run, manifest=what.manifest, out=what.out, settings=settings, is_dry=what.is_dry)
        latest = extend(extension, access, view.show)
    if latest is None:
        return
    uri, summary = latest
    print_summary(summary)
    console = a_console()
    console.print(f"the run is {uri}")
    if has_report(summary):
        console.print(f"open {uri}/report.html for the evidence")
