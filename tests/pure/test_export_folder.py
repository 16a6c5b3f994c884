"""Pins the folder that an export leaves: whole or not there, gone on with, its own or refused, and read by a hub's card reader."""

import io
import json
import re
import tarfile
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from huggingface_hub import DatasetCard

from builders import a_clip, an_attempt
from command import starloop
from engine.export.export import Exported, export
from engine.export.folder import CLAIM, Folder
from engine.export.formats import LAYOUTS, Form
from engine.export.kept import Source
from engine.rows import TAKEAWAYS, Clip
from engine.run.collected import note_collected
from engine.run.plan import name_of
from engine.run.work import pieces_of, read_seals
from engine.store.drafts import DRAFT_PREFIX
from engine.store.files import Store
from engine.store.troubles import StorageError
from kept_runs import a_config, a_run, answers_to, clips_of, with_videos

pytestmark = pytest.mark.waits


def a_source(store: Store, clips: int = 12, **data: str) -> Source:
    everyone = clips_of(clips)
    config = a_run(store, everyone, answers_to(everyone), config=a_config(store.url(), **data))
    return Source(store=store, config=config, sealed=read_seals(store), cycle=0)


def rows_of(folder: Path, split: str = "train") -> list[str]:
    return [name for path in sorted(folder.glob(f"data/{split}-*")) for name in pq.read_table(path)["example_id"].to_pylist()]


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_rows_are_cut_into_files_that_say_how_many_there_are(tmp_path: Path) -> None:
    source, out = a_source(Store(str(tmp_path / "run"))), tmp_path / "out"
    done = export(source, "parquet", Store(str(out)), ["train", "heldout"], shard_rows=3)
    assert (done.rows, done.failures, done.cycle, done.is_new) == ({"train": 8, "heldout": 1}, {}, 0, True)
    assert sorted(path.name for path in (out / "data").iterdir()) == [
        "heldout-00000-of-00001.parquet",
        "train-00000-of-00003.parquet",
        "train-00001-of-00003.parquet",
        "train-00002-of-00003.parquet",
    ]
    assert rows_of(out) == [row.example_id for row in source.rows("train")]
    assert pq.read_schema(out / "data" / "train-00000-of-00003.parquet").equals(TAKEAWAYS)


def test_a_stopped_export_leaves_no_folder_and_the_same_call_goes_on(tmp_path: Path) -> None:
    source, out = a_source(Store(str(tmp_path / "run")), clips=60), Store(str(tmp_path / "out"))
    pieces = pieces_of(name_of(0, "generate"))
    last = f"{pieces}/{source.store.names(pieces)[-1]}"
    piece = source.store.read(last)
    source.store.delete(last)
    with pytest.raises(StorageError, match="is gone"):
        export(source, "parquet", out, shard_rows=8)
    assert not (tmp_path / "out").exists()
    begun = tmp_path / ".out.unfinished" / "data" / "train-00000-of-00005.parquet"
    before = begun.stat().st_mtime_ns
    assert not (tmp_path / ".out.unfinished" / "README.md").exists()
    (begun.parent / f"{DRAFT_PREFIX}of-a-killed-process").touch()
    source.store.write(last, piece or b"")
    done = export(source, "parquet", out, shard_rows=8)
    assert (done.rows, done.is_new) == ({"train": 40}, True)
    assert (tmp_path / "out" / "data" / begun.name).stat().st_mtime_ns == before, "a whole file is not written again"
    assert not (tmp_path / ".out.unfinished").exists()
    whole = tmp_path / "whole"
    export(source, "parquet", Store(str(whole)), shard_rows=8)
    assert contents(whole) == contents(tmp_path / "out")


def test_in_an_object_store_the_card_comes_last(tmp_path: Path) -> None:
    source, out = a_source(Store(str(tmp_path / "run")), clips=60), Store("memory://exports/stopped")
    pieces = pieces_of(name_of(0, "generate"))
    last = f"{pieces}/{source.store.names(pieces)[-1]}"
    piece = source.store.read(last)
    source.store.delete(last)
    with pytest.raises(StorageError, match="is gone"):
        export(source, "parquet", out, shard_rows=8)
    assert "README.md" not in out.names("")
    assert out.names("data")[0] == "train-00000-of-00005.parquet"
    source.store.write(last, piece or b"")
    assert export(source, "parquet", out, shard_rows=8).is_new
    assert (sorted(out.names("")), len(out.names("data"))) == ([CLAIM, "README.md"], 5)
    assert not export(source, "parquet", out, shard_rows=8).is_new


