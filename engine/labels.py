"""Labels: what a human said about a clip, one frozen class for each kind. Manifests and `starloop verify` hold them as JSON.

Whether an answer contains a label is decided in engine/verify. Three fields say how Video-STaR's published rules and prompts take a
label, and mean nothing to others: `key` names it in a hint ("final score: 65.6"), `reads` and `compare` say what is read and how.
"""

import json
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, ConfigDict, Field, TypeAdapter, ValidationError

FINITE = ConfigDict(extra="forbid", allow_inf_nan=False)
FRAME_SLACK = 1e-3
"""Share by which a box may leave the frame, and a range its clip: annotation tools round."""


DECIMALS = 4
"""Of shares in texts: Video-STaR's release rounds each to two, three or four, at random."""


def _check_has_word(text: str, name: str) -> None:
    if any("\ud800" <= letter <= "\udfff" or letter == "\0" for letter in text):
        raise ValueError(f"{name} {text!r} is not a text: it holds a NUL or half a character; correct it")
    if not any(letter.isalnum() for letter in text):
        raise ValueError(f"{name} {text!r} has no word; fill it in or drop the row")


def _text_of(value: Any) -> Any:
    """A number as the text that a person writes for it: tables have answers and options as numbers, 0 and 0.0 for "0"."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return value
    return str(int(value)) if value == value // 1 else str(value)


Text = Annotated[str, BeforeValidator(_text_of)]
"""A text, or a number in a label that is parsed."""
Reads = Literal["text", "span"]
"""What the published rules read: the whole answer, or the span of it that a model for extractive question answering gives."""


@dataclass(frozen=True, kw_only=True)
class Keywords:
    """Keywords(text="doing yoga", aliases=("yoga",)): an answer contains the words of the text, or those of an alias."""

    __pydantic_config__: ClassVar[ConfigDict] = FINITE
    kind: Literal["keywords"] = "keywords"
    key: str = field(default="", repr=False)
    text: Text
    aliases: tuple[Text, ...] = ()
    """Other texts with the same meaning."""
    reads: Reads = field(default="text", repr=False)

    def __post_init__(self) -> None:
        for text in (self.text, *self.aliases):
            _check_has_word(text, "the label")


@dataclass(frozen=True, kw_only=True)
class Choice:
    """Choice(option="B", options={"A": "running", "B": "diving"}): the correct option of a multiple-choice question."""

    __pydantic_config__: ClassVar[ConfigDict] = FINITE
    kind: Literal["choice"] = "choice"
    key: str = field(default="", repr=False)
    option: Text
    options: dict[Text, Text]

    def __post_init__(self) -> None:
        if len(self.options) < 2:
            raise ValueError(f"a choice needs two options and has {len(self.options)}; add options or use another kind")
        if self.option not in self.options:
            raise ValueError(f"option {self.option!r} is not among the options {', '.join(self.options)}; write one of them")
        for key, text in self.options.items():
            _check_has_word(key, "the option")
            _check_has_word(text, f"option {key}:")

    def __hash__(self) -> int:
        return hash((self.option, *self.options.items()))

    @property
    def text(self) -> str:
        return f"{self.option}. {self.options[self.option]}"


@dataclass(frozen=True, kw_only=True)
class Number:
    """Number(value=76.5): a score or a count; an answer must be within the tolerance."""

    __pydantic_config__: ClassVar[ConfigDict] = FINITE
    kind: Literal["number"] = "number"
    key: str = field(default="", repr=False)
    value: float
    tolerance: float = 0.05
    """Relative: 0.05 is 5 % of the value. A value of 0 must be met exactly."""

    def __post_init__(self) -> None:
        if not 0 <= self.tolerance < 1:
            raise ValueError(f"tolerance {self.tolerance:g} is not a share of the value; write 0 or more and less than 1")

    @property
    def text(self) -> str:
        return plain(self.value)


@dataclass(frozen=True, kw_only=True)
class Timestamp:
    """Timestamp(time_s=5.0, duration_s=20.0, tolerance_s=1.0): a moment of the clip, counted from the clip's start."""

    __pydantic_config__: ClassVar[ConfigDict] = FINITE
    kind: Literal["timestamp"] = "timestamp"
    key: str = field(default="", repr=False)
    time_s: float
    duration_s: float
    tolerance_s: float | None = None
    """None: a tenth of the duration, as in Video-STaR's verifier."""

    def __post_init__(self) -> None:
        if self.duration_s <= 0:
            raise ValueError(f"duration_s {self.duration_s:g} is not a duration; write the clip's seconds, more than 0")
        if not 0 <= self.time_s <= self.duration_s:
            raise ValueError(
                f"time_s {self.time_s:g} is not within the clip's {self.duration_s:g} s; it counts from the clip's start"
            )
        if self.tolerance_s is not None and self.tolerance_s < 0:
            raise ValueError(f"tolerance_s {self.tolerance_s:g} is negative; write 0 or more seconds")

    @property
    def text(self) -> str:
        return f"at {plain(self.time_s)} s"


