"""Pins how benchmarks with free answers, scores and time ranges are read, and what their published rules make of answers."""

import json
import pickle
from pathlib import Path
from typing import Any

import pytest

from benchmarks import LETTER, clips_of, error_of, write
from engine.config import Evaluate, EvaluationSet, RunConfig
from engine.evaluate.sets import files_beside
from engine.ingest.step import inputs_of
from engine.labels import Choice, Keywords, Number, Reference, TimeRange
from engine.store.filesystems import Storage
from engine.verify.verdict import VerifySpec, verify

ASKED = [
    {"video_name": "1QI", "question": "is the athlete wearing trousers", "question_id": "v_1QI_3"},
    {"video_name": "_QB", "question": "what is behind him", "question_id": "v__QB_2"},
]
ANSWERED = [{"answer": "lake", "type": 1, "question_id": "v__QB_2"}, {"answer": "no", "type": 3, "question_id": "v_1QI_3"}]


def test_activitynet_qa(tmp_path: Path) -> None:
    write(tmp_path, {"test_q.json": ASKED, "test_a.json": ANSWERED})
    videos = write(tmp_path / "all_test", {"v_1QI.mkv": None})
    first, second = clips_of("activitynet-qa", tmp_path / "test_q.json", videos)
    assert (first.clip_id, first.question, first.label) == ("v_1QI_3", ASKED[0]["question"], Reference(text="no"))
    assert (first.video, second.video) == (str(videos / "v_1QI.mkv"), str(videos / "v__QB.mp4")), "missing, and counted later"
    assert (first.group, second.group) == ("Free/Yes or no", "Spatial Relation")
    write(tmp_path, {"test_a.json": ANSWERED[:1]})
    assert "item 0: the file of answers has none of question v_1QI_3; take both" in error_of(
        "activitynet-qa", tmp_path / "test_q.json"
    )
    write(tmp_path, {"test_a.json": [ANSWERED[0], ANSWERED[1] | {"type": 9}]})
    assert "item 0: type 9 is none of 0 to 8" in error_of("activitynet-qa", tmp_path / "test_q.json")
    (tmp_path / "test_a.json").unlink()
    assert f"no such file: {tmp_path}/test_a.json" in error_of("activitynet-qa", tmp_path / "test_q.json")


def test_questions_may_be_numbered(tmp_path: Path) -> None:
    asked = [{"video_name": "vid1451", "question": "what is a man doing", "question_id": 7}]
    write(tmp_path, {"test_q.json": asked, "test_a.json": [{"answer": "sing", "question_id": 7}]})
    [clip] = clips_of("msvd-qa", tmp_path / "test_q.json", tmp_path)
    assert (clip.clip_id, clip.label) == ("7", Reference(text="sing"))


def test_a_file_beside_the_questions_counts_as_a_part_of_them(tmp_path: Path) -> None:
    """Else a corrected file of answers would leave the old figures standing."""
    write(tmp_path, {"test_q.json": ASKED, "test_a.json": ANSWERED})
    sets = EvaluationSet(name="mine", format="activitynet-qa", files=str(tmp_path / "test_q.json"), videos="/videos")
    assert files_beside(sets, Storage()) == [str(tmp_path / "test_a.json")]
    config = RunConfig().model_copy(update={"evaluate": Evaluate(sets=(EvaluationSet(name="heldout"), sets), only=True)})
    before = inputs_of(config)
    write(tmp_path, {"test_a.json": ANSWERED[::-1]})
    assert before.keys() == inputs_of(config).keys() == {"mine"}
    assert before != inputs_of(config)


