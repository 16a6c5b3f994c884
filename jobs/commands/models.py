"""Commands about models and adapters: ask, alpha-sweep, benchmark, convert, export, few-shot, icl, make-base."""

from pathlib import Path
from typing import Annotated

import typer

from jobs.commands.app import MODELS, AsJson, Config, DryRun, LogFormat, Run, Settings, command, not_empty
from jobs.commands.complete import complete_run


@command(
    MODELS,
    [
        'ask runs/demo video.mp4 "What happens?"',
        'ask ermu2001/pllava-7b video.mp4 "What is cooked here?" --start 60 --end 90 --gpu',
        'ask s3://bucket/runs/a s3://bucket/videos/a.mp4 "Why does it fall?" --frames-out looked-at --json',
    ],
)
def ask(
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL",
            help="A run, whose promoted model is asked; or 'tiny', a checkpoint's folder or URI, or a hub id.",
            callback=not_empty,
            autocompletion=complete_run,
        ),
    ],
    video: Annotated[str, typer.Argument(metavar="VIDEO", help="A video or a picture: file or URI.")],
    question: Annotated[str, typer.Argument(metavar="QUESTION", help="In quotes.")],
    start: Annotated[float | None, typer.Option(help="Second of the file at which the clip begins; default: its start.")] = None,
    end: Annotated[float | None, typer.Option(help="Second at which the clip ends; default: the file's end.")] = None,
    max_tokens: Annotated[int | None, typer.Option(min=1, help="Most tokens of the answer; default: generate.max_tokens.")] = None,
    temperature: Annotated[float, typer.Option(min=0.0, help="0: the likeliest token each time.")] = 0.0,
    prompts: Annotated[
        str,
        typer.Option(
            help="Prompt set: strict, published, or the NAME of a section [prompts.NAME]. Default: a run's own, as it was trained; "
            "for other models the question as it is."
        ),
    ] = "",
    config: Annotated[
        Path | None, typer.Option(help="TOML file, for what is no run: its [model], [prompts.NAME], [limits].")
    ] = None,
    adapter: Annotated[str, typer.Option(help="An adapter on MODEL, e.g. RUN/cycle-000/train/model.")] = "",
    frames_out: Annotated[Path | None, typer.Option(help="New folder for the frames that were looked at.")] = None,
    frames_as: Annotated[str, typer.Option(metavar="png|jpeg", help="Format of these frames.")] = "png",
    gpu: Annotated[bool, typer.Option("--gpu", help="Compute on this machine's GPU; default: on the CPU.")] = False,
    as_json: AsJson = False,
    settings: Settings = [],  # noqa: B006
) -> None:
    """Ask a model one question about one video: the answer, and the seconds of the frames that it watched. Starts no Ray."""
    from jobs import ask

    options = ask.AskOptions(
        start=start,
        end=end,
        max_tokens=max_tokens,
        temperature=temperature,
        prompts=prompts,
        config=config,
        adapter=adapter,
        frames_out=frames_out,
        frames_as=frames_as,
        gpu=gpu,
        as_json=as_json,
    )
    ask.ask(model, video, question, options, settings)


@command(MODELS, ["alpha-sweep runs/mine", "alpha-sweep runs/mine --alpha 4 --alpha 8 --cycle 0"], name="alpha-sweep")
def alpha_sweep(
    run: Run,
    alpha: Annotated[
        list[float], typer.Option(help="A LoRA alpha; repeat the option for several. Default: 0 2 4 8 12 16 20 32.")
    ] = [],  # noqa: B006
    cycle: Annotated[int | None, typer.Option(min=0, help="The cycle that trained the adapter; default: the best one.")] = None,
    settings: Settings = [],  # noqa: B006
    log_format: LogFormat = "text",
) -> None:
    """Evaluate one trained adapter at many LoRA alphas on the held-out clips. Nothing is trained."""
    from jobs import alpha_sweep

    alpha_sweep.alpha_sweep(run, cycle, alpha, settings)