@dataclass(frozen=True, kw_only=True)
class TimeRange:
    """TimeRange(start_s=2.0, end_s=5.0, duration_s=20.0): a time range of the clip, counted from the clip's start."""

    __pydantic_config__: ClassVar[ConfigDict] = FINITE
    kind: Literal["time_range"] = "time_range"
    key: str = field(default="", repr=False)
    start_s: float
    end_s: float
    duration_s: float
    iou: float = 0.5
    """Minimum intersection over union of an answer."""

    def __post_init__(self) -> None:
        if self.start_s >= self.end_s:
            raise ValueError(f"start_s {self.start_s:g} is not before end_s {self.end_s:g}; swap them")
        if self.start_s < 0 or self.end_s > self.duration_s * (1 + FRAME_SLACK):
            raise ValueError(
                f"{self.start_s:g} to {self.end_s:g} s is not within the clip's {self.duration_s:g} s; both count from its start"
            )
        _check_iou(self.iou)

    @property
    def text(self) -> str:
        return f"from {plain(self.start_s)} s to {plain(self.end_s)} s"


BoxFormat = Literal["xyxy", "xywh", "cxcywh"]


@dataclass(frozen=True, kw_only=True)
class Box:
    """Box(box=(0.1, 0.2, 0.5, 0.6), format="xyxy"): a box in the frame, in shares of its width and height.

    xyxy: two corners. xywh: top left corner and size. cxcywh: centre and size. Answers are read in the label's format.
    """

    __pydantic_config__: ClassVar[ConfigDict] = FINITE
    kind: Literal["box"] = "box"
    key: str = field(default="", repr=False)
    box: tuple[float, float, float, float]
    format: BoxFormat = "xyxy"
    iou: float = 0.5
    """Minimum intersection over union of an answer."""

    def __post_init__(self) -> None:
        x1, y1, x2, y2 = corners(self.box, self.format)
        if x1 >= x2 or y1 >= y2:
            raise ValueError(f"box {list(self.box)} as {self.format} has no area; is it of another format?")
        if min(x1, y1) < -FRAME_SLACK or max(x2, y2) > 1 + FRAME_SLACK:
            raise ValueError(f"box {list(self.box)} as {self.format} leaves the frame; it is in shares, 0 to 1")
        _check_iou(self.iou)

    @property
    def text(self) -> str:
        return f"[{', '.join(map(plain, self.box))}] ({self.format})"


@dataclass(frozen=True, kw_only=True)
class Sentences:
    """Sentences(items=("He opens the door.", "He leaves."), ordered=True): an answer must state each of them."""

    __pydantic_config__: ClassVar[ConfigDict] = FINITE
    kind: Literal["sentences"] = "sentences"
    key: str = field(default="", repr=False)
    items: tuple[Text, ...]
    ordered: bool = False
    reads: Reads = field(default="text", repr=False)
    compare: Literal["similarity", "entailment"] = field(default="similarity", repr=False)
    """similarity: of sentences. entailment: whether a part of the answer entails the item, as "classifier" does."""

    def __post_init__(self) -> None:
        _check_items(self.items)

    @property
    def text(self) -> str:
        return " ".join(item if item.rstrip()[-1:] in ".!?" else f"{item.rstrip()}." for item in self.items)


