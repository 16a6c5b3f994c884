"""Pins what becomes of datasets as they are published: small files in their true formats, made here, and the clips of them."""

import json
import os
import pickle
from collections import OrderedDict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from engine import labels
from engine.config import Data
from engine.ingest import adapters, manifest
from engine.ingest.adapters import adapter, instruct
from engine.ingest.adapters.source import Source
from engine.ingest.adapters.table import read_mapping
from engine.ingest.skipped import Skipped
from engine.labels import Choice, ClassSequence, Keywords, Number, Sentences, TimeRange
from engine.rows import Clip, Example
from engine.store.filesystems import Storage
from jobs.ingest import IngestOptions, ingest

KINETICS = "label,youtube_id,time_start,time_end,split\ndoing yoga,-0xyz,3,13,train\nopening bottle (not wine),abc_,140,150,train\n"
STAR = [
    {
        "question_id": "Interaction_T1_13",
        "question": "Which object was tidied up by the person?",
        "video_id": "6H78U",
        "start": 11.1,
        "end": 19.6,
        "answer": "The closet/cabinet.",
        "question_program": [],
        "choices": [
            {"choice_id": 0, "choice": "The blanket.", "choice_program": []},
            {"choice_id": 1, "choice": "The table.", "choice_program": []},
            {"choice_id": 2, "choice": "The closet/cabinet.", "choice_program": []},
            {"choice_id": 3, "choice": "The clothes.", "choice_program": []},
        ],
        "situations": {},
    }
]
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
SOMETHING = [
    {
        "id": "78687",
        "label": "holding potato next to vicks vaporub bottle",
        "template": "Holding [something] next to [something]",
        "placeholders": ["potato", "vicks vaporub bottle"],
    }
]


def action(text: str, time_s: float, **fields: Any) -> dict[str, Any]:
    boxes = [{"object_type": "left_hand"}, {"object_type": "object_of_change", "structured_noun": "bag_(bag,_grocery,_nylon)"}]
    return {
        "narration_text": text,
        "narration_timestamp_sec": time_s,
        "structured_verb": "put_(place,_leave,_drop)",
        "is_rejected": False,
        "is_valid_action": True,
        "frames": [{"frame_type": "pre_frame", "boxes": []}, {"frame_type": "pnr_frame", "boxes": boxes}],
    } | fields


EGO4D = {
    "version": "1",
    "videos": [
        {
            "video_uid": "v1",
            "video_metadata": {"duration_sec": 60.0},
            "annotated_intervals": [
                {
                    "narrated_actions": [
                        action("#C C puts the bag on the table", 10.0),
                        action("#O A man walks", 20.0),
                        action("#C C drops the bag", 30.0, is_rejected=True),
                        action("#c c places the bag", 59.0, structured_verb=None),
                        action("#C C looks around", 40.0, structured_verb="[other]", frames=[]),
                    ]
                }
            ],
        }
    ],
}
EPIC = (
    "narration_id,participant_id,video_id,narration_timestamp,start_timestamp,stop_timestamp,start_frame,stop_frame,narration,verb,"
    "verb_class,noun,noun_class,all_nouns,all_noun_classes\n"
    "P01_01_0,P01,P01_01,00:00:01.089,00:00:00.14,00:01:03.37,8,202,pick up board,pick-up,0,board:chopping,3,\"['board']\",[3]\n"
)
ACTIVITYNET = {
    "version": "VERSION 1.3",
    "taxonomy": [],
    "database": {
        "sJn": {
            "duration": 20.0,
            "subset": "validation",
            "url": "",
            "annotations": [{"segment": [2.5, 20.02], "label": "Doing karate"}],
        }
    },
}
CAPTIONS = {
    "v_QO": {"duration": 55.15, "timestamps": [[0.28, 55.15], [13.79, 54.32]], "sentences": ["A man stands.", " He jumps."]}
}


def clips_of(tmp_path: Path, form: str, name: str, content: Any, **options: Any) -> list[Clip]:
    path = tmp_path / name
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        path.write_text(content if isinstance(content, str) else json.dumps(content))
    skipped = options.pop("skipped", None)
    source = Source(path=str(path), storage=Storage(), **options)
    data = Data(manifest=str(path), videos="/videos", heldout=0.0)
    return list(manifest.read_manifest(data, Storage(), records=partial(adapter(form), source), skipped=skipped))