@command(
    MODELS,
    [
        "benchmark tiny --files runs/demo/manifest.jsonl --metric accuracy --metric accuracy_by_group",
        "benchmark runs/mine bench.toml --only mvbench --only tempcompass",
        "benchmark ermu2001/pllava-7b --format mvbench --files MVBench/json --videos MVBench/video --json",
    ],
)
def benchmark(
    model: Annotated[
        str, typer.Argument(metavar="MODEL", help="Folder, URI or hub id of a model, 'tiny', or a run: then its promoted model.")
    ],
    config: Config = None,
    only: Annotated[list[str], typer.Option(metavar="NAME", help="A set of the configuration; default: all with files.")] = [],  # noqa: B006
    files: Annotated[str, typer.Option(help="Files of a set that no configuration names.")] = "",
    form: Annotated[str, typer.Option("--format", help="Their format (docs/benchmark_formats.md); default: manifest.")] = "",
    videos: Annotated[str, typer.Option(help="Folder or URI of their videos; default: the folder of the files.")] = "",
    metric: Annotated[list[str], typer.Option(help="What they are measured by; repeat it for several. Default: accuracy.")] = [],  # noqa: B006
    prompts: Annotated[str, typer.Option(help="The prompt set by which they are asked; default: generate.prompts.")] = "",
    name: Annotated[str, typer.Option(help="Name of that set; default: its format, or its file.")] = "",
    adapter: Annotated[str, typer.Option(help="An adapter on MODEL, e.g. RUN/cycle-000/train/model.")] = "",
    out: Annotated[str, typer.Option(help="Folder or URI for answers and figures; default: runs/bench/MODEL.")] = "",
    dry_run: DryRun = False,
    as_json: AsJson = False,
    settings: Settings = [],  # noqa: B006
    log_format: LogFormat = "text",
) -> None:
    """Evaluate a model on benchmarks. The same command continues, and asks neither model nor judge twice."""
    from jobs import benchmark

    benchmark.run(
        benchmark.Benchmark(
            model=model,
            config=config,
            adapter=adapter,
            only=tuple(only),
            name=name,
            form=form,
            files=files,
            videos=videos,
            metrics=tuple(metric),
            prompts=prompts,
            out=out,
            is_dry=dry_run,
            as_json=as_json,
        ),
        settings,
    )


@command(MODELS, ["convert ermu2001/pllava-7b --out runs/pllava-7b", "convert s3://bucket/pllava-7b --out s3://bucket/converted"])
def convert(
    source: Annotated[str, typer.Argument(help="Folder, URI or hub id of a released PLLaVA or of a LLaVA.")],
    out: Annotated[str, typer.Option(help="Folder or URI for base/ and, if the source has a LoRA, adapter/.")],
    settings: Settings = [],  # noqa: B006
) -> None:
    """Split a released checkpoint into a base and a PEFT adapter, file by file."""
    from jobs import convert

    convert.convert(source, out, settings)


@command(
    MODELS,
    [
        "export tiny --adapter runs/demo/cycle-000/train/model --out demo-merged",
        "export llava-hf/llava-v1.6-vicuna-7b-hf --adapter s3://bucket/runs/a/cycle-001/train/model --alpha 4 --out merged",
    ],
)
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


@command(
    MODELS,
    [
        "few-shot episodes --out curve --set model.base=ermu2001/pllava-7b",
        "few-shot episodes --out curve --adapter runs/mine/cycle-000/train/model",
    ],
    name="few-shot",
)
def few_shot(
    episodes: Annotated[str, typer.Argument(metavar="EPISODES", help="Folder that `starloop episodes` wrote.")],
    out: Annotated[str, typer.Option(help="Folder or URI for answers, curve and plots.")],
    adapter: Annotated[str, typer.Option(help="An adapter on model.base, e.g. RUN/cycle-000/train/model.")] = "",
    settings: Settings = [],  # noqa: B006
    log_format: LogFormat = "text",
) -> None:
    """Let a model narrate held-out clips after 0 to 16 shots, and draw the curve of its accuracy."""
    from jobs import few_shot

    few_shot.narrate(episodes, out, adapter, settings)


@command(MODELS, ["icl", "icl --seeds 1 --out /tmp/icl", "icl --ablations"])
def icl(
    out: Annotated[str, typer.Option(help="Folder for all results.")] = "runs/icl",
    seeds: Annotated[int, typer.Option(help="How often each model is trained, each time with another seed.")] = 3,
    ablations: Annotated[
        bool, typer.Option("--ablations", help="Also train without burstiness, without the tail, and without dynamic meaning.")
    ] = False,
    settings: Settings = [],  # noqa: B006
    log_format: LogFormat = "text",
) -> None:
    """Render a narrated world, let a tiny model learn its narrators' words from context, and draw the curve."""
    from jobs import icl

    icl.icl(out, seeds, ablations, settings)


@command(MODELS, ["make-base", "make-base --out /tmp/weights"], name="make-base")
def make_base(out: Annotated[Path, typer.Option(help="Folder for the weights.")] = Path("models/tiny/weights")) -> None:
    """Make the shipped tiny base model again: about half an hour on two cores."""
    from jobs import make_base

    make_base.make_base(out, make_base.Recipe())
