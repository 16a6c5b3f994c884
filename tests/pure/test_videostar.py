"""Pins Video-STaR's kinds of questions: what becomes of each dataset's own files, made here in their true shape, and of its own."""

import json
import pickle
import re
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from engine.config import Data
from engine.ingest import manifest
from engine.ingest.adapters import adapter
from engine.ingest.adapters.source import Source
from engine.ingest.adapters.videostar.questions import POOLS, RELEASED
from engine.ingest.skipped import Skipped
from engine.labels import All, Box, ClassSequence, Keywords, Number, SameOrNot, Sentences, TimeRange, Timestamp
from engine.rows import Clip
from engine.store.filesystems import Storage
from engine.verify.verdict import VerifySpec, verify
from jobs.ingest import IngestOptions, ingest

SITUATION = {
    "actions": ["c000", "c012"],
    "bbox_labels": ["o027"],
    "bbox": [[48, 27, 144, 135]],
    "rel_labels": ["r001"],
    "rel_pairs": [["o000", "o027"]],
    "verbs": [],
}
STAR: dict[str, Any] = {
    "question_id": "Interaction_T1_13",
    "question": "Which object was tidied up by the person?",
    "video_id": "6H78U",
    "start": 11.0,
    "end": 21.0,
    "answer": "The clothes.",
    "choices": [],
    "situations": {"000480": SITUATION | {"actions": ["c012"]}, "000360": SITUATION},
}
DIVE = {
    "action_type": "5253B",
    "sub-action_types": {11: "Back", 26: "2.5 Soms.Pike", 5: "1.5 Twists", 0: "Entry"},
    "dive_score": np.float64(76.5),
    "difficulty": 3.4,
    "judge_scores": [7.5, 7.5, 8.0],
    "frames_labels": np.array([11, 11, 5, 5, 26, 26, 0]),
    "steps_transit_frames": np.array([2, 4, 6]),
    "start_frame": 100,
    "end_frame": 107,
}
SOMETHING: dict[str, Any] = {
    "id": "78687",
    "label": "holding potato next to vicks vaporub bottle",
    "template": "Holding [something] next to [something]",
    "placeholders": ["potato", "vicks vaporub bottle"],
}


def source_of(path: Path, **options: Any) -> Source:
    return Source(path=str(path), storage=Storage(), **options)


def clips_of(path: Path, form: str, skipped: Skipped | None = None, **options: Any) -> dict[str, Clip]:
    data = Data(manifest=str(path), videos="/videos", heldout=0.0)
    records = partial(adapter(form), source_of(path, **options))
    return {clip.clip_id: clip for clip in manifest.read_manifest(data, Storage(), records=records, skipped=skipped)}


def star_folder(folder: Path, *items: dict[str, Any], sizes: str = "6H78U,32,960,480,270\n", name: str = "STAR_train.json") -> Path:
    (folder / "classes").mkdir(exist_ok=True)
    (folder / "classes" / "action_classes.txt").write_text("c000 Holding some clothes\nc012 Tidying some clothes\n")
    (folder / "classes" / "object_classes.txt").write_text("o000 person\no027 clothes\n")
    (folder / "videos.csv").write_text(f"video_id,duration,frames,width,height\n{sizes}")
    (folder / name).write_text(json.dumps(items or [STAR]))
    return folder / name


def test_star_has_seven_questions(tmp_path: Path) -> None:
    clips = clips_of(star_folder(tmp_path), "videostar-star")
    assert [name.removeprefix("Interaction_T1_13") for name in clips] == ["", "_r", "_t", "_rt", "_tqa", "_st", "_st2"]
    original, turned, actions, interval, of_qa, thing, both = clips.values()
    assert (original.question, original.start_s, original.end_s) == (STAR["question"], 11.0, 21.0)
    assert original.label == Sentences(key="answer_question", items=("The clothes.",), reads="span")
    assert turned.label == Sentences(key="question_from_answer", items=(STAR["question"],), reads="span")
    assert "The clothes." in turned.question
    items = ("Holding some clothes", "Tidying some clothes")
    assert actions.label == Sentences(key="unique_actions", items=items), "in the order of the frames, each once"
    assert ["0.375" in actions.question, "0.5" in actions.question] == [True, True], "frames 360 and 480 of 960, as shares"
    windows = {(clip.start_s, clip.end_s) for clip in (actions, interval, of_qa)}
    assert windows == {(None, None)}, "their times count from the video's start"
    expected = TimeRange(key="temporal_range", start_s=12.0, end_s=16.0, duration_s=32.0)
    assert interval.label == of_qa.label == expected
    assert ", ".join(items) in interval.question
    assert str(STAR["question"]) in of_qa.question
    assert thing.label == Keywords(key="identify", text="clothes", reads="span")
    assert "[0.1000, 0.2750, 0.3000, 0.5000]" in thing.question, "of the frame padded to a square of 480"
    parts = (Keywords(key="first_object", text="clothes"), Keywords(key="second_object", text="clothes"))
    assert both.label == All(labels=(*parts, SameOrNot(key="same_or_not", same=True)))
    assert {(clip.split, clip.group, clip.video) for clip in clips.values()} == {("train", "STAR", "/videos/6H78U.mp4")}