def test_kinetics(tmp_path: Path) -> None:
    yoga, bottle = clips_of(tmp_path, "kinetics", "train.csv", KINETICS)
    assert yoga.video == "/videos/doing yoga/-0xyz_000003_000013.mp4"
    assert (yoga.clip_id, yoga.split, yoga.start_s) == ("-0xyz_000003", "train", None)
    assert bottle.label == Keywords(text="opening bottle (not wine)", aliases=("opening bottle",))
    (flat, _) = clips_of(tmp_path, "kinetics", "train.csv", KINETICS, video="{youtube_id}.mp4", split="heldout")
    assert (flat.video, flat.split) == ("/videos/-0xyz.mp4", "heldout")


def test_star(tmp_path: Path) -> None:
    (clip,) = clips_of(tmp_path, "star", "STAR_val.json", STAR)
    options = {"A": "The blanket.", "B": "The table.", "C": "The closet/cabinet.", "D": "The clothes."}
    assert clip.label == Choice(option="C", options=options)
    assert (clip.start_s, clip.end_s, clip.split, clip.video) == (11.1, 19.6, "heldout", "/videos/6H78U.mp4")
    assert clip.question.splitlines()[3] == "C. The closet/cabinet."


def test_finediving(tmp_path: Path) -> None:
    dives = {("Women10m_final_r1", 0): DIVE, ("Women10m_final_r1", 1): DIVE | {"dive_score": 60.0}}
    (tmp_path / "test_split.pkl").write_bytes(pickle.dumps([("Women10m_final_r1", 1)]))
    steps, score, _, held = clips_of(tmp_path, "finediving", "fine.pkl", pickle.dumps(dives))
    assert steps.label == ClassSequence(items=("Back", "1.5 Twists", "2.5 somersaults pike", "Entry")), "in the order of the frames"
    assert score.label == Number(value=76.5)
    assert (steps.split, held.split, held.video) == ("train", "heldout", "/videos/Women10m_final_r1_1.mp4")


