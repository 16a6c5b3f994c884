"""The commands and their options. Imports a job only when it is run, so --help answers at once."""

import signal
import sys
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(
    name="starloop",
    help="Labelled videos in, a video LLM that reasons about them out.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
Config = Annotated[Path | None, typer.Argument(metavar="[CONFIG]", help="TOML file; every key has a default.")]
Settings = Annotated[list[str], typer.Option("--set", metavar="KEY=VALUE", help="Overrides a key, e.g. --set train.lr=1e-4.")]
Cycle = Annotated[int, typer.Option(min=0, help="Which cycle.")]


@app.command()
def demo(
    out: Annotated[str, typer.Option(help="Run folder.")] = "runs/demo",
    ablations: Annotated[bool, typer.Option("--ablations", help="Also run without rationalization, and plain finetuning.")] = False,
    settings: Settings = [],  # noqa: B006  # typer reads the default
) -> None:
    """Render a labelled world and let a tiny model teach itself its labels: a few minutes on a laptop."""
    from jobs import demo

    demo.demo(out, ablations, settings)


@app.command()
def ingest(
    manifest: Annotated[str, typer.Argument(help="A table with at least the columns video and label, or a dataset's annotations.")],
    out: Annotated[str, typer.Option(help="Where the checked clips go, as Parquet; the data card goes beside it.")],
    form: Annotated[
        str,
        typer.Option("--format", help="manifest, table, kinetics, star, finediving, something, ego4d, epic, temporal, instruct."),
    ] = "manifest",
    mapping: Annotated[str, typer.Option(help="TOML: which column of a table is what.")] = "",
    video: Annotated[
        str, typer.Option(help="How a clip's video is called, e.g. {youtube_id}.mp4; default: as the dataset has it.")
    ] = "",
    split: Annotated[
        str, typer.Option(help="train or heldout, for all of it; default: as the annotations or their name say.")
    ] = "",
    skip_bad: Annotated[bool, typer.Option("--skip-bad", help="Leave out rows that are wrong, and count them.")] = False,
    settings: Settings = [],  # noqa: B006
) -> None:
    """Check a manifest or a dataset's annotations, fix the split, and write clips with a data card."""
    from jobs import ingest

    options = ingest.IngestOptions(manifest=manifest, form=form, mapping=mapping, video=video, split=split, skip_bad=skip_bad)
    ingest.ingest(options, out, settings)


@app.command()
def selftrain(config: Config = None, settings: Settings = []) -> None:  # noqa: B006
    """Run the loop to its end; run again to continue, or to see that nothing is left to do."""
    from jobs import selftrain

    selftrain.selftrain(config, settings)


@app.command()
def generate(config: Config = None, settings: Settings = [], cycle: Cycle = 0) -> None:  # noqa: B006
    """The loop, stopped after a cycle's generation."""
    from jobs import selftrain

    selftrain.selftrain(config, settings, cycle=cycle, kind="generate")


@app.command()
def train(config: Config = None, settings: Settings = [], cycle: Cycle = 0) -> None:  # noqa: B006
    """The loop, stopped after a cycle's finetune."""
    from jobs import selftrain

    selftrain.selftrain(config, settings, cycle=cycle, kind="train")


@app.command()
def evaluate(config: Config = None, settings: Settings = []) -> None:  # noqa: B006
    """Held-out accuracy of model.instruct, by default the base."""
    from jobs import selftrain

    selftrain.evaluate(config, settings)


Run = Annotated[str, typer.Argument(metavar="RUN", help="The run's folder or URI.")]


@app.command()
def status(run: Run, settings: Settings = []) -> None:  # noqa: B006
    """What is sealed, who works on it, what comes next, and what failed, by kind."""
    from jobs import status

    status.status(run, settings)


@app.command()
def failures(
    run: Run,
    retry: Annotated[str, typer.Option(metavar="KIND", help="Let clips that failed in this way be tried again.")] = "",
    rewind: Annotated[bool, typer.Option("--rewind", help="With --retry: undo later steps that used them.")] = False,
    settings: Settings = [],  # noqa: B006
) -> None:
    """The failed clips, one a line: step, clip, kind, what to do. Tab-separated."""
    from jobs import status

    status.failures(run, retry, rewind, settings)


@app.command()
def doctor(
    config: Config = None,
    settings: Settings = [],  # noqa: B006
    model: Annotated[bool, typer.Option(help="Load the model, as an actor would.")] = True,
    rehearse: Annotated[
        bool, typer.Option("--rehearse", help="Only train a shrunk model for three steps, as [train] says, on this machine's CPU.")
    ] = False,
) -> None:
    """Find out what would go wrong: storage, videos, model, versions, cluster. Exit status 1 if anything would."""
    from jobs import doctor

    if rehearse:
        doctor.rehearse_training(config, settings)
    else:
        doctor.doctor(config, settings, model)


@app.command()
def verify(
    cases: Annotated[Path, typer.Argument(help="JSONL: {text, question, label, hint} a line; - for standard input.")],
    preset: Annotated[str, typer.Option(help="strict, or paper or code as published.")] = "strict",
    explain: Annotated[bool, typer.Option("--explain", help="Add what was found, and where in the text.")] = False,
    skip_bad: Annotated[bool, typer.Option("--skip-bad", help="Leave out lines that are wrong, and count them.")] = False,
    sentence_model: Annotated[str, typer.Option(help="sentence-transformers model, folder or hub id; default: ROUGE-L.")] = "",
) -> None:
    """Try a label rule without a GPU: each line out again, with keep, reason, score and what was extracted."""
    from jobs import verify

    verify.verify_cases(cases, preset, explain, skip_bad, sentence_model)


@app.command()
def episodes(
    manifest: Annotated[str, typer.Argument(help="Clips with verb, noun and description, as a manifest has them.")],
    out: Annotated[str, typer.Option(help="Folder or URI for episodes, frozen contexts, exports and the report.")],
    settings: Settings = [],  # noqa: B006
) -> None:
    """Make EILEV's in-context episodes of a manifest, and report what they are like; --set episodes.* says how."""
    from jobs import episodes

    episodes.episodes(manifest, out, settings)


@app.command(name="few-shot")
def few_shot(
    episodes: Annotated[str, typer.Argument(metavar="EPISODES", help="Folder that `starloop episodes` made.")],
    out: Annotated[str, typer.Option(help="Folder or URI for answers, curve and plots.")],
    adapter: Annotated[str, typer.Option(help="An adapter on model.base, e.g. RUN/cycle-000/train/model.")] = "",
    settings: Settings = [],  # noqa: B006
) -> None:
    """Let a model narrate held-out clips after 0 to 16 shots, and draw the curve."""
    from jobs import few_shot

    few_shot.narrate(episodes, out, adapter, settings)


@app.command()
def icl(
    out: Annotated[str, typer.Option(help="Folder for everything.")] = "runs/icl",
    seeds: Annotated[int, typer.Option(help="How often each model is trained.")] = 3,
    ablations: Annotated[bool, typer.Option("--ablations", help="Also without burstiness, tail and dynamic meaning.")] = False,
    settings: Settings = [],  # noqa: B006
) -> None:
    """Render a narrated world and let a tiny model learn its narrators' words from context: see the curve rise."""
    from jobs import icl

    icl.icl(out, seeds, ablations, settings)


@app.command()
def submit(
    config: Annotated[Path, typer.Argument(help="TOML file, inside the working directory.")],
    address: Annotated[str, typer.Option(help="The cluster's job server, e.g. http://127.0.0.1:8265.")],
    settings: Settings = [],  # noqa: B006
    working_dir: Annotated[Path, typer.Option(help="Folder that is packed and sent: this project's.")] = Path("."),
) -> None:
    """Send `selftrain CONFIG` to a Ray cluster, follow its log, and return its status; again: continue it."""
    from jobs import submit

    submit.submit(config, address, settings, working_dir)


@app.command()
def convert(
    source: Annotated[str, typer.Argument(help="A released PLLaVA or a LLaVA: folder, URI or hub id.")],
    out: Annotated[str, typer.Option(help="Folder or URI for base/ and, where the source holds a LoRA, adapter/.")],
    settings: Settings = [],  # noqa: B006
) -> None:
    """Split a released checkpoint into a base and a PEFT adapter, file by file."""
    from jobs import convert

    convert.convert(source, out, settings)


@app.command()
def export(
    base: Annotated[str, typer.Argument(help="The base: folder, URI, hub id or 'tiny'.")],
    out: Annotated[str, typer.Option(help="Folder or URI for the merged model.")],
    adapter: Annotated[str, typer.Option(help="A PEFT adapter, e.g. RUN/cycle-000/train/model.")] = "",
    alpha: Annotated[float | None, typer.Option(help="LoRA alpha to merge with; default: the one of its training.")] = None,
    settings: Settings = [],  # noqa: B006
) -> None:
    """Merge an adapter into its base, in float32, and write a stock LLaVA folder that other tools load."""
    from jobs import convert

    convert.export(base, out, adapter, alpha, settings)


@app.command(name="alpha-sweep")
def alpha_sweep(
    run: Run,
    alpha: Annotated[list[float], typer.Option(help="A LoRA alpha; give it again for more. Default: 0 2 4 8 12 16 20 32.")] = [],  # noqa: B006
    cycle: Annotated[int | None, typer.Option(min=0, help="Whose adapter; default: the best cycle's.")] = None,
    settings: Settings = [],  # noqa: B006
) -> None:
    """Held-out accuracy of one trained adapter at many LoRA alphas; nothing is trained."""
    from jobs import alpha_sweep

    alpha_sweep.alpha_sweep(run, cycle, alpha, settings)


@app.command(name="make-base")
def make_base(out: Annotated[Path, typer.Option(help="Folder for the weights.")] = Path("models/tiny/weights")) -> None:
    """Make the shipped tiny base model anew: about half an hour on two cores."""
    from jobs import make_base

    make_base.make_base(out, make_base.Recipe())


def _terminated(number: int, frame: object) -> None:
    """As systemd and Kubernetes stop a job: the lease is given back on the way out."""
    sys.exit("terminated; run the same command again to continue")


def main() -> None:
    signal.signal(signal.SIGTERM, _terminated)
    try:
        app()
    except ValueError as error:  # by convention what a user wrote; everything else keeps its traceback
        sys.exit(f"error: {error}")
    except OSError as error:
        if type(error).__name__ not in ("StorageError", "ChildProcessError"):  # by name: --help must not wait for the import
            raise
        sys.exit(f"error: {error}")
