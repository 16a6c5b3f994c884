"""Texts that end an answer, looked for in the tokens as they come: a text may begin within one token and end within another."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

BESIDE = 8
"""Tokens before those of a stop text that are decoded with them: the first ones of a stretch may lose a blank, or half a letter."""


def first_stop(text: str, stops: Sequence[str]) -> int | None:
    """Where the first of the stop texts begins, None where there is none.

    >>> first_stop("It rises.\\n### USER:", ("USER:", "###")), first_stop("It rises.", ("###",))
    (10, None)
    """
    return min((at for stop in stops if (at := text.find(stop)) >= 0), default=None)


@dataclass(frozen=True)
class StopTexts:
    """Tells whether an answer has come to one of the texts: StopTexts(("###", "USER:"), tokenizer.decode).ends([78, 29901])"""

    texts: tuple[str, ...]
    decode: Callable[[Sequence[int]], str]

    @property
    def longest(self) -> int:
        """Tokens that a stop text has at most: one for each of its bytes."""
        return max((len(text.encode()) for text in self.texts), default=0)

    def ends(self, ids: Sequence[int]) -> bool:
        """True if one of the texts stands at the answer's last token. It is to be called for each token that comes."""
        return bool(self.texts) and first_stop(self.decode(ids[-self.longest - BESIDE :]), self.texts) is not None


NO_STOPS = StopTexts((), lambda ids: "")
