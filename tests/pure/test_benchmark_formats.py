"""Pins that MVBench, TempCompass and NExT-QA are read in the shape in which they are published, with literal clips and groups."""

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest

from benchmarks import LETTER, clips_of, error_of, write
from engine.config import Data, EvaluationSet, PromptSet
from engine.evaluate.sets import BENCHMARKS, READERS, mvbench
from engine.evaluate.sets.published import Published
from engine.labels import Choice, Reference
from engine.store.filesystems import Storage
from engine.store.troubles import StorageError


def mvbench_items(task: str) -> list[dict[str, Any]]:
    item = {"video": f"{task}.mp4", "question": "What happened?", "candidates": ["Up.", "Down."], "answer": "Down."}
    return [item | {"start": 11.1, "end": 19.6}] if mvbench.TASKS[task][2] else [item]


def test_mvbench_has_twenty_tasks_of_which_five_are_clipped(tmp_path: Path) -> None:
    write(tmp_path, {f"json/{task}.json": mvbench_items(task) for task in mvbench.TASKS})
    clips = clips_of("mvbench", tmp_path / "json", "/data/MVBench/video")
    assert (len(clips), len({clip.group for clip in clips})) == (20, 20)
    assert sorted(clip.group for clip in clips if (clip.start_s, clip.end_s) == (11.1, 19.6)) == [
        "Action Localization", "Action Prediction", "Action Sequence", "Episodic Reasoning", "Object Interaction",
    ]  # fmt: skip
    assert sum(clip.start_s is None for clip in clips) == 15
    first = clips[0]
    assert (first.clip_id, first.group) == ("action_sequence/0", "Action Sequence")
    assert first.video == "/data/MVBench/video/star/Charades_v1_480/action_sequence.mp4"
    assert first.question == "Question: What happened?\nOptions:\n(A) Up.\n(B) Down."
    assert first.label == Choice(option="B", options={"A": "Up.", "B": "Down."})


def test_mvbench_videos_of_other_suffixes_and_folders_of_frames(tmp_path: Path) -> None:
    task, item = (
        "episodic_reasoning",
        {"question": "Who?", "candidates": ["House", "Cuddy"], "answer": "House", "start": 1, "end": 2},
    )
    write(tmp_path, {f"{task}.json": [item | {"video": name} for name in ("house_s01_clip_00", "house_s01_clip_01")]})
    write(
        tmp_path,
        {"action_antonym.json": [item | {"video": "166583.webm"}], "fine_grained_pose.json": [item | {"video": "S1_rgb.avi"}]},
    )
    frames = "tvqa/frames_fps3_hq"
    videos = write(tmp_path / "video", {f"{frames}/house_s01_clip_00/00001.jpg": None, f"{frames}/house_s01_clip_01.mp4": None})
    write(videos, {"ssv2_video/166583.mp4": None, "perception/videos/S1_rgb.avi": None})
    names = [clip.video.removeprefix(f"{videos}/") for clip in clips_of("mvbench", tmp_path / f"{task}.json", videos)]
    assert names == [f"{frames}/house_s01_clip_00#fps=3", f"{frames}/house_s01_clip_01.mp4"]
    [webm] = clips_of("mvbench", tmp_path / "action_antonym.json", videos)
    assert webm.video == f"{videos}/ssv2_video/166583.mp4"
    [pose] = clips_of("mvbench", tmp_path / "fine_grained_pose.json", videos)
    assert pose.video == f"{videos}/nturgbd/S1_rgb.avi", "not the file of this name in another dataset's folder"


def test_mvbench_refuses_what_is_not_all_of_it(tmp_path: Path) -> None:
    write(tmp_path, {f"{task}.json": mvbench_items(task) for task in mvbench.TASKS})
    (tmp_path / "moving_count.json").unlink()
    assert "has no moving_count.json; name one file to ask about one task" in error_of("mvbench", tmp_path)
    write(tmp_path, {"other.json": []})
    assert "other.json is named like none of MVBench's tasks: action_sequence," in error_of("mvbench", tmp_path / "other.json")
    write(tmp_path, {"action_sequence.json": [mvbench_items("action_antonym")[0]]})
    assert "action_sequence.json item 0 has no 'start'; is it of another format?" in error_of(
        "mvbench", tmp_path / "action_sequence.json"
    )
    write(tmp_path, {"action_count.json": [{"video": "a.mp4", "question": "?", "candidates": ["1", "2"], "answer": "3"}]})
    assert "item 0: the answer '3' is not one of its candidates" in error_of("mvbench", tmp_path / "action_count.json")
    write(
        tmp_path, {"action_count.json": [{"video": "a.mp4", "question": "How many?", "candidates": ["1", "2", "2"], "answer": "2"}]}
    )
    [clip] = clips_of("mvbench", tmp_path / "action_count.json")
    many = {"video": "a.mp4", "question": "How many?", "candidates": [str(number) for number in range(11)], "answer": "2"}
    write(tmp_path, {"moving_count.json": [many]})
    assert "item 0: it has 11 options; at most 10 can be lettered" in error_of("mvbench", tmp_path / "moving_count.json")
    assert clip.label == Choice(option="C", options={"A": "1", "B": "2", "C": "2"})


