"""The commands and their options. A job is imported only when it runs, so --help answers at once."""

import errno
import gc
import os
import shutil
import signal
import sys
import textwrap
from pathlib import Path
from typing import Annotated

import typer

from engine.ingest.adapters import FORMATS
from jobs.exits import Exit, epilog

app = typer.Typer(
    name="starloop",
    help="Turns labelled videos into a video LLM that reasons about them.",
    epilog=epilog(),
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
Config = Annotated[Path | None, typer.Argument(metavar="[CONFIG]", help="TOML file; every key has a default.")]
Settings = Annotated[
    list[str], typer.Option("--set", metavar="KEY=VALUE", help="Overrides a key of the configuration, e.g. --set train.lr=1e-4.")
]
Cycle = Annotated[int, typer.Option(min=0, help="Number of the cycle.")]


@app.command()
def demo(
    out: Annotated[str, typer.Option(help="Run folder.")] = "runs/demo",
    ablations: Annotated[
        bool, typer.Option("--ablations", help="Also run without rationalization, and with plain finetuning.")
    ] = False,
    settings: Settings = [],  # noqa: B006  # typer reads the default
) -> None:
    """Render a labelled world, and let a tiny model teach itself the labels: a few minutes on a laptop."""
    from jobs import demo

    demo.demo(out, ablations, settings)


@app.command()
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
    video: Annotated[
        str, typer.Option(help="File name of a clip's video, e.g. {youtube_id}.mp4; default: the manifest's or the dataset's own.")
    ] = "",
    split: Annotated[
        str, typer.Option(help="train or heldout, for all clips; default: what the rows say, or the name of a dataset's file.")
    ] = "",
    skip_bad: Annotated[bool, typer.Option("--skip-bad", help="Leave out and count rows with errors.")] = False,
    settings: Settings = [],  # noqa: B006
) -> None:
    """Check a manifest or a dataset's annotations, fix the split, and write clips with a data card."""
    from jobs import ingest

    options = ingest.IngestOptions(manifest=manifest, form=form, mapping=mapping, video=video, split=split, skip_bad=skip_bad)
    ingest.ingest(options, out, settings)


@app.command()
def selftrain(config: Config = None, settings: Settings = []) -> None:  # noqa: B006
    """Run the loop to its end. The same command continues a run that was stopped, and does nothing if the run is complete."""
    from jobs import selftrain

    selftrain.selftrain(config, settings)


@app.command()
def generate(config: Config = None, settings: Settings = [], cycle: Cycle = 0) -> None:  # noqa: B006
    """Run the loop, and stop after the generate step of a cycle."""
    from jobs import selftrain

    selftrain.selftrain(config, settings, cycle=cycle, kind="generate")


@app.command()
def train(config: Config = None, settings: Settings = [], cycle: Cycle = 0) -> None:  # noqa: B006
    """Run the loop, and stop after the train step of a cycle."""
    from jobs import selftrain

    selftrain.selftrain(config, settings, cycle=cycle, kind="train")


@app.command()
def evaluate(config: Config = None, settings: Settings = []) -> None:  # noqa: B006
    """Evaluate model.instruct, by default the base, on the evaluation sets."""
    from jobs import selftrain

    selftrain.evaluate(config, settings)


def _not_empty(name: str) -> str:
    """What a shell makes of a variable that is not set, "", would be the working directory."""
    if not name.strip():
        raise typer.BadParameter("it is empty; name the run's folder or URI")
    return name


Run = Annotated[str, typer.Argument(metavar="RUN", help="The run's folder or URI.", callback=_not_empty)]


@app.command()
def status(
    run: Run,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object; docs/scripts.md has its keys.")] = False,
    settings: Settings = [],  # noqa: B006
) -> None:
    """Show which steps are sealed, which driver works on the run, the next step, failures by kind, and damaged files."""
    from jobs import status

    status.status(run, settings, as_json)


