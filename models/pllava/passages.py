"""The tokens of a text that is read as the answer to a question, as generation would have made them."""

from collections.abc import Sequence

from models.passages import Tokens
from models.pllava.forms import Exchange, PublishedForm
from models.pllava.pooling import Shape
from models.pllava.processing import PllavaProcessor


def passage_tokens(processor: PllavaProcessor, question: str, text: str, shape: Shape) -> Tokens:
    """What stands behind the video of that shape: the question up to where an answer goes on, and the text.

    A chat template's chat is tokenized in one go, as training does. Behind a published form the answer is tokenized alone, with
    the beginning that each answer has, as its training does.
    """
    text, start = processor.without_control_tokens(text), processor.answer_start
    own = text.removeprefix(start)
    if isinstance(processor.tokenizer.form, PublishedForm):
        before, first = processor.prompt_ids(question, shape)[1], len(processor.tokenizer.encode(start))
        encoded, offsets = processor.tokenizer.encode_with_offsets(start + own)
        spans = [(a - len(start), b - len(start)) for a, b in offsets[first:]]
        return Tokens(tuple(before), tuple(encoded[first:]), own, tuple((max(0, a), max(0, b)) for a, b in spans))
    begun = len(processor.conversation([Exchange(question, None)]))
    encoded, offsets = processor.tokenizer.encode_with_offsets(processor.conversation([Exchange(question, start + own)]))
    video_end = len(encoded) - encoded[::-1].index(processor.video_token_id or 0)
    first = next((i for i, (a, _) in enumerate(offsets) if a >= begun and i >= video_end), len(encoded))
    end = next((i for i, (a, _) in enumerate(offsets) if a >= begun + len(own) and i >= first), len(encoded))
    spans = [(a - begun, min(b - begun, len(own))) for a, b in offsets[first:end]]
    return Tokens(tuple(encoded[video_end:first]), tuple(encoded[first:end]), own, tuple(spans))


def behind_videos(
    processor: PllavaProcessor, exchanges: Sequence[Exchange], shapes: Sequence[Shape]
) -> tuple[list[int], list[int]]:
    """Token ids of a chat that waits for its last answer: up to the end of its last video, and behind it."""
    ids = processor.token_ids(processor.conversation(exchanges), shapes)
    end = len(ids) - ids[::-1].index(processor.video_token_id or 0)
    return ids[:end], ids[end:]
