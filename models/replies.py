"""Generated tokens -> replies: the text of an answer, up to where it goes on as its own user."""

from collections.abc import Collection, Sequence
from typing import Protocol

from models.base import Reply, Sampling
from models.pllava.template import Form

SENTENCE_ENDS = (".", "!", "?", "\n", "。", "！", "？")


class Speaker(Protocol):
    """What a chat's tokenizer knows of answers."""

    @property
    def form(self) -> Form | None: ...

    @property
    def special_tokens(self) -> Collection[str]:
        """Texts of the tokens that are no text."""
        ...

    def decode(self, ids: Sequence[int], skip_special_tokens: bool = False) -> str: ...


def replies_of(speaker: Speaker, answers: Sequence[Sequence[int]], sampling: Sampling) -> list[Reply]:
    """The token ids of each answer as a reply."""
    replies = []
    for ids in answers:
        text, goes_on = own_turn(speaker, ids)
        replies.append(Reply(text=text, num_tokens=len(ids), finished=goes_on or len(ids) < sampling.max_tokens))
    return replies


def own_turn(speaker: Speaker, ids: Sequence[int]) -> tuple[str, bool]:
    """The text of an answer up to where it goes on as its own user, and whether it does so."""
    user, special = speaker.form.user if speaker.form else "", speaker.special_tokens
    whole = speaker.decode(ids)
    start = whole.find(user) if user else -1
    while start >= 0:
        before = whole[:start].rstrip(" ")
        if user[0] in "<[" or before.endswith((*SENTENCE_ENDS, *special)):
            for token in special:
                before = before.replace(token, "")
            return before.strip(), True
        start = whole.find(user, start + 1)  # a word of the answer, such as what a sign in the video says
    return speaker.decode(ids, skip_special_tokens=True).strip(), False
