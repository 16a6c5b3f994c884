"""Pins continuations: what a changed manifest changes, which attempts stand, splits that stay, which run is continued, refusals."""

import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from builders import a_clip, a_seal, an_attempt
from engine.audit import reviews
from engine.config import Data, RunConfig
from engine.extend.begin import Extension, begin, extend, places, refuse_unfinished, source_of
from engine.extend.compare import Comparison, Ready, clips_of
from engine.extend.known import Known
from engine.generate.lineage import CHANGED_CLIPS, MANIFEST, read_changes
from engine.generate.prompts import STRICT, answer_prompt, rationalize_prompt
from engine.generate.reuse import Origins, Past, content_of, standing, usable, write_reused
from engine.ingest.clips import from_table, path_of, write_parts
from engine.ingest.manifest import read_manifest
from engine.ingest.pieces import cut
from engine.presets import load_config
from engine.rows import ATTEMPTS, Attempt, Clip, Review
from engine.run.children import children_of
from engine.run.plan import BASE, INGEST, Step, asks_elsewhere
from engine.run.seals import Seal, read_seal, write_seal
from engine.run.work import INDEX, Work, pieces_of, read_piece, read_seals
from engine.store.files import FILES, Store
from engine.store.filesystems import Storage
from engine.store.troubles import REMEDY
from loops import a_generate_spec
from web_server import WebServer

GENERATE = "cycle-000/generate"


def direct(clip: Clip, **fields: object) -> Attempt:
    etag = ""
    with Storage().opened(clip.video) as source:
        etag = source.etag
    return an_attempt(clip.clip_id, prompt=answer_prompt(STRICT, clip.question), etag=etag, **fields)


def seal(store: Store, step: str, files: list[str], **facts: object) -> None:
    write_seal(store, Seal(**asdict(a_seal(step, **facts)) | {"files": store.describe(files)}))


def clips_in(folder: Path, names: str, **fields: object) -> list[Clip]:
    clips = [a_clip(name, video=str(folder / f"{name}.mp4"), **fields) for name in names]
    for clip in clips:
        Path(clip.video).write_text(clip.clip_id)
    return clips


def a_run(folder: Path, clips: Sequence[Clip], attempts: Sequence[Attempt], settings: Sequence[str] = ()) -> Store:
    """A finished run of one cycle, whose model is better than the base."""
    store = Store(str(folder / "run"))
    config = load_config(
        None, [f"run.uri={store.uri}", "data.manifest=m.csv", "loop.max_cycles=1", "model.allow_tiny=true", *settings]
    )
    store.write("config.json", config.model_dump_json().encode())
    parts = write_parts(store, clips)
    seal(store, INGEST, [path_of(s, n) for s, sizes in parts.items() for n in range(len(sizes))], parts=parts, inputs={})
    write_seal(store, a_seal(BASE, accuracy=0.5, clips=1))
    paths = []
    train = [clip for clip in clips if clip.split == "train"]
    for piece, _ in cut(path_of("train", 0), train, 2):
        ids = [clip.clip_id for clip in train[piece.start : piece.start + piece.count]]
        rows = [attempt.to_row() for attempt in attempts if attempt.clip_id in ids]
        paths.append(f"{pieces_of(GENERATE)}/{piece.file_name}")
        store.write_table(paths[-1], pa.Table.from_pylist(rows, schema=ATTEMPTS))
    store.write_table(
        f"{GENERATE}/{INDEX}", pa.Table.from_pylist([asdict(record) for record in store.describe(paths)], schema=FILES)
    )
    seal(store, GENERATE, [f"{GENERATE}/{INDEX}"], clips=len(train))
    write_seal(store, a_seal("cycle-000/select", direct_only=True, examples=3, episodes=0))
    write_seal(store, a_seal("cycle-000/train", losses=[]))
    store.write("cycle-000/train/model/adapter.safetensors", b"x")
    write_seal(store, a_seal("cycle-000/evaluate", accuracy=0.75, clips=1))
    return store


