"""Pins conversations from the file to the adapter: pictures, videos and text train together on every ZeRO stage; what cannot be
used is left out before training where that can be known, else in it, and is listed either way.
"""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from builders import a_clip, a_seal
from engine.config import RunConfig, Train
from engine.episodes.lengths import EpisodeLengths
from engine.ingest.clips import path_of, write_parts
from engine.presets import load_config
from engine.rows import EXAMPLES, Clip, Episode, Example, FollowUp
from engine.run.failures import Retried, failures, retry
from engine.run.plan import INGEST, Step
from engine.run.rehearsal import Case
from engine.run.seals import write_seal
from engine.run.work import Work, read_seals, unused_of
from engine.select.lengths import Lengths
from engine.select.step import select_examples
from engine.store.files import Store
from engine.store.filesystems import Storage
from engine.train.processes import RankFailed, run_ranks
from jobs.ingest import IngestOptions, ingest
from models.base import Device, ModelSpec, Turn
from models.registry import token_counter
from ranks import train_on_files
from talks import talk, write_talks

pytestmark = pytest.mark.timeout(600)
CPU = Device("cpu", "float32")
STILLS = ("jpg", "png", "webp", "gif")


def an_example(name: str, video: Path | str, answer: str = "The red circle.", **fields: Any) -> Example:
    return Example(
        example_id=name, clip_id=name, video=str(video), start_s=None, end_s=None, prompt="What is shown?", answer=answer,
        source="instruct", **fields,
    )  # fmt: skip


def a_case(folder: Path, name: str, examples: list[Example] | None = None, **section: Any) -> Case:
    """Ranks train on the examples, or on those that `talks` ingested into the folder."""
    settings = {
        "batch_rows": 6, "micro_batch_rows": 1, "lora_rank": 8, "lora_dropout": 0.0, "lr": 2e-3, "epochs": 1.0,
        "gradient_checkpointing": True,
    }  # fmt: skip
    store = Store(str(folder / name))
    table = pq.read_table(folder / "talks.parquet") if examples is None else None
    rows = [example.to_row() for example in examples or ()]
    store.write_table("examples.parquet", table if table is not None else pa.Table.from_pylist(rows, schema=EXAMPLES))
    return Case(name=name, model=ModelSpec(base="tiny"), train=Train.model_validate(settings | section), store=store)


def ingested(folder: Path, pictures: int, videos: int, texts: int, suffixes: tuple[str, ...]) -> Path:
    talks = write_talks(folder, pictures, videos, texts, suffixes)
    ingest(IngestOptions(manifest=str(talks), form="instruct"), str(folder / "talks.parquet"), [])
    return folder


@pytest.mark.slow
def test_no_rank_waits_for_a_rank_that_has_text(tmp_path: Path) -> None:
    """With one row in a micro-batch, a rank has text while the other has a picture or a video: with ZeRO-3 they run the same."""
    folder = ingested(tmp_path, 5, 3, 4, ("mp4",))
    [trained] = run_ranks(2, CPU, train_on_files, [a_case(folder, "zero-3", num_workers=2, zero_stage=3)], timeout_s=300)
    assert (len(trained.losses), None in trained.losses, trained.fed) == (2, False, [0, 0, 8, 8, 0])


@pytest.mark.slow
@pytest.mark.parametrize("suffixes", [("mp4",), STILLS], ids=["videos of one frame", "still pictures"])
def test_pictures_videos_and_text_train_together_with_zero_2_and_zero_3(tmp_path: Path, suffixes: tuple[str, ...]) -> None:
    folder = ingested(tmp_path, 48, 20, 10, suffixes)
    cases = [a_case(folder, f"zero-{stage}", num_workers=2, zero_stage=stage, epochs=2.0) for stage in (2, 3)]
    two, three = run_ranks(2, CPU, train_on_files, cases, timeout_s=500)
    assert two.fed == three.fed == [0, 0, 136, 136, 0], "nothing is left out; each picture and video is shown twice"
    assert three.losses == pytest.approx(two.losses, rel=5e-3)
    print("losses", [round(loss, 2) for loss in two.losses])
    assert len(two.losses) == 26
    assert sum(two.losses[13:]) < 0.75 * sum(two.losses[:13])
    assert cases[0].store.read_table(unused_of("train")).num_rows == 0