@dataclass(frozen=True, kw_only=True)
class ClassSequence:
    """ClassSequence(items=("inward", "3.5 Soms.Tuck", "entry")): all classes, in this order."""

    __pydantic_config__: ClassVar[ConfigDict] = FINITE
    kind: Literal["sequence"] = "sequence"
    key: str = field(default="", repr=False)
    items: tuple[Text, ...]

    def __post_init__(self) -> None:
        _check_items(self.items)

    @property
    def text(self) -> str:
        return ", then ".join(self.items)


@dataclass(frozen=True, kw_only=True)
class SameOrNot:
    """SameOrNot(same=False): whether two things that the question points at are the same."""

    __pydantic_config__: ClassVar[ConfigDict] = FINITE
    kind: Literal["same_or_not"] = "same_or_not"
    key: str = field(default="", repr=False)
    same: bool

    @property
    def text(self) -> str:
        return "the objects are the same" if self.same else "the objects are not the same"


@dataclass(frozen=True, kw_only=True)
class Reference:
    """Reference(text="A man rides a horse on the beach."): what a person answered in free words; no rule compares with it.

    A judge, or a metric of texts, says how good another answer is (docs/benchmarks.md).
    """

    __pydantic_config__: ClassVar[ConfigDict] = FINITE
    kind: Literal["reference"] = "reference"
    key: str = field(default="", repr=False)
    text: Text
    aliases: tuple[Text, ...] = ()
    """What other people answered."""

    def __post_init__(self) -> None:
        for text in self.texts:
            _check_has_word(text, "the reference")

    @property
    def texts(self) -> tuple[str, ...]:
        return self.text, *self.aliases


@dataclass(frozen=True, kw_only=True)
class All:
    """All(labels=(Keywords(text="diving"), Number(value=76.5))): an answer must contain all of them."""

    __pydantic_config__: ClassVar[ConfigDict] = FINITE
    kind: Literal["all"] = "all"
    key: str = field(default="", repr=False)
    labels: tuple["Label", ...]

    def __post_init__(self) -> None:
        _check_not_empty(self.labels, "labels")

    @property
    def text(self) -> str:
        return "; ".join(label.text for label in self.labels)


@dataclass(frozen=True, kw_only=True)
class AnyOf:
    """AnyOf(labels=(Keywords(text="sofa"), Keywords(text="chair"))): an answer must contain at least one of them."""

    __pydantic_config__: ClassVar[ConfigDict] = FINITE
    kind: Literal["any"] = "any"
    key: str = field(default="", repr=False)
    labels: tuple["Label", ...]

    def __post_init__(self) -> None:
        _check_not_empty(self.labels, "labels")

    @property
    def text(self) -> str:
        """The text of the first label: a hint names one answer."""
        return self.labels[0].text


CLASSES = (Keywords, Choice, Number, Timestamp, TimeRange, Box, Sentences, ClassSequence, SameOrNot, Reference, All, AnyOf)
Label = Annotated[
    Keywords | Choice | Number | Timestamp | TimeRange | Box | Sentences | ClassSequence | SameOrNot | Reference | All | AnyOf,
    Field(discriminator="kind"),
]
LABEL_KINDS = tuple("keywords choice number timestamp time_range box sentences sequence same_or_not reference all any".split())
OMITTED = {"key": "", "reads": "text", "compare": "similarity"}
"""What is not written where it is so: labels of older runs lack these fields."""
_LABEL: TypeAdapter[Label] = TypeAdapter(Label)
_JSON = json.JSONEncoder(default=lambda label: _written(label), ensure_ascii=False, sort_keys=True)
"""Of a label's fields, and of the labels among them. asdict, which copies the values, takes five times as long."""


def parse(value: Any) -> Label:
    """The label of a parsed JSON value; a plain text is a keywords label. Raises ValueError that names field and remedy.

    >>> parse({"kind": "number", "value": 76.5})
    Number(kind='number', value=76.5, tolerance=0.05)
    """
    if isinstance(value, str):
        return Keywords(text=value)
    if not isinstance(value, dict):
        raise ValueError(f'label {value!r} is not an object; write {{"kind": "keywords", "text": ...}}')
    try:
        return _LABEL.validate_python(value)
    except ValidationError as error:
        raise ValueError(_message(error)) from None
    except RecursionError:
        raise ValueError("the label nests too many labels in labels to be read; flatten them") from None