@app.command()
def extend(
    run: Run,
    manifest: Annotated[str, typer.Argument(metavar="MANIFEST", help="The changed manifest, at its old place or at another one.")],
    out: Annotated[
        str,
        typer.Option(help="The new run's folder or URI; default: RUN-001, then RUN-002, each of which continues the one before."),
    ] = "",
    settings: Settings = [],  # noqa: B006
) -> None:
    """Continue a finished run with a changed manifest, as a new run whose cycle 0 generates for new and changed clips only."""
    from jobs import extend

    extend.continue_run(run, manifest, out, settings)


@app.command()
def runs(
    uri: Annotated[str, typer.Argument(metavar="URI", help="A folder or URI with runs in it, or a run.", callback=_not_empty)],
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON object a line; docs/scripts.md has its keys.")] = False,
    settings: Settings = [],  # noqa: B006
) -> None:
    """List the runs below a URI: state, cycles, accuracy, size, and which run each continues."""
    from jobs import runs

    runs.list_runs(uri, settings, as_json)


@app.command(name="gc")
def collect(
    uri: Annotated[
        str, typer.Argument(metavar="RUN_OR_URI", help="A run, or a folder or URI with runs in it.", callback=_not_empty)
    ],
    delete: Annotated[bool, typer.Option("--delete", help="Delete what is listed; otherwise nothing is.")] = False,
    settings: Settings = [],  # noqa: B006
) -> None:
    """List old adapters and pieces of finished runs, which neither their promoted model nor a continuation needs."""
    from jobs import runs

    runs.collect(uri, settings, delete)


@app.command()
def failures(
    run: Run,
    retry: Annotated[
        str, typer.Option(metavar="KIND", help="Try clips with this kind of failure again; damaged: make damaged files again.")
    ] = "",
    rewind: Annotated[bool, typer.Option("--rewind", help="With --retry: also undo later steps that used these clips.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON object a line, with step, id, kind and detail.")] = False,
    settings: Settings = [],  # noqa: B006
) -> None:
    """List failed clips, examples that training could not use, and damaged files: step, id, kind, remedy; tabs between them."""
    from jobs import status

    status.failures(run, status.FailureOptions(retry, rewind, as_json), settings)


@app.command()
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
) -> None:
    """Check storage, videos, model, versions and cluster before a run. The exit status is 1 if a check fails."""
    from jobs import doctor

    if rehearse:
        doctor.rehearse_training(config, settings)
    else:
        doctor.doctor(config, settings, model)


@app.command()
def plan(
    config: Config = None,
    settings: Settings = [],  # noqa: B006
    clips: Annotated[
        int | None, typer.Option(help="Plan so many clips on paper: neither manifest nor run is looked at.", metavar="NUMBER")
    ] = None,
    gpu: Annotated[
        str, typer.Option(help="The cluster's GPU, e.g. H100; default: the slowest one with cluster.gpu_memory_gib.")
    ] = "",
    prices: Annotated[Path | None, typer.Option(help="TOML table of prices; jobs/prices.toml is a template.")] = None,
    assume: Annotated[
        list[str], typer.Option(metavar="NAME=VALUE", help="Another value of an assumption, or LOW:EXPECTED:HIGH.")
    ] = [],  # noqa: B006
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object; docs/scripts.md has its keys.")] = False,
) -> None:
    """Estimate a run before it starts: questions, hours, storage, requests, money; afterwards beside what it took."""
    from jobs import plan

    plan.plan(config, plan.PlanOptions(clips=clips, gpu=gpu, prices=prices, assume=assume, as_json=as_json), settings)


@app.command()
def verify(
    cases: Annotated[
        Path, typer.Argument(help="JSONL with {text, question, label, hint, finished} in each line; - reads standard input.")
    ],
    preset: Annotated[str, typer.Option(help="strict, or a published one: paper or code.")] = "strict",
    explain: Annotated[bool, typer.Option("--explain", help="Add the places in the text that decided.")] = False,
    skip_bad: Annotated[bool, typer.Option("--skip-bad", help="Leave out and count lines with errors.")] = False,
    sentence_model: Annotated[str, typer.Option(help="Folder or hub id of a sentence-transformers model; default: ROUGE-L.")] = "",
) -> None:
    """Try label rules without a GPU. Prints each line again, with keep, reason, score and the extracted text."""
    from jobs import verify

    verify.verify_cases(cases, preset, explain, skip_bad, sentence_model)