DUNK = "What is the man doing in the video?\nA. dunking a basketball\nB. dribbling a basketball"
TEMPCOMPASS = {
    "questions/multi-choice.json": {
        "10": {
            "action": [{"question": DUNK, "answer": "A. dunking a basketball"}, {"question": DUNK, "answer": "B. dribbling a ball"}]
        },
        "10_reverse": {"order": [{"question": "First?\nA. up\nB. down\nC. left\nD. right", "answer": "D. right"}]},
    },
    "questions/yes_no.json": {"10": {"action": [{"question": "Is the man dunking?", "answer": "yes"}]}},
    "questions/caption_matching.json": {
        "10": {
            "action": [
                {
                    "question": "Which?\nOption 1: He is passing.\nOption 2: A man is dunking.",
                    "answer": "Option 2: A man is dunking.",
                },
                {"question": "Which?\nCaption A: A man is dunking.\nCaption B: He eats.", "answer": "Caption A: A man is dunking."},
            ]
        }
    },
    "questions/captioning.json": {
        "10": {"action": [{"question": "Information A: ...\nGenerated Caption:", "answer": "B. dunking a basketball"}]}
    },
    "meta_info.json": {
        "10": {"eval_dim": {"action": {"subject": "man", "type": "fine-grained action"}, "speed": None}, "content": ["people"]},
        "10_reverse": {"eval_dim": {"action": None, "order": {"subject": "man", "event1": "up"}}},
    },
}


def test_tempcompass_has_four_tasks_with_fine_grained_aspects(tmp_path: Path) -> None:
    write(tmp_path, TEMPCOMPASS)
    clips = {clip.clip_id: clip for clip in clips_of("tempcompass", tmp_path / "questions", tmp_path / "videos")}
    assert [(name, clip.group) for name, clip in clips.items()] == [
        ("multi-choice/10/action/0", "multi-choice/action/fine-grained action"),
        ("multi-choice/10/action/1", "multi-choice/action/fine-grained action"),
        ("multi-choice/10_reverse/order/0", "multi-choice/order/order"),
        ("yes_no/10/action/0", "yes_no/action/fine-grained action"),
        ("caption_matching/10/action/0", "caption_matching/action/fine-grained action"),
        ("caption_matching/10/action/1", "caption_matching/action/fine-grained action"),
        ("captioning/10/action/0", "captioning/action/fine-grained action"),
    ]
    assert clips["multi-choice/10/action/0"].question == f"{DUNK}\nPlease directly give the best option:"
    dunking = Choice(option="A", options={"A": "dunking a basketball", "B": "dribbling a basketball"})
    assert clips["multi-choice/10/action/0"].label == dunking
    assert clips["multi-choice/10_reverse/order/0"].label.text == "D. right"
    assert clips["multi-choice/10_reverse/order/0"].video == str(tmp_path / "videos/10_reverse.mp4")
    assert clips["yes_no/10/action/0"].question == "Is the man dunking?\nPlease answer yes or no:"
    assert clips["yes_no/10/action/0"].label == Choice(option="yes", options={"yes": "yes", "no": "no"})
    assert clips["caption_matching/10/action/0"].label == Choice(
        option="2", options={"1": "He is passing.", "2": "A man is dunking."}
    )
    assert clips["caption_matching/10/action/1"].label == Choice(option="A", options={"A": "A man is dunking.", "B": "He eats."})
    assert clips["captioning/10/action/0"].question == "Information A: ...\nGenerated Caption:"
    assert clips["captioning/10/action/0"].label == dunking, "as published, of the aspect's first multiple-choice question"
    [alone] = clips_of("tempcompass", tmp_path / "questions/yes_no.json")
    assert alone.group == "action/fine-grained action"


def test_tempcompass_of_another_version(tmp_path: Path) -> None:
    write(tmp_path, TEMPCOMPASS)
    yes_no = tmp_path / "questions/yes_no.json"
    yes_no.write_text(json.dumps({"10": {"speed": [{"question": "Is it fast?", "answer": "yes"}]}}))
    assert "yes_no.json video 10 speed 0: meta_info.json says nothing of speed in 10; take both" in error_of("tempcompass", yes_no)
    yes_no.write_text(json.dumps({"10": {"action": [{"question": "Is it?", "answer": "maybe"}]}}))
    assert "option 'maybe' is not among the options yes, no" in error_of("tempcompass", yes_no)
    write(tmp_path, {"meta_info.json": {"10": {"type": "action"}}})
    assert "video 10 has no eval_dim; is it TempCompass's meta_info.json?" in error_of("tempcompass", yes_no)
    (tmp_path / "meta_info.json").unlink()
    assert f"no such file: {tmp_path}/meta_info.json" in error_of("tempcompass", yes_no)
    assert "is named like none of TempCompass's tasks" in error_of("tempcompass", write(tmp_path, {"x.json": {}}) / "x.json")