def test_msvd_qa_and_msrvtt_qa_in_both_forms(tmp_path: Path) -> None:
    item = {"id": 201450, "video_id": 1451, "question": "who is playing a guitar?", "answer": "man"}
    write(tmp_path, {"test_qa.json": [item], "videos/vid1451.avi": None, "videos/-4ws_5_15.avi": None})
    [numbered] = clips_of("msvd-qa", tmp_path / "test_qa.json", tmp_path / "videos")
    assert (numbered.clip_id, numbered.video, numbered.group) == ("201450", str(tmp_path / "videos/vid1451.avi"), "who")
    assert numbered.label == Reference(text="man")
    write(tmp_path, {"youtube_mapping.txt": "-4ws_5_15 vid1451\n"})
    [named] = clips_of("msvd-qa", tmp_path / "test_qa.json", tmp_path / "videos")
    assert named.video == str(tmp_path / "videos/-4ws_5_15.avi")
    [music] = clips_of("msrvtt-qa", tmp_path / "test_qa.json", "/msrvtt")
    assert music.video == "/msrvtt/video1451.mp4"
    write(tmp_path, {"test_q.json": [{"video_name": "video7010", "question": "is he singing?", "question_id": "q1"}]})
    write(tmp_path, {"test_a.json": [{"answer": "yes", "question_id": "q1"}]})
    [other] = clips_of("msrvtt-qa", tmp_path / "test_q.json", "/msrvtt")
    assert (other.video, other.group) == ("/msrvtt/video7010.mp4", "other")
    write(tmp_path, {"test_q.json": [{"video_name": "-4ws_5_15", "question": "is he singing?", "question_id": "q1"}]})
    assert [clip.video for clip in clips_of("msvd-qa", tmp_path / "test_q.json", tmp_path / "videos")] == [named.video]
    [missing] = clips_of("msvd-qa", tmp_path / "test_q.json", "/msvd")
    assert missing.video == "/msvd/-4ws_5_15.avi"


def test_tgif_qa(tmp_path: Path) -> None:
    def rows(*lines: str) -> str:
        return "".join("\t".join(line.split("|")) + "\n" for line in lines)

    frameqa = rows("gif_name|question|answer|type|vid_id|key|description", "no73|what color is it ?|black|2|FRAMEQA1|27|a cat .")
    action = rows(
        "gif_name|question|a1|a2|a3|a4|a5|answer|vid_id|key", "nk17|What does it do 3 times ?|nod|sit|run|eat|flap|4|ACTION4|26"
    )
    count = rows("gif_name|question|answer|vid_id|key", "nez|How many times does he nod ?|3|COUNT12|52")
    files = {"Test_frameqa_question.csv": frameqa, "Test_action_question.csv": action, "Test_transition_question.csv": action}
    write(tmp_path, files | {"Test_count_question.csv": count, "gifs/no73.gif": None})
    [color] = clips_of("tgif-qa", tmp_path / "Test_frameqa_question.csv", tmp_path / "gifs")
    assert (color.clip_id, color.video, color.group) == ("FRAMEQA1", str(tmp_path / "gifs/no73.gif"), "FrameQA/Color")
    assert (color.question, color.label) == ("what color is it ?", Reference(text="black"))
    [flap] = clips_of("tgif-qa", tmp_path / "Test_action_question.csv")
    assert flap.question == f"What does it do 3 times ?\nA. nod\nB. sit\nC. run\nD. eat\nE. flap\n{LETTER}"
    assert flap.label == Choice(option="E", options={"A": "nod", "B": "sit", "C": "run", "D": "eat", "E": "flap"})
    [transition] = clips_of("tgif-qa", tmp_path / "Test_transition_question.csv")
    assert (flap.group, transition.group) == ("Action", "Transition")
    [nods] = clips_of("tgif-qa", tmp_path / "Test_count_question.csv")
    assert (nods.group, nods.label) == ("Count", Number(value=3.0, tolerance=0.0))
    assert verify("He nods 4 times.", nods.question, nods.label, "direct", True, VerifySpec()).reason == "wrong_number"
    write(tmp_path, {"Test_count_question.csv": "a,b\n1,2\n"})
    assert "is it of another format?" in error_of("tgif-qa", tmp_path / "Test_count_question.csv")


