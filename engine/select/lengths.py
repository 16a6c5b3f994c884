"""Which examples are longer than the model's context, found out on the driver: by the base's tokenizer, without weights."""

from collections.abc import Iterator, Sequence

from engine.rows import Example, Unused
from engine.store.filesystems import Storage
from engine.store.weights import local
from models.base import ModelSpec, Turn
from models.folders import SMALL_FILES
from models.registry import sample_tokens, size

VIDEO, PICTURE = 0, 1
"""How the samples that are counted here name their clip."""
PICTURES = (".jpg", ".jpeg", ".png", ".webp", ".bmp")
EITHER = (".gif",)
"""Ends of the names of still pictures, and of files that hold a picture or a video. What a file really holds shows when it is
decoded: training counts again, and leaves out what the name did not tell."""
Form = tuple[int, tuple[int, ...], int]
"""Turns, what the clip may be, and the turn that shows it: examples of one form differ by their texts alone."""


class Lengths:
    """Counts tokens of examples. Most are so short that their bytes need no tokenizer: a token stands for a byte at least."""

    def __init__(self, base: ModelSpec, storage: Storage) -> None:
        self._spec = local(base, storage, SMALL_FILES)
        self._context = size(self._spec, lora_rank=1).context_tokens
        self._around: dict[Form, int] = {}
        """Tokens of the chat around the texts, with those of the clip."""
        self._tokens_around((1, (VIDEO,), 0))  # opens the tokenizer now, and not between two pieces that are being read

    def too_long(self, examples: Sequence[Example]) -> list[Unused]:
        """Those that do not fit, each with its numbers."""
        unsure = [example for example in examples if self._most_tokens(example) > self._context]
        tokens = self._tokens(unsure) if unsure else ()
        return [
            Unused(
                example_id=example.example_id,
                reason="too_long",
                detail=f"its {len(example.turns)} questions and answers take {count} tokens with what they show, and the model's "
                f"context is {self._context}; shorten or split it, or lower model.pooling_shape if it is about a video",
            )
            for example, count in zip(unsure, tokens, strict=True)
            if count > self._context
        ]

    def _most_tokens(self, example: Example) -> int:
        around = self._tokens_around(_form(example))
        return around + sum(len(text.encode("utf-8", "surrogatepass")) for turn in example.turns for text in turn)

    def _tokens_around(self, form: Form) -> int:
        if form not in self._around:
            one_letter = [("q", "a")] * form[0]
            self._around[form] = max(sample_tokens(self._spec, _samples(form, one_letter), {PICTURE}))
        return self._around[form]

    def _tokens(self, examples: Sequence[Example]) -> Iterator[int]:
        """Of each example; of one that may be a picture or a video, the larger number."""
        samples = [list(_samples(_form(example), example.turns)) for example in examples]
        counts = sample_tokens(self._spec, (sample for both in samples for sample in both), {PICTURE})
        return (max(next(counts) for _ in both) for both in samples)


def clips_of(video: str) -> tuple[int, ...]:
    """What a file of that name may be, () for an example without one.

    >>> clips_of("a/b.JPG"), clips_of("a.gif"), clips_of("a.mp4"), clips_of("")
    ((1,), (0, 1), (0,), ())
    """
    name = video.casefold()
    if not name:
        return ()
    return (VIDEO, PICTURE) if name.endswith(EITHER) else (PICTURE,) if name.endswith(PICTURES) else (VIDEO,)


def _form(example: Example) -> Form:
    return len(example.turns), clips_of(example.video), example.shown_in


def _samples(form: Form, turns: Sequence[tuple[str, str]]) -> Iterator[list[Turn]]:
    """The example as a sample, once for each kind of clip that it may show."""
    _, clips, shown_in = form
    for clip in clips or (None,):
        yield [Turn(clip if number == shown_in else None, prompt, answer) for number, (prompt, answer) in enumerate(turns)]