NEXTQA = "video,frame_count,width,height,question,answer,qid,type"
OPTIONS = "a0,a1,a2,a3,a4"


def test_nextqa_multiple_choice_and_open_ended(tmp_path: Path) -> None:
    rows = (
        "40,369,640,480,how do the men play,2,6,CH,roll it,tap,strum the string,hit,pat\n40,9,6,4,what before,0,7,TP,a b,c,d,e,f\n"
    )
    write(tmp_path, {"val.csv": f"{NEXTQA},{OPTIONS}\n{rows}"})
    first, second = clips_of("nextqa", tmp_path / "val.csv", write(tmp_path / "vidor", {"1164/40.mp4": None}))
    assert (first.clip_id, first.group, second.group) == ("40_6", "C/CH", "T/TN")
    assert first.video == str(tmp_path / "vidor/1164/40.mp4"), "in VidOR's folders"
    assert first.question == f"how do the men play\nA. roll it\nB. tap\nC. strum the string\nD. hit\nE. pat\n{LETTER}"
    assert first.label.text == "C. strum the string"
    write(tmp_path, {"test.csv": f"{NEXTQA}\n57,9,6,4,where is it,sea,2,DL\n58,9,6,4,is it calm,yes,0,DB\n"})
    write(tmp_path, {"add_reference_answer_test.json": {"57": {"2": "ocean"}}})
    sea, calm = clips_of("nextqa", tmp_path / "test.csv")
    assert (sea.label, calm.label) == (Reference(text="sea", aliases=("ocean",)), Reference(text="yes"))
    assert (sea.question, sea.group) == ("where is it\nAnswer the question with a short phrase.", "D/DL")


def test_nextqa_bad_rows(tmp_path: Path) -> None:
    write(tmp_path, {"val.csv": f"{NEXTQA},{OPTIONS}\n40,9,6,4,how,5,6,CH,a,b,c,d,e\n"})
    assert "val.csv line 2: the answer '5' is none of the options 0 to 4" in error_of("nextqa", tmp_path / "val.csv")
    write(tmp_path, {"val.csv": f"{NEXTQA},{OPTIONS}\n40,9,6,4,how,1,6,XX,a,b,c,d,e\n"})
    assert "type 'XX' is none of CH, CW," in error_of("nextqa", tmp_path / "val.csv")
    write(tmp_path, {"val.csv": "id,q\n1,2\n"})
    assert "has no 'video'; is it of another format?" in error_of("nextqa", tmp_path / "val.csv")


def test_videos_are_found_by_name_where_there_is_only_one(tmp_path: Path) -> None:
    videos = write(tmp_path / "videos", {"a/one.webm": None, "a/two.mp4": None, "b/two.mp4": None, "three.MKV": None})
    published = Published(Data(manifest="val.csv", videos=str(videos)), Storage())
    assert [published.video(name) for name in ("one", "two", "three", "b/two", "four")] == [
        "a/one.webm", "two.mp4", "three.MKV", "b/two.mp4", "four.mp4",
    ]  # fmt: skip
    nowhere = Published(Data(manifest="val.csv", videos=str(tmp_path / "nowhere")), Storage())
    assert nowhere.video("one", ".avi") == "one.avi"


def test_videos_in_storage_that_is_away_are_an_error_and_not_missing() -> None:
    away = Storage({"s3": {"endpoint_url": "http://127.0.0.1:9", "anon": True}}, patience_s=0.0)
    with pytest.raises(StorageError, match="s3://bucket/videos"):
        Published(Data(manifest="val.csv", videos="s3://bucket/videos"), away).video("one")
    s3, _ = away.filesystem("s3://bucket/videos")
    s3.close_session(s3.loop, s3._s3)


def test_the_page_has_every_format_and_its_example_is_a_configuration() -> None:
    page = (Path(__file__).parents[2] / "docs/benchmark_formats.md").read_text()
    assert [name for name in BENCHMARKS if f"`{name}`" not in page] == []
    example = tomllib.loads(page.split("```toml")[1].split("```")[0])
    sets = [EvaluationSet(**values) for values in example["evaluate"]["sets"]]
    assert [(own.format in READERS, own.prompts) for own in sets] == [(True, "mvbench"), (True, "published")]
    assert PromptSet(**example["prompts"]["mvbench"]).answer_start == "Best option:("