def test_videochatgpt_asks_two_questions_where_it_asks_for_consistency(tmp_path: Path) -> None:
    item = {"video_name": "v_p1Q", "Q": "What is it about?", "A": "Two men paint a wall."}
    write(tmp_path, {"generic_qa.json": [item], "temporal_qa.json": [item]})
    write(
        tmp_path,
        {"consistency_qa.json": [{"video_name": "v_p1Q", "Q1": "What do they do?", "Q2": "Are they busy?", "A": "They paint."}]},
    )
    clips = clips_of("videochatgpt", tmp_path, "/videos")
    assert [(clip.clip_id, clip.group, clip.question) for clip in clips] == [
        ("generic/0", "generic", "What is it about?"),
        ("temporal/0", "temporal", "What is it about?"),
        ("consistency/0/1", "consistency", "What do they do?"),
        ("consistency/0/2", "consistency", "Are they busy?"),
    ]
    assert (clips[0].label, clips[2].label) == (Reference(text="Two men paint a wall."), clips[3].label)
    assert {clip.video for clip in clips} == {"/videos/v_p1Q.mp4"}
    assert len(clips_of("videochatgpt", tmp_path / "consistency_qa.json")) == 2
    write(tmp_path, {"consistency_qa.json": [item]})
    assert "consistency_qa.json item 0 has no 'Q1'" in error_of("videochatgpt", tmp_path)
    (tmp_path / "temporal_qa.json").unlink()
    assert f"no such file: {tmp_path}/temporal_qa.json" in error_of("videochatgpt", tmp_path)


def test_charades_sta_is_measured_by_overlap(tmp_path: Path) -> None:
    lines = "AO8RW 0.0 6.9##a person is putting a book on a shelf.\n3MSZA 24.3 30.4##person turn a light on.\n"
    write(tmp_path, {"charades_sta_test.txt": lines, "Charades_v1_test.csv": "id,script,length\nAO8RW,x,33.67\n3MSZA,y,30.2\n"})
    first, second = clips_of("charades-sta", tmp_path / "charades_sta_test.txt", "/Charades_v1_480")
    assert (first.clip_id, first.video, first.label) == (
        "AO8RW/0", "/Charades_v1_480/AO8RW.mp4", TimeRange(start_s=0.0, end_s=6.9, duration_s=33.67),
    )  # fmt: skip
    assert second.label == TimeRange(start_s=24.3, end_s=30.4, duration_s=30.4), "its end is later than the video's"
    assert '"person turn a light on."' in second.question
    assert "charades_sta_test.txt line 1: 'AO8RW' is not written as" in bad(tmp_path, "AO8RW\n")
    assert "line 1: video ZZZZZ is not in Charades_v1_test.csv or" in bad(tmp_path, "ZZZZZ 0 1##he runs\n")
    write(tmp_path, {"Charades_v1_test.csv": "id,script\nAO8RW,x\n"})
    assert "Charades_v1_test.csv has no columns id and length, only id, script;" in bad(tmp_path, lines)
    (tmp_path / "Charades_v1_test.csv").unlink()
    assert "no Charades_v1_test.csv beside" in error_of("charades-sta", tmp_path / "charades_sta_test.txt")


def bad(folder: Path, lines: str) -> str:
    write(folder, {"charades_sta_test.txt": lines})
    return error_of("charades-sta", folder / "charades_sta_test.txt")


@pytest.mark.parametrize(
    ("answer", "iou"),
    [
        # overlap / union with 24.3 to 30.4 s, as lmms-eval's eval_tvg.py computes it: (min of ends - max of starts) / (max - min)
        ("The event happens in the 24.3 - 30.4 seconds.", 1.0),
        ("It starts at 25 s and ends at 30.4 s.", 5.4 / 6.1),
        ("From 20 to 30 seconds.", 5.7 / 10.4),
        ("From 0 to 10 seconds.", 0.0),
        ("I cannot say.", 0.0),
    ],
)
def test_overlaps_are_those_of_the_published_scorer(answer: str, iou: float) -> None:
    label = TimeRange(start_s=24.3, end_s=30.4, duration_s=40.0)
    verdict = verify(answer, "During which part of the video does this happen?", label, "direct", True, VerifySpec())
    assert verdict.score == pytest.approx(iou)


