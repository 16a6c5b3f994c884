"""Commands that look at runs: status, runs, report, inspect, compare, lineage, failures, audit, export-data, gc."""

from pathlib import Path
from typing import Annotated

import typer

from jobs.commands.app import LOOK, AsJson, AsJsonLines, DryRun, Run, RunOrUri, Settings, command, not_empty
from jobs.commands.complete import complete_clip, complete_run


@command(LOOK, ["status runs/mine", "status s3://bucket/runs/a --json"])
def status(
    run: Run,
    as_json: AsJson = False,
    settings: Settings = [],  # noqa: B006
) -> None:
    """Show which steps are sealed, which driver works on the run, the next step, failures by kind, and damaged files."""
    from jobs import status

    status.status(run, settings, as_json)


@command(LOOK, ["runs runs", "runs s3://bucket/runs --json"])
def runs(
    uri: RunOrUri,
    as_json: AsJsonLines = False,
    settings: Settings = [],  # noqa: B006
) -> None:
    """List the runs below a URI: state, cycles, accuracy, size, and which run each continues."""
    from jobs import runs

    runs.list_runs(uri, settings, as_json)


@command(LOOK, ["inspect runs/demo train-00007", "inspect runs/demo heldout-00003 --json"])
def inspect(
    run: Run,
    clip: Annotated[str, typer.Argument(metavar="CLIP", help="The clip's clip_id.", autocompletion=complete_clip)],
    split: Annotated[str, typer.Option(help="Of several clips with this id, the one of this split or evaluation set.")] = "",
    as_json: AsJson = False,
    settings: Settings = [],  # noqa: B006
) -> None:
    """Show all that ever happened to a clip: its row, each attempt with its verdict, and what became of it in each cycle."""
    from jobs import inspect

    inspect.inspect(run, clip, split, settings, as_json)


@command(LOOK, ["compare runs/a runs/b", "compare runs/a s3://bucket/runs/b --clips 50", "compare runs/a runs/b --json"])
def compare(
    run: Annotated[
        str, typer.Argument(metavar="A", help="A run's folder or URI.", callback=not_empty, autocompletion=complete_run)
    ],
    other: Annotated[
        str, typer.Argument(metavar="B", help="The other run's folder or URI.", callback=not_empty, autocompletion=complete_run)
    ],
    clips: Annotated[int, typer.Option(min=0, help="How many held-out clips with another outcome are printed.")] = 20,
    as_json: AsJson = False,
    settings: Settings = [],  # noqa: B006
) -> None:
    """Show what differs between two runs: configuration, clips, yields, and held-out answers, with a paired test."""
    from jobs import compare

    compare.compare(run, other, clips, settings, as_json)


@command(LOOK, ["lineage runs/demo train-00007/0/rationalized", "lineage runs/demo train-00007/0/rationalized --json"])
def lineage(
    run: Run,
    example: Annotated[str, typer.Argument(metavar="EXAMPLE", help="The example_id: CLIP/CYCLE/MODE of a kept answer.")],
    as_json: AsJson = False,
    settings: Settings = [],  # noqa: B006
) -> None:
    """Show what an example was made from, back to the base model, and which models were trained on it."""
    from jobs import lineage

    lineage.lineage(run, example, settings, as_json)


@command(
    LOOK, ["failures runs/mine", "failures runs/mine --retry missing", "failures runs/mine --retry damaged --rewind --dry-run"]
)
def failures(
    run: Run,
    retry: Annotated[
        str, typer.Option(metavar="KIND", help="Try clips with this kind of failure again; damaged: make damaged files again.")
    ] = "",
    rewind: Annotated[bool, typer.Option("--rewind", help="With --retry: also undo later steps that used these clips.")] = False,
    dry_run: DryRun = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON object a line, with step, id, kind and detail.")] = False,
    settings: Settings = [],  # noqa: B006
) -> None:
    """List failed clips, examples that training could not use, and damaged files: step, id, kind, remedy; tabs between them."""
    from jobs import status

    status.failures(run, status.FailureOptions(retry, rewind, as_json, dry_run), settings)


