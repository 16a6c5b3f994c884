"""TempCompass (Liu et al. 2024, llyx97/TempCompass): four tasks about five temporal aspects, of conflicting videos.

questions/multi-choice.json, yes_no.json, caption_matching.json, captioning.json:
    {"1034419625_reverse": {"direction": [{"question": "...\\nA. ...\\nB. ...", "answer": "B. moving from right to left"}]}}
meta_info.json: {"1034419625_reverse": {"eval_dim": {"direction": {"type": "object motion"}, "order": {...without type}}}}

A group is the aspect and its fine-grained one, "direction/object motion"; before them stands the task where all four are read. Each
question ends with the wording of the published inference (run_video_llava/inference_dataset.py). Published rules match literally,
and ChatGPT is asked about what they do not match. For a caption it answers the aspect's first multiple-choice question from the
caption alone; here a caption is right where it has the words of the right option and of no other one.
"""

import re
from collections.abc import Iterator
from functools import partial
from typing import Any

from engine.evaluate.sets.published import Published, choice
from engine.ingest.adapters.source import each, parts
from engine.ingest.tables import Record, Row

FILES = "the folder questions of TempCompass or one of its four files, meta_info.json beside the folder; videos: its folder videos"
ENDINGS = {
    "multi-choice": "\nPlease directly give the best option:",
    "yes_no": "\nPlease answer yes or no:",
    "caption_matching": "\nPlease directly give the best option:",
    "captioning": "",
}
"""Task -> what the published inference writes behind its questions; those of captioning end with "Generated Caption:"."""
_OPTION = re.compile(r"^(?:(?:Option|Sentence|Caption) )?([A-Z]|\d)(?:\.|:) (.*)$", re.MULTILINE)
"""A. dunking; Caption A: A man is dunking; Option 1: ..."""
Question = tuple[str, str, int, dict[str, Any]]
"""Video, aspect, number among those about this aspect, and the question."""
Known = tuple[dict[tuple[str, str], str], dict[tuple[str, str], dict[str, Any]]]
"""By video and aspect: the fine-grained aspect, and for captioning the first multiple-choice question."""


def records(published: Published) -> Iterator[Record]:
    is_folder, paths = _files(published)
    aspects = _fine_aspects(published, "meta_info.json" if is_folder else "../meta_info.json")
    for task, path in paths.items():
        choices: dict[tuple[str, str], dict[str, Any]] = {}
        if task == "captioning":
            path_of_choices = paths.get("multi-choice") or published.beside("multi-choice.json")
            items = [item for _, item in _questions(published, path_of_choices) if not isinstance(item, ValueError)]
            choices = {item[:2]: item[3] for item in reversed(items)}
        prefix = f"{task}/" if is_folder else ""
        yield from each(_questions(published, path), partial(_row, published, task, prefix, (aspects, choices)))


def _files(published: Published) -> tuple[bool, dict[str, str]]:
    """Whether the set's files are a folder, and the file of each task. Raises ValueError for a file of no task."""
    root = published.data.manifest.rstrip("/")
    if published.files_below() is not None:
        return True, {task: f"{root}/{task}.json" for task in ENDINGS}
    task = root.rpartition("/")[2].removesuffix(".json")
    if task not in ENDINGS:
        raise ValueError(f"{root} is named like none of TempCompass's tasks: {', '.join(ENDINGS)}")
    return False, {task: root}


def _questions(published: Published, path: str) -> Iterator[tuple[str, Any]]:
    videos = ((f"{path} video {video}", (video, item)) for video, item in published.source(path).json_pairs(""))
    return parts(videos, lambda video: _of_video(*video))


def _of_video(video: str, item: dict[str, Any]) -> list[tuple[str, Any]]:
    return [
        (f"{aspect} {number}", (video, aspect, number, question))
        for aspect, questions in item.items()
        for number, question in enumerate(questions)
    ]


def _fine_aspects(published: Published, name: str) -> dict[tuple[str, str], str]:
    """Video and aspect -> its fine-grained aspect; "order" has none."""
    path, fine = published.beside(name), dict[tuple[str, str], str]()
    for video, item in published.source(path).json_pairs(""):
        if not isinstance(item, dict) or not isinstance(item.get("eval_dim"), dict):
            raise ValueError(f"{path}: video {video} has no eval_dim; is it TempCompass's meta_info.json?")
        fine |= {(video, aspect): what["type"] for aspect, what in item["eval_dim"].items() if what and "type" in what}
    return fine


def _row(published: Published, task: str, prefix: str, known: Known, item: Question) -> Row:
    video, aspect, number, question = item
    aspects, choices = known
    fine_aspect = aspect if aspect == "order" else aspects.get((video, aspect), "")
    if not fine_aspect:
        raise ValueError(f"meta_info.json says nothing of {aspect} in {video}; take both files from the same version")
    if task == "captioning" and (video, aspect) not in choices:
        raise ValueError(f"multi-choice.json has no question about {aspect} in {video}; take both files from the same version")
    decided_by = choices[video, aspect] if task == "captioning" else question
    options = {"yes": "yes", "no": "no"} if task == "yes_no" else dict(_OPTION.findall(decided_by["question"]))
    answer = str(decided_by["answer"])
    return {
        "clip_id": f"{task}/{video}/{aspect}/{number}",
        "video": published.video(video),
        "question": f"{question['question']}{ENDINGS[task]}",
        "label": choice(options, match[1] if (match := _OPTION.match(answer)) else answer),
        "group": f"{prefix}{aspect}/{fine_aspect}",
    }