@app.command()
def episodes(
    manifest: Annotated[str, typer.Argument(help="A manifest with the columns verb, noun and description.")],
    out: Annotated[str, typer.Option(help="Folder or URI for episodes, frozen contexts, exports and the report.")],
    settings: Settings = [],  # noqa: B006
) -> None:
    """Make EILEV's in-context episodes from a manifest, and report their properties. --set episodes.* changes them."""
    from jobs import episodes

    episodes.episodes(manifest, out, settings)


@app.command(name="few-shot")
def few_shot(
    episodes: Annotated[str, typer.Argument(metavar="EPISODES", help="Folder that `starloop episodes` wrote.")],
    out: Annotated[str, typer.Option(help="Folder or URI for answers, curve and plots.")],
    adapter: Annotated[str, typer.Option(help="An adapter on model.base, e.g. RUN/cycle-000/train/model.")] = "",
    settings: Settings = [],  # noqa: B006
) -> None:
    """Let a model narrate held-out clips after 0 to 16 shots, and draw the curve of its accuracy."""
    from jobs import few_shot

    few_shot.narrate(episodes, out, adapter, settings)


@app.command()
def icl(
    out: Annotated[str, typer.Option(help="Folder for all results.")] = "runs/icl",
    seeds: Annotated[int, typer.Option(help="How often each model is trained, each time with another seed.")] = 3,
    ablations: Annotated[
        bool, typer.Option("--ablations", help="Also train without burstiness, without the tail, and without dynamic meaning.")
    ] = False,
    settings: Settings = [],  # noqa: B006
) -> None:
    """Render a narrated world, let a tiny model learn its narrators' words from context, and draw the curve."""
    from jobs import icl

    icl.icl(out, seeds, ablations, settings)


Address = Annotated[
    str, typer.Option(help="The cluster's job server, e.g. http://127.0.0.1:8265.", envvar="RAY_API_SERVER_ADDRESS")
]
RunOrJob = Annotated[
    str, typer.Argument(metavar="RUN_OR_JOB", help="The run's folder or URI, or the id of its job.", callback=_not_empty)
]


@app.command()
def submit(
    config: Annotated[Path, typer.Argument(help="TOML file, inside the working directory.")],
    address: Address,
    settings: Settings = [],  # noqa: B006
    working_dir: Annotated[Path, typer.Option(help="Folder that is packed and sent: this project.")] = Path("."),
    no_wait: Annotated[bool, typer.Option("--no-wait", help="Return when the job is submitted.")] = False,
) -> None:
    """Submit `selftrain CONFIG` to a Ray cluster, follow its log, and return its status. The same command continues the run."""
    from jobs import submit

    submit.submit(submit.Submission(config=config, address=address, settings=settings, working_dir=working_dir, wait=not no_wait))


@app.command()
def attach(run_or_job: RunOrJob, address: Address) -> None:
    """Follow the log of a submitted job from its start, and return its status."""
    from jobs import submit

    submit.attach(run_or_job, address)


@app.command()
def logs(run_or_job: RunOrJob, address: Address) -> None:
    """Print the log of a submitted job as it is now."""
    from jobs import submit

    submit.logs(run_or_job, address)


@app.command()
def stop(run_or_job: RunOrJob, address: Address) -> None:
    """Stop a submitted job. Its run keeps what it has written, and can be continued."""
    from jobs import submit

    submit.stop(run_or_job, address)


@app.command(name="list")
def list_jobs(
    address: Address, run: Annotated[str, typer.Argument(metavar="[RUN]", help="The run's folder or URI; default: every run.")] = ""
) -> None:
    """List the submitted jobs of a run, or of every run, the latest first."""
    from jobs import submit

    submit.list_jobs(run, address)


@app.command()
def convert(
    source: Annotated[str, typer.Argument(help="Folder, URI or hub id of a released PLLaVA or of a LLaVA.")],
    out: Annotated[str, typer.Option(help="Folder or URI for base/ and, if the source has a LoRA, adapter/.")],
    settings: Settings = [],  # noqa: B006
) -> None:
    """Split a released checkpoint into a base and a PEFT adapter, file by file."""
    from jobs import convert

    convert.convert(source, out, settings)


