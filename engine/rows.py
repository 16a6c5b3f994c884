"""Every table's columns: the only file that names one. Rows are frozen; the Arrow schema stands beside its row."""

from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, Self

import pyarrow as pa

from engine import labels
from engine.labels import Label

Split = Literal["train", "heldout"]
Mode = Literal["direct", "rationalized"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Clip:
    """A labelled stretch of one video.

    Clip(clip_id="k700/abc+10", video="s3://bucket/k700/abc.mp4", start_s=10.0, end_s=20.0, question="What is happening?",
         label=Keywords(text="doing yoga"), split="train", verb="do", noun="yoga", description="", narrator="")
    """

    clip_id: str
    video: str
    """URI that every worker can open."""
    start_s: float | None
    """Start of the window in seconds of presentation time; None: the start of the video."""
    end_s: float | None
    """End of the window in seconds, exclusive; None: the end of the video."""
    question: str
    label: Label
    split: Split
    """By video: no video is in both."""
    verb: str
    noun: str
    description: str
    """What was narrated of it, where the dataset has that. An episode's shots say it; in the loop's own prompts it never stands."""
    narrator: str
    """Who narrated it, where that is known: an episode may keep to one, whose words mean one thing."""

    def to_row(self) -> dict[str, Any]:
        return {f.name: getattr(self, f.name) for f in fields(self)} | {"label": labels.to_json(self.label)}

    @classmethod
    def from_row(cls, row: dict[str, Any]) -> Self:
        return cls(**{f.name: row[f.name] for f in fields(cls)} | {"label": labels.from_json(row["label"])})


CLIPS = pa.schema(
    [
        pa.field("clip_id", pa.string(), nullable=False),
        pa.field("video", pa.string(), nullable=False),
        pa.field("start_s", pa.float64()),
        pa.field("end_s", pa.float64()),
        pa.field("question", pa.string(), nullable=False),
        pa.field("label", pa.string(), nullable=False),
        pa.field("split", pa.string(), nullable=False),
        pa.field("verb", pa.string(), nullable=False),
        pa.field("noun", pa.string(), nullable=False),
        pa.field("description", pa.string(), nullable=False),
        pa.field("narrator", pa.string(), nullable=False),
    ]
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """Keep or not, and why.

    Verdict(keep=False, reason="label_missing", score=0.0, extracted="")
    """

    keep: bool
    reason: str
    """"contains_label" when kept, else why not; counted."""
    score: float
    """0..1: share of the label that was found."""
    extracted: str
    """The stretch of text that decided."""
    spans: tuple[tuple[int, int], ...] = ()
    """Start and end of each place in the text that decided; shown by `starloop verify --explain`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One generated answer to one clip, with its verdict: a row of a piece file. A clip that failed has one row too.

    Attempt(piece_id="3f2a...", clip_id="train-00007", cycle=0, mode="direct", outcome="kept", reason="contains_label", ...)
    """

    piece_id: str
    clip_id: str
    cycle: int
    mode: Mode
    """direct: no hint. rationalized: saw the label. A failed clip counts as direct."""
    outcome: Literal["kept", "rejected", "failed"]
    reason: str
    """The verdict's reason; for a failed clip the kind of failure."""
    detail: str
    """For a failed clip: what happened and the remedy. Else the stretch of text that decided."""
    score: float
    prompt: str
    """What the model was asked, after the video."""
    text: str
    """What the model said."""
    num_tokens: int
    seed: int
    model: str
    """Digest of the model's weights."""
    etag: str
    """The version of the video that was watched; "" for a failed clip."""
    in_order: bool
    """Whether the video had to be read from its start, for want of an index."""

    def to_row(self) -> dict[str, Any]:
        return asdict(self)


ATTEMPTS = pa.schema(
    [
        pa.field("piece_id", pa.string(), nullable=False),
        pa.field("clip_id", pa.string(), nullable=False),
        pa.field("cycle", pa.int32(), nullable=False),
        pa.field("mode", pa.string(), nullable=False),
        pa.field("outcome", pa.string(), nullable=False),
        pa.field("reason", pa.string(), nullable=False),
        pa.field("detail", pa.string(), nullable=False),
        pa.field("score", pa.float64(), nullable=False),
        pa.field("prompt", pa.string(), nullable=False),
        pa.field("text", pa.string(), nullable=False),
        pa.field("num_tokens", pa.int32(), nullable=False),
        pa.field("seed", pa.int64(), nullable=False),
        pa.field("model", pa.string(), nullable=False),
        pa.field("etag", pa.string(), nullable=False),
        pa.field("in_order", pa.bool_(), nullable=False),
    ]
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """One training row: a video window and what to say about it, with its lineage.

    Example(example_id="train-00007/0/direct", clip_id="train-00007", video="...", prompt="What is the action?",
            answer="The red circle ..., so the action is rising.", source="star", cycle=0, mode="direct", seed=9, model="ab12...")
    """

    example_id: str
    clip_id: str
    video: str
    start_s: float | None
    end_s: float | None
    prompt: str
    """The user turn after the video: the question as the train wording puts it, never a hint."""
    answer: str
    """The assistant turn; the loss is on it alone."""
    source: str
    """Where it comes from: star, template, instruct, or narration, which only episodes use."""
    cycle: int = 0
    mode: Mode = "direct"
    seed: int = 0
    model: str = ""
    """Digest of the model whose answer it is; "": no model's."""
    etag: str = ""
    """The version of the video that the answer is about; "": any."""

    def to_row(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_row(cls, row: dict[str, Any]) -> Self:
        return cls(**{f.name: row[f.name] for f in fields(cls)})


EXAMPLES = pa.schema(
    [
        pa.field("example_id", pa.string(), nullable=False),
        pa.field("clip_id", pa.string(), nullable=False),
        pa.field("video", pa.string(), nullable=False),
        pa.field("start_s", pa.float64()),
        pa.field("end_s", pa.float64()),
        pa.field("prompt", pa.string(), nullable=False),
        pa.field("answer", pa.string(), nullable=False),
        pa.field("source", pa.string(), nullable=False),
        pa.field("cycle", pa.int32(), nullable=False),
        pa.field("mode", pa.string(), nullable=False),
        pa.field("seed", pa.int64(), nullable=False),
        pa.field("model", pa.string(), nullable=False),
        pa.field("etag", pa.string(), nullable=False),
    ]
)


Role = Literal["verb", "noun", "rest", "random"]
"""Why a shot is in a context: it shares the query's verb, or its noun; it filled up; or it was drawn without looking."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Episode:
    """Shots and a query, by the ids of their examples: what is told and seen stands there once, however often it is used.

    Episode(episode_id="P01_11_3#0/0", query="P01_11_3/narration", context=("P02_1_7/narration", ...), roles=("verb", ...),
            prompts=("What is the camera wearer doing?", ...), epoch=0, short=False)
    """

    episode_id: str
    """clip, copy and epoch of the query: what its draw is keyed by, with the seed."""
    query: str
    context: tuple[str, ...]
    """In the order in which they are shown; the query comes last."""
    roles: tuple[Role, ...]
    prompts: tuple[str, ...]
    """What each shot is asked, and at the end the query."""
    epoch: int
    short: bool
    """Whether there were fewer clips to draw from than shots wanted."""

    def to_row(self) -> dict[str, Any]:
        return {f.name: getattr(self, f.name) for f in fields(self)}

    @classmethod
    def from_row(cls, row: dict[str, Any]) -> Self:
        values: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in row.items()}
        return cls(**{f.name: values[f.name] for f in fields(cls)})


EPISODES = pa.schema(
    [
        pa.field("episode_id", pa.string(), nullable=False),
        pa.field("query", pa.string(), nullable=False),
        pa.field("context", pa.list_(pa.string()), nullable=False),
        pa.field("roles", pa.list_(pa.string()), nullable=False),
        pa.field("prompts", pa.list_(pa.string()), nullable=False),
        pa.field("epoch", pa.int32(), nullable=False),
        pa.field("short", pa.bool_(), nullable=False),
    ]
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Narrated:
    """One answer to a query after so many shots, beside what was narrated.

    Narrated(set="rare", control="", shots=16, query="v3/n1", text="The dax zups.", gold="The dax zups.", rouge_l=1.0, ...)
    """

    set: str
    control: str
    """"shuffled": the context's videos stand beside each other's narrations; "": as they are."""
    shots: int
    query: str
    verb: str
    noun: str
    gold: str
    text: str
    rouge_l: float
    """F-measure on words, 0..1."""
    sts: float | None
    """Cosine of a sentence model, where one was given."""
    verb_right: bool
    """Says the narrator's verb, in any of its forms."""
    noun_right: bool
    failure: str
    """Kind of failure of the query's video, which counts as a wrong answer; "": none."""
    shown: int
    """Shots that it had: fewer where there were not more to draw, or where their videos are gone."""
    by_class: bool
    """Whether the names of the classes were looked for, because the narration is not built as episodes.pattern says."""

    def to_row(self) -> dict[str, Any]:
        return asdict(self)


NARRATED = pa.schema(
    [
        pa.field("set", pa.string(), nullable=False),
        pa.field("control", pa.string(), nullable=False),
        pa.field("shots", pa.int32(), nullable=False),
        pa.field("query", pa.string(), nullable=False),
        pa.field("verb", pa.string(), nullable=False),
        pa.field("noun", pa.string(), nullable=False),
        pa.field("gold", pa.string(), nullable=False),
        pa.field("text", pa.string(), nullable=False),
        pa.field("rouge_l", pa.float64(), nullable=False),
        pa.field("sts", pa.float64()),
        pa.field("verb_right", pa.bool_(), nullable=False),
        pa.field("noun_right", pa.bool_(), nullable=False),
        pa.field("failure", pa.string(), nullable=False),
        pa.field("shown", pa.int32(), nullable=False),
        pa.field("by_class", pa.bool_(), nullable=False),
    ]
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """A stretch of a version of a video: Window(video="a.mp4", start_s=None, end_s=8.0, etag="")."""

    video: str
    start_s: float | None
    end_s: float | None
    etag: str
    """"": any version."""


FAILURES = tuple(
    "missing denied replaced not_video no_video_stream truncated codec empty_window too_large timeout crashed too_long".split()
)
"""Kinds of failure."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """A clip whose video could not be used. It becomes a failed Attempt row, never a gap.

    Failure(kind="missing", detail="no such file: videos/a.mp4; check the manifest's video column")
    """

    kind: str
    """missing, denied, replaced: the object. truncated, not_video, no_video_stream, codec, empty_window: what is in it.
    too_large, timeout, crashed: what decoding it, or answering about it, takes. too_long: its question, for the model's context."""
    detail: str
