"""The application, the panels of its --help, and the options that several commands have."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer
from rich.markup import escape
from typer.core import TyperCommand, TyperGroup

from engine import __version__
from engine.logs.lines import FORMAT, choose_format
from jobs.commands.complete import complete_run, complete_setting
from jobs.exits import epilog

START, DATA, LOOP, LOOK, MODELS, CLUSTER = PANELS = (
    "Before a run",
    "What a run is made from",
    "The loop",
    "Looking at runs",
    "Models",
    "On a Ray cluster",
)
"""Headings of `starloop --help`, in their order."""
Function = TypeVar("Function", bound=Callable[..., Any])


class InPanels(TyperGroup):
    """Lists the commands panel by panel, whatever file they are in."""

    def list_commands(self, ctx: Any) -> list[str]:
        panels = {name: getattr(command, "rich_help_panel", None) for name, command in self.commands.items()}
        places = {name: PANELS.index(panel) if panel in PANELS else len(PANELS) for name, panel in panels.items()}
        return sorted(self.commands, key=places.__getitem__)


class Unmarked(TyperCommand):
    """Its help is text, in which rich would take the name of a section, such as [limits], for markup."""

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        texts: Sequence[Any] = (self, *self.params)
        for of in texts:
            of.help = escape(getattr(of, "help", None) or "")


app = typer.Typer(
    name="starloop",
    cls=InPanels,
    help="Turns labelled videos into a video LLM that reasons about them. `starloop COMMAND --help` has examples.",
    epilog=epilog(),
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


def _show_version(is_wanted: bool) -> None:
    if is_wanted:
        print(f"starloop {__version__}")
        raise typer.Exit


@app.callback()
def options_of_all(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version, and end.")
    ] = False,
) -> None:
    """Before any command."""


def command(panel: str, examples: Sequence[str], name: str | None = None) -> Callable[[Function], Function]:
    """A command of the application. `examples`: command lines without `starloop`; a test parses each of them."""
    return app.command(name=name, cls=Unmarked, rich_help_panel=panel, epilog=example_text(examples))


def example_text(examples: Sequence[str]) -> str:
    r"""
    >>> example_text(["status runs/mine", "runs runs"])
    'Examples:\n\nstarloop status runs/mine\n\nstarloop runs runs'
    """
    return "\n\n".join(["Examples:", *(escape(f"starloop {line}") for line in examples)])


def _chosen(log_format: str) -> str:
    """Only of commands that have a log: what `starloop status` prints is none, whatever the environment says."""
    try:
        choose_format(log_format)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    return log_format


def not_empty(name: str) -> str:
    """What a shell makes of a variable that is not set, "", would be the working directory."""
    if not name.strip():
        raise typer.BadParameter("it is empty; name the run's folder or URI")
    return name


Config = Annotated[Path | None, typer.Argument(metavar="[CONFIG]", help="TOML file; every key has a default.")]
Settings = Annotated[
    list[str],
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Overrides a key of the configuration, e.g. --set train.lr=1e-4; `starloop config` lists them.",
        autocompletion=complete_setting,
    ),
]
Cycle = Annotated[int, typer.Option(min=0, help="Number of the cycle.")]
LogFormat = Annotated[
    str,
    typer.Option(
        "--log-format", metavar="text|json", envvar=FORMAT, callback=_chosen, help="json: one object a line (docs/logs.md)."
    ),
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object; docs/scripts.md has its keys.")]
AsJsonLines = Annotated[bool, typer.Option("--json", help="Print a JSON object a line; docs/scripts.md has its keys.")]
Run = Annotated[
    str,
    typer.Argument(metavar="RUN", help="The run's folder or URI.", callback=not_empty, autocompletion=complete_run),
]
RunOrUri = Annotated[
    str,
    typer.Argument(
        metavar="RUN_OR_URI",
        help="A run, or a folder or URI with runs in it.",
        callback=not_empty,
        autocompletion=complete_run,
    ),
]
Address = Annotated[
    str, typer.Option(help="The cluster's job server, e.g. http://127.0.0.1:8265.", envvar="RAY_API_SERVER_ADDRESS")
]
RunOrJob = Annotated[
    str,
    typer.Argument(
        metavar="RUN_OR_JOB",
        help="The run's folder or URI, or the id of its job.",
        callback=not_empty,
        autocompletion=complete_run,
    ),
]