def a_manifest(folder: Path, clips: Sequence[Clip], columns: str = "clip_id video question label") -> str:
    rows = [clip.to_row() | {"label": clip.label.text} for clip in clips]
    path = folder / "new.jsonl"
    path.write_text("".join(json.dumps({name: row[name] for name in columns.split()}) + "\n" for row in rows))
    return str(path)


def test_content_is_what_is_asked_about_and_nothing_else() -> None:
    clip = a_clip()
    others = [
        replace(clip, **change)
        for change in (
            {"clip_id": "b"}, {"video": "/b.mp4"}, {"start_s": 1.0}, {"end_s": 2.0}, {"question": "Who?"},
            {"label": a_clip(label="falling").label},
        )
    ]  # fmt: skip
    assert len({content_of(other) for other in [clip, *others]}) == 7
    assert content_of(clip) == content_of(replace(clip, description="A ball rises.", narrator="P01", verb="rise", noun="ball"))


def test_failures_and_rejects_without_a_rationalization_are_asked_again() -> None:
    kept, rejected, failed = an_attempt(), an_attempt(outcome="rejected"), an_attempt(outcome="failed")
    hinted = an_attempt(mode="rationalized")
    assert usable([kept], True) == [kept]
    assert usable([rejected, hinted], True) == [rejected, hinted]
    assert usable([rejected], True) == usable([failed], True) == usable([], True) == []
    assert usable([rejected, an_attempt(mode="rationalized", outcome="failed")], True) == []
    # a step of direct attempts only takes the direct one, whatever came after it
    assert usable([rejected, hinted], False) == usable([rejected], False) == [rejected]


def test_an_attempt_stands_for_its_content_its_prompt_and_the_version_of_its_video(tmp_path: Path) -> None:
    clips = clips_in(tmp_path, "abcdef")
    attempts = [direct(clip) for clip in clips]
    attempts[5] = replace(attempts[5], prompt="Another wording?")
    past = Past(a_run(tmp_path, clips, attempts), GENERATE)
    now = [clips[4], clips[0], replace(clips[1], label=a_clip(label="falling").label), clips[2], clips[3], clips[5]]
    Path(clips[2].video).write_text("another video")
    Path(clips[3].video).unlink()
    reused = standing(past, [*now, *clips_in(tmp_path, "g")], a_generate_spec())
    assert reused == [[attempts[4]], [attempts[0]], [], [], [], [], []]


