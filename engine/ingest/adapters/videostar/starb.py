"""STAR as Video-STaR asks about it: seven questions for each of STAR_train.json, about the answer, times, objects in boxes.

Beside the file lie classes/*.txt, which name the codes of actions and objects, and videos.csv, with what the annotations lack:
video_id,duration,frames,width,height (docs/papers.md shows how ffprobe writes it). What STAR_val.json asks is held out.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from engine.ingest.adapters.source import Source, each, parts, worded
from engine.ingest.adapters.videostar.parts import comparison, drawn, in_square, moment, sentence_label, written
from engine.ingest.adapters.videostar.questions import Pools, worded_question, wordings
from engine.ingest.tables import Record, Row, opened, table_records
from engine.labels import All, Keywords, Label, Sentences, TimeRange

VIDEO = "{video_id}.mp4"
GROUP = "STAR"
CLASSES = ("action_classes.txt", "object_classes.txt")
COLUMNS = ("video_id", "duration", "frames", "width", "height")


@dataclass(frozen=True, kw_only=True)
class Size:
    """What a video is like: Size(duration_s=30.2, frames=906, width=480, height=270)."""

    duration_s: float
    frames: int
    width: float
    height: float


@dataclass(frozen=True)
class Subject:
    """A question of STAR with its video and the names of its codes."""

    item: dict[str, Any]
    size: Size
    names: Mapping[str, str]

    @property
    def window(self) -> tuple[float, float]:
        """Seconds of the stretch that the question is about."""
        return float(self.item["start"]), min(float(self.item["end"]), self.size.duration_s)

    def name(self, code: str) -> str:
        if code not in self.names:
            raise ValueError(f"{code} is in none of classes/{', '.join(CLASSES)}")
        return self.names[code]

    def seconds(self, frame: str | int) -> float:
        return int(frame) / self.size.frames * self.size.duration_s

    def actions(self) -> tuple[str, ...]:
        """All actions, each once, in the order of the frames."""
        codes = (code for _, situation in self._situations() for code in situation["actions"])
        return tuple(dict.fromkeys(map(self.name, codes)))

    def stretch(self) -> tuple[float, float]:
        frames = [int(frame) for frame, _ in self._situations()]
        start_s, end_s = self.seconds(min(frames)), min(self.seconds(max(frames)), self.size.duration_s)
        if start_s >= end_s:
            raise ValueError("its situations are of one frame, which is no stretch of time")
        return start_s, end_s

    def placed(self, clip_id: str, like: str = "") -> tuple[str, str, str]:
        """The name, box and time of an object in a frame that the clip's id draws; of one with the name `like`, if it has one."""
        frames = [(frame, situation) for frame, situation in self._situations() if situation.get("bbox_labels")]
        if not frames:
            raise ValueError("none of its situations has an object in a box")
        frame, situation = drawn(frames, clip_id, "frame")
        boxes = list(zip(situation["bbox_labels"], situation["bbox"], strict=True))
        alike = [(code, box) for code, box in boxes if self.name(code) == like]
        code, box = drawn(alike or boxes, clip_id, "box")
        start_s, end_s = self.window
        at = min(max(self.seconds(frame), start_s), end_s)
        return self.name(code), written(in_square(box, self.size.width, self.size.height)), moment(at, start_s, end_s)

    def _situations(self) -> list[tuple[str, dict[str, Any]]]:
        situations = self.item["situations"]
        if not situations:
            raise ValueError("it has no situations")
        return sorted(situations.items(), key=lambda pair: int(pair[0]))


Question = tuple[str, Label, dict[str, Any]]
"""Kind of wording, or the question itself; the label; the values of the wording."""


def records(source: Source) -> Iterator[Record]:
    pools, names, sizes = wordings(source), _names(source), _sizes(source)
    questions = parts(source.json_items("item"), lambda item: _questions(item, sizes, names))
    return each(questions, lambda question: _row(source, pools, *question))


def _questions(item: dict[str, Any], sizes: Mapping[str, Size], names: Mapping[str, str]) -> list[tuple[str, Any]]:
    if item["video_id"] not in sizes:
        raise ValueError(f"video {item['video_id']} is not in videos.csv")
    subject = Subject(item, sizes[item["video_id"]], names)
    return [(f"question {suffix or 'original'}", (subject, suffix, build)) for suffix, build in KINDS.items()]


