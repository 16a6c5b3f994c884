"""Commands that run the loop, or a part of it: selftrain, generate, train, evaluate, extend."""

from typing import Annotated

import typer

from jobs.commands.app import LOOP, Config, Cycle, DryRun, LogFormat, Run, Settings, command


@command(
    LOOP,
    [
        "selftrain run.toml",
        "selftrain run.toml --set run.uri=s3://bucket/runs/a --set loop.max_cycles=5",
        "selftrain run.toml --dry-run",
    ],
)
def selftrain(
    config: Config = None,
    settings: Settings = [],  # noqa: B006
    dry_run: DryRun = False,
    log_format: LogFormat = "text",
) -> None:
    """Run the loop to its end. The same command continues a run that was stopped, and does nothing if the run is complete."""
    from jobs import selftrain

    selftrain.selftrain(config, settings, is_dry=dry_run)


@command(LOOP, ["generate run.toml", "generate run.toml --cycle 1", "generate run.toml --dry-run"])
def generate(
    config: Config = None,
    settings: Settings = [],  # noqa: B006
    cycle: Cycle = 0,
    dry_run: DryRun = False,
    log_format: LogFormat = "text",
) -> None:
    """Run the loop, and stop after the generate step of a cycle."""
    from jobs import selftrain

    selftrain.selftrain(config, settings, cycle, "generate", dry_run)


@command(LOOP, ["train run.toml", "train run.toml --cycle 1", "train run.toml --dry-run"])
def train(
    config: Config = None,
    settings: Settings = [],  # noqa: B006
    cycle: Cycle = 0,
    dry_run: DryRun = False,
    log_format: LogFormat = "text",
) -> None:
    """Run the loop, and stop after the train step of a cycle."""
    from jobs import selftrain

    selftrain.selftrain(config, settings, cycle, "train", dry_run)


@command(
    LOOP, ["evaluate run.toml", "evaluate run.toml --set model.instruct=OpenGVLab/InternVL3_5-8B-HF", "evaluate run.toml --dry-run"]
)
def evaluate(
    config: Config = None,
    settings: Settings = [],  # noqa: B006
    dry_run: DryRun = False,
    log_format: LogFormat = "text",
) -> None:
    """Evaluate model.instruct, by default the base, on the evaluation sets that each cycle is measured on."""
    from jobs import selftrain

    selftrain.evaluate(config, settings, dry_run)


@command(
    LOOP,
    [
        "extend runs/mine new.csv",
        "extend runs/mine new.csv --dry-run",
        "extend s3://bucket/runs/a s3://bucket/tonight.parquet --out s3://bucket/runs/b",
    ],
)
def extend(
    run: Run,
    manifest: Annotated[str, typer.Argument(metavar="MANIFEST", help="The changed manifest, at its old place or at another one.")],
    out: Annotated[
        str,
        typer.Option(help="The new run's folder or URI; default: RUN-001, then RUN-002, each of which continues the one before."),
    ] = "",
    dry_run: DryRun = False,
    settings: Settings = [],  # noqa: B006
    log_format: LogFormat = "text",
) -> None:
    """Continue a finished run with a changed manifest, as a new run whose cycle 0 generates for new and changed clips only.

    A run that stopped because select left nothing to train on is continued under another setting of it, with the same manifest.
    """
    from jobs import extend

    extend.continue_run(extend.Continuation(run=run, manifest=manifest, out=out, is_dry=dry_run), settings)