def test_half_of_the_comparisons_are_of_one_object_where_a_frame_has_it_twice(tmp_path: Path) -> None:
    boxes = {"bbox_labels": ["o000", "o027"], "bbox": [[0, 0, 9, 9], [1, 1, 20, 20]]}
    situations = dict.fromkeys(("000360", "000480"), SITUATION | boxes)
    items = [STAR | {"question_id": f"q{number}", "situations": situations} for number in range(200)]
    clips = clips_of(star_folder(tmp_path, *items), "videostar-star")
    labels = [clip.label for name, clip in clips.items() if name.endswith("_st2")]
    same = [part.same for label in labels if isinstance(label, All) for part in label.labels if isinstance(part, SameOrNot)]
    assert len(same) == 200
    assert 0.65 < sum(same) / len(same) < 0.85, "a half, and by chance half of the others"


def test_what_star_lacks_is_a_counted_row_or_one_line(tmp_path: Path) -> None:
    one_frame = STAR | {"question_id": "a", "situations": {"000360": SITUATION}}
    unknown = STAR | {"question_id": "b", "situations": {"000360": SITUATION, "000480": SITUATION | {"actions": ["c999"]}}}
    without = STAR | {"question_id": "c", "video_id": "gone"}
    no_boxes = {frame: SITUATION | {"bbox_labels": [], "bbox": []} for frame in ("000360", "000480")}
    skipped = Skipped()
    items = (one_frame, unknown, without, STAR | {"question_id": "d", "situations": no_boxes})
    clips = clips_of(star_folder(tmp_path, *items), "videostar-star", skipped)
    reasons = " ".join(skipped.first)
    for words in (
        "question _rt: its situations are of one frame",
        "question _tqa: its situations are of one frame",
        "c999 is in none of classes/action_classes.txt",
        "video gone is not in videos.csv",
        "none of its situations has an object in a box",
    ):
        assert words in reasons
    assert {"a_t", "a_rt", "a_tqa", "b_t", "b_rt", "c", "d_st", "d_st2"}.isdisjoint(clips)
    assert (len(clips), skipped.count) == (14, 8)
    (tmp_path / "videos.csv").unlink()
    with pytest.raises(ValueError, match=r"no such file: .*videos\.csv"):
        clips_of(tmp_path / "STAR_train.json", "videostar-star")
    with pytest.raises(ValueError, match="the last four of them numbers"):
        clips_of(star_folder(tmp_path, sizes="6H78U,long,960,480,270\n"), "videostar-star")


def test_star_val_is_held_out(tmp_path: Path) -> None:
    clips = clips_of(star_folder(tmp_path, name="STAR_val.json"), "videostar-star")
    assert {clip.split for clip in clips.values()} == {"heldout"}


