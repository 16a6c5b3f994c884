"""Pins that other tools' own readers give exactly the rows which the seals count: of exported folders, and of a run as it lies."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import datasets
import duckdb
import pandas
import polars
import pytest
import ray.data
import webdataset
from huggingface_hub import DatasetCard
from llamafactory.data.loader import _load_single_dataset
from llamafactory.data.parser import get_dataset_list
from llamafactory.hparams import DataArguments
from swift.dataset import load_dataset as load_swift

from engine import load_attempts, load_clips, load_examples
from engine.export.export import export
from engine.export.formats import LAYOUTS, Form
from engine.export.kept import Source
from engine.rows import Example
from engine.run.refresh import refresh
from engine.run.work import read_seals, run_config
from engine.store.files import Store
from kept_runs import TALK, a_run, answers_to, with_videos

pytestmark = pytest.mark.loaders
TEXT = Example(
    example_id="talk-2", clip_id="", video="", start_s=None, end_s=None, prompt="How are you?", answer="Well.", source="instruct"
)
ANSWER = "It goes up, so it is rising, 0."


@dataclass(frozen=True)
class Taken:
    """A run of 8 kept answers, a conversation about a picture and one about nothing; and exports of it."""

    run: Path
    folder: Path

    def export(self, form: Form) -> Path:
        """The folder, written by the first test that wants it. The picture is not there, so it is no sample of a shard."""
        store = Store(str(self.run))
        out = self.folder / f"{form}-files"
        source = Source(store=store, config=run_config(store), sealed=read_seals(store), cycle=0)
        if not out.exists():
            splits = ["train", "heldout"] if form != "webdataset" else ["train"]
            export(source, form, Store(str(out)), splits, shard_rows=3 if LAYOUTS[form].shard_rows else None)
        return out

    def ids(self) -> list[str]:
        return load_examples(str(self.run)).table()["example_id"].to_pylist()


@pytest.fixture(scope="module")
def taken(tmp_path_factory: pytest.TempPathFactory) -> Taken:
    folder = tmp_path_factory.mktemp("taken")
    clips, etags = with_videos(folder / "videos", 12)
    store = Store(str(folder / "run"))
    config = a_run(store, clips, answers_to(clips, etags), (TALK, TEXT))
    refresh(store, config, read_seals(store))
    return Taken(folder / "run", folder)


@pytest.fixture
def load(tmp_path: Path) -> Callable[..., Any]:
    return lambda *arguments, **options: datasets.load_dataset(*arguments, cache_dir=str(tmp_path / "cache"), **options)


def sizes(loaded: Any) -> dict[str, int]:
    return {split: rows.num_rows for split, rows in loaded.items()}


@pytest.mark.parametrize("form", ["parquet", "hub"])
def test_datasets_loads_tables(taken: Taken, load: Callable[..., Any], form: Form) -> None:
    loaded = load(str(taken.export(form)))
    assert sizes(loaded) == {"train": 10, "heldout": 1}
    assert loaded["train"]["example_id"][:] == taken.ids()
    assert (loaded["train"][0]["answer"], loaded["train"][0]["label"], loaded["train"][0]["reason"]) == (
        ANSWER,
        "rising",
        "contains_label",
    )


def test_what_reads_parquet_reads_tables(taken: Taken) -> None:
    files, ids = str(taken.export("parquet") / "data" / "train-*.parquet"), taken.ids()
    assert polars.read_parquet(files)["example_id"].to_list() == ids
    assert [name for (name,) in duckdb.sql(f"SELECT example_id FROM read_parquet('{files}')").fetchall()] == ids
    assert pandas.read_parquet(taken.export("parquet") / "data").groupby("source").size().to_dict() == {"instruct": 2, "star": 9}
    pieces = taken.run / "cycle-000" / "generate" / "pieces"
    assert polars.read_parquet(f"{pieces}/*.parquet").height == pandas.read_parquet(pieces).shape[0] == 20


@pytest.mark.parametrize("form", ["messages", "sharegpt", "llava"])
def test_datasets_loads_text_formats(taken: Taken, load: Callable[..., Any], form: Form) -> None:
    loaded = load(str(taken.export(form)))
    assert sizes(loaded) == {"train": 10, "heldout": 1}
    turns = loaded["train"][0]["messages" if form == "messages" else "conversations"]
    assert (turns[1].get("content") or turns[1]["value"]) == ANSWER
    assert json.loads(loaded["train"][0]["row"])["label"] == "rising"


@pytest.mark.parametrize("form", ["messages", "sharegpt", "llava"])
def test_datasets_loads_splits_of_which_the_last_alone_has_a_picture(
    taken: Taken, tmp_path: Path, load: Callable[..., Any], form: Form
) -> None:
    store = Store(str(taken.run))
    source = Source(store=store, config=run_config(store), sealed=read_seals(store), cycle=0)
    export(source, form, Store(str(tmp_path / "out")), ["heldout", "train"])
    assert sizes(load(str(tmp_path / "out"))) == {"heldout": 1, "train": 10}


def test_datasets_and_webdataset_load_shards(taken: Taken, load: Callable[..., Any]) -> None:
    out = taken.export("webdataset")
    shards = sorted(str(path) for path in out.glob("data/*.tar"))
    samples = list(webdataset.WebDataset(shards, shardshuffle=False).decode())
    videos = [(sample["json"]["example_id"], len(sample["mp4"])) for sample in samples if "mp4" in sample]
    assert [name for name, _ in videos] == taken.ids()[:8]
    assert videos[0][1] == len((taken.folder / "videos" / "a0.mp4").read_bytes())
    train = load(str(out))["train"].cast_column("mp4", datasets.Video(decode=False))
    assert [row["json"]["example_id"] for row in train if row["mp4"]] == taken.ids()[:8]
    assert "| train | 9 | 4 | missing 1 |" in DatasetCard.load(out / "README.md").content


def test_datasets_loads_shards_whose_numbers_come_after_nulls(tmp_path: Path, load: Callable[..., Any]) -> None:
    clips, etags = with_videos(tmp_path / "videos", 12)
    clips = [replace(clip, start_s=None, end_s=None) if at < 9 else clip for at, clip in enumerate(clips)]
    answers = [replace(answer, support=None) if answer.seed % 100 < 9 else answer for answer in answers_to(clips, etags)]
    store = Store(str(tmp_path / "run"))
    config = a_run(store, clips, answers)
    export(Source(store=store, config=config, sealed=read_seals(store), cycle=0), "webdataset", Store(str(tmp_path / "out")))
    train = load(str(tmp_path / "out"))["train"].cast_column("mp4", datasets.Video(decode=False))
    rest = [json.loads(row["json"]["row"]) for row in train]
    assert [(row["end_s"], row["support"]) for row in rest] == [(None, None)] * 6 + [(4.0, 9.0), (None, 10.0)]


@pytest.mark.ray
def test_ray_data_reads_tables_of_exports_and_of_runs(taken: Taken, ray_cluster: None) -> None:
    for folder in (taken.export("parquet") / "data", taken.export("hub")):
        rows = ray.data.read_parquet(str(folder)).select_columns(["example_id", "label"]).take_all()
        assert sorted(row["example_id"] for row in rows) == sorted([*taken.ids(), "h0/0/heldout"])
    step = taken.run / "cycle-000" / "generate"
    attempts = load_attempts(str(taken.run)).table().num_rows
    assert ray.data.read_parquet(str(step / "pieces")).count() == attempts
    assert ray.data.read_parquet(str(step)).count() == attempts, "no index lies among the data"
    assert ray.data.read_parquet(str(taken.run / "cycle-000" / "select" / "examples.parquet")).count() == 10
    for split in ("train", "heldout"):
        assert (
            ray.data.read_parquet(str(taken.run / "ingest" / split)).count() == load_clips(str(taken.run), split).table().num_rows
        )


@pytest.mark.parametrize("form", ["messages", "sharegpt", "llava"])
def test_swift_reads_what_it_trains_on(taken: Taken, form: Form) -> None:
    [file] = taken.export(form).glob("train.json*")
    train, _ = load_swift([str(file)], num_proc=1, strict=True, shuffle=False)
    rows = {row["messages"][1]["content"]: row for row in train}
    assert len(train) == 10
    first = rows[ANSWER]
    assert first["messages"][0]["content"].split("What")[0].strip() == "<video>"
    assert first["videos"] == [str(taken.folder / "videos" / "a0.mp4")]
    picture, words = rows["A dog."], rows["Well."]
    assert [image["path"] for image in picture["images"]] == ["/pictures/dog.jpg"]
    assert not picture.get("videos")
    assert not words.get("videos")
    assert words["messages"][0]["content"] == "How are you?"


@pytest.mark.parametrize("form", ["messages", "sharegpt"])
def test_llama_factory_reads_what_it_trains_on(taken: Taken, tmp_path: Path, form: Form) -> None:
    folder = str(taken.export(form))
    for name, wanted in (("run", 10), ("run_heldout", 1)):
        [attributes] = get_dataset_list([name], folder)
        model = SimpleNamespace(cache_dir=str(tmp_path), hf_hub_token=None)
        training = SimpleNamespace(local_process_index=0, dataloader_num_workers=0)
        arguments = DataArguments(dataset=name, dataset_dir=folder, media_dir=str(taken.folder))
        rows = _load_single_dataset(attributes, model, arguments, training)
        assert len(rows) == wanted
    by_answer = {row["_response"][0]["content"]: row for row in _load_single_dataset(*_of(folder, tmp_path, taken))}
    first, picture, words = by_answer[ANSWER], by_answer["A dog."], by_answer["Well."]
    assert first["_prompt"][0]["content"].startswith("<video>What is the action?")
    assert (first["_videos"], first["_images"]) == ([str(taken.folder / "videos" / "a0.mp4")], None)
    assert (picture["_images"], picture["_videos"], words["_videos"]) == (["/pictures/dog.jpg"], None, None)


def _of(folder: str, cache: Path, taken: Taken) -> Iterator[Any]:
    """The arguments of LLaMA-Factory's reader, for the train rows."""
    yield get_dataset_list(["run"], folder)[0]
    yield SimpleNamespace(cache_dir=str(cache), hf_hub_token=None)
    yield DataArguments(dataset="run", dataset_dir=folder, media_dir=str(taken.folder))
    yield SimpleNamespace(local_process_index=0, dataloader_num_workers=0)


