"""The columns of every table: no other file names one. Rows are frozen dataclasses; Arrow schemas follow from their fields."""

from dataclasses import MISSING, asdict, dataclass, fields, is_dataclass
from types import NoneType, UnionType
from typing import Any, Literal, Self, Union, get_args, get_origin, get_type_hints

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
    split: str
    """train, or the evaluation set that the clip belongs to (heldout, for one). By video: no video is in two."""
    verb: str
    noun: str
    description: str
    """The dataset's narration of the clip, "" if there is none. Shots of episodes use it; the loop's prompts never do."""
    narrator: str
    """Who narrated it, "" if unknown. An episode may use the shots of one narrator only."""

    def to_row(self) -> dict[str, Any]:
        return {f.name: getattr(self, f.name) for f in fields(self)} | {"label": labels.to_json(self.label)}

    @classmethod
    def from_row(cls, row: dict[str, Any]) -> Self:
        return cls(**{f.name: row[f.name] for f in fields(cls)} | {"label": labels.from_json(row["label"])})


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """Keep or not, and why.

    Verdict(keep=False, reason="label_missing", score=0.0, extracted="")
    """

    keep: bool
    reason: str
    """"contains_label" when kept, else why not; counted."""
    score: float
    """0..1: share of the label that the text contains."""
    extracted: str
    """The stretch of text that decided."""
    spans: tuple[tuple[int, int], ...] = ()
    """Start and end of each place in the text that decided; `starloop verify --explain` shows them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """What one verifier stage answered about an attempt: Judgement(stage="rules", keep=True, reason="contains_label", ...)."""

    stage: str
    keep: bool
    reason: str
    score: float
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One generated answer to one clip, with its verdict: a row of a piece file. A clip that failed has one row too.

    Attempt(piece_id="3f2a...", clip_id="train-00007", cycle=0, mode="direct", outcome="kept", reason="contains_label", ...)
    """

    piece_id: str
    clip_id: str
    cycle: int
    mode: Mode
    """direct: no hint. rationalized: saw the label. A clip that failed counts as direct, unless its rationalization was refused."""
    outcome: Literal["kept", "rejected", "failed"]
    reason: str
    """The verdict's reason; for a failed clip the kind of failure."""
    detail: str
    """For a failed clip: what happened, and the remedy. Otherwise the stretch of text that decided."""
    score: float
    judgements: tuple[Judgement, ...]
    """One for each verifier stage that was asked, in their order; none for a failed clip."""
    prompt: str
    """The user turn after the video."""
    text: str
    """The model's answer."""
    num_tokens: int
    seed: int
    model: str
    """Digest of the model's weights."""
    etag: str
    """The version of the video that was decoded; "" for a failed clip."""
    in_order: bool
    """Whether the video had to be read from its start because it has no index."""
    prompt_tokens: int = 0
    """Tokens of the prompt, the video's included; 0 where the engine does not count them."""
    origin: str = ""
    """The generate step of another run in which it was generated, as a URI, where this run reuses it; "": it is this run's own."""

    def to_row(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_row(cls, row: dict[str, Any]) -> Self:
        return cls(**row | {"judgements": tuple(Judgement(**judgement) for judgement in row["judgements"])})


@dataclass(frozen=True, slots=True, kw_only=True)
class FollowUp:
    """A later turn of a conversation: FollowUp(prompt="Which way?", answer="To the right.")."""

    prompt: str
    answer: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """One training row: a video window, a prompt and an answer, with its lineage. A conversation has more turns.

    Example(example_id="train-00007/0/direct", clip_id="train-00007", video="...", prompt="What is the action?",
            answer="The red circle ..., so the action is rising.", source="star", cycle=0, mode="direct", seed=9, model="ab12...")
    """

    example_id: str
    clip_id: str
    video: str
    """A video or a still picture; "": the example is text alone."""
    start_s: float | None
    end_s: float | None
    prompt: str
    """The user turn after the video: the question in the wording of training, without a hint."""
    answer: str
    """The assistant turn; the loss is on it, and on the answers of follow_ups."""
    source: str
    """Origin of the row: star, template, instruct, or narration (used by episodes only)."""
    cycle: int = 0
    mode: Mode = "direct"
    seed: int = 0
    model: str = ""
    """Digest of the model that gave the answer; "" if no model did."""
    etag: str = ""
    """The version of the video that the answer is about; "": any version."""
    follow_ups: tuple[FollowUp, ...] = ()
    shown_in: int = 0
    """Number of the turn that shows the video, 0 for the first."""
    instruction: str = ""
    """The beginning of the prompt, where that is an instruction: some chats write it before the video (docs/prompts.md)."""

    @property
    def turns(self) -> list[tuple[str, str]]:
        """(prompt, answer) of all turns."""
        return [(self.prompt, self.answer), *((turn.prompt, turn.answer) for turn in self.follow_ups)]

    def to_row(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_row(cls, row: dict[str, Any]) -> Self:
        """A table that an older version wrote may lack columns: they take their defaults."""
        values = {f.name: row[f.name] for f in fields(cls) if f.name in row}
        return cls(**values | {"follow_ups": tuple(FollowUp(**turn) for turn in row.get("follow_ups", ()))})


@dataclass(frozen=True, slots=True, kw_only=True)
class Unused:
    """An example, a shot or an episode that a finetune could not use.

    Unused(example_id="talk-7", reason="too_long", detail="its 2 questions and answers take 5120 tokens ...")

    select writes those that it leaves out, and train those that failed while it ran.
    """

    example_id: str
    reason: str
    """A kind of failure."""
    detail: str

    def to_row(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_row(cls, row: dict[str, Any]) -> Self:
        return cls(**row)


Role = Literal["verb", "noun", "rest", "random"]
"""Why a shot is in a context: it shares the query's verb or noun, it fills up the number, or it was drawn at random."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Episode:
    """Shots and a query, as ids of examples: each example is stored once, however many episodes use it.

    Episode(episode_id="P01_11_3#0/0", query="P01_11_3/narration", context=("P02_1_7/narration", ...), roles=("verb", ...),
            prompts=("What is the camera wearer doing?", ...), epoch=0, short=False)
    """

    episode_id: str
    """Clip, copy and epoch of the query; together with the seed it decides which shots are drawn."""
    query: str
    context: tuple[str, ...]
    """Example ids of the shots in the order in which they are shown, before the query."""
    roles: tuple[Role, ...]
    prompts: tuple[str, ...]
    """The user turn of each shot, and at the end that of the query."""
    epoch: int
    short: bool
    """Whether there were fewer clips to draw from than the number of shots."""

    def to_row(self) -> dict[str, Any]:
        return {f.name: getattr(self, f.name) for f in fields(self)}

    @classmethod
    def from_row(cls, row: dict[str, Any]) -> Self:
        values: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in row.items()}
        return cls(**{f.name: values[f.name] for f in fields(cls)})


@dataclass(frozen=True, slots=True, kw_only=True)
class Narrated:
    """One answer to a query after a number of shots, beside the narration of the dataset.

    Narrated(set="rare", control="", shots=16, query="v3/n1", text="The dax zups.", gold="The dax zups.", rouge_l=1.0, ...)
    """

    set: str
    control: str
    """"shuffled": the videos of the context are exchanged among its narrations; "": the context as it is."""
    shots: int
    query: str
    verb: str
    noun: str
    gold: str
    text: str
    rouge_l: float
    """F-measure on words, 0..1."""
    sts: float | None
    """Cosine similarity by a sentence model; None without one."""
    verb_right: bool
    """Whether the answer has the narrator's verb, in any of its forms."""
    noun_right: bool
    failure: str
    """Kind of failure of the query's video, which counts as a wrong answer; "" if it was decoded."""
    shown: int
    """Number of shots that were shown: fewer than `shots` if the sampler found fewer, or if videos are gone."""
    by_class: bool
    """Whether class names decide, because the narration does not match episodes.pattern."""

    def to_row(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """A stretch of a version of a video: Window(video="a.mp4", start_s=None, end_s=8.0, etag="")."""

    video: str
    start_s: float | None
    end_s: float | None
    etag: str
    """"": any version."""


FAILURES = tuple(
    "missing denied replaced unreadable not_video no_video_stream truncated codec empty_window too_large timeout crashed too_long "
    "refused chat_template out_of_memory".split()
)
"""Kinds of failure."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """A clip whose video could not be used. It becomes a failed Attempt row, never a gap.

    Failure(kind="missing", detail="no such file: videos/a.mp4; check the manifest's video column")
    """

    kind: str
    """missing, denied, replaced, unreadable: the object; unreadable if storage answers about others and does not give this one.
    truncated, not_video, no_video_stream, codec, empty_window: what is in it.
    too_large, timeout, crashed: what decoding it, or answering about it, takes. too_long: its question, or the example or episode
    that was made of it, for the model's context. refused: the server of generate.engine = "openai" answers others and refuses this
    question; its words are in the detail. chat_template: the base's template cannot write a conversation's turns.
    out_of_memory: answering about this clip alone takes more than the device's memory."""
    detail: str


def schema_of(row: type) -> pa.Schema:
    """The Arrow schema of a dataclass of rows: a column for each field, nullable where the field may be None.

    A label becomes its JSON text, a tuple a list, a dataclass a struct.
    """
    return pa.schema([_field(name, hint) for name, hint in get_type_hints(row).items()])


def _field(name: str, hint: Any) -> pa.Field:
    if get_origin(hint) in (Union, UnionType) and NoneType in get_args(hint):
        [inner] = [part for part in get_args(hint) if part is not NoneType]
        return pa.field(name, _arrow_type(inner))
    return pa.field(name, _arrow_type(hint), nullable=False)


def _arrow_type(hint: Any) -> pa.DataType:
    if hint is str or get_origin(hint) in (Literal, Union, UnionType):  # the only union of rows is Label
        return pa.string()
    if get_origin(hint) is tuple:
        return pa.list_(_arrow_type(get_args(hint)[0]))
    if is_dataclass(hint):
        return pa.struct([_field(name, part) for name, part in get_type_hints(hint).items()])
    return {bool: pa.bool_(), int: pa.int64(), float: pa.float64()}[hint]


def defaults_of(row: type) -> dict[str, Any]:
    """The columns that a table of an older version may lack, and what they hold there.

    >>> defaults_of(Example)["follow_ups"], "video" in defaults_of(Example)
    ((), False)
    """
    return {field.name: field.default for field in fields(row) if field.default is not MISSING}


CLIPS, ATTEMPTS, EXAMPLES, EPISODES, NARRATED, UNUSED = (
    schema_of(row) for row in (Clip, Attempt, Example, Episode, Narrated, Unused)
)
