"""Ego4D narrations as plain English sentences."""

import re
import string


def clean(text: str) -> str:
    """The narration without Ego4D's marks (#C C, #unsure, <|eos|>), ending in a full stop.

    >>> clean("#C C drops #unsure on the countertop<|eos|>"), clean("#c C drops a plate "), clean("#C C looks at #unsure.")
    ('The camera wearer drops something on the countertop.', 'The camera wearer drops a plate.', 'The camera wearer looks at.')
    """
    sentence = re.sub(r"^#C\s+C\b", "The camera wearer", text.strip(), flags=re.IGNORECASE).removesuffix("<|eos|>").strip()
    sentence = re.sub(r"\s*#unsure\.?$", "", sentence, flags=re.IGNORECASE)
    sentence = re.sub(r"#unsure", "something", sentence, flags=re.IGNORECASE).strip()
    sentence = " ".join(sentence.split())
    return sentence if sentence[-1:] and sentence[-1] in string.punctuation else f"{sentence}."
