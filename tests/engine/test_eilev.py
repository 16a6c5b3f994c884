"""Pins what is EILEV's as published: its ids, classes and texts in the export, its splits, and the actions that it leaves out."""

import csv
import io
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from engine.evaluate.few_shot.curve import pieces, read_contexts
from engine.evaluate.few_shot.step import read_clips, settings_of
from engine.presets import load_config
from engine.store.files import Store
from jobs import episodes
from jobs.ingest import IngestOptions, ingest

VERBS = ("put_(place,_leave,_drop)", "cut_(trim,_slice,_chop)", "[other]", None, "turn_on_(switch_on,_start,_light)")
NOUNS = ("nut_(food)", "nut_(tool)", "onion", None, "bag_(bag,_grocery,_nylon)")
TEXTS = ("#C C puts the nut on the table", "#c C cuts #unsure<|eos|>", "#O A man walks", "#C C turns #unsure. ", "#C  C looks")


def an_action(number: int) -> dict[str, Any]:
    """One in five is of another person; others are rejected, not valid, or not said to be valid."""
    noun = NOUNS[number // 2 % len(NOUNS)]
    boxes = [{"object_type": "left_hand"}, {"object_type": "object_of_change", "structured_noun": noun}]
    return {
        "narration_text": TEXTS[number % len(TEXTS)],
        "narration_timestamp_sec": 1.5 + number,
        "structured_verb": VERBS[number % 7 % len(VERBS)],
        "is_rejected": number % 11 == 3,
        "is_valid_action": None if number % 13 == 4 else number % 13 != 5,
        "frames": None
        if number % 9 == 8
        else [{"frame_type": "pre_frame", "boxes": []}, {"frame_type": "pnr_frame", "boxes": boxes}],
    }


@pytest.fixture(scope="module")
def annotated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """fho_main.json of 8 videos in 16 intervals, and the clips that were made of it."""
    folder = tmp_path_factory.mktemp("ego4d")
    videos = [
        {
            "video_uid": f"u{video}",
            "video_metadata": {"duration_sec": 60.0},
            "annotated_intervals": [
                {"narrated_actions": [an_action(26 * video + 13 * interval + number) for number in range(13)]}
                for interval in range(2)
            ],
        }
        for video in range(8)
    ]
    (folder / "fho_main.json").write_text(json.dumps({"version": "1", "videos": videos}))
    (folder / "videos").mkdir()
    for video in range(8):
        (folder / "videos" / f"u{video}.mp4").touch()
    options = IngestOptions(manifest=str(folder / "fho_main.json"), form="ego4d")
    ingest(options, str(folder / "clips.parquet"), [f"data.videos={folder / 'videos'}", "data.heldout=0.0"])
    return folder


def build(folder: Path, out: Path, *settings: str) -> Store:
    store = Store(str(out))
    config = load_config(
        None, ["preset=paper", f"data.manifest={folder / 'clips.parquet'}", "episodes.eval_shots=[0,4]", *settings]
    )
    list(episodes.build(config, store))
    return store


def text_of(store: Store, path: str) -> str:
    data = store.read(path)
    assert data is not None
    return data.decode()


def published_rows(folder: Path) -> dict[str, tuple[str, ...]]:
    """frame_path -> time, text, verb and noun, by a reading of EILEV's filter_action, get_structured_noun and clip_index."""
    rows = {}
    for video in json.loads((folder / "fho_main.json").read_text())["videos"]:
        kept = [
            action
            for interval in video["annotated_intervals"]
            for action in interval["narrated_actions"]
            if not action["is_rejected"]
            and action["is_valid_action"]
            and action["narration_text"].lower().split()[:2] == ["#c", "c"]
        ]
        for index, action in enumerate(kept):
            noun = action["frames"][1]["boxes"][1]["structured_noun"] if action["frames"] else None
            rows[f"{video['video_uid']}|{index}"] = (
                str(action["narration_timestamp_sec"]),
                action["narration_text"].strip(),
                action["structured_verb"] or "",
                noun or "",
            )
    return rows


def test_the_export_has_eilevs_ids_times_texts_and_classes(annotated: Path, tmp_path: Path) -> None:
    store = build(annotated, tmp_path / "episodes", "episodes.split=video")
    rows = list(csv.DictReader(io.StringIO(text_of(store, "eilev/narrated_actions.csv"))))
    columns = ("narration_timestamp_sec", "narration_text", "structured_verb", "structured_noun")
    assert {row["frame_path"]: tuple(row[column] for column in columns) for row in rows} == published_rows(annotated)
    assert all(row["frame_path"] == f"{row['video_uid']}|{row['clip_index']}" for row in rows)
    card = json.loads((annotated / "clips.card.json").read_text())
    assert sum(card["left_out"].values()) + card["clips"] == 8 * 26
    assert card["left_out"].keys() == {"not_the_wearers_own", "not_valid", "rejected"}


def test_clips_without_verb_and_noun_are_queries_and_fill_up_contexts(annotated: Path, tmp_path: Path) -> None:
    store = build(annotated, tmp_path / "episodes", "episodes.split=video", "episodes.shots=[40]")
    rows = published_rows(annotated)
    bare = {name for name, (_, _, verb, noun) in rows.items() if not verb and not noun}
    lines = [json.loads(line) for line in text_of(store, "eilev/train.jsonl").splitlines()]
    assert bare & {line["query"] for line in lines}
    assert bare & {name for line in lines for name in line["context"]}
    actions = {name: row[2:] for name, row in rows.items()}
    assert all(actions[name] != actions[line["query"]] for line in lines for name in line["context"]), "by class, not by name"


def test_common_actions_are_divided_by_clip_as_published_and_other_is_a_verb_of_theirs(annotated: Path, tmp_path: Path) -> None:
    store = build(annotated, tmp_path / "episodes", "episodes.split=action")
    rows = published_rows(annotated)
    counts = Counter(row[2:] for row in rows.values() if row[2] and row[3])
    pairs = counts.most_common()
    cut_off = next(i for i in range(len(pairs)) if sum(count for _, count in pairs[: i + 1]) >= 0.8 * counts.total()) + 1
    action_of = {clip.clip_id: clip.action for clip in read_clips(store).values()}
    sets = {name: [line["query"] for line in lines_of(store, f"contexts/{name}-4-shot.jsonl")] for name in ("rare", "common")}
    trained = [name for name in action_of if name not in {*sets["rare"], *sets["common"]}]
    rare, common = ({action_of[name] for name in names} for names in (sets["rare"], [*trained, *sets["common"]]))
    assert (len(common), len(rare)) == (cut_off, len(pairs) - cut_off)
    assert min(counts[pair] for pair in common) >= max(counts[pair] for pair in rare)
    assert "[other]" in {verb for verb, _ in common | rare}
    assert len(trained) == round(0.75 * (len(trained) + len(sets["common"])))
    videos = [{name.split("/")[0] for name in names} for names in (trained, sets["common"])]
    assert videos[0] & videos[1], "other clips of a query's video are trained on"
    apart = build(annotated, tmp_path / "apart", "episodes.split=action", "episodes.common_by=video")
    held = {line["query"].split("/")[0] for line in lines_of(apart, "contexts/common-4-shot.jsonl")}
    assert not held & {row["video_uid"] for row in trained_rows(apart)}


def trained_rows(store: Store) -> list[dict[str, str]]:
    """Of the export, the clips that are queries of training episodes."""
    queries = {line["query"] for line in lines_of(store, "eilev/train.jsonl")}
    rows = csv.DictReader(io.StringIO(text_of(store, "eilev/narrated_actions.csv")))
    return [row for row in rows if row["frame_path"] in queries]


def lines_of(store: Store, path: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text_of(store, path).splitlines()]


KITCHEN = (("open door", "open", "door"), ("pick up pan", "pick-up", "pan"), ("pour water into pan", "pour", "water"))
KITCHEN_SENTENCES = {
    "The camera wearer opens the door.",
    "The camera wearer picks up the pan.",
    "The camera wearer pours the water into the pan.",
}


def test_kitchen_phrases_are_sentences_in_training_and_in_evaluation(tmp_path: Path) -> None:
    """EILEV's transfer: eight seconds around the narration, and the sentences that its contexts and answers are made of."""
    (tmp_path / "videos").mkdir()
    for split, videos in (("train", range(4)), ("validation", range(4, 6))):
        lines = ["narration_id,participant_id,video_id,narration_timestamp,start_timestamp,stop_timestamp,narration,verb,noun"]
        for video in videos:
            (tmp_path / "videos" / f"P01_0{video}.MP4").touch()
            for number in range(6):
                narration, verb, noun = KITCHEN[(video + number) % 3]
                second = 2 + 7 * number
                stamps = f"00:00:{second:02}.00,00:00:{second:02}.50,00:00:{second + 3:02}.50"
                lines.append(f"P01_0{video}_{number},P01,P01_0{video},{stamps},{narration},{verb},{noun}")
        (tmp_path / f"EPIC_100_{split}.csv").write_text("\n".join(lines) + "\n")
        options = IngestOptions(manifest=str(tmp_path / f"EPIC_100_{split}.csv"), form="epic", video="{video_id}.MP4")
        ingest(options, str(tmp_path / f"{split}.parquet"), [f"data.videos={tmp_path / 'videos'}"])
    tables = [pq.read_table(tmp_path / f"{split}.parquet") for split in ("train", "validation")]
    pq.write_table(pa.concat_tables(tables), tmp_path / "clips.parquet")
    store = build(
        tmp_path, tmp_path / "episodes", 'episodes.sentence="The camera wearer {phrase}."', "episodes.window_s=8",
        "episodes.split=manifest",
    )  # fmt: skip
    clips = read_clips(store)
    assert (clips["P01_04_0"].start_s, clips["P01_04_0"].end_s) == (0.0, 8.0), "the narration is at 2 s"
    assert (clips["P01_04_1"].start_s, clips["P01_04_1"].end_s) == (5.0, 13.0)
    rows = csv.DictReader(io.StringIO(text_of(store, "eilev/narrated_actions.csv")))
    assert {row["narration_text"] for row in rows} == KITCHEN_SENTENCES
    turns = [message["content"] for line in lines_of(store, "messages/train.jsonl") for message in line["messages"][1::2]]
    assert set(turns) == KITCHEN_SENTENCES
    section = load_config(None, [*settings_of(store)]).episodes
    contexts = read_contexts("heldout", 4, text_of(store, "contexts/heldout-4-shot.jsonl"))
    questions = [q for piece in pieces(contexts, clips, section, "") for q in json.loads(piece["questions"])]
    assert {question["gold"] for question in questions} == KITCHEN_SENTENCES
    shots = [turn["answer"] for question in questions for turn in question["sample"][:-1]]
    assert shots
    assert set(shots) <= KITCHEN_SENTENCES
    assert {question["verb_class"] for question in questions} == {"open", "pick-up", "pour"}