def test_datasets_loads_a_run_folder_as_it_is(taken: Taken, load: Callable[..., Any]) -> None:
    run = str(taken.run)
    names = datasets.get_dataset_config_names(run)
    assert {name: sizes(load(run, name)) for name in names} == {
        "examples-000": {"train": 10},
        "examples-001": {"train": 1},
        "clips": {"train": 12, "heldout": 2},
        "attempts-base": {"heldout": 2},
        "attempts-000": {"train": 20, "heldout": 2},
        "attempts-001": {"train": 20, "heldout": 2},
    }
    assert sizes(load(run)) == {"train": 10}, "without a name: what the promoted model was trained on"
    assert load(run, "clips")["heldout"]["clip_id"][:] == ["h0", "h1"]


def test_datasets_loads_the_folders_of_a_run(taken: Taken, load: Callable[..., Any]) -> None:
    assert sizes(load(str(taken.run / "ingest"))) == {"train": 12, "heldout": 2}, "no split is missing"
    step = taken.run / "cycle-000" / "generate"
    assert sizes(load(str(step))) == {"train": 20}, "no index lies among the data"
    assert sizes(load("parquet", data_files=str(step / "pieces" / "*.parquet"))) == {"train": 20}
    examples = taken.run / "cycle-000" / "select" / "examples.parquet"
    assert sizes(load("parquet", data_files=str(examples))) == {"train": 10}


def test_a_file_of_many_megabytes_whose_pictures_come_last_is_read(tmp_path: Path, load: Callable[..., Any]) -> None:
    """`datasets` takes the types of a JSON file from its first 10 MB."""
    clips, etags = with_videos(tmp_path / "videos", 3)
    long = [answer if answer.outcome == "rejected" else _longer(answer) for answer in answers_to(clips, etags)]
    store = Store(str(tmp_path / "run"))
    config = a_run(store, clips, long, (TEXT, TALK))
    source = Source(store=store, config=config, sealed=read_seals(store), cycle=0)
    export(source, "messages", Store(str(tmp_path / "out")))
    assert (tmp_path / "out" / "train.jsonl").stat().st_size > 12_000_000
    assert load(str(tmp_path / "out"))["train"].num_rows == 4


def _longer(answer: Any) -> Any:
    return replace(answer, text=answer.text + " It rises." * 600_000)
