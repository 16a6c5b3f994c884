"""Reject an answer that goes on as its own user: after its own turn it writes the next one, and often answers that too."""

import re

from engine.labels import All, AnyOf, Label

MARKUP = r"[ \t>*#_\-]*+(?:\d{1,2}[.)][ \t]*+[*_]*+)?+"
"""What may stand before a role in a line: a quote's, a list's, a headline's or a bold text's mark."""
COLON = r"[*_]*[ \t]*[:：]"
SPEAKERS, OTHERS = "user|assistant|gpt|chatgpt|用户|助手", "human|system|bot|ai|model|questioner"
"""Roles; the others are also words of an answer, so they count only where a question, or another role, comes behind."""
TURN_MARKER = re.compile(
    r"\[/?INST\]|<</?SYS>>|<[|｜][^<>|｜\n]{1,40}[|｜]>|<(?:start|end)_of_turn>|(?i:[<\[]/?(?:user|assistant|human|system)[>\]])"
    r"|\b(?:USER|ASSISTANT|HUMAN)[ \t]*[:：]"
    rf"|(?:^{MARKUP}|(?<=[.!?。！？…\"'”’)\]])[ \t]+)"
    rf"(?:(?i:{SPEAKERS}){COLON}|(?P<other>(?i:{OTHERS}){COLON})|(?:Question|Instruction){COLON})"
    rf"|^{MARKUP}(?:Q|Response|Input|问){COLON}|^[ \t]*#+[ \t]*(?i:{OTHERS}){COLON}",
    re.MULTILINE,
)
"""What opens or closes a turn in the chat templates of Llama, Mistral, Vicuna, ChatML, Gemma, DeepSeek, Alpaca and their kin, and
in plain transcripts: a role stands at the start of a line, or after a sentence."""
MARKING = "[<:："
"""Characters, one of which every mark of a turn holds."""
_EXCHANGE = re.compile(rf"[?？]|(?i:\b(?:{SPEAKERS})){COLON}")
"""What stands behind one of OTHERS where it speaks: a question, or another role."""
OWN_HEADER = re.compile(rf"\s*+{MARKUP}(?i:{SPEAKERS}|{OTHERS}|question|q|response|answer){COLON}")
END_MARK = re.compile(r"(?:</s>|<[|｜][^<>|｜\n]{0,20}(?i:end|eot|eos)[^<>|｜\n]{0,20}[|｜]>|<end_of_turn>|<eos>)$")
LONGEST_MARK = 60


def next_turn(text: str, label: Label) -> tuple[int, int] | None:
    """The characters of the first mark of another turn; None without one.

    An answer may begin with its own header and end with an end mark, and a mark that the label itself holds does not count.

    >>> from engine.labels import Keywords
    >>> next_turn("It is rising. USER: Is it sinking? ASSISTANT: Yes, it is.", Keywords(text="rising"))
    (14, 19)
    >>> next_turn("ASSISTANT: The user: a man in red. It is rising.<|im_end|>", Keywords(text="rising"))
    >>> next_turn("The banner says [INST].", Keywords(text="[INST] banner"))
    """
    if not any(character in text for character in MARKING):
        return None
    header, end = OWN_HEADER.match(text), len(text.rstrip())
    start = header.end() if header else 0
    while mark := END_MARK.search(text[:end], max(0, end - LONGEST_MARK)):
        end = len(text[: mark.start()].rstrip())
    texts = _texts(label)
    exchanges_end = -1
    for marker in TURN_MARKER.finditer(text, start, end):
        if marker["other"] and exchanges_end < 0:
            exchanges_end = max((match.end() for match in _EXCHANGE.finditer(text, start, end)), default=0)
        if marker["other"] and marker.end() >= exchanges_end:
            continue
        if marker[0].strip() and not any(marker[0].strip() in label_text for label_text in texts):
            return marker.end() - len(marker[0].lstrip()), marker.end()
    return None


def _texts(label: Label) -> list[str]:
    if isinstance(label, All | AnyOf):
        return [text for part in label.labels for text in _texts(part)]
    return [label.text, *getattr(label, "aliases", ())]