def test_captions_have_several_references(tmp_path: Path) -> None:
    videos = [{"video_id": "video0", "split": "train"}, {"video_id": "video7010", "split": "test"}]
    named = [
        ("video7010", "A man sings."),
        ("video0", "A dog."),
        ("video7010", "Someone is singing."),
        ("video7010", "A man sings."),
    ]
    write(tmp_path, {"msrvtt.json": {"videos": videos, "sentences": [{"video_id": name, "caption": text} for name, text in named]}})
    [clip] = clips_of("captions", tmp_path / "msrvtt.json", "/videos")
    assert (clip.video, clip.label) == ("/videos/video7010.mp4", Reference(text="A man sings.", aliases=("Someone is singing.",)))
    assert clip.question == "Describe what happens in this video in one sentence."
    coco = {"images": [{"id": 7, "file_name": "a.webm"}], "annotations": [{"image_id": 7, "caption": "A cat."}]}
    write(tmp_path, {"coco.json": coco, "other.json": {"data": []}})
    [cat] = clips_of("captions", tmp_path / "coco.json", "/videos")
    assert (cat.clip_id, cat.video, cat.label.text) == ("a.webm", "/videos/a.webm", "A cat.")
    assert "other.json is in the form of neither MSR-VTT nor COCO: it has no 'images'" in error_of(
        "captions", tmp_path / "other.json"
    )
    write(tmp_path, {"msvd/All.txt": "-4ws_5_15 a squirrel eats\n-4ws_5_15 it eats a nut\nmv89_1_4 a man runs\n"})
    assert [clip.clip_id for clip in clips_of("captions", tmp_path / "msvd/All.txt")] == ["-4ws_5_15", "mv89_1_4"]
    write(tmp_path, {"msvd/youtube_mapping.txt": "-4ws_5_15 vid1\nmv89_1_4 vid1301\n"})
    assert [clip.clip_id for clip in clips_of("captions", tmp_path / "msvd/All.txt")] == ["mv89_1_4"]


def test_finediving_asks_for_the_scores_of_the_test_split(tmp_path: Path) -> None:
    dive: dict[str, Any] = {"action_type": "5253B", "sub-action_types": "Inward,Entry", "dive_score": 76.5, "difficulty": 3.2}
    dives = {("FINADiving", 1): dive, ("FINADiving", 2): dive | {"dive_score": 40.0}}
    path = tmp_path / "FineDiving_fine-grained_annotation.pkl"
    path.write_bytes(pickle.dumps(dives))
    assert "test_split.pkl; it says which dives are the test set" in error_of("finediving", path)
    (tmp_path / "test_split.pkl").write_bytes(pickle.dumps([("FINADiving", 2)]))
    [clip] = clips_of("finediving", path, "/dives")
    assert (clip.video, clip.label) == ("/dives/FINADiving_2.mp4", Number(value=40.0))


def test_kinetics_is_asked_as_a_question(tmp_path: Path) -> None:
    write(tmp_path, {"validate.csv": "label,youtube_id,time_start,time_end,split\ndoing yoga,abc,3,13,validate\n"})
    [clip] = clips_of("kinetics", tmp_path / "validate.csv", write(tmp_path / "val", {"abc_000003_000013.mp4": None}))
    assert clip.video == str(tmp_path / "val/abc_000003_000013.mp4")
    assert clip.label == Keywords(text="doing yoga")
    assert "yoga" not in clip.question
    assert json.loads(json.dumps(clip.to_row()))["split"] != "heldout"
