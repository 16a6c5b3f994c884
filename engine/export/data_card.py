"""The card of an exported folder: what the rows are, how many of how many clips, under which license, and how they load."""

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from huggingface_hub.repocard_data import DatasetCardData

from engine.export.folder import Shard
from engine.export.formats import LAYOUTS, OF_SEVERAL_TYPES, TEXT_ROWS, TEXT_TYPES, Form, pattern_of
from engine.export.front import LICENSE_UNKNOWN, card, counted, size_category, split_name, table
from engine.export.kept import Source
from engine.report.reasons import left_out
from engine.run.plan import BASE, INGEST, TRAIN, history, so_far
from engine.store.locations import local_path, masked

COLUMNS = (
    ("video, start_s, end_s", "the video and the window in seconds of its file; empty: its start, its end"),
    ("label, label_kind, label_json", "what a human said about the clip: as text, its kind, and whole"),
    ("question, prompt", "the question, and its wording in training"),
    ("answer", "what the model said; `follow_ups` are later turns of a conversation"),
    ("reason, detail, score", "why the verifiers keep the answer, the words that decided, and the share of the label in it"),
    ("support", "by how much the answer is likelier with its own video than with others, in nats"),
    ("mode", "direct: without a hint; rationalized: the model saw the label and explained it"),
    (
        "run, cycle, seed, sample, model, etag, example_id",
        "where the answer comes from, and which version of the video it is about",
    ),
)


def data_card(source: Source, form: Form, shards: Mapping[str, Shard]) -> bytes:
    """README.md of an exported folder. `shards`: by their paths."""
    splits = dict.fromkeys(shard.split for shard in shards.values())
    rows = {split: sum(shard.rows for shard in shards.values() if shard.split == split) for split in splits}
    license = source.config.data.license
    types = {"dataset_info": {"config_name": "default", "features": TEXT_TYPES[form]}} if form in TEXT_TYPES else {}
    data = DatasetCardData(
        pretty_name=f"{_name(source)}, cycle {source.cycle}",
        license=license or LICENSE_UNKNOWN,
        language=source.config.verify.language,
        size_categories=size_category(sum(rows.values())),
        task_categories=["visual-question-answering", "video-text-to-text"],
        tags=["video", "starloop", "synthetic", "reasoning"],
        configs=[
            {
                "config_name": "default",
                "data_files": [{"split": split_name(split), "path": pattern_of(form, split)} for split in splits],
            }
        ],
        **types,
    )
    return card(data, _body(source, form, shards, rows))


def _body(source: Source, form: Form, shards: Mapping[str, Shard], rows: Mapping[str, int]) -> Iterator[str]:
    generates = source.config.generates
    what = "answers about videos that their labels confirm" if generates else "questions about videos with given answers"
    yield f"# {_name(source)}, cycle {source.cycle}: {what}"
    yield ""
    yield from _ANSWERED if generates else _GIVEN
    yield ""
    failures = {split: sum((Counter(s.failures) for s in shards.values() if s.split == split), Counter()) for split in rows}
    files = Counter(shard.split for shard in shards.values())
    yield from table(
        ["split", "rows", "files", "rows left out, for their video"],
        [[split_name(split), count, files[split], counted(failures[split])] for split, count in rows.items()],
    )
    yield from ("", "## Yield", "")
    yield from table(["", ""], [[name, value] for name, value in _yields(source).items()])
    yield from ("", "## Origin", "")
    yield from table(["", ""], [[name, value] for name, value in _origin(source, form).items()])
    yield from ("", "## Columns", "")
    yield from table(["column", "meaning"], COLUMNS)
    note = _SHARD_NOTE if form == "webdataset" else _TEXT_NOTE if form in TEXT_ROWS else ""
    yield from ("", f"Read by {LAYOUTS[form].read_by}.{note}", "")
    if generates:
        yield "Answers are a model's: they may be wrong where the label does not tell, and rationalized ones were written by a"
        yield "model that knew the label."
    yield "Made by Starloop, after Video-STaR (arXiv 2407.06189)."


