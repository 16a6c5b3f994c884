"""MVBench (Li et al. 2024, OpenGVLab/Ask-Anything): 20 tasks of 200 questions, a JSON file each, videos of eleven datasets.

[{"video": "ZS9XR.mp4", "question", "candidates": [...], "answer": one of them, "start": 11.1, "end": 19.6}]

Five tasks ask about the stretch from start to end; shown the whole video, models lose about 7 points. Question and options are
written as in the published evaluation (video_chat2/mvbench.ipynb; PLLaVA's is the same). The rest of its wording, the system text
and "Best option:(", is the prompt set mvbench of docs/prompts.md. Of equal candidates the last one is the answer, as published.
"""

from collections.abc import Iterator
from functools import partial
from typing import Any

from engine.evaluate.sets.published import Published, choice, numbered, options_of
from engine.ingest.adapters.source import each
from engine.ingest.tables import Record, Row

FILES = "the folder json of MVBench, with its 20 files, or one of these; videos: its folder video"
CHARADES, CLEVRER, PERCEPTION = "star/Charades_v1_480", "clevrer/video_validation", "perception/videos"
FRAMES_A_SECOND = "#fps=3"
"""Behind the names of Episodic Reasoning, which are no files but folders of pictures (engine/decode/frame_folder.py)."""
TASKS = {
    "action_sequence": ("Action Sequence", CHARADES, True),
    "action_prediction": ("Action Prediction", CHARADES, True),
    "action_antonym": ("Action Antonym", "ssv2_video", False),
    "fine_grained_action": ("Fine-grained Action", "Moments_in_Time_Raw/videos", False),
    "unexpected_action": ("Unexpected Action", "FunQA_test/test", False),
    "object_existence": ("Object Existence", CLEVRER, False),
    "object_interaction": ("Object Interaction", CHARADES, True),
    "object_shuffle": ("Object Shuffle", PERCEPTION, False),
    "moving_direction": ("Moving Direction", CLEVRER, False),
    "action_localization": ("Action Localization", "sta/sta_video", True),
    "scene_transition": ("Scene Transition", "scene_qa/video", False),
    "action_count": ("Action Count", PERCEPTION, False),
    "moving_count": ("Moving Count", CLEVRER, False),
    "moving_attribute": ("Moving Attribute", CLEVRER, False),
    "state_change": ("State Change", PERCEPTION, False),
    "fine_grained_pose": ("Fine-grained Pose", "nturgbd", False),
    "character_order": ("Character Order", PERCEPTION, False),
    "egocentric_navigation": ("Egocentric Navigation", "vlnqa", False),
    "episodic_reasoning": ("Episodic Reasoning", "tvqa/frames_fps3_hq", True),
    "counterfactual_inference": ("Counterfactual Inference", CLEVRER, False),
}
"""File -> the task's name, the folder of its videos, and whether its clips are stretches of them."""


def records(published: Published) -> Iterator[Record]:
    for task, path in _files(published).items():
        yield from each(numbered(published.source(path).json_items()), partial(_row, published, task))


def _files(published: Published) -> dict[str, str]:
    """The file of each task. Raises ValueError for a folder without all of them, and for a file of no task."""
    root = published.data.manifest.rstrip("/")
    below = published.files_below()
    names = [root.rpartition("/")[2]] if below is None else below
    names_by_task = {task: name for name in reversed(names) if (task := name.rpartition("/")[2].removesuffix(".json")) in TASKS}
    if below is None and not names_by_task:
        raise ValueError(f"{root} is named like none of MVBench's tasks: {', '.join(TASKS)}")
    if below is not None and (missing := [task for task in TASKS if task not in names_by_task]):
        raise ValueError(f"{root} has no {', '.join(f'{task}.json' for task in missing)}; name one file to ask about one task")
    return {task: root if below is None else f"{root}/{names_by_task[task]}" for task in TASKS if task in names_by_task}


def _row(published: Published, task: str, numbered_item: tuple[int, dict[str, Any]]) -> Row:
    number, item = numbered_item
    group, folder, is_stretch = TASKS[task]
    options = options_of(item["candidates"])
    answers = {text: key for key, text in options.items()}
    answer = str(item["answer"]).strip()
    if answer not in answers:
        raise ValueError(f"the answer {answer!r} is not one of its candidates")
    listed = "\n".join(f"({key}) {text}" for key, text in options.items())
    return {
        "clip_id": f"{task}/{number}",
        "video": published.video(f"{folder}/{item['video']}", FRAMES_A_SECOND, anywhere=False),
        "start_s": item["start"] if is_stretch else None,
        "end_s": item["end"] if is_stretch else None,
        "question": f"Question: {item['question']}\nOptions:\n{listed}",
        "label": choice(options, answers[answer]),
        "group": group,
    }
