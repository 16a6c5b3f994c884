"""Token ids of an answer -> the reply: its text, up to a stop text or to where it goes on as its own user."""

from collections.abc import Collection, Sequence
from typing import Protocol

from models.base import Reply, Sampling
from models.stops import first_stop

SENTENCE_ENDS = (".", "!", "?", "\n", "。", "！", "？")


class Speaker(Protocol):
    """What a checkpoint's chat says of answers."""

    @property
    def next_user(self) -> str:
        """What opens the user's next turn, such as "USER:"; "" where nothing does."""
        ...

    @property
    def special_tokens(self) -> Collection[str]:
        """Texts of the tokens that are no text."""
        ...

    @property
    def answer_start(self) -> str:
        """The text with which each answer is begun for the model."""
        ...

    def answer_text(self, ids: Sequence[int], skip_special_tokens: bool = False) -> str:
        """The text of an answer's token ids, behind the text with which the answer begins."""
        ...


def replies_of(speaker: Speaker, answers: Sequence[Sequence[int]], sampling: Sampling) -> list[Reply]:
    """The token ids of each answer as a reply; an answer that was begun for the model has that beginning too."""
    replies, start = [], speaker.answer_start
    for ids in answers:
        text, is_cut = answer_of(speaker, ids, sampling.stop)
        reply_text = (start + text).rstrip() if start else text.strip()
        replies.append(Reply(text=reply_text, num_tokens=len(ids), finished=is_cut or len(ids) < sampling.max_tokens))
    return replies


def answer_of(speaker: Speaker, ids: Sequence[int], stop: Sequence[str] = ()) -> tuple[str, bool]:
    """The text that the model wrote, and whether more of it was cut off: at a stop text, or where it goes on as its own user."""
    whole = speaker.answer_text(ids)
    end = first_stop(whole, stop)
    before = whole[:end]
    if (turn := _next_turn(speaker, before)) is not None:
        before, end = before[:turn].rstrip(" "), turn
    if end is None:
        return speaker.answer_text(ids, skip_special_tokens=True), False
    for token in speaker.special_tokens:
        before = before.replace(token, "")
    return before, True


def _next_turn(speaker: Speaker, text: str) -> int | None:
    """Where the text goes on as the user's next turn. Elsewhere "USER:" is a word of the answer: what a sign in the video says."""
    user, special = speaker.next_user, speaker.special_tokens
    start = text.find(user) if user else -1
    while start >= 0:
        if user[0] in "<[" or text[:start].rstrip(" ").endswith((*SENTENCE_ENDS, *special)):
            return start
        start = text.find(user, start + 1)
    return None
