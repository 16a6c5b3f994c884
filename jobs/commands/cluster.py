"""Commands about runs on a Ray cluster: submit, attach, logs, stop, list."""

from pathlib import Path
from typing import Annotated

import typer

from jobs.commands.app import CLUSTER, Address, AsJsonLines, DryRun, LogFormat, RunOrJob, Settings, command

HEAD = "--address http://127.0.0.1:8265"


@command(
    CLUSTER,
    [
        f"submit jobs/configs/pllava-7b.toml {HEAD} --set run.uri=s3://bucket/runs/a --set data.manifest=s3://bucket/m.parquet",
        f"submit jobs/configs/pllava-7b.toml {HEAD} --no-wait",
        f"submit jobs/configs/pllava-7b.toml {HEAD} --dry-run",
    ],
)
def submit(
    config: Annotated[Path, typer.Argument(help="TOML file, inside the working directory.")],
    address: Address,
    settings: Settings = [],  # noqa: B006
    working_dir: Annotated[Path, typer.Option(help="Folder that is packed and sent: this project.")] = Path("."),
    no_wait: Annotated[bool, typer.Option("--no-wait", help="Return when the job is submitted.")] = False,
    dry_run: DryRun = False,
    log_format: LogFormat = "text",
) -> None:
    """Submit `selftrain CONFIG` to a Ray cluster, follow its log, and return its status. The same command continues the run."""
    from jobs import submit

    submission = submit.Submission(
        config=config, address=address, settings=settings, working_dir=working_dir, wait=not no_wait, is_dry=dry_run
    )
    submit.submit(submission)


@command(CLUSTER, [f"attach s3://bucket/runs/a {HEAD}"])
def attach(run_or_job: RunOrJob, address: Address) -> None:
    """Follow the log of a submitted job from its start, and return its status."""
    from jobs import submit

    submit.attach(run_or_job, address)


@command(CLUSTER, [f"logs s3://bucket/runs/a {HEAD}"])
def logs(run_or_job: RunOrJob, address: Address) -> None:
    """Print the log of a submitted job as it is now."""
    from jobs import submit

    submit.logs(run_or_job, address)


@command(CLUSTER, [f"stop s3://bucket/runs/a {HEAD}"])
def stop(run_or_job: RunOrJob, address: Address) -> None:
    """Stop a submitted job. Its run keeps what it has written, and can be continued."""
    from jobs import submit

    submit.stop(run_or_job, address)


@command(CLUSTER, [f"list {HEAD}", f"list s3://bucket/runs/a {HEAD} --json"], name="list")
def list_jobs(
    address: Address,
    run: Annotated[str, typer.Argument(metavar="[RUN]", help="The run's folder or URI; default: every run.")] = "",
    as_json: AsJsonLines = False,
) -> None:
    """List the submitted jobs of a run, or of every run, the latest first."""
    from jobs import submit

    submit.list_jobs(run, address, as_json)
