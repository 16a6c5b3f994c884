"""The tokens of a text that is read as the answer to a question, as generation would have made them."""

from models.native.processing import NativeProcessor
from models.passages import Tokens
from models.pllava.forms import Exchange


def passage_tokens(processor: NativeProcessor, question: str, text: str, stand_in: str, prefix_ids: list[int]) -> Tokens | None:
    """What stands behind the prefix: the question up to where an answer begins, and the text. The chat is tokenized in one go.

    `stand_in`: what stands for the video. None where the chat does not begin with the tokens that questions share: its first
    characters make one token with these.
    """
    text = processor.plain(text)
    begun = len(processor.whole(processor.chat([Exchange(question, None)]), [stand_in]))
    chat = processor.whole(processor.chat([Exchange(question, text)]), [stand_in])
    encoded = processor.tokenizer(chat, add_special_tokens=False, return_offsets_mapping=True)
    ids, offsets, shared = encoded["input_ids"], encoded["offset_mapping"], len(prefix_ids)
    if ids[:shared] != prefix_ids:
        return None
    first = next((i for i, (start, _) in enumerate(offsets) if i >= shared and start >= begun), len(ids))
    end = next((i for i, (start, _) in enumerate(offsets) if i >= first and start >= begun + len(text)), len(ids))
    spans = tuple((start - begun, min(stop - begun, len(text))) for start, stop in offsets[first:end])
    return Tokens(tuple(ids[shared:first]), tuple(ids[first:end]), text, spans)