def test_finediving_has_five_questions(tmp_path: Path) -> None:
    path = tmp_path / "fine.pkl"
    path.write_bytes(pickle.dumps({("Women10m_final_r1", 0): DIVE, ("Women10m_final_r1", 1): DIVE | {"dive_score": 60.0}}))
    (tmp_path / "test_split.pkl").write_bytes(pickle.dumps([("Women10m_final_r1", 1)]))
    clips = clips_of(path, "videostar-finediving")
    after, before, sequence, quality, score, *held = clips.values()
    assert [name.rpartition("/")[2] for name in clips] == ["after", "before", "sequence", "quality", "score"] * 2
    assert after.label == Sentences(key="action_after_action", items=("1.5 Twists",), reads="span")
    assert "Back" in after.question
    assert before.label == Sentences(key="action_before_action", items=("Back",), reads="span")
    assert "1.5 Twists" in before.question
    names = ("Back", "1.5 Twists", "2.5 Soms.Pike", "Entry")
    assert sequence.label == ClassSequence(key="action_sequence", items=names), "as published, in the order of the frames"
    final = Number(key="final_score", value=76.5)
    difficulty = Keywords(key="action_difficulty", text="3.4")
    assert quality.label == All(labels=(ClassSequence(key="action_sequence", items=names), difficulty, final))
    assert score.label == final
    assert {quality.question, score.question} <= set(POOLS["quality"])
    assert {clip.split for clip in held} == {"heldout"}
    assert (after.group, after.video) == ("FineDiving", "/videos/Women10m_final_r1_0.mp4")


def test_a_class_that_is_published_under_another_number_has_its_name(tmp_path: Path) -> None:
    path = tmp_path / "fine.pkl"
    dive = DIVE | {"sub-action_types": {11: "Back", 23: "3 Soms.Pike"}, "frames_labels": np.array([11, 22])}
    path.write_bytes(pickle.dumps({("a", 0): dive, ("b", 0): DIVE | {"frames_labels": np.array([11])}}))
    skipped = Skipped()
    clips = clips_of(path, "videostar-finediving", skipped)
    assert clips["a_0/sequence"].label == ClassSequence(key="action_sequence", items=("Back", "3 Soms.Pike"))
    assert "b_0/after" not in clips
    assert "its dive has one step" in " ".join(skipped.first)


def test_something_has_two_questions(tmp_path: Path) -> None:
    path = tmp_path / "train.json"
    path.write_text(json.dumps([SOMETHING]))
    things, action = clips_of(path, "videostar-something").values()
    objects = (Keywords(key="objects", text="potato"), Keywords(key="objects", text="vicks vaporub bottle"))
    assert things.label == All(labels=objects)
    assert "[something]" in things.question
    assert action.label == Sentences(key="relationship", items=(SOMETHING["label"],))
    assert "potato, vicks vaporub bottle" in action.question
    answer = "A potato is held beside a bottle of vicks vaporub."
    assert verify(answer, "", things.label, "direct", True, VerifySpec(preset="code")).keep


def moma(times: tuple[float, ...] = (12.0, 14.0, 16.0), unsure: str = "sitting down") -> list[dict[str, Any]]:
    def actor(name: str, x: float) -> dict[str, Any]:
        return {"id": name, "class_name": {"A": "adult", "B": "child", "C": "dog"}[name], "bbox": [x, 90, 160, 180]}

    interactions = [
        {
            "id": f"h{number}",
            "time": time_s,
            "actors": [actor("A", 10.0 * number), actor("B", 200), actor("C", 300)],
            "objects": [{"id": "1", "class_name": "table", "bbox": [0, 0, 320, 180]}],
            "relationships": [{"class_name": "[src] behind [trg]", "source_id": "A", "target_id": "1"}],
            "attributes": [],
            "transitive_actions": [{"class_name": "[src] touching [trg]", "source_id": "B", "target_id": "1"}],
            "intransitive_actions": [],
        }
        for number, time_s in enumerate(times)
    ]
    activities = [("eating", 20.0, 30.0, []), (unsure, 10.0, 20.0, interactions), ("eating", 30.0, 35.0, [])]
    parts = [
        {"id": f"s{number}", "class_name": name, "start_time": start, "end_time": end, "higher_order_interactions": within}
        for number, (name, start, end, within) in enumerate(activities)
    ]
    activity = {"id": "a1", "class_name": "dining", "start_time": 5.0, "end_time": 40.0, "sub_activities": parts}
    return [{"file_name": "x.mp4", "num_frames": 900, "width": 640, "height": 360, "duration": 60.0, "activity": activity}]