def test_a_complete_folder_is_left_as_it_is(tmp_path: Path) -> None:
    source, out = a_source(Store(str(tmp_path / "run"))), Store(str(tmp_path / "out"))
    first = export(source, "messages", out)
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*")}
    assert export(source, "messages", out) == Exported(uri=first.uri, cycle=0, rows={"train": 8}, failures={}, is_new=False)
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*")} == before


def test_what_is_no_export_or_another_one_is_refused(tmp_path: Path) -> None:
    source, out = a_source(Store(str(tmp_path / "run"))), tmp_path / "out"
    out.mkdir()
    (out / "mine.txt").write_text("keep me")
    with pytest.raises(ValueError, match=r"out is not empty and is no export of Starloop; name another folder with --out"):
        export(source, "hub", Store(str(out)))
    assert contents(out) == {"mine.txt": b"keep me"}
    (out / "mine.txt").unlink()
    export(source, "hub", Store(str(out)))  # an empty folder is as good as none
    with pytest.raises(ValueError, match=r"holds another export \(format: 'hub' -> 'parquet'; run: 'run' -> .*\); name another"):
        export(source, "parquet", Store(str(out)))
    (out / CLAIM).write_text("{}")
    with pytest.raises(ValueError, match="is not what an export writes"):
        export(source, "hub", Store(str(out)))


@pytest.mark.parametrize(
    ("form", "file", "first"),
    [
        ("messages", "train.jsonl", lambda text: json.loads(text.splitlines()[0])["messages"][1]["content"]),
        ("sharegpt", "train.jsonl", lambda text: json.loads(text.splitlines()[0])["conversations"][1]["value"]),
        ("llava", "train.json", lambda text: json.loads(text)[0]["conversations"][1]["value"]),
    ],
)
def test_text_formats_are_one_file_a_split(tmp_path: Path, form: Form, file: str, first: object) -> None:
    source, out = a_source(Store(str(tmp_path / "run"))), tmp_path / "out"
    export(source, form, Store(str(out)), ["train", "heldout"])
    text = (out / file).read_text()
    assert first(text) == "It goes up, so it is rising, 0."  # type: ignore[operator]
    assert len(json.loads(text) if form == "llava" else text.splitlines()) == 8
    listed = json.loads((out / "dataset_info.json").read_text()) if form != "llava" else {}
    assert {name: value["file_name"] for name, value in listed.items()} == (
        {} if form == "llava" else {"run": "train.jsonl", "run_heldout": "heldout.jsonl"}
    )


def test_no_path_of_this_machine_is_in_a_folder_for_a_hub(tmp_path: Path) -> None:
    source, out = a_source(Store(str(tmp_path / "run")), manifest="/videos/clips.csv"), tmp_path / "out"
    export(source, "hub", Store(str(out)))
    rows = pq.read_table(out / "data").to_pylist()
    assert (rows[0]["video"], rows[0]["run"]) == ("a0.mp4", "run")
    texts = b"".join(data for path, data in contents(out).items() if not path.startswith("data/"))
    assert str(tmp_path).encode() not in texts
    assert b"/videos" not in texts


def test_local_videos_of_a_hub_are_named_below_the_folder_that_holds_all_of_them(tmp_path: Path) -> None:
    """Wherever the manifest lies: that of a continuation is in the run's folder, and a relative one is another file elsewhere."""
    clips = [a_clip("a0", video="/films/one/a.mp4"), a_clip("a3", video="/films/two/a.mp4")]
    clips += [a_clip("a6", video="/videos/a.mp4")]
    attempts = [an_attempt(clip.clip_id, text="It is rising.", seed=at) for at, clip in enumerate(clips)]

    def exported(name: str, held: str, *chosen: Clip) -> list[str]:
        store, out = Store(str(tmp_path / name)), tmp_path / f"{name}-out"
        config = a_config(store.url(), manifest="clips.csv")
        config = a_run(store, chosen, attempts[: len(chosen)], config=config, heldout_videos=held)
        source = Source(store=store, config=config, sealed=read_seals(store), cycle=0)
        export(source, "hub", Store(str(out)))
        return [row["video"] for row in pq.read_table(out / "data").to_pylist()]

    assert exported("below", "/films/held", *clips[:2]) == ["one/a.mp4", "two/a.mp4"]
    assert exported("apart", "/held", clips[0]) == ["a.mp4"], "no folder but the root holds both: no path of this machine is told"
    with pytest.raises(
        ValueError, match=r"/films/one/a.mp4 and /films/two/a.mp4 would both be named a on a hub, and the videos of"
    ):
        exported("alike", "/held", *clips[:2])
    assert not (tmp_path / "alike-out").exists()
    assert not (tmp_path / ".alike-out.unfinished").exists()