@pytest.mark.waits
def test_videos_that_the_driver_may_not_read_are_counted_in_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Their clips are generated for again, night after night, and nothing else would say so."""
    for name in "abc":
        (tmp_path / f"{name}.mp4").write_text(name)
    with WebServer(tmp_path) as web:
        clips = [a_clip(name, video=web.url(f"dated/{name}.mp4")) for name in "abc"]
        attempts = [direct(clip) for clip in clips]
        past = Past(a_run(tmp_path, clips, attempts), GENERATE)
        assert standing(past, clips, a_generate_spec()) == [[attempt] for attempt in attempts]
        assert caplog.messages == []
        web.denied = {"a.mp4", "c.mp4"}
        assert standing(past, clips, a_generate_spec()) == [[], [attempts[1]], []]
    (line,) = caplog.messages
    assert "2 of 3 videos may not be read by this driver, so their clips are asked again: cannot " in line
    assert line.endswith(REMEDY["denied"])


def test_a_rationalization_stands_only_with_its_hint(tmp_path: Path) -> None:
    (clip,) = clips_in(tmp_path, "a")
    prompt = rationalize_prompt(STRICT, clip.question, clip.label)
    pair = [direct(clip, outcome="rejected"), direct(clip, mode="rationalized")]
    good = [pair[0], replace(pair[1], prompt=prompt)]
    assert standing(Past(a_run(tmp_path / "1", [clip], good), GENERATE), [clip], a_generate_spec()) == [good]
    assert standing(Past(a_run(tmp_path / "2", [clip], pair), GENERATE), [clip], a_generate_spec()) == [[]]


def test_reused_attempts_are_written_as_pieces_that_name_their_origin_and_only_once(tmp_path: Path) -> None:
    clips = clips_in(tmp_path, "abcdefg")
    attempts = [direct(clip, cycle=3) for clip in clips[:5]]
    attempts[1] = replace(attempts[1], origin="runs/older/cycle-000/generate")
    attempts[2] = replace(attempts[2], outcome="failed")
    parent = a_run(tmp_path, clips[:5], attempts)
    config = load_config(None, ["data.manifest=m.csv", "generate.piece_clips=2"]).model_copy(
        update={"parent": RunConfig().parent.model_copy(update={"run": parent.url(), "step": GENERATE})}
    )
    store = Store(str(tmp_path / "child"))
    parts = write_parts(store, clips)
    seal(store, INGEST, [path_of("train", 0)], parts=parts)
    step = Step(name=GENERATE, kind="generate", cycle=0, inputs=(INGEST,))
    work = Work(step=step, identity="", config=config, store=store, report=lambda progress: None)
    for _ in range(2):
        write_reused(work, a_generate_spec(store=store), GENERATE)
    planned = list(work.pieces())
    assert [("".join(clip.clip_id for clip in piece.clips), piece.is_written) for piece in planned] == [
        ("ab", True), ("c", False), ("de", True), ("fg", False)
    ]  # fmt: skip
    files = [f"{pieces_of(GENERATE)}/{piece.piece.file_name}" for piece in planned if piece.is_written]
    assert store.names(pieces_of(GENERATE)) == [file.rpartition("/")[2] for file in files]
    origin, origins = parent.url(GENERATE), Origins()
    for piece, file in zip((piece for piece in planned if piece.is_written), files, strict=True):
        origins.add(piece.clips, read_piece(store, file))
    assert read_piece(store, files[0]) == [
        replace(attempts[0], piece_id=planned[0].piece.piece_id, cycle=0, origin=origin),
        replace(attempts[1], piece_id=planned[0].piece.piece_id, cycle=0),
    ]
    assert origins == Origins(4, {"m": 4})


def compared(parent: Store, manifest: str, out: Store) -> dict[str, dict[str, int]]:
    known = Known(parent)
    with Comparison() as new:
        new.read(clips_of(Data(manifest=manifest), known, Storage()), known, Ready(Past(parent, GENERATE), True))
        new.write(out)
    return read_changes(out)


def test_a_manifest_beside_a_run(tmp_path: Path) -> None:
    train, heldout = clips_in(tmp_path, "abcd"), clips_in(tmp_path, "xy", split="heldout")
    parent = a_run(tmp_path, [*train, *heldout], [direct(train[0], outcome="failed"), *map(direct, train[1:])])
    relabelled = replace(train[1], label=a_clip(label="falling").label)
    out = Store(str(tmp_path / "out"))
    new = [relabelled, train[0], train[3], *clips_in(tmp_path, "e"), heldout[1]]
    changes = compared(parent, a_manifest(tmp_path, new), out)
    assert changes["train"] == {"unchanged": 2, "new": 1, "changed": 1, "removed": 1}
    assert changes["heldout"] == {"unchanged": 1, "new": 0, "changed": 0, "removed": 1}
    clips = list(read_manifest(Data(manifest=out.url(MANIFEST)), Storage()))
    # first those whose answers stand, so that those to generate for are together
    assert [clip.clip_id for clip in clips] == ["d", "b", "a", "e", "y"]
    assert clips == from_table(pq.read_table(out.url(MANIFEST)))
    rows = {(row["clip_id"], row["split"], row["change"]) for row in out.read_table(CHANGED_CLIPS).to_pylist()}
    assert rows == {("b", "train", "changed"), ("e", "train", "new"), ("c", "train", "removed"), ("x", "heldout", "removed")}


def test_known_videos_stay_in_their_split_and_new_ones_are_held_out_by_share(tmp_path: Path) -> None:
    clips = [a_clip(f"v{number}", video=str(tmp_path / f"v{number}.mp4")) for number in range(100)]
    by_share = {c.clip_id: c.split for c in read_manifest(Data(manifest=a_manifest(tmp_path, clips)), Storage())}
    (tmp_path / "run").mkdir()
    turned = [replace(clip, split={"train": "heldout", "heldout": "train"}[by_share[clip.clip_id]]) for clip in clips[:50]]
    parent = a_run(tmp_path, turned, [])
    now = {clip.clip_id: clip.split for clip in clips_of(Data(manifest=a_manifest(tmp_path, clips)), Known(parent), Storage())}
    assert {clip.clip_id: now[clip.clip_id] for clip in turned} == {clip.clip_id: clip.split for clip in turned}
    assert {clip.clip_id: now[clip.clip_id] for clip in clips[50:]} == {clip.clip_id: by_share[clip.clip_id] for clip in clips[50:]}
    assert {now[clip.clip_id] for clip in clips[50:]} == {"train", "heldout"}


def test_a_known_video_that_is_named_into_the_other_split_is_refused(tmp_path: Path) -> None:
    clips = [*clips_in(tmp_path, "a"), *clips_in(tmp_path, "x", split="heldout")]
    parent = a_run(tmp_path, clips, [direct(clips[0])])
    moved = [clips[0], replace(clips[1], split="train")]
    with pytest.raises(ValueError, match=r"new.jsonl line 2: .*x.mp4 is 'train' here, and in split 'heldout' of the run that"):
        list(clips_of(Data(manifest=a_manifest(tmp_path, moved, "clip_id video label split")), Known(parent), Storage()))


@pytest.fixture
def run(tmp_path: Path) -> Store:
    train, heldout = clips_in(tmp_path, "abcd"), clips_in(tmp_path, "xy", split="heldout")
    return a_run(tmp_path, [*train, *heldout], list(map(direct, train)), ["generate.piece_clips=2"])


def asked(run: Store, manifest: str, out: str = "", settings: Sequence[str] = ()) -> Extension:
    return Extension(run=run.uri, manifest=manifest, out=out, settings=list(settings))


def test_without_a_change_nothing_is_written(run: Store, tmp_path: Path) -> None:
    clips = [clip for split in ("train", "heldout") for clip in from_table(run.read_table(path_of(split, 0)))]
    manifest = a_manifest(tmp_path, clips[::-1])
    before = sorted(tmp_path.rglob("*"))
    assert extend(asked(run, manifest), Storage(), lambda progress: None) is None
    assert sorted(tmp_path.rglob("*")) == before


def test_a_dry_run_says_what_changes_and_writes_nothing(run: Store, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    manifest = a_manifest(tmp_path, clips_in(tmp_path, "abcxyz"))
    before = sorted(tmp_path.rglob("*"))
    with caplog.at_level("INFO", logger="engine"):
        assert extend(replace(asked(run, manifest), is_dry=True), Storage(), lambda progress: None) is None
    assert sorted(tmp_path.rglob("*")) == before
    assert caplog.messages[-1].startswith(f"would begin {run.uri}-001, with ")
    assert len(caplog.messages) == 2


def test_a_dry_run_names_videos_that_are_gone(run: Store, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    manifest = a_manifest(tmp_path, clips_in(tmp_path, "abcxyz"))
    (tmp_path / "y.mp4").unlink()
    with caplog.at_level("INFO", logger="engine"):
        extend(replace(asked(run, manifest), is_dry=True), Storage(), lambda progress: None)
    assert caplog.messages[1].startswith("clips without a video, which would fail: 1; the first")
    assert caplog.messages[1].endswith(f"the first one that is missing: {tmp_path / 'y.mp4'}")


def test_a_dry_run_refuses_what_the_new_run_would_be_refused_for(run: Store, tmp_path: Path) -> None:
    manifest = a_manifest(tmp_path, clips_in(tmp_path, "abcxyz"))
    settings = ["evaluate.sets=[{name='heldout', metrics=['relative_l2']}]"]
    with pytest.raises(ValueError, match="the set heldout is measured by relative_l2, of which less is better"):
        extend(replace(asked(run, manifest, settings=settings), is_dry=True), Storage(), lambda progress: None)


def test_the_new_configuration_names_its_parent_and_begins_with_its_promoted_model(run: Store, tmp_path: Path) -> None:
    clips = [clip for split in ("train", "heldout") for clip in from_table(run.read_table(path_of(split, 0)))][:-1]
    reviews.add(run, [Review(answer="a1", clip_id=clips[0].clip_id, people="drop", note="it sinks")], "audit.csv")
    config = begin(run, asked(run, a_manifest(tmp_path, clips), settings=["loop.max_cycles=2"]), Storage())
    assert config is not None
    continuation = Store(config.run.uri)
    assert reviews.read(continuation, reviews.records_of(continuation))["a1"].note == "it sinks", "people's words are handed on"
    assert config.parent.model_dump() == {
        "run": run.url(), "step": GENERATE, "model": run.url("cycle-000/train/model"), "manifest": str(tmp_path / "new.jsonl"),
    }  # fmt: skip
    assert (config.run.uri, config.data.manifest) == (f"{run.uri}-001", f"{run.url()}-001/{MANIFEST}")
    assert (config.loop.max_cycles, config.generate.piece_clips) == (2, 2)
    assert children_of(run) == [f"{run.url()}-001"]
    first = Step(name=GENERATE, kind="generate", cycle=0, inputs=(INGEST,))
    for step in (first, replace(first, name=BASE, kind="evaluate", cycle=-1, split="heldout")):
        work = Work(step=step, identity="", config=config, store=Store(config.run.uri), report=lambda progress: None)
        assert work.model().adapter == run.url("cycle-000/train/model")
        assert work.model().base == config.model.base


def test_a_promoted_model_of_ones_own_needs_no_server() -> None:
    settings = ["generate.engine=openai", "generate.openai.url=http://h/v1", "generate.openai.model=m"]
    step = Step(name=GENERATE, kind="generate", cycle=0, inputs=(INGEST,))
    assert asks_elsewhere(load_config(None, settings), step)
    assert not asks_elsewhere(load_config(None, [*settings, "parent.model=runs/a/cycle-000/train/model"]), step)


@pytest.mark.parametrize(
    ("setting", "others"),
    [
        ("train.lr=1e-3", []),
        ("generate.piece_clips=7", []),
        ("generate.prompts=published", ["generate.prompts: 'strict' -> 'published'"]),
        ("verify.preset=paper", ["verify.preset: 'strict' -> 'paper'"]),
        ("model.num_frames=8", ["model.num_frames: None -> 8"]),
    ],
)
def test_other_settings_of_answers_reuse_none(run: Store, setting: str, others: list[str]) -> None:
    step, differing = source_of(load_config(None, []), load_config(None, [setting]), read_seals(run))
    assert (step, differing) == ("" if others else GENERATE, others)


def test_continuations_follow_each_other(run: Store) -> None:
    assert places(asked(run, "m"), Storage())[0].url() == run.url()
    config = load_config(None, ["loop.max_cycles=1"])
    previous = run
    for number in (1, 2):
        child = Store(f"{run.uri}-00{number}")
        own = config.model_copy(update={"parent": config.parent.model_copy(update={"run": previous.url()})})
        child.write("config.json", own.model_dump_json().encode())
        previous = child
    parent, under_way = places(asked(run, "m"), Storage())
    assert (parent.uri, under_way) == (f"{run.uri}-002", parent)


def test_wrong_runs_are_refused_in_a_line(run: Store, tmp_path: Path) -> None:
    other = str(tmp_path / "other")
    Store(other).write("config.json", RunConfig().model_dump_json().encode())
    cases = {
        "no run at": asked(Store(str(tmp_path / "none")), "m.csv"),
        "continues no run, not": asked(run, "m.csv", other),
        "is the run itself": asked(run, "m.csv", f"{run.uri}/"),
        "decides data.manifest; leave it out": asked(run, "m.csv", settings=["data.manifest=x.csv"]),
        "decides parent.model; leave it out": asked(run, "m.csv", settings=["parent.model=x"]),
        "is not finished, its next step is ingest": asked(Store(other), "m.csv"),
        "no key 'loop.max_cycle'; did you mean 'loop.max_cycles'": asked(run, "m.csv", settings=["loop.max_cycle=2"]),
        "m.csv": asked(run, "m.csv"),
        "no clips in split 'heldout'": asked(run, a_manifest(tmp_path, clips_in(tmp_path, "ab"))),
    }
    for message, extension in cases.items():
        with pytest.raises(ValueError, match=message) as refused:
            extend(extension, Storage(), lambda progress: None)
        assert "\n" not in str(refused.value)


def test_people_s_words_alone_are_a_reason_to_continue(run: Store, tmp_path: Path) -> None:
    """They are read at a run's end, when no select step is left that would hear them."""
    same = a_manifest(tmp_path, [clip for split in ("train", "heldout") for clip in from_table(run.read_table(path_of(split, 0)))])
    assert begin(run, asked(run, same), Storage()) is None
    reviews.add(run, [Review(answer="a1", clip_id="a", people="drop", note="")], "audit.csv")
    assert reviews.unheard(run, read_seals(run)) == 1
    assert begin(run, asked(run, same), Storage()) is not None
    run.write(
        "cycle-000/select/reviews.json", json.dumps([{"answer": "a1", "clip_id": "a", "people": "drop", "note": ""}]).encode()
    )
    heard = a_seal("cycle-000/select", direct_only=True, examples=3, episodes=0)
    sealed = read_seals(run) | {"cycle-000/select": replace(heard, files=run.describe(["cycle-000/select/reviews.json"]))}
    assert reviews.unheard(run, sealed) == 0