def test_moma_has_sequences_places_comparisons_and_relations(tmp_path: Path) -> None:
    path = tmp_path / "anns.json"
    path.write_text(json.dumps(moma()))
    clips = clips_of(path, "videostar-moma")
    assert clips["a1/sequence"].label == ClassSequence(key="action_sequence", items=("sitting down", "eating")), (
        "in time, each once"
    )
    assert (clips["a1/sequence"].start_s, clips["a1/sequence"].end_s) == (5.0, 40.0)
    assert clips["a1/after"].label == Sentences(key="action_after_action", items=("eating",), reads="span")
    assert clips["a1/before"].label == Sentences(key="action_before_action", items=("sitting down",), reads="span")
    place = clips["s1/location/A"]
    assert isinstance(place.label, Box)
    assert place.label.key == "location"
    x1, y1, x2, y2 = place.label.box
    assert (y1, y2, round(x2 - x1, 4)) == (0.3594, 0.6406, 0.25), "of the frame padded to 640 x 640"
    assert (place.start_s, place.end_s, place.video) == (10.0, 20.0, "/videos/x.mp4")
    same = clips["s1/comparison/A/self"].label
    assert isinstance(same, All)
    assert same.labels[2] == SameOrNot(key="same_or_not", same=True)
    other = clips["s1/comparison/A/other"].label
    assert isinstance(other, All)
    assert other.labels[2] == SameOrNot(key="same_or_not", same=False)
    relations = [clip for name, clip in clips.items() if "/relation/" in name]
    assert len(relations) == 6
    assert relations[0].label == Sentences(key="relationship_interation", items=("adult behind table",))
    assert "the adult at [0.0000, 0.3594, 0.2500, 0.6406]" in relations[0].question
    assert "0.2" in relations[0].question, "at 12 s, of 10 to 20 s"


def test_moma_takes_ten_of_a_kind_and_leaves_out_what_is_unsure(tmp_path: Path) -> None:
    path = tmp_path / "anns.json"
    path.write_text(json.dumps(moma(times=tuple(10.0 + number for number in range(10)))))
    assert sum("/relation/" in name for name in clips_of(path, "videostar-moma")) == 10
    path.write_text(json.dumps(moma(unsure="unsure")))
    clips = clips_of(path, "videostar-moma")
    assert {"a1/sequence", "a1/after", "a1/before"}.isdisjoint(clips)
    path.write_text(json.dumps(moma(times=(12.0, 14.0, 99.0))))
    with pytest.raises(ValueError, match="99 s is not within 10 to 20 s"):
        clips_of(path, "videostar-moma")
    skipped = Skipped()
    clips = clips_of(path, "videostar-moma", skipped)
    assert {"a1/sequence", "s1/relation/h0/0", "s1/relation/h1/0"} <= set(clips), "the other questions of the activity stay"
    assert "s1/relation/h2/0: 99 s is not within 10 to 20 s" in " ".join(skipped.first)


def test_moma_asks_what_comes_next_where_that_is_always_the_same(tmp_path: Path) -> None:
    [video] = moma()
    names = ("serve", "rally", "serve", "celebrate")
    video["activity"]["sub_activities"] = [
        {"id": f"s{number}", "class_name": name, "start_time": number, "end_time": number + 1, "higher_order_interactions": []}
        for number, name in enumerate(names, 5)
    ]
    path = tmp_path / "anns.json"
    path.write_text(json.dumps([video]))
    clips = clips_of(path, "videostar-moma")
    assert clips["a1/after"].label == Sentences(key="action_after_action", items=("serve",), reads="span")
    assert "rally" in clips["a1/after"].question
    before = clips["a1/before"]
    assert isinstance(before.label, Sentences)
    assert before.label.items == ("serve",)
    assert "rally" in before.question or "celebrate" in before.question


def test_a_stretch_or_a_frame_without_extent_is_one_bad_row(tmp_path: Path) -> None:
    path, video = tmp_path / "anns.json", moma()
    video[0]["activity"]["sub_activities"][1] |= {"start_time": 12.0, "end_time": 12.0}
    path.write_text(json.dumps(video))
    with pytest.raises(ValueError, match="its stretch from 12 to 12 s is empty"):
        clips_of(path, "videostar-moma")
    path.write_text(json.dumps([moma()[0] | {"width": 0, "height": 0}]))
    with pytest.raises(ValueError, match="its frame of 0 x 0 pixels has no area"):
        clips_of(path, "videostar-moma")


