"""The columns of every table: no other file names one. Rows are frozen dataclasses; Arrow schemas follow from their fields."""

import math
from dataclasses import MISSING, asdict, dataclass, fields, is_dataclass
from functools import cache
from types import NoneType, UnionType
from typing import Any, Literal, Self, Union, get_args, get_origin, get_type_hints

import pyarrow as pa

from engine import labels
from engine.labels import Label

Split = Literal["train", "heldout", "test"]
Mode = Literal["direct", "rationalized"]


@cache
def names_of(row: type) -> tuple[str, ...]:
    """The fields of a dataclass of rows, in their order.

    >>> names_of(Judgement)
    ('stage', 'keep', 'reason', 'score', 'detail', 'model', 'prompt_tokens', 'num_tokens', 'cost')
    """
    return tuple(field.name for field in fields(row))


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
    group: str = ""
    """By which it is counted: the dataset of a mixed manifest, or the cell of a benchmark, "action/fine-grained action"."""
    verb_class: str = ""
    """The class of the verb as the dataset names it, such as "put_(place,_leave,_drop)"; "": it has no other name than `verb`."""
    noun_class: str = ""
    """The same of the noun. Two classes may have one noun: nut_(food), nut_(tool)."""
    narration: str = ""
    """The narration as the dataset writes it, marks included; "": as in `description`."""
    narrated_s: float | None = None
    """The second of the video at which it was narrated; None: unknown."""

    @property
    def action(self) -> tuple[str, str]:
        """(verb, noun) by which clips are compared: their classes, where the dataset names these."""
        return self.verb_class or self.verb, self.noun_class or self.noun

    def to_row(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in names_of(Clip)} | {"label": labels.to_json(self.label)}

    @classmethod
    def from_row(cls, row: dict[str, Any]) -> Self:
        """A row of an older version may lack columns that have a default."""
        values = {name: row[name] for name in names_of(Clip) if name in row}
        values["label"] = labels.from_json(row["label"])
        return cls(**values)


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What a verifier took that is a model: Usage(model="Qwen/Qwen3-VL-8B", prompt_tokens=812, num_tokens=31, cost=0.0004)."""

    model: str = ""
    """As its server calls it; "" for a verifier that is no model."""
    prompt_tokens: int = 0
    num_tokens: int = 0
    cost: float = 0.0
    """By the prices of the configuration."""


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
    usage: Usage = Usage()

    @property
    def outcome(self) -> Literal["kept", "rejected"]:
        """As an attempt's row has it."""
        return "kept" if self.keep else "rejected"

    @property
    def detail(self) -> str:
        """The stretch of text that decided, as an attempt's row calls it."""
        return self.extracted


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """What one verifier stage answered about an attempt: Judgement(stage="rules", keep=True, reason="contains_label", ...)."""

    stage: str
    keep: bool
    reason: str
    score: float
    detail: str
    model: str = ""
    """As its server calls it; "" for a verifier that is no model. The fields below are what it took."""
    prompt_tokens: int = 0
    num_tokens: int = 0
    cost: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Grounding:
    """How likely an attempt's text is after its own clip's video, and after those of other clips (docs/grounding.md).

    Grounding(tokens=9, own=-1.2, others=(-8.4, -7.9, -11.0, -6.3), clips=("train-3", "train-9", "train-1", "train-6"))
    """

    tokens: int
    """Those of the reason's words, whose natural logarithms are summed below (engine/generate/grounding.py)."""
    own: float
    others: tuple[float, ...]
    """At least two."""
    clips: tuple[str, ...]
    """clip_id of each of the others: of the same piece, with another label."""

    @property
    def support(self) -> float:
        """By how much it is likelier with its own video, in nats; for texts of all lengths alike.

        >>> Grounding(tokens=4, own=-2.0, others=(-8.0, -10.0), clips=("a", "b")).support
        3.5
        """
        return self._score(self.own, self.others)

    @property
    def mismatched(self) -> tuple[float, ...]:
        """The same of pairs that do not belong together: of each other clip, against the rest of them.

        >>> Grounding(tokens=4, own=-2.0, others=(-8.0, -10.0), clips=("a", "b")).mismatched
        (1.0, -1.0)
        """
        rests = ((*self.others[:number], *self.others[number + 1 :]) for number in range(len(self.others)))
        return tuple(self._score(other, rest) for other, rest in zip(self.others, rests, strict=True))

    def _score(self, value: float, others: tuple[float, ...]) -> float:
        return (value - sum(others) / len(others)) / math.sqrt(self.tokens)

    @classmethod
    def from_row(cls, row: dict[str, Any] | None) -> Self | None:
        return cls(**row | {"others": tuple(row["others"]), "clips": tuple(row["clips"])}) if row else None


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
    signature: str = ""
    """Of a clip's direct attempt: what its frames look like (engine/decode/signature.py), about a kilobyte."""
    sample: int = 0
    """The number of the direct attempt, where a clip has several (generate.samples)."""
    support: float | None = None
    """What its grounding comes to, in nats: by how much its text is likelier with its own video than with others."""
    grounding: Grounding | None = None
    """Of a kept attempt, where generate.grounding asks for it and its piece has clips to compare with."""

    def to_row(self) -> dict[str, Any]:
        values = {name: getattr(self, name) for name in names_of(Attempt)}  # asdict takes five times as long
        values["grounding"] = asdict(self.grounding) if self.grounding else None
        return values | {"judgements": tuple(asdict(judgement) for judgement in self.judgements)}

    @classmethod
    def from_row(cls, row: dict[str, Any]) -> Self:
        grounding = {"grounding": Grounding.from_row(row.get("grounding"))}
        return cls(**row | grounding | {"judgements": tuple(Judgement(**judgement) for judgement in row["judgements"])})


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """The columns of an attempt by which its clip is counted: a third of the time that reading all of them takes.

    Outcome(clip_id="train-00007", mode="direct", outcome="kept", reason="contains_label", in_order=False)
    """

    clip_id: str
    mode: Mode
    outcome: str
    reason: str
    in_order: bool

    @classmethod
    def from_row(cls, row: dict[str, Any]) -> Self:
        return cls(**row)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """The columns of an attempt that select reads.

    Answer(clip_id="train-00007", cycle=0, mode="direct", outcome="kept", reason="keywords", score=1.0, text="It rises.", seed=9,
           model="ab12...", etag="v1", signature="")
    """

    clip_id: str
    cycle: int
    mode: Mode
    outcome: str
    reason: str
    score: float
    text: str
    seed: int
    model: str
    etag: str
    signature: str = ""
    detail: str = ""
    sample: int = 0
    support: float | None = None

    @classmethod
    def from_row(cls, row: dict[str, Any]) -> Self:
        return cls(**row)


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """The columns of an attempt by which it is counted for the report, and drawn for people to read.

    Trace(piece_id="3f2a...", clip_id="train-00007", cycle=0, mode="direct", outcome="kept", reason="contains_label",
          text="It rises.", num_tokens=4, seed=9)
    """

    piece_id: str
    clip_id: str
    cycle: int
    mode: Mode
    outcome: str
    reason: str
    text: str
    num_tokens: int
    seed: int

    @classmethod
    def from_row(cls, row: dict[str, Any]) -> Self:
        return cls(**row)


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgeReply:
    """What the judge of an evaluation set replied: a row of the files below RUN/judge, by which nothing is asked twice.

    JudgeReply(key="9f3c...", protocol="qa", clip_id="msvd/12", text="{'pred': 'yes', 'score': 4}", model="gpt-3.5-turbo-0125", ...)
    """

    key: str
    """Digest of the request: model, wording, question, label and answer."""
    protocol: str
    clip_id: str
    text: str
    model: str
    """As its server calls it: a vendor resolves an alias."""
    fingerprint: str
    """Its version, where the server gives one."""
    prompt_tokens: int
    num_tokens: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Audited:
    """A row of the file that people read and mark: an answer, its verdict, and room for theirs (docs/audit.md).

    Audited(people="", note="", verdict="kept", reason="contains_label", label="rising", question="What is the action?",
            text="The circle goes up, so it is rising.", answer="a3f9c0...", clip_id="train-00007", video="...", mode="direct", ...)
    """

    people: str
    """keep, drop or unsure; "": nobody has said anything."""
    note: str
    """Anything that the person wants to say."""
    verdict: str
    """kept or dropped."""
    reason: str
    label: str
    question: str
    text: str
    detail: str
    """The stretch of the text that decided."""
    judge: str
    """What the judge said, keep or drop; "" where it was not asked, or its answer decided nothing."""
    clip_id: str
    video: str
    start_s: float | None
    end_s: float | None
    mode: Mode
    cycle: int
    seed: int
    """Of the attempt: several attempts at a clip may have said the same."""
    kind: str
    """Of the label: keywords, choice, number ..."""
    answer: str
    """Digest of the clip's content and the text: by it the row is known when it comes back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Review:
    """What a person says about an answer: Review(answer="a3f9c0...", clip_id="train-00007", people="drop", note="it sinks")."""

    answer: str
    clip_id: str
    people: str
    note: str


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
    collection: str = ""
    """Of a conversation, the set that it is from, such as caption_webvid: mixture.collections weighs it."""
    people: str = ""
    """confirmed: a person agrees with the verifiers that the answer is to be kept. overridden: they had rejected it, and a person
    keeps it. "": nobody was asked (docs/audit.md)."""

    @property
    def turns(self) -> list[tuple[str, str]]:
        """(prompt, answer) of all turns."""
        return [(self.prompt, self.answer), *((turn.prompt, turn.answer) for turn in self.follow_ups)]

    def to_row(self) -> dict[str, Any]:
        values = {name: getattr(self, name) for name in names_of(Example)}
        return values | {"follow_ups": tuple(asdict(turn) for turn in self.follow_ups)}

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Takeaway:
    """An example as other tools are given it, with the label of its clip and the verdict on its answer (docs/take_away.md).

    Takeaway(example_id="train-00007/0/direct", clip_id="train-00007", video="s3://bucket/7.mp4", label="rising", ...)
    """

    example_id: str
    clip_id: str
    video: str
    """"": the example is text alone."""
    start_s: float | None
    end_s: float | None
    """The window in seconds of the video's file; None: its start, or its end."""
    label: str
    """Its text; "" for a conversation, which has none."""
    label_kind: str
    label_json: str
    """All of the label, as a manifest and `starloop verify` have it."""
    question: str
    """The clip's question; of a conversation its first prompt."""
    prompt: str
    """The question in the wording of training: the user turn after the video."""
    answer: str
    follow_ups: tuple[FollowUp, ...]
    shown_in: int
    reason: str
    """Of the verdict: why the answer is kept; "" where no verdict was needed (a template, a conversation), or it is not there any
    more (`starloop gc`)."""
    detail: str
    """The stretch of the answer that decided."""
    score: float | None
    """0..1: share of the label that the answer contains; None where there is no verdict, or a person's."""
    support: float | None
    """By how much the answer is likelier with its own video than with others, in nats (docs/grounding.md)."""
    people: str
    source: str
    mode: Mode
    cycle: int
    sample: int
    seed: int
    model: str
    """Digest of the model that gave the answer; "" if no model did."""
    etag: str
    """The version of the video that the answer is about."""
    run: str
    """URI of the run; in a folder for a hub its name alone."""

    def to_row(self) -> dict[str, Any]:
        values = {name: getattr(self, name) for name in names_of(Takeaway)}
        return values | {"follow_ups": tuple(asdict(turn) for turn in self.follow_ups)}

    @classmethod
    def from_row(cls, row: dict[str, Any]) -> Self:
        return cls(**row | {"follow_ups": tuple(FollowUp(**turn) for turn in row["follow_ups"])})

    @property
    def turns(self) -> list[tuple[str, str]]:
        """(prompt, answer) of all turns."""
        return [(self.prompt, self.answer), *((turn.prompt, turn.answer) for turn in self.follow_ups)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Preference:
    """Two answers to one question about one clip, of which one was kept and the other one rejected.

    Preference(pair_id="train-00007/0/rationalized/0", clip_id="train-00007", video="...", prompt="What is the action?",
               chosen="The red circle ..., so the action is rising.", rejected="The red circle sinks.", reason="label_missing", ...)
    """

    pair_id: str
    """The example_id of the chosen answer, and a number for each rejected one."""
    clip_id: str
    video: str
    start_s: float | None
    end_s: float | None
    prompt: str
    """The user turn after the video, without a hint: the one that the chosen answer is trained with."""
    chosen: str
    rejected: str
    reason: str
    """Why the rejected answer was rejected."""
    chosen_mode: Mode
    """rationalized: its model saw the label. A rejected answer never is: it has to be one to the same question."""
    chosen_cycle: int
    rejected_cycle: int
    rejected_score: float
    """0..1: share of the label that it contains; the chosen one's is 1."""
    chosen_model: str
    """Digest of the model that gave the answer."""
    rejected_model: str
    etag: str
    """The version of the video that the answers are about."""

    def to_row(self) -> dict[str, Any]:
        return asdict(self)


RELABELLED = "train/relabelled"
"""Where a train clip is that shows the same as another one, and has another question or label: both stay, a person should look."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NearCopy:
    """A train clip that shows nearly the same pictures as another clip: NearCopy(clip_id="a", copy_of="b", where="heldout")."""

    clip_id: str
    copy_of: str
    """clip_id; of a benchmark the name of the video."""
    where: str
    """An evaluation set, the folder of a benchmark (select.benchmarks), train, or train/relabelled: a train clip with another
    question or label."""

    def to_row(self) -> dict[str, Any]:
        return asdict(self)


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
    """"shuffled": the videos of the context are exchanged among its narrations; "majority": no model, but a narration of the
    context's commonest words; "": the context as it is."""
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
    """Kind of failure of the query's video, or out_of_memory, which counts as a wrong answer; "" where there is none."""
    shown: int
    """Number of shots that were shown: fewer than `shots` if the sampler found fewer, or if videos are gone."""
    by_class: bool
    """Whether class names decide, because the narration does not match episodes.pattern."""
    sts_cross: float | None = None
    """STS by a cross-encoder; None without one."""
    bert_score: float | None = None
    """BERTScore's F1; None without its model."""
    verb_class: str = ""
    """The query's class, by which episodes are drawn."""
    noun_class: str = ""
    chosen_verb: str = ""
    """The class that the model takes for likeliest, or the context's commonest; "" where none was chosen."""
    chosen_noun: str = ""

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


CLIPS, ATTEMPTS, EXAMPLES, TAKEAWAYS, PREFERENCES, NEAR_COPIES, EPISODES, NARRATED, UNUSED, JUDGE_REPLIES = (
    schema_of(row) for row in (Clip, Attempt, Example, Takeaway, Preference, NearCopy, Episode, Narrated, Unused, JudgeReply)
)