def test_what_training_cannot_use_is_listed_and_a_step_without_answers_changes_nothing(tmp_path: Path) -> None:
    ingested(tmp_path, 2, 1, 1, ("mp4",))
    (tmp_path / "cut.mp4").write_bytes((tmp_path / "video-0.mp4").read_bytes()[:400])
    examples = [
        an_example("good", tmp_path / "picture-0.mp4"),
        an_example("gone", tmp_path / "gone.mp4"),
        an_example("cut", tmp_path / "cut.mp4"),
        an_example("long", tmp_path / "picture-1.mp4", "The red circle. " * 400),
    ]
    case = a_case(tmp_path, "run", examples, batch_rows=1)
    [trained] = run_ranks(1, CPU, train_on_files, [case], timeout_s=300)
    assert sorted(map(bool, trained.losses)) == [False, False, False, True]
    assert trained.losses.count(None) == 3, "a step without an answer has no loss, not one of 0.000"
    assert trained.fed == [2, 0, 1, 1, 1]
    unused = case.store.read_table(unused_of("train")).to_pylist()
    assert [(row["example_id"], row["reason"]) for row in unused] == [
        ("cut", "truncated"),
        ("gone", "missing"),
        ("long", "too_long"),
    ]
    nothing = a_case(tmp_path, "nothing", examples[1:3], batch_rows=1)
    with pytest.raises(RankFailed, match=r"none of 2 samples has an answer to learn from \(without a usable video 2\)"):
        list(run_ranks(1, CPU, train_on_files, [nothing], timeout_s=300))
    assert nothing.store.read_table(unused_of("train")).num_rows == 2, "a finetune that stops says why as well"


def selected(store: Store, talks: Path, *settings: str) -> tuple[RunConfig, dict[str, int]]:
    """A select step of conversations alone."""
    return select_of(store, [a_clip("a")], "mixture.instruct=1", f"mixture.examples={talks}", *settings)


def select_of(store: Store, clips: Sequence[Clip], *settings: str) -> tuple[RunConfig, dict[str, int]]:
    """A select step without attempts."""
    config = load_config(None, ["mixture.direct=0", "mixture.rationalized=0", *settings])
    store.write("config.json", config.model_dump_json().encode())
    parts = write_parts(store, clips) | {"heldout": [1]}
    write_seal(store, replace(a_seal(INGEST, parts=parts), files=store.describe([path_of("train", 0)])))
    step = Step(name="cycle-000/select", kind="select", cycle=0, inputs=(INGEST,))
    result = select_examples(Work(step=step, identity="x", config=config, store=store, report=lambda progress: None))
    write_seal(store, replace(a_seal(step.name, **result.facts), files=store.describe(result.files), counts=result.counts))
    return config, result.counts


def test_what_is_too_long_or_missing_is_left_out_at_select_by_id(tmp_path: Path) -> None:
    ingested(tmp_path, 2, 0, 0, ("mp4",))
    long = ["Describe it at length.", "The shape moves to the right and back again. " * 200]
    items = [
        talk("good", "<image>\nWhat?", "A circle.", image="picture-0.mp4"),
        talk("long", *long, image="picture-1.mp4"),
        talk("long text", "Hi", "Hello", *long),
        talk("gone", "<video>\nWhat?", "A circle.", video="gone.mp4"),
    ]
    (tmp_path / "i.json").write_text(json.dumps(items))
    ingest(IngestOptions(manifest=str(tmp_path / "i.json"), form="instruct"), str(tmp_path / "i.parquet"), [])
    store = Store(str(tmp_path / "run"))
    _, counts = selected(store, tmp_path / "i.parquet")
    assert (counts["instruct"], counts["unused"]) == (1, 3)
    assert [row["example_id"] for row in store.read_table("cycle-000/select/examples.parquet").to_pylist()] == ["good"]
    listed = [(row.step, row.name, row.kind) for row in failures(store)]
    assert listed == [
        ("cycle-000/select", name, kind) for name, kind in (("gone", "missing"), ("long", "too_long"), ("long text", "too_long"))
    ]


def test_conversations_without_a_weight_are_nothing_to_train_on(tmp_path: Path) -> None:
    rows = [an_example(name, "", collection=name).to_row() for name in ("a", "b")]
    for names, weights, message in (
        ("a", "{a = 0}", r"1 examples are of sources that \[mixture\] gives no weight \(mixture.collections\); another setting"),
        ("ab", "{a = 0}", None),
    ):
        pq.write_table(
            pa.Table.from_pylist([row for row in rows if row["collection"] in names], schema=EXAMPLES), tmp_path / "i.parquet"
        )
        store, setting = Store(str(tmp_path / names)), f"mixture.collections={weights}"
        if message is None:
            selected(store, tmp_path / "i.parquet", setting)
            assert read_seals(store)["cycle-000/select"].facts["weighed"] == 1
        else:
            with pytest.raises(ValueError, match=message):
                selected(store, tmp_path / "i.parquet", setting)


def test_what_select_left_out_can_be_tried_again(tmp_path: Path) -> None:
    ingested(tmp_path, 1, 0, 0, ("mp4",))
    rows = [an_example("gone", tmp_path / "late.mp4").to_row(), an_example("text", "").to_row()]
    pq.write_table(pa.Table.from_pylist(rows, schema=EXAMPLES), tmp_path / "i.parquet")
    store = Store(str(tmp_path / "run"))
    selected(store, tmp_path / "i.parquet")
    write_seal(store, a_seal("cycle-000/train"))
    assert retry(store, "too_long", rewind=False) is None
    with pytest.raises(
        ValueError, match=r"select has examples that failed as missing, and cycle-000/train follows from it; --rewind"
    ):
        retry(store, "missing", rewind=False)
    (tmp_path / "late.mp4").write_bytes((tmp_path / "picture-0.mp4").read_bytes())
    assert retry(store, "missing", rewind=True) == Retried(step="cycle-000/select", failed=1, pieces=0, clips=0)
    assert list(read_seals(store)) == [INGEST]
    assert retry(store, "missing", rewind=True) is None
    _, counts = selected(store, tmp_path / "i.parquet")
    assert (counts["instruct"], counts["unused"]) == (2, 0)