@app.command()
def export(
    base: Annotated[str, typer.Argument(help="Folder, URI or hub id of the base, or 'tiny'.")],
    out: Annotated[str, typer.Option(help="Folder or URI for the merged model.")],
    adapter: Annotated[str, typer.Option(help="A PEFT adapter, e.g. RUN/cycle-000/train/model.")] = "",
    alpha: Annotated[float | None, typer.Option(help="LoRA alpha to merge with; default: the alpha of its training.")] = None,
    settings: Settings = [],  # noqa: B006
) -> None:
    """Merge an adapter into its base and write a folder that other tools load: a PLLaVA as a stock LLaVA, others as they are."""
    from jobs import convert

    convert.export(base, out, adapter, alpha, settings)


@app.command(name="alpha-sweep")
def alpha_sweep(
    run: Run,
    alpha: Annotated[
        list[float], typer.Option(help="A LoRA alpha; repeat the option for several. Default: 0 2 4 8 12 16 20 32.")
    ] = [],  # noqa: B006
    cycle: Annotated[int | None, typer.Option(min=0, help="The cycle that trained the adapter; default: the best one.")] = None,
    settings: Settings = [],  # noqa: B006
) -> None:
    """Evaluate one trained adapter at many LoRA alphas on the held-out clips. Nothing is trained."""
    from jobs import alpha_sweep

    alpha_sweep.alpha_sweep(run, cycle, alpha, settings)


@app.command(name="make-base")
def make_base(out: Annotated[Path, typer.Option(help="Folder for the weights.")] = Path("models/tiny/weights")) -> None:
    """Make the shipped tiny base model again: about half an hour on two cores."""
    from jobs import make_base

    make_base.make_base(out, make_base.Recipe())


def _wrapped(text: str) -> str:
    """The text with its lines broken at words where a terminal is narrower; elsewhere it stays one line, to be searched."""
    if not sys.stderr.isatty():
        return text
    width = shutil.get_terminal_size().columns
    return textwrap.fill(text, max(20, width - 1), break_long_words=False, break_on_hyphens=False)


def main() -> None:
    signals: list[int] = []
    process, stderr = os.getpid(), os.dup(2)

    def write(signal_name: str) -> None:
        """To the user's standard error: while Ray starts, this process's own leads elsewhere."""
        line = f"{signal_name}; run the same command again to continue\n"
        if os.getpid() != process:  # a process that was forked inherits the handlers, and has nothing to continue
            return
        if os.path.sameopenfile(2, stderr):
            sys.stderr.write(line)  # a live view prints it above itself
        else:
            os.write(stderr, line.encode())

    def terminated(number: int, frame: object) -> None:
        """With SIGTERM systemd and Kubernetes stop a job. Leaving by an exception releases the lease."""
        signals.append(number)
        write("terminated")
        sys.exit(Exit.TERMINATED)

    def interrupted(number: int, frame: object) -> None:
        """Ctrl-C, likewise. It stays an exception of its own: a live view and the follower of a job end by it."""
        signals.append(number)
        write("interrupted")
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, terminated)
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # a shell lets what runs in the background ignore it
        signal.signal(signal.SIGINT, interrupted)
    try:
        app()
    except SystemExit as ending:
        if ending.code == signal.SIGTERM:  # by Ray's own handler, while Ray starts
            terminated(signal.SIGTERM, None)
        raise
    except ValueError as error:  # by convention an error in what the user wrote; all others keep their traceback
        sys.exit(_wrapped(f"error: {error}"))
    except OSError as error:
        if type(error).__name__ not in (
            "StorageError",
            "ChildProcessError",
            "ModelAway",
        ):  # by name: --help must not wait for the import
            if error.errno == errno.ENOSPC:
                sys.exit(f"error: the output cannot be written: {error.strerror}")
            raise
        sys.exit(_wrapped(f"error: {error}"))
    finally:
        if signals:  # whatever libraries have made of the exception
            sys.exit(Exit.TERMINATED if signal.SIGTERM in signals else Exit.INTERRUPTED)
        gc.freeze()  # the process ends: without this the garbage collector would look at every imported module first