def ego_exo(folder: Path, *descriptions: dict[str, Any]) -> Path:
    cameras = {
        "aria01": {"rgb": {"relative_path": "frame_aligned_videos/aria01_214-1.mp4"}},
        "cam01": {"0": {"relative_path": "frame_aligned_videos/cam01.mp4"}},
    }
    take = {"take_uid": "u1", "take_name": "t1", "root_dir": "takes/t1", "duration_sec": 100.0, "frame_aligned_videos": cameras}
    folder.mkdir(exist_ok=True)
    (folder.parent / "takes.json").write_text(json.dumps([take]))
    rejected = {"rejected": True, "descriptions": [a_description("C says no")]}
    annotations = {"u1": [{"rejected": False, "descriptions": [*descriptions]}, rejected]}
    path = folder / "atomic_descriptions_train.json"
    path.write_text(json.dumps({"annotations": annotations, "ds": "x"}))
    return path


def a_description(text: str = "C puts a pan on the stove", time_s: float = 50.0, **fields: Any) -> dict[str, Any]:
    usual = {"best_exo": {"cam_id": "cam01"}, "ego_visible": True, "unsure": False, "subject": "C"}
    return {"text": text, "timestamp": time_s} | usual | fields


def test_a_bad_description_of_ego_exo4d_is_one_bad_row(tmp_path: Path) -> None:
    elsewhere = a_description("C stirs", best_exo={"cam_id": "cam09"}, ego_visible=False)
    path = ego_exo(tmp_path / "annotations", elsewhere, a_description(time_s=None), a_description("C looks"))  # type: ignore[arg-type]
    skipped = Skipped()
    clips = clips_of(path, "videostar-egoexo4d", skipped)
    assert {name.split("/")[2] for name in clips} == {"2"}
    assert "u1/0/0/exo has no 'cam09'" in " ".join(skipped.first)


def test_ego_exo4d_asks_what_happens_when_in_each_view(tmp_path: Path) -> None:
    path = ego_exo(tmp_path / "annotations", a_description(), a_description(), a_description("C looks", unsure=True))
    clips = clips_of(path, "videostar-egoexo4d")
    assert sorted(clips) == sorted(f"u1/0/0/{view}/{kind}" for view in ("exo", "ego") for kind in ("action_at", "time_of"))
    what, when = clips["u1/0/0/ego/action_at"], clips["u1/0/0/ego/time_of"]
    assert what.video == "/videos/takes/t1/frame_aligned_videos/aria01_214-1.mp4"
    assert clips["u1/0/0/exo/time_of"].video == "/videos/takes/t1/frame_aligned_videos/cam01.mp4"
    assert what.label == Sentences(key="action_description", items=("The camera wearer puts a pan on the stove.",))
    assert isinstance(when.label, Timestamp)
    assert (what.start_s, what.end_s) == (when.start_s, when.end_s)
    assert when.start_s is not None
    assert when.end_s is not None
    assert 4.0 <= when.end_s - when.start_s <= 30.0
    assert when.label.time_s == pytest.approx(50.0 - when.start_s)
    assert when.label.key == "normalized_time"
    said = when.label.time_s / when.label.duration_s
    assert f"{said:.4f}".rstrip("0") in what.question or f"{said * 100:g}"[:4] in what.question
    assert verify(f"At {said:.2f}.", when.question, when.label, "direct", True, VerifySpec(preset="code")).keep
    assert clips_of(path, "videostar-egoexo4d") == clips, "the same each time"


def test_ego_exo4d_without_its_takes_is_one_line(tmp_path: Path) -> None:
    path = ego_exo(tmp_path / "annotations", a_description())
    (tmp_path / "takes.json").unlink()
    with pytest.raises(ValueError, match=r"no takes.json in .*annotations/takes.json or .*; the annotations name their videos"):
        clips_of(path, "videostar-egoexo4d")
    (tmp_path / "takes.json").write_text("[]")
    with pytest.raises(ValueError, match=r"take u1 is not in takes\.json"):
        clips_of(path, "videostar-egoexo4d")


def a_record(verifiers: list[str], **label: Any) -> dict[str, Any]:
    return {
        "video_id": "v",
        "question_id": f"v_{'_'.join(verifiers)}",
        "question": "What is it?",
        "label": label,
        "video_path": "STaR/star_videos/v.mp4",
        "duration": 20.0,
        "label_type": list(label),
        "verifier_type": verifiers,
        "id": 0,
    }


