"""Token ids of an answer -> the reply: its text, up to a stop text or to where it goes on as its own user."""

from collections.abc import Sequence

from models.base import Reply, Sampling
from models.pllava.processing import PllavaProcessor
from models.stops import first_stop

SENTENCE_ENDS = (".", "!", "?", "\n", "。", "！", "？")


def replies_of(processor: PllavaProcessor, answers: Sequence[Sequence[int]], sampling: Sampling) -> list[Reply]:
    """The token ids of each answer as a reply; an answer that was begun for the model has that beginning too."""
    replies, start = [], processor.chat_spec.answer_start
    for ids in answers:
        text, is_cut = answer_of(processor, ids, sampling.stop)
        reply_text = (start + text).rstrip() if start else text.strip()
        replies.append(Reply(text=reply_text, num_tokens=len(ids), finished=is_cut or len(ids) < sampling.max_tokens))
    return replies


def answer_of(processor: PllavaProcessor, ids: Sequence[int], stop: Sequence[str] = ()) -> tuple[str, bool]:
    """The text that the model wrote, and whether more of it was cut off: at a stop text, or where it goes on as its own user."""
    special = processor.tokenizer.special_tokens
    whole = processor.answer_text(ids)
    end = first_stop(whole, stop)
    before = whole[:end]
    if (turn := _next_turn(processor, before)) is not None:
        before, end = before[:turn].rstrip(" "), turn
    if end is None:
        return processor.answer_text(ids, skip_special_tokens=True), False
    for token in special:
        before = before.replace(token, "")
    return before, True


def _next_turn(processor: PllavaProcessor, text: str) -> int | None:
    """Where the text goes on as the user's next turn. Elsewhere "USER:" is a word of the answer: what a sign in the video says."""
    tokenizer = processor.tokenizer
    user, special = tokenizer.form.user if tokenizer.form else "", tokenizer.special_tokens
    start = text.find(user) if user else -1
    while start >= 0:
        if user[0] in "<[" or text[:start].rstrip(" ").endswith((*SENTENCE_ENDS, *special)):
            return start
        start = text.find(user, start + 1)
    return None
