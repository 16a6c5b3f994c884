"""Which examples the base cannot be trained on for their texts, found out on the driver: by its tokenizer, without weights."""

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache

from engine.rows import Example, Unused
from engine.store.filesystems import Storage
from engine.store.weights import local
from models.base import ModelSpec, Turn, UnwritableChat
from models.folders import SMALL_FILES
from models.registry import token_counter

VIDEO, PICTURE = 0, 1
"""How the samples that are counted here name their clip."""
PICTURES = frozenset(".jpg .jpeg .jfif .png .bmp .tif .tiff .avif .heic .heif".split())
VIDEOS = frozenset(".mp4 .m4v .mov .mkv .webm .avi .mpg .mpeg .ts .wmv .flv .3gp .ogv".split())
"""Ends of the names of still pictures, and of videos. What a file really holds shows when it is decoded: training counts again, and
leaves out what a name did not tell."""
Form = tuple[int, tuple[int, ...], int]
"""Turns, what the clip may be, and the turn that shows it: examples of one form differ by their texts alone."""


class Lengths:
    """Counts tokens of examples. Most are so short that their bytes need no tokenizer: a token stands for a byte at least."""

    def __init__(self, base: ModelSpec, storage: Storage) -> None:
        self._base = base.base
        self._counter = token_counter(local(base, storage, SMALL_FILES))
        self._around: dict[Form, int] = {}
        """Tokens of the chat around the texts, with those of the clip."""
        self._unwritable: dict[Form, str] = {}
        """Why the base's chat template cannot write conversations of a form; "" where it can."""

    def unused(self, examples: Sequence[Example]) -> list[Unused]:
        """Those that the base's chat cannot hold, each with the reason: its template, or the context with the numbers."""
        rows = []
        for example in examples:
            form = _form(example)
            if detail := self._why_unwritable(form):
                rows.append(Unused(example_id=example.example_id, reason="chat_template", detail=detail))
            elif detail := self._too_long(example, form):
                rows.append(Unused(example_id=example.example_id, reason="too_long", detail=detail))
        return rows

    def unwritable(self, example: Example) -> str:
        """Why the base's chat template cannot write the example's turns; "" where it can."""
        return self._why_unwritable(_form(example))

    def _why_unwritable(self, form: Form) -> str:
        if form not in self._unwritable:
            try:
                self._tokens_around(form)
                self._unwritable[form] = ""
            except UnwritableChat as error:
                remedy = "split it into conversations of one turn" if form[0] > 1 else "leave it out"
                self._unwritable[form] = (
                    f"{self._base} has no chat for its {form[0]} turns: {error}; {remedy}, or begin another run (run.uri) with a "
                    "base whose chat_template.jinja writes every turn in the same way"
                )
        return self._unwritable[form]

    def _too_long(self, example: Example, form: Form) -> str:
        """Why the example does not fit, with the numbers; "" where it does, as a video or as a picture if it may be either."""
        texts = sum([_num_bytes(prompt) + _num_bytes(answer) for prompt, answer in example.turns])
        if self._tokens_around(form) + texts <= self._counter.context_tokens:
            return ""
        details = [self._counter.too_long(sample, {PICTURE}) for sample in _samples(form, example.turns)]
        return details[0] if all(details) else ""

    def _tokens_around(self, form: Form) -> int:
        if form not in self._around:
            letters = [("q", "a")] * form[0]
            self._around[form] = max(self._counter.count(sample, {PICTURE}) for sample in _samples(form, letters))
        return self._around[form]


def clips_of(video: str) -> tuple[int, ...]:
    """What a file of that name may be, () for an example without one.

    >>> clips_of("a/b.JPG"), clips_of("https://host/a.mp4?key=1.png"), clips_of("")
    ((1,), (0,), ())
    >>> clips_of("a.gif"), clips_of("a.webp"), clips_of("COCO_000000012")
    ((0, 1), (0, 1), (0, 1))
    """
    if not video:
        return ()
    path = re.split("[?#]", video)[0] if video.startswith(("http://", "https://")) else video
    _, dot, suffix = path.rpartition("/")[2].rpartition(".")
    return _clips_of_suffix(dot + suffix)


@lru_cache(maxsize=1024)
def _clips_of_suffix(suffix: str) -> tuple[int, ...]:
    suffix = suffix.casefold()
    return (PICTURE,) if suffix in PICTURES else (VIDEO,) if suffix in VIDEOS else (VIDEO, PICTURE)


def _num_bytes(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))


def _form(example: Example) -> Form:
    return 1 + len(example.follow_ups), clips_of(example.video), example.shown_in


def _samples(form: Form, turns: Sequence[tuple[str, str]]) -> Iterator[list[Turn]]:
    """The example as a sample, once for each kind of clip that it may show."""
    _, clips, shown_in = form
    for clip in clips or (None,):
        yield [Turn(clip if number == shown_in else None, prompt, answer) for number, (prompt, answer) in enumerate(turns)]