_ANSWERED = (
    "A video LLM answered a question about each clip. An answer was kept where it says what the clip's label says, and a clip",
    "whose answers were rejected was asked again with the label as a hint. At most one kept answer of each clip is a row.",
)
_GIVEN = ("No model answered the train rows: a template writes the answer from the clip's label, or it comes with a conversation.",)
_TEXT_NOTE = (
    " These tools show whole videos; `row` is a JSON text with all columns but the turns, among them the window, for a tool "
    "that cuts videos."
)
_SHARD_NOTE = f" Videos are whole; in a sample's JSON `row` is a JSON text with {', '.join(OF_SEVERAL_TYPES)}."


def _yields(source: Source) -> dict[str, Any]:
    facts, counts = source.sealed[source.selected].facts, source.sealed[source.selected].counts
    answers = {
        "clips asked about": facts.get("clips", 0),
        "kept without a hint": facts.get("direct_kept", 0),
        "kept with the label as a hint": facts.get("rationalized_kept", 0),
        "dropped, by reason": counted(facts.get("dropped", {})),
        "clips that failed, by kind": counted(facts.get("failed", {})),
        "examples without a hint": counts.get("direct", 0),
        "examples with one": counts.get("rationalized", 0),
    }
    yields: dict[str, Any] = answers if source.config.generates else {"examples of templates": counts.get("direct", 0)}
    yields["conversations"] = counts.get("instruct", 0)
    yields["left out by select"] = ", ".join(left_out(counts, source.config.select)) or "none"
    past = history(source.sealed)
    if BASE in source.sealed and source.cycle < len(past.cycles):
        promoted = "promoted" if past.best_cycle == source.cycle else "not promoted"
        metric = source.config.sets[0].metrics[0].replace("_", " ")
        yields[f"held-out {metric} of the base, and after training on the rows"] = (
            f"{past.base:.3f}, {past.cycles[source.cycle]:.3f} ({promoted})"
        )
    return yields


def _origin(source: Source, form: Form) -> dict[str, Any]:
    config, sealed = source.config, source.sealed
    [step] = [step for step in so_far(config, sealed) if step.name == source.selected]
    models = [sealed[name].facts["model"] for name in step.inputs if name != INGEST and sealed[name].facts.get("model")]
    return {
        "videos and labels": config.data.source or "not told (data.source)",
        "license": config.data.license or "not told (data.license): ask whoever gave you the videos and labels",
        "manifest": place(config.data.manifest, form),
        "run": place(source.store.url(), form),
        "identity of the select step": sealed[source.selected].output,
        "preset, seed": f"{config.preset}, {config.run.seed}",
        "answered by": ", ".join(dict.fromkeys(_model(model, form) for model in models)) or "no model",
        "verified by": ", ".join(config.verify.stages) if config.generates else "nothing: no answer is a model's",
        "train clips of the manifest": sum(sealed[INGEST].facts["parts"].get(TRAIN, [])),
    }


def place(uri: str, form: Form) -> str:
    """A URI without its login and query; in a folder for a hub, of a path of this machine its name alone.

    >>> place("/home/ann/clips.csv", "hub"), place("s3://b/clips.csv", "hub"), place("tiny", "hub")
    ('clips.csv', 's3://b/clips.csv', 'tiny')
    """
    uri = masked(uri)
    is_path = "/" in uri and local_path(uri) is not None
    return uri.rstrip("/").rpartition("/")[2] if form == "hub" and is_path else uri


def _model(model: Mapping[str, Any], form: Form) -> str:
    """A hub id, which has a revision, is no path.

    >>> _model({"base": "Qwen/Qwen3-VL-8B", "revision": "f3c9", "digest": "d1", "engine": "builtin"}, "hub")
    'Qwen/Qwen3-VL-8B (d1, builtin)'
    >>> _model({"base": "/home/ann/base", "revision": "", "digest": "d1", "engine": "vllm"}, "hub")
    'base (d1, vllm)'
    """
    base = model["base"] if model.get("revision") else place(model["base"], form)
    return f"{base} ({model['digest']}, {model.get('engine', '')})"


def _name(source: Source) -> str:
    return source.store.url().rstrip("/").rpartition("/")[2]