def test_a_killed_command_leaves_a_folder_that_it_has_claimed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = a_source(Store(str(tmp_path / "run")))

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    for out in (Store(str(tmp_path / "out")), Store("memory://exports/killed")):
        with monkeypatch.context() as patched:
            patched.setattr(Folder, "done", killed)  # the first file is there, and not noted as whole
            with pytest.raises(KeyboardInterrupt):
                export(source, "parquet", out, shard_rows=8)
        assert export(source, "parquet", out, shard_rows=8).is_new
    beside = tmp_path / ".other.unfinished"
    (beside / "data").mkdir(parents=True)
    (beside / "data" / "train-00000-of-00009.parquet").write_bytes(b"of a version that claimed later")
    export(source, "parquet", Store(str(tmp_path / "other")))
    assert [path.name for path in (tmp_path / "other" / "data").iterdir()] == ["train-00000-of-00001.parquet"]


def test_an_export_of_other_answers_is_another_export(tmp_path: Path) -> None:
    """Also where the examples are the same: `starloop failures --rewind` undoes the evaluation alone."""
    source, out = a_source(Store(str(tmp_path / "run"))), Store(str(tmp_path / "out"))
    export(source, "parquet", out, ["train", "heldout"])
    step = name_of(0, "evaluate")
    again = replace(source.sealed[step], files=[])
    with pytest.raises(ValueError, match=r"holds another export \(rows.heldout: .*\)"):
        export(replace(source, sealed={**source.sealed, step: again}), "parquet", out, ["train", "heldout"])


def test_a_complete_export_of_an_earlier_version_is_complete(tmp_path: Path) -> None:
    """Its claim names the examples that train's rows are of, as a text. Unfinished, it may have rows that this version lacks."""
    source, out = a_source(Store(str(tmp_path / "run"))), Store(str(tmp_path / "out"))
    export(source, "parquet", out)
    claim = json.loads(out.read(CLAIM) or b"")
    claim["about"]["rows"] = source.sealed[source.selected].output
    out.write(CLAIM, json.dumps(claim).encode())
    assert not export(source, "parquet", out).is_new
    with pytest.raises(ValueError, match="holds another export"):
        export(source, "parquet", out, ["train", "heldout"])
    out.write(CLAIM, json.dumps(claim | {"complete": False}).encode())
    with pytest.raises(ValueError, match=r"holds another export \(rows: "):
        export(source, "parquet", out)


def test_answers_that_gc_has_deleted_are_refused(tmp_path: Path) -> None:
    source, step = a_source(Store(str(tmp_path / "run"))), name_of(0, "evaluate")
    note_collected(source.store, step, [pieces_of(step)])
    source.store.delete(pieces_of(step))
    with pytest.raises(ValueError, match=r"the answers of cycle-000/evaluate in .* were deleted by `starloop gc`"):
        export(source, "parquet", Store(str(tmp_path / "out")), ["train", "heldout"])
    assert export(source, "parquet", Store(str(tmp_path / "out"))).rows == {"train": 8}


def test_rows_of_a_file_are_no_option_of_a_text_format(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"--shard-rows: each split of llava is one file; leave it out"):
        export(a_source(Store(str(tmp_path / "run"))), "llava", Store(str(tmp_path / "out")), shard_rows=5)


def test_rows_of_templates_are_no_models_answers(tmp_path: Path) -> None:
    source = a_source(Store(str(tmp_path / "run")))
    config = source.config.model_copy(update={"select": source.config.select.model_copy(update={"source": "template"})})
    templates = {name: seal for name, seal in source.sealed.items() if not name.endswith("/generate")}
    export(replace(source, config=config, sealed=templates), "parquet", Store(str(tmp_path / "out")))
    card = (tmp_path / "out" / "README.md").read_text()
    for text in (
        "No model answered the train rows",
        "| answered by | no model |",
        "| verified by | nothing: no answer is",
        "templates | 4 |",
    ):
        assert text in card
    for text in ("A video LLM answered", "Answers are a model's", "clips asked about", "kept without a hint"):
        assert text not in card


def test_a_card_names_no_signature(tmp_path: Path) -> None:
    manifest = "https://ann:pw@h/clips.csv?X-Amz-Signature=f3"
    source = a_source(Store(str(tmp_path / "run")), manifest=manifest)
    export(source, "messages", Store(str(tmp_path / "out")))
    assert "| manifest | https://***@h/clips.csv?*** |" in (tmp_path / "out" / "README.md").read_text()


