"""Pins episodes end to end on a narrated world: built, trained on with other sources, evaluated, and counted."""

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from rich.console import Console

import models.tiny
from engine.config import FewShot, RunConfig
from engine.evaluate.few_shot.step import few_shot, settings_of, weights_of
from engine.presets import load_config
from engine.rows import EXAMPLES
from engine.run import loop
from engine.run.plan import name_of
from engine.run.seals import read_seal
from engine.store.files import Store
from engine.store.filesystems import Storage
from engine.store.weights import version
from jobs import episodes, icl
from jobs.icl import CONFIG
from models.base import ModelSpec
from worlds import narrators

pytestmark = [pytest.mark.timeout(400)]
TRAIN = name_of(0, "train")


@pytest.fixture(scope="module")
def narrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A manifest of 24 videos, 20 of them narrated by each of 3 narrators; one file is no video."""
    folder = tmp_path_factory.mktemp("narrated")
    clips = narrators.write_world(folder / "videos", 24, 3, 20, seed=5)
    (folder / "videos" / "video-00002.mp4").write_text("no video at all\n" * 100)
    rows = [clip.to_row() | {"label": clip.label.text, "video": f"videos/{Path(clip.video).name}"} for clip in clips]
    for row in rows:
        del row["split"]
    (folder / "manifest.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def config(folder: Path, run: Path, *settings: str) -> RunConfig:
    small = [
        "model.allow_tiny=true",
        "train.lora_rank=4",
        "train.num_workers=1",
        "train.batch_rows=8",
        "train.epochs=1.0",
        "train.lr=1e-3",
    ]
    manifest = "manifest.jsonl" if not (folder / "episodes").exists() else "episodes/train.parquet"
    return load_config(
        CONFIG, [*small, f"data.manifest={folder / manifest}", f"run.uri={run}", "episodes.eval_shots=[0,2,4]", *settings]
    )


@pytest.fixture(scope="module")
def built(narrated: Path) -> Path:
    settings = config(narrated, narrated / "unused", "episodes.eval_queries=4")
    lines = list(episodes.build(settings, Store(str(narrated / "episodes"))))
    assert any(line.startswith("train: ") for line in lines)
    return narrated


def test_the_folder_has_pool_contexts_report_and_exports(built: Path) -> None:
    folder = built / "episodes"
    clips = {row["clip_id"]: row for row in pq.read_table(folder / "clips.parquet").to_pylist()}
    pool = pq.read_table(folder / "train.parquet")["clip_id"].to_pylist()
    report = json.loads((folder / "properties.json").read_text())
    assert {"train", "rare", "common"} <= report.keys()
    assert report["rare"]["burstiness"]["verb"] > 2 * report["rare"]["burstiness"]["verb_by_chance"] > 0
    assert report["train"]["leaks"] == {"own_action": 0, "own_video": 0, "own_window": 0, "trained_video": 0}
    assert report["train"]["meanings"]["noun"]["surfaces_per_class"] > 1.5
    common = {(clips[clip_id]["verb"], clips[clip_id]["noun"]) for clip_id in pool}
    lines = [json.loads(line) for line in (folder / "contexts" / "rare-4-shot.jsonl").read_text().splitlines()]
    assert len(lines) == 4
    for line in lines:
        query = clips[line["query"]]
        assert (query["verb"], query["noun"]) not in common
        assert set(line["context"]) <= set(pool)
        assert {clips[clip_id]["narrator"] for clip_id in line["context"]} == {query["narrator"]}
    csv = (folder / "eilev" / "narrated_actions.csv").read_text().splitlines()
    assert csv[0] == "frame_path,video_uid,clip_index,narration_timestamp_sec,narration_text,structured_verb,structured_noun"
    assert len(csv) == len(clips) + 1
    exported = [json.loads(line) for line in (folder / "eilev" / "rare-4-shot.jsonl").read_text().splitlines()]
    assert [len(line["context"]) for line in exported] == [len(line["context"]) for line in lines]
    assert {line["query"] for line in exported} <= {line.split(",")[0] for line in csv}


def test_a_folder_is_rebuilt_and_records_its_settings(built: Path, tmp_path: Path) -> None:
    store = Store(str(tmp_path / "rebuilt"))
    list(episodes.build(config(built, tmp_path / "unused", "episodes.split=video", f"data.manifest={built}/manifest.jsonl"), store))
    assert {name.partition("-")[0] for name in store.names("contexts")} == {"test", "val"}
    store.write("contexts/README.md", b"not a context")
    list(
        episodes.build(
            config(built, tmp_path / "unused", "episodes.eval_shots=[3]", f"data.manifest={built}/manifest.jsonl"), store
        )
    )
    assert store.names("contexts") == ["common-3-shot.jsonl", "rare-3-shot.jsonl"]
    section = load_config(None, [*settings_of(store), "episodes.num_frames=2"]).episodes
    assert (section.question, section.pooling_shape, section.split, section.num_frames) == ("What happens?", (2, 1, 1), "action", 2)
    store.delete("settings.json")
    with pytest.raises(ValueError, match=r"no settings.json in .*; `starloop episodes` makes such a folder"):
        settings_of(store)
    store.write_table("clips.parquet", store.read_table("episodes.parquet"))
    with pytest.raises(ValueError, match=r"clips.parquet is not what `starloop episodes` wrote .*; make it again"):
        few_shot(store, store, config(built, tmp_path / "unused"), "", "", lambda progress: None)


def test_answers_are_named_after_the_bytes_of_local_weights() -> None:
    weights = str(Path(models.tiny.__file__).parent / "weights")
    assert weights_of(ModelSpec(base="tiny"), Storage()) == weights_of(ModelSpec(base=weights), Storage())
    behind_uri = ModelSpec(base=f"file://{weights}")
    assert weights_of(behind_uri, Storage()) == [version(f"file://{weights}", Storage())], "these are not fetched for it"


def test_messages_carry_loss_on_the_query_alone(built: Path) -> None:
    for line in (built / "episodes" / "messages" / "train.jsonl").read_text().splitlines():
        row = json.loads(line)
        assert [message["role"] for message in row["messages"]] == ["user", "assistant"] * len(row["videos"])
        assert [message["loss"] for message in row["messages"][1::2]] == [False] * (len(row["videos"]) - 1) + [True]
        assert all(message["content"].startswith("<video>") for message in row["messages"][::2])
        assert len(json.loads(row["windows"])) == len(row["videos"])


@pytest.mark.ray
def test_two_workers_train_on_episodes_like_one_and_the_curve_is_drawn(built: Path, tmp_path: Path, ray_cluster: None) -> None:
    alone = config(built, tmp_path / "1", "train.micro_batch_rows=8")
    loop.run(alone, lambda progress: None, TRAIN)
    together = config(
        built, tmp_path / "2", "train.micro_batch_rows=2", "train.num_workers=2", "train.zero_stage=3", "cluster.train_cpus=0.5"
    )
    loop.run(together, lambda progress: None, TRAIN)
    seal, seal_of_two = (read_seal(Store(str(tmp_path / run)), TRAIN) for run in "12")
    assert seal is not None
    assert seal_of_two is not None
    assert seal_of_two.facts["losses"] == pytest.approx(seal.facts["losses"], rel=1e-3)
    assert seal.counts["shown"] == seal_of_two.counts["shown"] > seal.counts["encoded"] > 0
    assert seal.counts["undecodable"] > 0 < seal.counts["shots_lost"]
    selected = read_seal(Store(str(tmp_path / "1")), name_of(0, "select"))
    assert selected is not None
    assert selected.counts["examples"] == 0 < selected.counts["episodes"]
    assert selected.counts["shots_verb"] > 0 < selected.counts["shots_rest"]

    out, progress = Store(str(tmp_path / "curve")), []
    adapter = str(tmp_path / "1" / TRAIN / "model")
    alone = alone.model_copy(update={"few_shot": FewShot(verbs="clips", nouns="clips")})
    result = few_shot(Store(str(built / "episodes")), out, alone, adapter, "small", progress.append)
    sets = {(point["set"], point["control"], point["shots"]) for point in result["points"]}
    assert sets == {
        (name, control, shots)
        for name in ("rare", "common")
        for control, most in (("", 3), ("shuffled", 2), ("majority", 2))
        for shots in (4, 2, 0)[:most]
    }
    assert result["clips_encoded"] < result["clips_shown"]
    assert {point["by_class"] for point in result["points"]} == {0}
    assert all(point["short"] <= point["queries"] == 4 for point in result["points"])
    assert result["episodes"]["question"] == "What happens?"
    assert out.read("rare.svg") is not None
    by_control = {control: [p for p in result["points"] if p["control"] == control] for control in ("", "shuffled", "majority")}
    assert all(0 <= p[f1] <= 1 for p in by_control[""] for f1 in ("verb_f1", "noun_f1"))
    assert {p["verb_f1"] for p in by_control["shuffled"]} == {None}, "classes are chosen after contexts as they are"
    assert any(p["noun_f1"] for p in by_control["majority"])
    rows = [row for name in out.names("pieces") for row in out.read_table(f"pieces/{name}").to_pylist()]
    verbs, nouns = (
        {row[kind] for row in pq.read_table(built / "episodes" / "clips.parquet").to_pylist()} for kind in ("verb", "noun")
    )
    chosen = [row for row in rows if not row["control"] and not row["failure"]]
    assert {row["chosen_verb"] for row in chosen} <= verbs
    assert {row["chosen_noun"] for row in chosen} <= nouns
    assert all(row["text"] for row in rows if row["control"] == "majority" and row["shown"])
    progress.clear()
    again = few_shot(Store(str(built / "episodes")), out, alone, adapter, "small", progress.append)
    assert (again["points"], progress) == (result["points"], [])


@pytest.mark.ray
@pytest.mark.slow
def test_a_mixture_of_all_sources_is_fed_by_weight(built: Path, world: Path, tmp_path: Path, ray_cluster: None) -> None:
    """The loop's own kept answers, conversations, and episodes that narrate in the kept answers."""
    rows = [
        {
            "example_id": f"talk-{i}",
            "clip_id": "x",
            "video": str(built / "videos" / "video-00000.mp4"),
            "start_s": None,
            "end_s": None,
        }
        | {"prompt": "What colour is it?", "answer": "Red.", "source": "instruct", "cycle": 0, "mode": "direct", "seed": 0}
        | {"model": "", "etag": "", "follow_ups": [], "shown_in": 0, "instruction": "", "collection": "", "people": ""}
        for i in range(6)
    ]
    Store(str(tmp_path)).write_table("talks.parquet", EXAMPLES.empty_table().from_pylist(rows, schema=EXAMPLES))
    mixture = config(
        built, tmp_path / "run", "mixture.direct=1", "mixture.rationalized=2", "mixture.instruct=0.5", f"data.manifest={world}",
        f"mixture.examples={tmp_path / 'talks.parquet'}", 'episodes.answers="kept"', "episodes.shots=[0,1]",
        "generate.max_tokens=48", "train.micro_batch_rows=8", "loop.max_cycles=2",
    )  # fmt: skip
    loop.run(mixture, lambda progress: None, TRAIN)
    store = Store(str(tmp_path / "run"))
    selected, trained = read_seal(store, name_of(0, "select")), read_seal(store, TRAIN)
    assert selected is not None
    assert trained is not None
    counts = selected.counts
    assert counts["instruct"] == 6
    assert counts["rationalized"] > 0
    kept = counts["direct"] + counts["rationalized"]
    assert counts["episodes"] == kept
    fed = counts["direct"] + 2 * counts["rationalized"] + 3 + counts["episodes"]
    assert len(trained.facts["losses"]) == -(-fed // 8)


def test_the_gain_is_the_mean_over_seeds_with_its_interval(tmp_path: Path) -> None:
    def a_result(after_two: float) -> dict[str, Any]:
        values = {("", 0): 0.1, ("", 2): after_two, ("shuffled", 2): 0.1}
        points = ({"set": "rare", "control": control, "shots": shots, "both": both} for (control, shots), both in values.items())
        return {"points": list(points)}

    properties = {"rare": {"text_only": {"2": {"ceiling": 0.8, "counting": 0.4}}}}
    Store(str(tmp_path / "episodes")).write("properties.json", json.dumps(properties).encode())
    icl._report(str(tmp_path), {"episodes": [a_result(0.4), a_result(0.5), a_result(0.6)]}, Console(quiet=True))
    summary = json.loads((tmp_path / "icl.json").read_text())["rare"]
    assert summary["episodes"] == {"seeds": 3, "curve": {"0": 0.1, "2": 0.5}, "gain": [0.4, 0.2484]}  # 4.303 x 0.1 / sqrt(3)
    assert summary["episodes, videos shuffled"] == {"seeds": 3, "curve": {"2": 0.1}, "gain": None}
    assert summary["no model: the commonest words"] == {"curve": {"2": 0.4}}
    assert "no model" in (tmp_path / "rare.svg").read_text()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["episodes.shots=[500]", "episodes.pooling_shape=[4,2,2]"], "500 shots of 16 visual tokens and a query of 32 fill"),
        (["episodes.num_frames=9"], "episodes.num_frames = 9 is more than the model's 8 frames"),
        (["mixture.episodes=0"], "leaves nothing to train on"),
        (["mixture.instruct=1"], "mixture.instruct needs mixture.examples"),
        (["mixture.instruct=1", "mixture.examples=nowhere.parquet"], "no such file: nowhere.parquet"),
        (['episodes.pattern="{verb} {verb} {noun}"'], "mark the places of verb and noun with .*, each once"),
        (["episodes.shots=[2,2]"], "give different numbers of shots from 0 to 1024"),
        (['episodes.canonical="it is"'], "mark the places of verb and noun"),
    ],
)
def test_impossible_settings_are_refused_before_the_run_folder_exists(
    built: Path, tmp_path: Path, settings: list[str], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        loop.run(config(built, tmp_path / "run", *settings), lambda progress: None, TRAIN)
    assert not (tmp_path / "run").exists()


def select_only(run_config: RunConfig) -> dict[str, Any]:
    loop.run(run_config, lambda progress: None, name_of(0, "select"))
    seal = read_seal(Store(run_config.run.uri), name_of(0, "select"))
    assert seal is not None
    return seal.counts


def test_an_episode_longer_than_the_context_is_refused_with_its_tokens(built: Path, tmp_path: Path) -> None:
    with pytest.raises(
        ValueError,
        match=r"do not fit; episode .*: \d+ shots, .* take \d+ tokens, .* context is 1024; shorten it, or lower episodes.shots",
    ):
        select_only(
            config(built, tmp_path / "run", "episodes.shots=[40]", "episodes.pooling_shape=[4,3,2]", "episodes.same_narrator=false")
        )


def test_a_manifest_without_verbs_or_narrations_is_refused(narrated: Path, tmp_path: Path) -> None:
    rows = [json.loads(line) for line in (narrated / "manifest.jsonl").read_text().splitlines()]
    for name, empty, message in (
        ("bare", ("verb", "noun"), "none of 60 clips has a verb or a noun"),
        ("mute", ("description",), "no train clip has a narration"),
    ):
        path = narrated / f"{name}.jsonl"
        path.write_text("".join(json.dumps(row | dict.fromkeys(empty, "")) + "\n" for row in rows))
        with pytest.raises(ValueError, match=message):
            select_only(config(narrated, tmp_path / name, f"data.manifest={path}", "data.heldout=0.0"))


def test_fallbacks_are_counted(built: Path, tmp_path: Path) -> None:
    counts = select_only(config(built, tmp_path / "run", "episodes.shots=[16]"))
    assert counts["short"] > 0 < counts["shots_rest"]