def test_episodes_that_do_not_fit_are_no_failed_examples(tmp_path: Path) -> None:
    clips = [
        a_clip(f"c{number:03d}", verb="lift", noun="cup", description="7 " * 1100 if number < 22 else "The person lifts a cup.")
        for number in range(150)
    ]
    store = Store(str(tmp_path / "run"))
    _, counts = select_of(store, clips, "mixture.episodes=1", "episodes.shots=[0]", "episodes.same_narrator=false")
    assert (counts["episodes"], counts["unused"]) == (128, 22)
    assert store.read_table(unused_of("cycle-000/select")).num_rows == 22


def test_a_file_that_is_mostly_unusable_is_refused_at_select(tmp_path: Path) -> None:
    rows = [an_example(f"e{number}", tmp_path / f"{number}.jpg").to_row() for number in range(30)]
    pq.write_table(pa.Table.from_pylist(rows, schema=EXAMPLES), tmp_path / "i.parquet")
    store = Store(str(tmp_path / "run"))
    with pytest.raises(
        ValueError, match=r"cycle-000/select stopped: 30 of 30 examples failed \(missing 30\), more than .* e0: no such file"
    ):
        selected(store, tmp_path / "i.parquet")
    assert [row.name for row in failures(store)] == [f"e{number}" for number in range(30)]


def test_the_length_is_that_of_the_whole_sample_with_what_it_shows() -> None:
    lengths = Lengths(ModelSpec(base="tiny"), Storage())
    letters = "q" * 150  # a token each: the tiny tokenizer knows no such word

    def fits(example: Example) -> bool:
        return not lengths.unused([example])

    by_kind = {kind: [] for kind in ("", "a.jpg", "a.mp4", "a.gif")}  # type: dict[str, list[int]]
    for video, kept in by_kind.items():
        kept += [number for number in range(700, 1100) if fits(an_example("x", video, "7" * number))]
    most = {video: kept[-1] for video, kept in by_kind.items()}
    assert all(kept == list(range(700, kept[-1] + 1)) for kept in by_kind.values())
    assert most["a.mp4"] - most["a.jpg"] == 36 - 32, "patches of a picture, pooled tokens of a video"
    assert most["a.gif"] == most["a.mp4"], "a GIF may be either: it stays where it may fit"
    assert most[""] > most["a.mp4"] + 32, "text shows nothing"
    both = an_example("x", "a.mp4", "7" * (most["a.mp4"] - 100), follow_ups=(FollowUp(prompt=letters, answer="Yes."),))
    assert not fits(both), "the follow-ups count"


def test_an_episode_with_a_long_narration_is_left_out_and_the_others_stay() -> None:
    answers = {"short": "The dax zups.", "long": "The dax zups. " * 90, "query": "The wug meeks."}
    lengths = EpisodeLengths(ModelSpec(base="tiny"), Storage(), answers)
    episodes = [
        Episode(episode_id=name, query="query", context=shots, roles=("noun",) * len(shots), prompts=("What?",) * (len(shots) + 1),
                epoch=0, short=False)
        for name, shots in (("fits", ("short", "short")), ("does not", ("short", "long", "long", "long")), ("alone", ()))
    ]  # fmt: skip
    [row] = lengths.too_long(episodes)
    assert (row.example_id, row.reason) == ("does not", "too_long")
    turns = [Turn(0, "What?", answers[name]) for name in ("short", "long", "long", "long", "query")]
    assert row.detail.startswith("4 shots, ")
    assert f"take {token_counter(ModelSpec(base='tiny')).count(turns)} tokens" in row.detail


def test_conversations_about_what_no_decoder_reads_are_refused_at_select(tmp_path: Path) -> None:
    ingested(tmp_path, 1, 0, 1, ("mp4",))
    rows = [an_example(f"e{number}", tmp_path / f"{number}.pdf") for number in range(4)]
    for row in rows:
        Path(row.video).write_bytes(b"%PDF-1.7 " * 40)
    pq.write_table(pa.Table.from_pylist([row.to_row() for row in rows], schema=EXAMPLES), tmp_path / "i.parquet")
    with pytest.raises(
        ValueError, match=r"none of the 2 pictures and videos that were tried can be decoded; the first: not_video: "
    ):
        selected(Store(str(tmp_path / "run")), tmp_path / "i.parquet")
    rows.append(an_example("good", tmp_path / "picture-0.mp4"))
    pq.write_table(pa.Table.from_pylist([row.to_row() for row in rows], schema=EXAMPLES), tmp_path / "i.parquet")
    _, counts = selected(Store(str(tmp_path / "other")), tmp_path / "i.parquet")
    assert counts["instruct"] == 5, "a few files that cannot be decoded are found out, and listed, by training"