@pytest.mark.parametrize(
    ("record", "label"),
    [
        (a_record(["simple"], first_object="a cup"), Keywords(key="first_object", text="a cup")),
        (
            a_record(["simple"], objects=["cup", "box"]),
            All(labels=(Keywords(key="objects", text="cup"), Keywords(key="objects", text="box"))),
        ),
        (a_record(["obj_compare"], first="cup"), Keywords(key="first", text="cup")),
        (a_record(["obj_identify"], identify="cup"), Keywords(key="identify", text="cup", reads="span")),
        (a_record(["float"], final_score=76.5), Number(key="final_score", value=76.5)),
        (a_record(["timestamp"], normalized_time=0.25), Timestamp(key="normalized_time", time_s=5.0, duration_s=20.0)),
        (
            a_record(["temporal_range"], temporal_range=[0.25, 0.5]),
            TimeRange(key="temporal_range", start_s=5.0, end_s=10.0, duration_s=20.0),
        ),
        (a_record(["bbox"], location=[0.1, 0.2, 0.5, 0.6]), Box(key="location", box=(0.1, 0.2, 0.5, 0.6))),
        (
            a_record(["sentence"], answer_question="It is a cup. It is red."),
            Sentences(key="answer_question", items=("It is a cup.", "It is red."), reads="span"),
        ),
        (a_record(["sentence"], unique_actions=["a. b", "c"]), Sentences(key="unique_actions", items=("a. b", "c"))),
        (a_record(["llm"], expert_commentary="Well done."), Sentences(key="expert_commentary", items=("Well done.",))),
        (
            a_record(["sentence_sequence"], action_sequence=["Back", "Entry"]),
            ClassSequence(key="action_sequence", items=("Back", "Entry")),
        ),
        (
            a_record(["classifier_sequence"], steps=["he runs", "he jumps"]),
            Sentences(key="steps", items=("he runs", "he jumps"), ordered=True, compare="entailment"),
        ),
        (a_record(["classifier"], steps="he runs"), Sentences(key="steps", items=("he runs",), compare="entailment")),
        (a_record(["same_or_not"], same_or_not="the objects are NOT the same"), SameOrNot(key="same_or_not", same=False)),
        (
            a_record(["sentence_sequence", "simple", "float"], action_sequence=["Back"], action_difficulty=3.0, final_score=65),
            All(
                labels=(
                    ClassSequence(key="action_sequence", items=("Back",)),
                    Keywords(key="action_difficulty", text="3.0"),
                    Number(key="final_score", value=65),
                )
            ),
        ),
    ],
)
def test_the_releases_own_annotations(tmp_path: Path, record: dict[str, Any], label: Any) -> None:
    path = tmp_path / "train.json"
    path.write_text(json.dumps([record]))
    (clip,) = clips_of(path, "videostar").values()
    assert clip.label == label
    assert (clip.question, clip.video, clip.split) == ("What is it?", "/videos/STaR/star_videos/v.mp4", "train")


@pytest.mark.parametrize(
    ("record", "message"),
    [
        (a_record(["telepathy"], x="a"), "verifier type 'telepathy' is none of simple, obj_compare"),
        (a_record(["simple", "float"], x="a"), "1 label types and 2 verifier types"),
        (a_record(["float"], x="many"), "could not convert"),
        (a_record(["temporal_range"], x=[0.5, 0.25]), "is not before end_s"),
        (a_record(["simple"], x="a") | {"label": {}}, "has no 'x'"),
        (a_record(["timestamp"], x=0.5) | {"duration": 0}, "duration_s 0 is not a duration"),
    ],
)
def test_a_bad_annotation_of_the_release_is_one_line(tmp_path: Path, record: dict[str, Any], message: str) -> None:
    path = tmp_path / "train.json"
    path.write_text(json.dumps([record]))
    with pytest.raises(ValueError, match=message) as error:
        clips_of(path, "videostar")
    assert "\n" not in str(error.value)


TEMPLATES = "\n".join(
    f"{name} = [\n    "
    + (
        f'lambda {", ".join(arguments)}: f"Theirs: {" ".join("{" + argument + "}" for argument in arguments)}?",\n]'
        if arguments
        else '"Theirs?",\n]'
    )
    for name, arguments in RELEASED.values()
)


