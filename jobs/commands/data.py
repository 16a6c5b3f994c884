"""Commands about what a run is made from: ingest, episodes, verify."""

from pathlib import Path
from typing import Annotated

import typer

from engine.ingest.adapters import FORMATS
from jobs.commands.app import DATA, DryRun, Settings, command


@command(
    DATA,
    [
        "ingest clips.csv --out clips.parquet --dry-run",
        "ingest videos/ --out clips.parquet",
        "ingest train.csv --format kinetics --out s3://bucket/k700/train.parquet --set data.videos=s3://bucket/k700/train",
    ],
)
def ingest(
    manifest: Annotated[
        str,
        typer.Argument(
            help="A table with at least the columns video and label, a folder of class folders, or a dataset's annotations."
        ),
    ],
    out: Annotated[str, typer.Option(help="Parquet file for the checked clips; the data card is written beside it.")],
    form: Annotated[
        str,
        typer.Option("--format", help=f"One of {', '.join(FORMATS)}."),
    ] = "manifest",
    mapping: Annotated[str, typer.Option(help="TOML file that says what each column of a table means.")] = "",
    questions: Annotated[
        str, typer.Option(help="Copy of Video-STaR's templates.py, whose wordings the formats videostar-... use; default: our own.")
    ] = "",
    group: Annotated[str, typer.Option(help="Name of the dataset, by which yields are counted, for rows that have no group.")] = "",
    video: Annotated[
        str,
        typer.Option(
            help="File name of a clip's video, e.g. {youtube_id}.mp4; without a suffix, any of that name below data.videos. "
            "Default: the manifest's or the dataset's own."
        ),
    ] = "",
    split: Annotated[
        str,
        typer.Option(help="train, heldout or test, for all clips; default: what the rows say, or the name of a dataset's file."),
    ] = "",
    skip_bad: Annotated[bool, typer.Option("--skip-bad", help="Leave out and count rows with errors.")] = False,
    dry_run: DryRun = False,
    settings: Settings = [],  # noqa: B006
) -> None:
    """Check a manifest or a dataset's annotations, fix the split, and write clips with a data card."""
    from jobs import ingest

    options = ingest.IngestOptions(
        manifest=manifest,
        form=form,
        mapping=mapping,
        questions=questions,
        group=group,
        video=video,
        split=split,
        skip_bad=skip_bad,
        dry_run=dry_run,
    )
    ingest.ingest(options, out, settings)


@command(
    DATA, ["episodes narrations.parquet --out episodes", "episodes narrations.parquet --out episodes --set episodes.split=action"]
)
def episodes(
    manifest: Annotated[str, typer.Argument(help="A manifest with the columns verb, noun and description.")],
    out: Annotated[str, typer.Option(help="Folder or URI for episodes, frozen contexts, exports and the report.")],
    settings: Settings = [],  # noqa: B006
) -> None:
    """Make EILEV's in-context episodes from a manifest, and report their properties. --set episodes.* changes them."""
    from jobs import episodes

    episodes.episodes(manifest, out, settings)


@command(DATA, ["verify cases.jsonl --explain", "verify - --preset paper", "verify cases.jsonl --parser spacy:en_core_web_sm"])
def verify(
    cases: Annotated[
        Path, typer.Argument(help="JSONL with {text, question, label, hint, finished} in each line; - reads standard input.")
    ],
    preset: Annotated[str, typer.Option(help="strict, or a published one: paper or code.")] = "strict",
    explain: Annotated[bool, typer.Option("--explain", help="Add the places in the text that decided.")] = False,
    skip_bad: Annotated[bool, typer.Option("--skip-bad", help="Leave out and count lines with errors.")] = False,
    sentence_model: Annotated[str, typer.Option(help="Folder or hub id of a sentence-transformers model; default: ROUGE-L.")] = "",
    parser: Annotated[str, typer.Option(help="A dependency parser, spacy:MODEL; default: the rules alone.")] = "",
    language: Annotated[str, typer.Option(help="Code of the answers' language, for the forms of its words.")] = "en",
    span_model: Annotated[str, typer.Option(help="Published rules: a model for extractive question answering.")] = "",
    entailment_model: Annotated[str, typer.Option(help="Published rules: a model for natural language inference.")] = "",
    stop_words: Annotated[str, typer.Option(help="Published rules: own, or spacy.")] = "own",
) -> None:
    """Try label rules without a GPU. Prints each line again, with keep, reason, score and the extracted text."""
    from jobs import verify

    published = verify.published_tools(span_model, entailment_model, stop_words)
    verify.verify_cases(cases, verify.spec_of(preset, sentence_model, parser, language, published), explain, skip_bad)