@lru_cache(maxsize=4096)
def from_json(text: str) -> Label:
    """The label that to_json wrote. Clips with the same text share one label, which nothing changes."""
    return _LABEL.validate_json(text)


def to_json(label: Label) -> str:
    """
    >>> to_json(Number(value=65.6)), to_json(Number(value=65.6, key="final score"))[:22]
    ('{"kind": "number", "tolerance": 0.05, "value": 65.6}', '{"key": "final score",')
    """
    return _JSON.encode(_written(label))


def _written(label: Label) -> dict[str, Any]:
    values = vars(label)
    return {name: values[name] for name in values if name not in OMITTED or values[name] != OMITTED[name]}


def _message(error: ValidationError) -> str:
    first = error.errors()[0]
    if first["type"] == "union_tag_invalid":
        return f"label kind {first['ctx']['tag']!r} is not known; write one of {first['ctx']['expected_tags']}"
    if first["type"] == "union_tag_not_found":
        return 'the label has no kind; write {"kind": "keywords", "text": ...} or another kind'
    kind, *field = (str(part) for part in first["loc"])
    subject = f"label of kind {kind}" + (f": {'.'.join(field)}" if field else "")
    match first["type"]:
        case "missing":
            return f"{subject} is missing"
        case "extra_forbidden" | "unexpected_keyword_argument":
            return f"{subject} is not one of its fields; remove it or correct its name"
        case "value_error":
            return f"{subject}: {first['msg'].removeprefix('Value error, ')}"
    return f"{subject}: {first['msg']}, not {first['input']!r}"


def name_of(label: Label) -> str:
    """The name under which a label is counted: a class by its text, everything else by its kind.

    >>> name_of(Keywords(text="doing yoga")), name_of(Number(value=3))
    ('doing yoga', 'number')
    """
    return label.text if isinstance(label, Keywords) else label.kind


def has_reference(label: Label) -> bool:
    """Whether no rule can decide about all of it.

    >>> has_reference(Reference(text="He rides.")), has_reference(All(labels=(Number(value=3), Reference(text="He rides."))))
    (True, True)
    """
    return isinstance(label, Reference) or (isinstance(label, All | AnyOf) and any(map(has_reference, label.labels)))


def corners(box: tuple[float, float, float, float], box_format: BoxFormat) -> tuple[float, float, float, float]:
    """The corners x1, y1, x2, y2 of a box.

    >>> corners((0.5, 0.5, 0.5, 1.0), "cxcywh")
    (0.25, 0.0, 0.75, 1.0)
    """
    a, b, c, d = box
    match box_format:
        case "xyxy":
            return a, b, c, d
        case "xywh":
            return a, b, a + c, b + d
    return a - c / 2, b - d / 2, a + c / 2, b + d / 2


def plain(value: float) -> str:
    """The value without trailing zeros.

    >>> plain(5.0), plain(76.5), plain(1 / 3)
    ('5', '76.5', '0.333333')
    """
    return f"{value:.6f}".rstrip("0").rstrip(".")


def share(time_s: float, duration_s: float) -> str:
    """
    >>> share(5, 20), share(1, 3)
    ('0.25', '0.3333')
    """
    return plain(round(time_s / duration_s, DECIMALS))


def bracketed(box: tuple[float, ...]) -> str:
    """A box in the one form that the published rule reads.

    >>> bracketed((0.1, 0, 0.5, 1))
    '[0.1000, 0.0000, 0.5000, 1.0000]'
    """
    return f"[{', '.join(f'{value:.{DECIMALS}f}' for value in box)}]"


def _check_not_empty(values: tuple[Any, ...], name: str) -> None:
    if not values:
        raise ValueError(f"{name} is empty; name at least one")


def _check_items(items: tuple[str, ...]) -> None:
    _check_not_empty(items, "items")
    for item in items:
        _check_has_word(item, "the item")


def _check_iou(iou: float) -> None:
    if not 0 < iou <= 1:
        raise ValueError(f"iou {iou:g} is not above 0 and at most 1; 0.5 is usual")