def test_the_releases_wordings_are_read_out_of_a_copy_of_it(tmp_path: Path) -> None:
    copy = tmp_path / "templates.py"
    copy.write_text("import os\nos.abort()\n" + TEMPLATES.replace("Theirs: {time}?", "Theirs: {round(time*100, 3)}% or {time}?"))
    clips = clips_of(star_folder(tmp_path), "videostar-star", questions=str(copy))
    assert clips["Interaction_T1_13_t"].question == "Theirs: 0.375 0.5?"
    assert clips["Interaction_T1_13_r"].question == "Theirs: The clothes.?"
    path = ego_exo(tmp_path / "annotations", a_description())
    what = clips_of(path, "videostar-egoexo4d", questions=str(copy))["u1/0/0/ego/action_at"]
    percent, share = what.question.removeprefix("Theirs: ").removesuffix("?").split("% or ")
    assert float(percent) == pytest.approx(100 * float(share))


def test_the_releases_wordings_may_round_join_and_cut_gaps(tmp_path: Path) -> None:
    text = TEMPLATES
    for plain, theirs in (
        ("{template}?", "{template.replace('[something]', '___')}?"),
        ("{objects}?", "{' and '.join(objects)}?"),
        ("{first} {second} {time}?", "{first} {second} {round(time, 3)}?"),
    ):
        assert plain in text
        text = text.replace(plain, theirs)
    copy = tmp_path / "templates.py"
    copy.write_text(text)
    path = tmp_path / "train.json"
    path.write_text(json.dumps([SOMETHING]))
    things, action = clips_of(path, "videostar-something", questions=str(copy)).values()
    assert things.question == "Theirs: Holding ___ next to ___?"
    assert action.question == "Theirs: potato and vicks vaporub bottle?"
    path.write_text(json.dumps(moma()))
    clips = clips_of(path, "videostar-moma", questions=str(copy))
    relations = [clip.question for name, clip in clips.items() if "/relation/" in name]
    assert relations
    assert all(re.fullmatch(r"Theirs: .* .* 0\.\d+\?", question) for question in relations)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("temporal_qa_prompts = [", "is no Python"),
        ("x = 1", "has no list question_answer_reversal, for the questions reversed_qa"),
        (TEMPLATES.replace("{answer}", "{os.getcwd()}", 1), r"line \d+: .* is no text with plain values"),
        (TEMPLATES.replace("lambda answer:", "lambda answer, more:", 1), r"line \d+: it takes 2 values, and 1 are known"),
    ],
)
def test_another_file_than_the_releases_is_one_line(tmp_path: Path, text: str, message: str) -> None:
    copy = tmp_path / "templates.py"
    copy.write_text(text)
    with pytest.raises(ValueError, match=message):
        clips_of(star_folder(tmp_path), "videostar-star", questions=str(copy))


def test_our_wordings_are_of_the_releases_kinds() -> None:
    assert POOLS.keys() == RELEASED.keys()
    for kind, wordings in POOLS.items():
        names = {*RELEASED[kind][1]} | ({"time%"} if "time" in RELEASED[kind][1] else set())
        for wording in wordings:
            used = {part.partition("}")[0] for part in wording.split("{")[1:]}
            assert used <= names, f"{kind}: {wording}"
            assert len(used) == len(RELEASED[kind][1]), f"{kind}: each value is used: {wording}"


def test_ingest_takes_wordings_and_a_group(tmp_path: Path) -> None:
    path = star_folder(tmp_path)
    (tmp_path / "6H78U.mp4").write_bytes(b"x")
    copy = tmp_path / "templates.py"
    copy.write_text(TEMPLATES)
    options = IngestOptions(manifest=str(path), form="videostar-star", questions=str(copy), group="ignored")
    ingest(options, str(tmp_path / "out" / "clips.parquet"), [f"data.videos={tmp_path}"])
    groups = pq.read_table(tmp_path / "out" / "clips.parquet").column("group").to_pylist()
    assert groups == ["STAR"] * 7, "a row's own group stays"
    table = tmp_path / "mine.csv"
    table.write_text("video,label\n6H78U.mp4,diving\n")
    ingest(IngestOptions(manifest=str(table), group="mine"), str(tmp_path / "mine.parquet"), [])
    assert pq.read_table(tmp_path / "mine.parquet").column("group").to_pylist() == ["mine"]
    with pytest.raises(ValueError, match="--questions are wordings for the formats videostar-"):
        ingest(IngestOptions(manifest=str(path), form="star", questions=str(copy)), str(tmp_path / "a.parquet"), [])