def test_a_promoted_model_that_is_gone_is_named(run: Store, tmp_path: Path) -> None:
    run.delete("cycle-000/train/model")
    with pytest.raises(ValueError, match=r"cycle-000/train/model is gone, the promoted model of"):
        begin(run, asked(run, a_manifest(tmp_path, clips_in(tmp_path, "a"))), Storage())
    assert read_seal(run, GENERATE) is not None


def test_a_run_whose_select_step_leaves_nothing_is_continued_under_another_setting(run: Store, tmp_path: Path) -> None:
    """Its answers are there, and its own settings cannot change."""
    for step in ("select", "train", "evaluate"):
        run.delete(f"cycle-000/{step}")
    same = a_manifest(tmp_path, [clip for split in ("train", "heldout") for clip in from_table(run.read_table(path_of(split, 0)))])
    for settings in ([], ["train.lr=1e-3"], ["select.min_grounding=fdr 0.05"]):
        with pytest.raises(ValueError, match="is not finished, its next step is cycle-000/select; bring it to its end first"):
            extend(asked(run, same, settings=settings), Storage(), lambda progress: None)
    wider = asked(run, same, settings=["select.min_grounding=off"])
    refuse_unfinished(run, wider.settings)
    config = begin(run, wider, Storage())
    assert config is not None
    assert (config.parent.step, config.parent.model, config.select.min_grounding) == (GENERATE, "", "off")
    child = Store(config.run.uri)
    child.write("config.json", config.model_dump_json().encode())
    assert places(wider, Storage()) == (child, child), "the same command brings it to its end"
    for name in (INGEST, BASE, GENERATE):
        write_seal(child, a_seal(name, accuracy=0.5))
    other = asked(run, same, settings=["select.near_copies=count"])
    assert places(other, Storage()) == (child, None), "it may be stuck as well"