@command(
    LOOK, ["audit runs/mine --out audit.csv", "audit runs/mine --overrides audit.csv", "audit runs/mine --sample 200 --seed 7"]
)
def audit(
    run: Run,
    sample: Annotated[int, typer.Option(min=1, help="How many answers are drawn, half of them kept and half dropped ones.")] = 50,
    seed: Annotated[int, typer.Option(help="Another seed draws other answers.")] = 1,
    cycle: Annotated[int | None, typer.Option(min=0, help="Whose generate step; default: the latest that is complete.")] = None,
    out: Annotated[Path, typer.Option(help="The file that people edit, .csv or .jsonl.")] = Path("audit.csv"),
    overrides: Annotated[str, typer.Option(metavar="FILE", help="Take such a file back: its words override the verdicts.")] = "",
    as_json: Annotated[
        bool, typer.Option("--json", help="Print a JSON object for each audited step; without --overrides nothing is drawn.")
    ] = False,
    settings: Settings = [],  # noqa: B006
) -> None:
    """Draw answers for people to read; take their words back; print precision and recall of the verifiers."""
    from jobs import audit

    options = audit.AuditOptions(sample=sample, seed=seed, cycle=cycle, out=out, overrides=overrides, as_json=as_json)
    audit.audit(run, options, settings)


@command(LOOK, ["gc runs", "gc runs/mine --dry-run", "gc s3://bucket/runs --delete"], name="gc")
def collect(
    uri: RunOrUri,
    delete: Annotated[bool, typer.Option("--delete", help="Delete what is listed; otherwise nothing is.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Delete nothing, as without --delete.")] = False,
    as_json: AsJsonLines = False,
    settings: Settings = [],  # noqa: B006
) -> None:
    """List old adapters and pieces of finished runs, which neither their promoted model nor a continuation needs."""
    from jobs import runs

    if delete and dry_run:
        raise typer.BadParameter("--delete and --dry-run exclude each other; leave one of them out")
    runs.collect(uri, settings, delete, as_json)


@command(
    LOOK,
    [
        "export-data runs/mine --format hub",
        "export-data s3://bucket/runs/a --format messages --out s3://bucket/exports/a",
        "export-data runs/mine --format parquet --cycle 1 --split train --split heldout",
    ],
    name="export-data",
)
def export_data(
    run: Run,
    form: Annotated[
        str, typer.Option("--format", help="parquet, messages, llava, sharegpt, webdataset or hub (docs/take_away.md).")
    ],
    out: Annotated[str, typer.Option(help="Folder or URI; default: RUN/export/FORMAT-cycle-000.")] = "",
    cycle: Annotated[
        int | None, typer.Option(min=0, help="Whose rows; default: the cycle whose model is promoted, or the latest one with rows.")
    ] = None,
    split: Annotated[
        list[str], typer.Option(help="train, or an evaluation set, whose kept answers are taken; repeat the option for several.")
    ] = ["train"],  # noqa: B006
    shard_rows: Annotated[int | None, typer.Option(min=1, help="Rows of a file of parquet, hub and webdataset.")] = None,
    as_json: AsJson = False,
    settings: Settings = [],  # noqa: B006
) -> None:
    """Write the kept answers in the format of another tool, with a card: what the promoted model was trained on."""
    from jobs import export_data

    options = export_data.ExportOptions(form=form, out=out, cycle=cycle, splits=split, shard_rows=shard_rows, as_json=as_json)
    export_data.export_data(run, options, settings)


@command(LOOK, ["report runs/mine", "report s3://bucket/runs/a --out report.html"])
def report(
    run: Run,
    out: Annotated[str, typer.Option(help="The file to write; default: report.html in the run.")] = "",
    settings: Settings = [],  # noqa: B006
) -> None:
    """Write the report of a run, finished or not: one HTML file with figures, doubts, and clips with their answers."""
    from jobs import report

    report.report(run, out, settings)