def _row(source: Source, pools: Pools, subject: Subject, suffix: str, build: Callable[[Subject, str], Question]) -> Row:
    clip_id = f"{subject.item['question_id']}{suffix}"
    kind, label, values = build(subject, clip_id)
    start_s, end_s = (None, None) if suffix in OF_WHOLE_VIDEO else subject.window
    return {
        "clip_id": clip_id,
        "video": source.video_of(VIDEO, subject.item),
        "start_s": start_s,
        "end_s": end_s,
        "question": worded_question(pools, kind, clip_id, label, values) if kind in pools else kind,
        "label": worded(label),
        "split": source.split_of(),
        "group": GROUP,
    }


def _original(subject: Subject, clip_id: str) -> Question:
    return subject.item["question"], sentence_label("answer_question", subject.item["answer"], "span"), {}


def _reversed(subject: Subject, clip_id: str) -> Question:
    label = sentence_label("question_from_answer", subject.item["question"], "span")
    return "reversed_qa", label, {"answer": subject.item["answer"]}


def _actions(subject: Subject, clip_id: str) -> Question:
    start, end = (moment(time_s, 0.0, subject.size.duration_s) for time_s in subject.stretch())
    return "actions_between", Sentences(key="unique_actions", items=subject.actions()), {"start": start, "end": end}


def _range(subject: Subject) -> TimeRange:
    start_s, end_s = subject.stretch()
    return TimeRange(key="temporal_range", start_s=start_s, end_s=end_s, duration_s=subject.size.duration_s)


def _interval(subject: Subject, clip_id: str) -> Question:
    return "interval_of", _range(subject), {"action": ", ".join(subject.actions())}


def _interval_of_qa(subject: Subject, clip_id: str) -> Question:
    return "temporal_qa", _range(subject), {"question": subject.item["question"], "answer": subject.item["answer"]}


def _object(subject: Subject, clip_id: str) -> Question:
    name, box, time = subject.placed(clip_id)
    return "object_at", Keywords(key="identify", text=name, reads="span"), {"box": box, "time": time}


def _comparison(subject: Subject, clip_id: str) -> Question:
    """With the object that the question before is about; in half of the questions with another box of it, where there is one."""
    first, box, time = subject.placed(clip_id.removesuffix("2"))
    second, other_box, other_time = subject.placed(clip_id, drawn((first, ""), clip_id, "same"))
    values = {"box": box, "time": time, "other_box": other_box, "other_time": other_time}
    return "same_object", All(labels=comparison(first, second)), values


KINDS: dict[str, Callable[[Subject, str], Question]] = {
    "": _original,
    "_r": _reversed,
    "_t": _actions,
    "_rt": _interval,
    "_tqa": _interval_of_qa,
    "_st": _object,
    "_st2": _comparison,
}
"""How a question's id goes on, as in the release -> what it is about."""
OF_WHOLE_VIDEO = frozenset(("_t", "_rt", "_tqa"))


def _beside(source: Source, name: str) -> str:
    folder = source.path.rpartition("/")[0]
    return f"{folder}/{name}" if folder else name


def _names(source: Source) -> dict[str, str]:
    """Code -> name, of lines such as "c000 Holding some clothes"."""
    names: dict[str, str] = {}
    for name in CLASSES:
        path = _beside(source, f"classes/{name}")
        with opened(path, source.storage) as file:
            pairs = (line.split(" ", 1) for line in file.read().decode().splitlines())
            names |= {pair[0]: pair[1].strip() for pair in pairs if len(pair) == 2}
    return names


def _sizes(source: Source) -> dict[str, Size]:
    path, sizes = _beside(source, "videos.csv"), dict[str, Size]()
    for place, row in table_records(path, source.storage, COLUMNS, default="csv"):
        if isinstance(row, ValueError):
            raise row
        try:
            duration_s, frames, width, height = (float(row[column]) for column in COLUMNS[1:])
        except (KeyError, TypeError, ValueError):
            raise ValueError(f"{place}: a row has {', '.join(COLUMNS)}, the last four of them numbers") from None
        if min(duration_s, frames, width, height) <= 0:
            raise ValueError(f"{place}: duration, frames, width and height are more than 0")
        sizes[str(row["video_id"])] = Size(duration_s=duration_s, frames=int(frames), width=width, height=height)
    return sizes
