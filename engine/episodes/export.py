"""Episodes in the formats of others: EILEV's CSV and JSONL, and messages as current finetuning tools read them. Pure: text out."""

import csv
import io
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping

from engine.episodes.build import narration_id
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


def frame_paths(clips: Iterable[Clip]) -> dict[str, str]:
    """clip_id -> EILEV's name of a clip: video and running number, with a bar between.

    >>> from engine.labels import Keywords
    >>> one = Clip(clip_id="P01_3", video="s3://b/P01.mp4", start_s=1.0, end_s=9.0, question="?", label=Keywords(text="cut"),
    ...            split="train", verb="cut", noun="", description="", narrator="")
    >>> frame_paths([one])
    {'P01_3': 'P01|0'}
    """
    seen: dict[str, int] = {}
    uids: dict[str, str] = {}
    taken = Counter[str]()
    named: dict[str, str] = {}
    for clip in clips:
        if clip.video not in uids:
            stem = clip.video.rpartition("/")[2].rpartition(".")[0] or clip.video
            uids[clip.video] = f"{stem}.{taken[stem]}" if taken[stem] else stem  # a/clip.mp4 is not b/clip.mp4
            taken[stem] += 1
        named[clip.clip_id] = f"{uids[clip.video]}|{seen.setdefault(clip.video, 0)}"
        seen[clip.video] += 1
    return named


def eilev_csv(clips: Iterable[Clip], named: Mapping[str, str]) -> str:
    """narrated_actions.csv: its seven columns, in their order. The timestamp is the middle of the window."""
    sink = io.StringIO()
    writer = csv.writer(sink, lineterminator="\n")
    writer.writerow(COLUMNS)
    for clip in clips:
        name = named[clip.clip_id]
        uid, _, index = name.rpartition("|")
        middle = "" if clip.end_s is None else ((clip.start_s or 0.0) + clip.end_s) / 2
        writer.writerow([name, uid, index, middle, clip.description, clip.verb, clip.noun])
    return sink.getvalue()


def eilev_jsonl(episodes: Iterable[Episode], named: Mapping[str, str]) -> Iterator[str]:
    """A line an episode: {"context": [frame_path, ...], "query": frame_path}."""
    by_example = {narration_id(clip_id): name for clip_id, name in named.items()}
    for episode in episodes:
        line = {"context": [by_example[name] for name in episode.context], "query": by_example[episode.query]}
        yield json.dumps(line, ensure_ascii=False) + "\n"


def _plain(text: str) -> str:
    """A text that adds no video of its own.

    >>> _plain("a <video> tag")
    'a <video > tag'
    """
    return text.replace("<video>", "<video >")


def messages_jsonl(episodes: Iterable[Episode], examples: Mapping[str, Example], loss_on: str = "query") -> Iterator[str]:
    """A line an episode, as ms-swift reads them: messages with a <video> tag a turn, "loss" by turn, and the videos in order.

    Such a tool reads whole videos: where a clip is a stretch of one, "windows" says which, in seconds.
    """
    for episode in episodes:
        told = [examples[name] for name in (*episode.context, episode.query)]
        messages: list[dict[str, str | bool]] = []
        for place, (example, prompt) in enumerate(zip(told, episode.prompts, strict=True)):
            messages.append({"role": "user", "content": f"<video>{_plain(prompt)}"})
            learned = loss_on == "all" or place == len(told) - 1
            messages.append({"role": "assistant", "content": _plain(example.answer), "loss": learned})
        line = {
            "messages": messages,
            "videos": [example.video for example in told],
            "windows": [[example.start_s, example.end_s] for example in told],
        }
        yield json.dumps(line, ensure_ascii=False) + "\n"