def test_a_sample_of_a_shard_is_a_video_byte_for_byte_and_its_row(tmp_path: Path) -> None:
    clips, etags = with_videos(tmp_path / "videos", 9)
    store = Store(str(tmp_path / "run"))
    config = a_run(store, clips, answers_to(clips, etags))
    source = Source(store=store, config=config, sealed=read_seals(store), cycle=0)
    (tmp_path / "videos" / "a1.mp4").unlink()
    (tmp_path / "videos" / "a3.mp4").write_bytes(b"another video")
    done = export(source, "webdataset", Store(str(tmp_path / "out")), shard_rows=4)
    assert (done.rows, done.failures) == ({"train": 4}, {"missing": 1, "replaced": 1})
    with tarfile.open(tmp_path / "out" / "data" / "train-00000-of-00002.tar") as archive:
        assert archive.getnames() == ["00000000.mp4", "00000000.json", "00000003.mp4", "00000003.json"]
        assert {(member.mtime, member.uid, member.uname) for member in archive} == {(0, 0, "")}
        video, row = (archive.extractfile(name) or io.BytesIO() for name in archive.getnames()[2:])
        assert video.read() == (tmp_path / "videos" / "a4.mp4").read_bytes()
        assert json.loads(row.read())["example_id"] == "a4/0/rationalized"
    failures = [
        json.loads(line) for line in (tmp_path / "out" / "failures" / "train-00000-of-00002.jsonl").read_text().splitlines()
    ]
    assert [(failure["example_id"], failure["kind"]) for failure in failures] == [
        ("a1/0/rationalized", "missing"),
        ("a3/0/direct", "replaced"),
    ]
    card = DatasetCard.load(tmp_path / "out" / "README.md")
    assert "| train | 4 | 2 | missing 1, replaced 1 |" in card.content
    again = export(source, "webdataset", Store(str(tmp_path / "again")), shard_rows=4)
    assert again.failures == done.failures
    assert contents(tmp_path / "again") == contents(tmp_path / "out")


@pytest.mark.parametrize("form", list(LAYOUTS))
def test_a_hub_reads_the_card(tmp_path: Path, form: Form) -> None:
    source, out = a_source(Store(str(tmp_path / "run")), license="cc-by-4.0", source="https://data.example/clips"), tmp_path / "out"
    if form == "webdataset":
        clips, etags = with_videos(tmp_path / "videos", 12)
        a_run(store := Store(str(tmp_path / "filmed")), clips, answers_to(clips, etags), config=source.config)
        source = Source(store=store, config=source.config, sealed=read_seals(store), cycle=0)
    export(source, form, Store(str(out)), ["train", "heldout"] if form != "webdataset" else ["train"])
    card = DatasetCard.load(out / "README.md")
    assert (card.data.license, card.data.size_categories, card.data.language) == ("cc-by-4.0", "n<1K", "en")
    [files] = [config["data_files"] for config in card.data.to_dict()["configs"]]
    for entry in files:
        assert list(out.glob(entry["path"])), entry
    assert [entry["split"] for entry in files] == ["train", "heldout"][: len(files)]
    assert "| license | cc-by-4.0 |" in card.content
    assert "| videos and labels | https://data.example/clips |" in card.content
    assert "| clips asked about | 3 |" in card.content
    assert "0.400, 0.900 (promoted)" in card.content


def test_a_card_says_that_nobody_told_the_license(tmp_path: Path) -> None:
    export(a_source(Store(str(tmp_path / "run"))), "hub", Store(str(tmp_path / "out")))
    card = DatasetCard.load(tmp_path / "out" / "README.md")
    assert card.data.license == "unknown"
    assert "not told (data.license): ask whoever gave you" in card.content


def test_the_command_names_what_it_wrote(tmp_path: Path) -> None:
    a_source(Store(str(tmp_path / "run")))
    run, told = str(tmp_path / "run"), ["--set", "data.license=mit"]
    done = starloop("export-data", run, "--format", "hub", "--json", *told)
    page = (Path(__file__).parents[2] / "docs" / "scripts.md").read_text()
    section = page.split("\n## `starloop export-data RUN --json`\n")[1].split("\n## ")[0]
    assert {*re.findall(r"`(\w+)`", section)} == json.loads(done.stdout).keys()
    assert json.loads(done.stdout) == {
        "uri": f"{run}/export/hub-cycle-000", "cycle": 0, "format": "hub", "rows": {"train": 8}, "failures": {}, "new": True,
    }  # fmt: skip
    assert DatasetCard.load(Path(run) / "export" / "hub-cycle-000" / "README.md").data.license == "mit"
    again = starloop("export-data", run, "--format", "hub", *told)
    assert again.stdout.startswith(f"nothing to do: {run}/export/hub-cycle-000: 8 rows of train, of cycle 0, as hub; read by")
    wrong = starloop("export-data", run, "--format", "avro")
    assert wrong.returncode == 1
    assert "--format avro is not known; choose one of parquet, messages, llava, sharegpt, webdataset, hub" in wrong.stderr
