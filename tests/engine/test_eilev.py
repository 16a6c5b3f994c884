"""Pins what is EILEV's as published: its ids, classes and texts in the export, its splits, and the actions that it leaves out."""

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest

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
