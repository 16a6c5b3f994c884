"""Commands before a run: demo, doctor, plan, config."""

from pathlib import Path
from typing import Annotated

import typer

from jobs.commands.app import START, AsJson, Config, LogFormat, Settings, command
from jobs.commands.complete import complete_key


def _whole(text: str) -> int:
    """
    >>> _whole("1e8"), _whole("300")
    (100000000, 300)
    """
    try:
        if (number := float(text)) == int(number):
            return int(number)
    except (ValueError, OverflowError):
        pass
    raise typer.BadParameter(f"{text!r} is no whole number")


@command(START, ["demo", "demo --out /tmp/demo --set train.epochs=4", "demo --ablations"])
def demo(
    out: Annotated[str, typer.Option(help="Run folder.")] = "runs/demo",
    ablations: Annotated[
        bool,
        typer.Option(
            "--ablations", help="Then run it five times more: without each of its parts, and with one and eight warm samples."
        ),
    ] = False,
    settings: Settings = [],  # noqa: B006  # typer reads the default
    log_format: LogFormat = "text",
) -> None:
    """Render a labelled world, and let a tiny model teach itself the labels: a few minutes on a laptop."""
    from jobs import demo

    demo.demo(out, ablations, settings)


@command(
    START,
    [
        "doctor run.toml",
        "doctor run.toml --no-model --json",
        "doctor run.toml --rehearse",
    ],
)
def doctor(
    config: Config = None,
    settings: Settings = [],  # noqa: B006
    model: Annotated[bool, typer.Option(help="Load the model, as an actor does.")] = True,
    rehearse: Annotated[
        bool,
        typer.Option(
            "--rehearse",
            help="Only train a shrunk model for three steps, with the train section's settings, on this machine's CPU.",
        ),
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print a JSON object for each check; docs/scripts.md has its keys.")
    ] = False,
) -> None:
    """Check storage, videos, model, versions and cluster before a run. The exit status is 1 if a check fails."""
    from jobs import doctor

    if rehearse:
        if not model:
            raise typer.BadParameter("--no-model leaves a check out, and --rehearse makes none; leave one of them out")
        doctor.rehearse_training(config, settings, as_json)
    else:
        doctor.doctor(config, settings, model, as_json)


@command(
    START,
    [
        "plan run.toml",
        "plan run.toml --clips 1000000 --gpu H100 --prices prices.toml",
        "plan run.toml --assume direct_share=0.3:0.5:0.7 --json",
    ],
)
def plan(
    config: Config = None,
    settings: Settings = [],  # noqa: B006
    clips: Annotated[
        int | None,
        typer.Option(parser=_whole, help="Plan so many clips on paper: neither manifest nor run is looked at.", metavar="NUMBER"),
    ] = None,
    gpu: Annotated[
        str, typer.Option(help="The cluster's GPU, e.g. H100; default: the slowest one with cluster.gpu_memory_gib.")
    ] = "",
    prices: Annotated[Path | None, typer.Option(help="TOML table of prices; jobs/prices.toml is a template.")] = None,
    assume: Annotated[
        list[str], typer.Option(metavar="NAME=VALUE", help="Another value of an assumption, or LOW:EXPECTED:HIGH.")
    ] = [],  # noqa: B006
    as_json: AsJson = False,
) -> None:
    """Estimate a run before it starts: questions, hours, storage, requests, money; afterwards beside what it took."""
    from jobs import plan

    plan.plan(config, plan.PlanOptions(clips=clips, gpu=gpu, prices=prices, assume=assume, as_json=as_json), settings)


@command(
    START,
    [
        "config > run.toml",
        "config generate.samples",
        "config select --json",
        "config --from run.toml --set loop.max_cycles=5",
    ],
)
def config(
    key: Annotated[
        str,
        typer.Argument(
            metavar="[KEY]", help="One key or section, e.g. train.lr or train; default: all.", autocompletion=complete_key
        ),
    ] = "",
    source: Annotated[
        str, typer.Option("--from", metavar="CONFIG_OR_RUN", help="Print the values of this TOML file or run, presets resolved.")
    ] = "",
    settings: Settings = [],  # noqa: B006
    as_json: Annotated[
        bool, typer.Option("--json", help="Print a JSON object for each key; docs/scripts.md has its keys.")
    ] = False,
) -> None:
    """Print every key of the configuration with its default, its type and what it means, as TOML that can be edited."""
    from jobs import config

    config.show(config.ConfigOptions(key=key, source=source, as_json=as_json), settings)