def test_a_pickle_that_would_run_something_is_refused(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> Any:
            return os.system, (f"touch {tmp_path}/ran",)

    with pytest.raises(ValueError, match=r"fine.pkl cannot be read as a pickle of annotations: it needs posix.system, which"):
        clips_of(tmp_path, "finediving", "fine.pkl", pickle.dumps({("a", 0): Evil()}))
    assert not (tmp_path / "ran").exists()
    whole = pickle.dumps(OrderedDict({("a", 0): DIVE}))
    assert len(clips_of(tmp_path, "finediving", "fine.pkl", whole)) == 2
    with pytest.raises(ValueError, match="cannot be read as a pickle"):
        clips_of(tmp_path, "finediving", "fine.pkl", whole[: len(whole) // 2])


def test_something(tmp_path: Path) -> None:
    (clip,) = clips_of(tmp_path, "something", "something-something-v2-train.json", SOMETHING)
    assert clip.label == Keywords(text="holding potato next to vicks vaporub bottle")
    assert (clip.video, clip.verb, clip.noun, clip.split) == ("/videos/78687.webm", "holding", "potato", "train")


def test_ego4d(tmp_path: Path) -> None:
    first, last, other = clips_of(tmp_path, "ego4d", "fho_main.json", EGO4D)
    assert first.label == Keywords(text="put bag", aliases=("place bag", "leave bag", "drop bag"))
    assert (first.clip_id, first.start_s, first.end_s) == ("v1/0", 6.0, 14.0)
    assert first.description == "The camera wearer puts the bag on the table."
    assert first.action == ("put_(place,_leave,_drop)", "bag_(bag,_grocery,_nylon)")
    assert (first.verb, first.noun, first.narration, first.narrated_s) == ("put", "bag", "#C C puts the bag on the table", 10.0)
    assert (last.label.text, last.start_s, last.end_s, last.narrated_s) == ("bag", 52.0, 60.0, 59.0), "no verb: the noun alone"
    assert (other.clip_id, other.verb, other.action) == ("v1/2", "", ("[other]", ""))
    assert other.label == Sentences(items=("The camera wearer looks around.",), ordered=False), "neither verb nor noun"


def test_ego4d_leaves_out_what_eilev_leaves_out_and_counts_it(tmp_path: Path) -> None:
    """An index of EILEV's counts what passes its filter, over all intervals; only that has a number."""
    actions = [
        action("#C C opens a nut", 5.0, frames=None, structured_verb=None),
        action("#C C drops", 6.0, is_rejected=True),
        action("#C C cuts", 7.0, is_valid_action=None),
        action("#C C cuts", 7.5, is_valid_action=False),
        {name: value for name, value in action("#C C cuts", 7.7).items() if name != "is_valid_action"},
        action("#O A man walks", 8.0),
        action("#C C turns", 9.0, frames=[{"frame_type": "pnr_frame", "boxes": None}, *frames_with("nut_(food)")]),
        action("#C C turns", 9.5, frames=frames_with("nut_(tool)")),
    ]
    path = tmp_path / "fho_main.json"
    intervals = [{"narrated_actions": actions[:3]}, {"narrated_actions": None}, {"narrated_actions": actions[3:]}]
    path.write_text(json.dumps({"videos": [{"video_uid": "u0", "annotated_intervals": intervals}]}))
    source = Source(path=str(path), storage=Storage())
    data = Data(manifest=str(path), videos="/videos", heldout=0.0)
    for _ in range(2):
        clips = list(manifest.read_manifest(data, Storage(), records=partial(adapter("ego4d"), source)))
        assert source.counts_left_out == {"not_the_wearers_own": 1, "not_valid": 3, "rejected": 1}, "however often it is read"
    assert [clip.clip_id for clip in clips] == ["u0/0", "u0/1", "u0/2"]
    assert [clip.noun for clip in clips] == ["", "nut", "nut"]
    assert [clip.action[1] for clip in clips] == ["", "nut_(food)", "nut_(tool)"], "521 nouns have 516 names"


def frames_with(noun: str) -> list[dict[str, Any]]:
    return [{"frame_type": "pnr_frame", "boxes": [{"object_type": "object_of_change", "structured_noun": noun}]}]


def test_epic(tmp_path: Path) -> None:
    (clip,) = clips_of(tmp_path, "epic", "EPIC_100_validation.csv", EPIC)
    assert clip.label == Keywords(text="pick up chopping board", aliases=("pick up board",))
    assert (clip.start_s, clip.end_s, clip.split) == (0.14, 63.37, "heldout")
    assert (clip.video, clip.verb, clip.noun) == ("/videos/P01/videos/P01_01.MP4", "pick up", "chopping board")
    assert (clip.action, clip.narrated_s) == (("pick-up", "board:chopping"), 1.089)
    (untimed,) = clips_of(tmp_path, "epic", "EPIC_100_validation.csv", EPIC.replace("00:00:01.089", ""))
    assert untimed.narrated_s == pytest.approx((0.14 + 63.37) / 2)


def test_temporal(tmp_path: Path) -> None:
    (clip,) = clips_of(tmp_path, "temporal", "activity_net.v1-3.min.json", ACTIVITYNET)
    assert clip.label == TimeRange(start_s=2.5, end_s=20.0, duration_s=20.0), "its end passes the video's by two frames"
    assert (clip.split, clip.video) == ("heldout", "/videos/sJn.mp4")
    assert "Doing karate" in clip.question
    first, second = clips_of(tmp_path, "temporal", "train.json", CAPTIONS)
    assert (first.clip_id, second.clip_id, second.split) == ("v_QO/0", "v_QO/1", "train")
    assert '"He jumps."' in second.question


MAPPING = """
[columns]
clip_id = "id"
start_s = "from"
[values]
video = "clips/{file}.mp4"
question = "How many points?"
[label]
kind = "number"
value = "{score}"
tolerance = 0.1
"""


@pytest.mark.parametrize(
    ("form", "name", "content", "good", "bad"),
    [
        (
            "temporal",
            "train.json",
            {"v": {"duration": 9, "timestamps": [[1, 2], [5, 2], [3, 4]], "sentences": ["x", "y", "z"]}},
            ["v/0", "v/2"],
            "train.json video v annotation 1: start_s 5 is not before end_s 2; swap them",
        ),
        (
            "temporal",
            "train.json",
            {"database": {"v": {"duration": 9, "annotations": [{"label": "x"}, {"label": "y", "segment": [1, 2]}]}}},
            ["v/1"],
            "train.json video v annotation 0 has no 'segment'; is it of another format?",
        ),
        (
            "ego4d",
            "fho_main.json",
            {
                "videos": [
                    {
                        "video_uid": "v",
                        "annotated_intervals": [
                            {"narrated_actions": [action("#O A man", 1.0), action("#C C a", None), action("#C C b", 9.0)]}  # type: ignore[arg-type]
                        ],
                    }
                ]
            },
            ["v/1"],
            "fho_main.json item 0 action 1 is not an annotation of this format: float() argument must be",
        ),
        (
            "finediving",
            "fine.pkl",
            pickle.dumps({("a", 0): {name: value for name, value in DIVE.items() if name != "dive_score"}}),
            ["a_0/steps"],
            "fine.pkl dive ('a', 0) score has no 'dive_score'; is it of another format?",
        ),
    ],
)
def test_a_bad_annotation_is_one_bad_row(tmp_path: Path, form: str, name: str, content: Any, good: list[str], bad: str) -> None:
    skipped = Skipped()
    clips = clips_of(tmp_path, form, name, content, skipped=skipped)
    assert [clip.clip_id for clip in clips] == good
    assert skipped.count == 1
    assert skipped.first[0].removeprefix(f"{tmp_path}/").startswith(bad)


def test_any_table_with_a_mapping(tmp_path: Path) -> None:
    (tmp_path / "map.toml").write_text(MAPPING)
    mapping = read_mapping(str(tmp_path / "map.toml"), Storage())
    expected = Clip(
        clip_id="7",
        video="/videos/clips/a.mp4",
        start_s=1.5,
        end_s=None,
        question="How many points?",
        label=Number(value=12.5, tolerance=0.1),
        split="train",
        verb="",
        noun="",
        description="",
        narrator="",
    )
    row = {"id": "7", "file": "a", "from": 1.5, "score": 12.5}
    pq.write_table(pa.Table.from_pylist([row]), tmp_path / "t.parquet")
    assert clips_of(tmp_path, "table", "t.csv", "id,file,from,score\n7,a,1.5,12.5\n", mapping=mapping) == [expected]
    assert clips_of(tmp_path, "table", "t.jsonl", json.dumps(row), mapping=mapping) == [expected]
    assert clips_of(tmp_path, "table", "t.parquet", (tmp_path / "t.parquet").read_bytes(), mapping=mapping) == [expected]
    with pytest.raises(ValueError, match=r"t.csv line 2: no column 'id', only 'nr'"):
        clips_of(tmp_path, "table", "t.csv", "nr\n7\n", mapping=mapping)
    (tmp_path / "map.toml").write_text("[colums]\n")
    with pytest.raises(ValueError, match="no section 'colums'; known: columns, label, values"):
        read_mapping(str(tmp_path / "map.toml"), Storage())


def test_the_real_clips_by_a_mapping(tmp_path: Path) -> None:
    folder = os.environ.get("STARLOOP_TEST_VIDEOS")
    if not folder:
        pytest.skip("STARLOOP_TEST_VIDEOS names no folder of real clips")
    (tmp_path / "map.toml").write_text(
        '[values]\nvideo = "{video}"\nquestion = "What goes on?"\n[label]\nkind = "keywords"\ntext = "{label}"\n'
    )
    mapping = read_mapping(str(tmp_path / "map.toml"), Storage())
    source = Source(path=f"{folder}/labels.csv", storage=Storage(), mapping=mapping)
    clips = list(manifest.read_manifest(Data(manifest=source.path), Storage(), records=partial(adapter("table"), source)))
    assert len(clips) == 12
    assert all(os.path.exists(clip.video) for clip in clips)


@pytest.mark.parametrize(
    ("form", "name", "content"),
    [
        ("star", "s.json", STAR),
        ("something", "s.json", SOMETHING),
        ("ego4d", "fho.json", EGO4D),
        ("temporal", "t.json", ACTIVITYNET),
    ],
)
def test_a_file_cut_in_half_says_so(tmp_path: Path, form: str, name: str, content: Any) -> None:
    text = json.dumps(content)
    with pytest.raises(ValueError, match=rf"{name} is cut off or not JSON .*; get it again"):
        clips_of(tmp_path, form, name, text[: len(text) // 2])


@pytest.mark.parametrize(
    ("form", "name", "content", "message"),
    [
        (
            "kinetics",
            "t.csv",
            "youtube_id,time_start,time_end,split\na,1,2,test\n",
            "line 2: no label; the test split of Kinetics has none",
        ),
        ("kinetics", "t.csv", "label,youtube_id,time_start,time_end,split\nx,a,soon,2,train\n", "line 2: invalid literal"),
        ("kinetics", "t.csv", "label,youtube_id,time_start,time_end,split\nx,a,1\n", "line 2 has fewer cells than the header"),
        ("star", "s.json", [STAR[0] | {"answer": "Nothing."}], "item 0: the answer 'Nothing.' is not one of its choices"),
        ("star", "s.json", [{"question": "?"}], "item 0 has no 'choices'; is it of another format"),
        (
            "temporal",
            "t.json",
            {"v": {"duration": 9, "timestamps": [[5, 2]], "sentences": ["x"]}},
            "start_s 5 is not before end_s 2",
        ),
        ("epic", "e.csv", EPIC.replace("00:01:03.37", "63"), "line 2: '63' is not a time like"),
        ("something", "s.json", [{"id": "1"}], "item 0: no label; the test split has none"),
        ("temporal", "t.json", [], "has no rows"),
    ],
)
def test_a_bad_annotation_is_one_line_with_its_place(tmp_path: Path, form: str, name: str, content: Any, message: str) -> None:
    with pytest.raises(ValueError, match=r".+") as caught:
        clips_of(tmp_path, form, name, content)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_template_fills_in_fields_and_does_nothing_else(tmp_path: Path) -> None:
    for template in ("{youtube_id.__class__}", "{youtube_id:>1000000000}", "{nothing}", "{youtube_id[0]}", "{youtube_id!r}", "{"):
        with pytest.raises(ValueError, match=r"line 2: .* cannot be filled in: ") as caught:
            clips_of(tmp_path, "kinetics", "train.csv", KINETICS, video=template)
        assert "\n" not in str(caught.value)


def test_a_split_is_a_word_of_the_name(tmp_path: Path) -> None:
    for name, split in (
        ("latest.csv", "train"),
        ("EPIC_100_validation.csv", "heldout"),
        ("interval.csv", "train"),
        ("x_test.csv", "heldout"),
    ):
        assert clips_of(tmp_path, "epic", name, EPIC)[0].split == split


@pytest.mark.parametrize(
    ("mapping", "message"),
    [
        ("[columns]\nstrat_s = 'from'\n", "has 'strat_s', which is no column of a manifest; did you mean 'start_s'?"),
        ("[columns]\nlabel = 'a'\n[label]\nkind = 'number'\nvalue = 1\n", "both a [label] section and a label column"),
        ("columns = 3\n", "columns is not a section"),
    ],
)
def test_a_mapping_that_cannot_be_meant(tmp_path: Path, mapping: str, message: str) -> None:
    (tmp_path / "map.toml").write_text(mapping)
    with pytest.raises(ValueError, match=r".+") as caught:
        read_mapping(str(tmp_path / "map.toml"), Storage())
    assert message in str(caught.value)


@pytest.mark.slow
def test_one_bad_line_of_many_is_left_out_and_counted(tmp_path: Path) -> None:
    lines = [f"doing yoga,id{i},3,13,train" for i in range(20_000)]
    lines[12_345] = "doing yoga,x"
    lines[100] = lines[99]
    skipped = Skipped()
    text = "label,youtube_id,time_start,time_end,split\n" + "\n".join(lines)
    clips = clips_of(tmp_path, "kinetics", "train.csv", text, skipped=skipped)
    assert (len(clips), skipped.count) == (19_998, 2)
    assert "line 102: clip_id 'id99_000003' comes twice" in skipped.first[0]
    assert skipped.first[1].endswith("train.csv line 12347 has fewer cells than the header; is the file cut off there?")


def test_ingest_writes_clips_and_a_data_card(tmp_path: Path) -> None:
    (tmp_path / "videos" / "doing yoga").mkdir(parents=True)
    (tmp_path / "videos" / "doing yoga" / "-0xyz_000003_000013.mp4").write_bytes(b"x")
    (tmp_path / "train.csv").write_text(KINETICS + "bad line\n")
    out = tmp_path / "clips.parquet"
    settings = [f"data.videos={tmp_path}/videos"]
    ingest(IngestOptions(manifest=str(tmp_path / "train.csv"), form="kinetics", skip_bad=True), str(out), settings)
    clips = list(manifest.read_manifest(Data(manifest=str(out)), Storage()))
    assert [clip.label.text for clip in clips] == ["doing yoga", "opening bottle (not wine)"]
    card = json.loads((tmp_path / "clips.card.json").read_text())
    assert {key: card[key] for key in ("clips", "videos", "labels", "train", "heldout", "missing_videos", "bad_rows", "kinds")} == {
        "clips": 2,
        "videos": 2,
        "labels": 2,
        "train": 2,
        "heldout": 0,
        "missing_videos": 1,
        "bad_rows": 1,
        "kinds": {"keywords": 2},
    }
    assert card["tail"]["largest"] == [["doing yoga", 1], ["opening bottle (not wine)", 1]]


INSTRUCT = [
    {
        "id": "000000033471",
        "image": "coco/train2017/000000033471.jpg",
        "conversations": [
            {"from": "human", "value": "<image>\nWhat are the colors of the bus?"},
            {"from": "gpt", "value": "White and red."},
            {"from": "human", "value": "Where is it?"},
            {"from": "gpt", "value": "At a stop."},
        ],
    },
    {"video": "ssv2/10.webm", "QA": [{"i": "Watch closely.", "q": "What is it?", "a": "A cup."}]},
    {"video_id": "v_k_ZXmr8pmrs", "q": "What is the main activity?", "a": "Skiing."},
    {"id": "text-only", "conversations": [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Hello"}]},
]


def instruct_rows(tmp_path: Path, *items: Any, **options: Any) -> list[Any]:
    (tmp_path / "i.json").write_text(json.dumps(items))
    return [row for _, row in instruct.records(Source(path=str(tmp_path / "i.json"), storage=Storage(), **options))]


def test_a_conversation_is_one_example_whatever_its_turns(tmp_path: Path) -> None:
    rows = instruct_rows(tmp_path, *INSTRUCT)
    assert [(row["clip_id"], row["video"], row["turns"]) for row in rows] == [
        (
            "000000033471",
            "coco/train2017/000000033471.jpg",
            [("What are the colors of the bus?", "White and red."), ("Where is it?", "At a stop.")],
        ),
        ("ssv2/10/1", "ssv2/10.webm", [("Watch closely.\nWhat is it?", "A cup.")]),
        ("v_k_ZXmr8pmrs/2", "v_k_ZXmr8pmrs.mp4", [("What is the main activity?", "Skiing.")]),
        ("text-only", "", [("Hi", "Hello")]),
    ]
    with pytest.raises(ValueError, match=r"none of the 3 clips has a video: there is no .*/coco/train2017/000000033471.jpg; set"):
        ingest(IngestOptions(manifest=str(tmp_path / "i.json"), form="instruct"), str(tmp_path / "i.parquet"), [])
    (tmp_path / "v_k_ZXmr8pmrs.mp4").write_bytes(b"x")
    ingest(IngestOptions(manifest=str(tmp_path / "i.json"), form="instruct"), str(tmp_path / "i.parquet"), [])
    first, *_, last = [Example.from_row(row) for row in pq.read_table(tmp_path / "i.parquet").to_pylist()]
    assert first.turns == rows[0]["turns"]
    assert (last.video, last.source) == ("", "instruct"), "text alone has no video, not the manifest's folder"
    card = json.loads((tmp_path / "i.card.json").read_text())
    assert {name: card[name] for name in ("examples", "turns", "text_only")} == {"examples": 4, "turns": 5, "text_only": 1}


def talk(*values: str, **fields: Any) -> dict[str, Any]:
    speakers = ("human", "gpt")
    return {"conversations": [{"from": speakers[i % 2], "value": value} for i, value in enumerate(values)]} | fields


def test_the_tag_may_stand_anywhere_and_says_which_turn_shows(tmp_path: Path) -> None:
    rows = instruct_rows(
        tmp_path,
        talk("<image>\nWhat?", "A cup.", image="a.jpg", id="front"),
        talk("What?\n<image>", "A cup.", image="a.jpg", id="end"),
        talk("What?", "A cup.", image="a.jpg", id="none"),
        talk("Hi", "Hello", "<image>\nWhat?", "A cup.", image="a.jpg", id="later"),
        talk("<video>\n<video>\nWhat?", "A cup.", video="a.mp4", id="a frame each"),
        talk("What does the <video> element of HTML do?", "It plays.", id="html"),
        talk("What?", "A cup.", image="a.jpg", id="front"),
    )
    assert [row["shown_in"] for row in rows] == [0, 0, 0, 1, 0, 0, 0]
    assert [row["turns"][row["shown_in"]][0] for row in rows[:5]] == ["What?"] * 5
    assert rows[5]["turns"][0][0] == "What does the <video> element of HTML do?"
    assert rows[6]["clip_id"] == "front/6", "LLaVA's ids are those of pictures, and repeat"


@pytest.mark.parametrize(
    ("item", "reason"),
    [
        (talk("<image>\n<image>\nWhich?", "The first.", image=["a.jpg", "b.jpg"]), "several_pictures"),
        (talk("<image>\n<image>\nWhich?", "The first.", image="a.jpg"), "several_pictures"),
        (talk("<image>\nWhat?", "A cup.", "<image>\nAnd here?", "A pot.", video="a.mp4"), "several_pictures"),
        (talk("<image>\nWhat?", "A cup."), "no_picture"),
        (talk("What is it? <image>", "A cup.", image=None), "no_picture"),
        (talk("<image>\nWhat?", image="a.jpg"), "odd_turns"),
        (talk(image="a.jpg"), "odd_turns"),
        ({"image": "a.jpg", "conversations": [{"from": "gpt", "value": "Hi"}, {"from": "human", "value": "Yes?"}]}, "odd_turns"),
        ({"video": "a.mp4", "QA": []}, "odd_turns"),
        ({"video": "a.mp4", "QA": [{"q": "What?", "a": "A cup."}, {"q": "Where?"}]}, "empty_answer"),
        ({"video": "a.mp4", "QA": [{"i": "", "q": "", "a": "A cup."}]}, "empty_question"),
        ({"video": "a.mp4", "start": "soon", "QA": [{"q": "What?", "a": "A cup."}]}, "bad_window"),
        ({"video": "a.mp4", "start": 5, "end": 2, "QA": [{"q": "What?", "a": "A cup."}]}, "bad_window"),
        ({"video": "a.mp4", "start": -3, "QA": [{"q": "What?", "a": "A cup."}]}, "bad_window"),
        ({"video": "a.mp4", "end": 0, "QA": [{"q": "What?", "a": "A cup."}]}, "bad_window"),
        (talk("What?", "A \ud83d cup.", image="a.jpg"), "odd_text"),
    ],
)
def test_what_is_no_example_has_a_reason(tmp_path: Path, item: dict[str, Any], reason: str) -> None:
    [row] = instruct_rows(tmp_path, item)
    assert (row.reason, str(row).partition("i.json ")[2].partition(":")[0]) == (reason, "item 0")


def test_an_instruction_that_is_repeated_stands_once(tmp_path: Path) -> None:
    pairs = [
        {"i": "Be short.", "q": "What?", "a": "A cup."},
        {"i": "Be short.", "q": "Where?", "a": "There."},
        {"q": "Why?", "a": "So."},
    ]
    [row] = instruct_rows(tmp_path, {"video": "a.mp4", "QA": pairs, "start": 1, "end": 2.5})
    assert [question for question, _ in row["turns"]] == ["Be short.\nWhat?", "Where?", "Why?"]
    assert (row["start_s"], row["end_s"]) == (1.0, 2.5)


def test_an_instruction_keeps_its_name(tmp_path: Path) -> None:
    pairs = [
        [{"i": "Be short.", "q": "What?", "a": "A cup."}],
        [{"i": "Describe it.", "q": "", "a": "A cup."}],
        [{"q": "Why?", "a": "So."}],
    ]
    rows = instruct_rows(tmp_path, *({"video": "a.mp4", "QA": qa} for qa in pairs), talk("What?", "A cup.", image="a.jpg"))
    assert [row["instruction"] for row in rows] == ["Be short.", "Describe it.", "", ""]
    assert [row["turns"][0][0] for row in rows] == ["Be short.\nWhat?", "Describe it.", "Why?", "What?"]


def test_bad_conversations_are_counted_by_reason(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    videos = ("foo://h/v/b.mp4", "sftp://h/b.mp4", "http://user:pw@h/v.mp4", "a\0b.mp4", "a\ud83d.mp4")
    odd = [talk("What?", "A cup.", video=video, id=str(number)) for number, video in enumerate(videos)]
    bad = [talk("<image>\nWhat?", "A cup."), talk("Hi", ""), {"id": "7"}, *odd]
    (tmp_path / "i.json").write_text(json.dumps([*bad, INSTRUCT[3]]))
    ingest(IngestOptions(manifest=str(tmp_path / "i.json"), form="instruct", skip_bad=True), str(tmp_path / "i.parquet"), [])
    card = json.loads((tmp_path / "i.card.json").read_text())
    assert card["bad_rows_by_reason"] == {"no_picture": 1, "empty_answer": 1, "malformed": 1, "odd_video": 5}
    assert "bad rows by reason: no_picture 1, empty_answer 1, malformed 1, odd_video 5" in capsys.readouterr().out
    (tmp_path / "i.json").write_text(json.dumps(bad))
    with pytest.raises(ValueError, match=r"all 8 conversations are bad; the first: .*item 0: "):
        ingest(IngestOptions(manifest=str(tmp_path / "i.json"), form="instruct", skip_bad=True), str(tmp_path / "i.parquet"), [])


def test_a_template_names_the_videos_and_options_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    item = talk("What?", "A cup.", id="7", image="a.jpg")
    rows = instruct_rows(tmp_path, item, INSTRUCT[2], INSTRUCT[3], video="{id}.mp4")
    assert [row["video"] if isinstance(row, dict) else "bad" for row in rows] == ["7.mp4", "bad", ""]
    (tmp_path / "e.json").write_text("[]")
    with pytest.raises(ValueError, match="no conversation was found"):
        ingest(IngestOptions(manifest=str(tmp_path / "e.json"), form="instruct"), str(tmp_path / "e.parquet"), [])
    with pytest.raises(ValueError, match="--mapping is for tables"):
        ingest(IngestOptions(manifest="x.csv", form="kinetics", mapping="m.toml"), str(tmp_path / "e.parquet"), [])
    with pytest.raises(ValueError, match="--split is for clips"):
        ingest(IngestOptions(manifest="i.json", form="instruct", split="train"), str(tmp_path / "e.parquet"), [])


def test_help_names_every_format() -> None:
    assert ("manifest", *adapters.ADAPTERS, "instruct") == adapters.FORMATS
    for form in adapters.ADAPTERS:
        assert callable(adapter(form))


def test_every_kind_of_label_goes_through_a_manifest(tmp_path: Path) -> None:
    label_rows = [
        {"kind": "keywords", "text": "diving", "aliases": ["dive"]},
        {"kind": "choice", "option": "B", "options": {"A": "x", "B": "y"}},
        {"kind": "number", "value": 3, "tolerance": 0.05},
        {"kind": "timestamp", "time_s": 1, "duration_s": 9, "tolerance_s": 1},
        {"kind": "time_range", "start_s": 1, "end_s": 2, "duration_s": 9, "iou": 0.5},
        {"kind": "box", "box": [0.1, 0.1, 0.5, 0.5], "format": "xyxy", "iou": 0.5},
        {"kind": "sentences", "items": ["He runs."], "ordered": True},
        {"kind": "sequence", "items": ["run", "jump"]},
        {
            "kind": "all",
            "labels": [{"kind": "number", "value": 3}, {"kind": "any", "labels": [{"kind": "keywords", "text": "dive"}]}],
        },
    ]
    rows = [{"video": f"{i}.mp4", "label": label, "question": "Well?"} for i, label in enumerate(label_rows)]
    (tmp_path / "m.jsonl").write_text("\n".join(map(json.dumps, rows)))
    clips = list(manifest.read_manifest(Data(manifest=str(tmp_path / "m.jsonl")), Storage()))
    assert [clip.label for clip in clips] == [labels.parse(label) for label in label_rows]
    assert [Clip.from_row(clip.to_row()) for clip in clips] == clips
