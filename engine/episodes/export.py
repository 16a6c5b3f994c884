"""Episodes as text in the formats of other tools: EILEV's CSV and JSONL, and the messages of ms-swift. Pure."""

import csv
import io
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence

from engine.episodes.build import narration_id
from engine.episodes.tags import media_of, tag_of, without_tags
from engine.rows import Clip, Episode, Example

COLUMNS = (
    "frame_path",
    "video_uid",
    "clip_index",
    "narration_timestamp_sec",
    "narration_text",
    "structured_verb",
    "structured_noun",
)


NUMBERED = re.compile(r"(.+)/(\d+)")
"""A clip_id that names a video, and the clip's number among those that EILEV keeps of it, as `--format ego4d` gives it."""


def frame_paths(clips: Sequence[Clip]) -> dict[str, str]:
    """clip_id -> EILEV's name of a clip: the video's name, a bar, and the clip's number within the video.

    Clips whose ids all have such a number keep it, also where others of their video are not there; else they are counted.

    >>> from engine.labels import Keywords
    >>> def clip_of(clip_id: str) -> Clip:
    ...     return Clip(clip_id=clip_id, video="s3://b/P01.mp4", start_s=1.0, end_s=9.0, question="?", label=Keywords(text="cut"),
    ...                 split="train", verb="cut", noun="", description="", narrator="")
    >>> frame_paths([clip_of("P01_3")]), frame_paths([clip_of("P01/0"), clip_of("P01/2")])
    ({'P01_3': 'P01|0'}, {'P01/0': 'P01|0', 'P01/2': 'P01|2'})
    """
    numbered = [NUMBERED.fullmatch(clip.clip_id) for clip in clips]
    if numbered and all(numbered):
        return {match[0]: f"{match[1]}|{match[2]}" for match in numbered if match}
    clips_so_far = Counter[str]()
    uids: dict[str, str] = {}
    stems = Counter[str]()
    paths: dict[str, str] = {}
    for clip in clips:
        if clip.video not in uids:
            stem = clip.video.rpartition("/")[2].rpartition(".")[0] or clip.video
            uids[clip.video] = f"{stem}.{stems[stem]}" if stems[stem] else stem  # a/clip.mp4 is not b/clip.mp4
            stems[stem] += 1
        paths[clip.clip_id] = f"{uids[clip.video]}|{clips_so_far[clip.video]}"
        clips_so_far[clip.video] += 1
    return paths


def eilev_csv(clips: Iterable[Clip], paths: Mapping[str, str], narrations: Mapping[str, str]) -> str:
    """narrated_actions.csv with its seven columns, verbs and nouns by their classes. Without a time of the narration the middle of
    the window stands there.

    `paths`: of frame_paths. `narrations`: by clip_id, of clips whose own narration is replaced.
    """
    sink = io.StringIO()
    writer = csv.writer(sink, lineterminator="\n")
    writer.writerow(COLUMNS)
    for clip in clips:
        name = paths[clip.clip_id]
        uid, _, index = name.rpartition("|")
        middle = "" if clip.end_s is None else ((clip.start_s or 0.0) + clip.end_s) / 2
        narrated_s = middle if clip.narrated_s is None else clip.narrated_s
        text = narrations.get(clip.clip_id) or clip.narration or clip.description
        writer.writerow([name, uid, index, narrated_s, text, *clip.action])
    return sink.getvalue()


def eilev_jsonl(episodes: Iterable[Episode], paths: Mapping[str, str]) -> Iterator[str]:
    """One line per episode: {"context": [frame_path, ...], "query": frame_path}. `paths`: of frame_paths."""
    by_example = {narration_id(clip_id): path for clip_id, path in paths.items()}
    for episode in episodes:
        line = {"context": [by_example[name] for name in episode.context], "query": by_example[episode.query]}
        yield json.dumps(line, ensure_ascii=False) + "\n"


def messages_jsonl(episodes: Iterable[Episode], examples: Mapping[str, Example], loss_on: str = "query") -> Iterator[str]:
    """One line per episode, in ms-swift's format: messages with one tag per turn, "loss" per answer, the videos in order.

    Such a tool reads whole videos; "windows" has the start and end of each clip in seconds, for tools that cut videos. It is a JSON
    text, because what reads the file takes types from its first rows, where all of them may be null.
    """
    for episode in episodes:
        shots = [examples[name] for name in (*episode.context, episode.query)]
        messages: list[dict[str, str | bool]] = []
        for place, (example, prompt) in enumerate(zip(shots, episode.prompts, strict=True)):
            messages.append({"role": "user", "content": tag_of(example.video) + without_tags(prompt)})
            learned = loss_on == "all" or place == len(shots) - 1
            messages.append({"role": "assistant", "content": without_tags(example.answer), "loss": learned})
        line = {
            "messages": messages,
            **media_of([example.video for example in shots]),
            "windows": json.dumps([[example.start_s, example.end_s] for example in shots]),
        }
        yield json.dumps(line, ensure_ascii=False) + "\n"
