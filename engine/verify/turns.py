"""Reject an answer that goes on as its own user: after its own turn it writes the next one, and often answers that too."""

import re

from engine.labels import All, AnyOf, Label

ROLES = "user|assistant|human|system|gpt|bot"
TURN_MARKER = re.compile(
    r"\[/?INST\]|<</?SYS>>|<\|[A-Za-z_]+\|>|</?s>|<(?:start|end)_of_turn>|<(?:bos|eos)>"
    rf"|\b(?:{ROLES.upper()})[ \t]*:"
    rf"|^[ \t]*(?:#+[ \t]*)?(?i:{ROLES})[ \t]*:"
    r"|(?<=\n)[ \t]*(?:#+[ \t]*)?(?i:question|instruction)[ \t]*:",
    re.MULTILINE,
)
"""What opens or closes a turn in the chat templates of Llama, Mistral, Vicuna, ChatML, Gemma, Alpaca and their kin. Roles in
lower case count at the start of a line only; a question only after an answer: its first line may repeat the question."""


def next_turn(text: str, label: Label) -> tuple[int, int] | None:
    """The characters of the first mark of another turn; None without one. A mark that the label itself holds does not count.

    >>> from engine.labels import Keywords
    >>> next_turn("It is rising. USER: Is it sinking? ASSISTANT: Yes, it is.", Keywords(text="rising"))
    (14, 19)
    >>> next_turn("The user: a man in red. Answer: rising", Keywords(text="rising"))
    >>> next_turn("The banner says [INST].", Keywords(text="[INST] banner"))
    """
    texts = _texts(label)
    for marker in TURN_MARKER.finditer(text):
        if not any(marker[0].strip() in label_text for label_text in texts):
            return marker.span()
    return None


def _texts(label: Label) -> list[str]:
    if isinstance(label, All | AnyOf):
        return [text for part in label.labels for text in _texts(part)]
    return [label.text, *getattr(label, "aliases", ())]
