"""Ego4D's marks in a narration, made plain sentences."""

import re
import string


def clean(text: str) -> str:
    """An Ego4D narration as a sentence.

    >>> clean("#C C drops #unsure on the countertop<|eos|>"), clean("#c C drops a plate "), clean("#C C looks at #unsure.")
    ('The camera wearer drops something on the countertop.', 'The camera wearer drops a plate.', 'The camera wearer looks at.')
    """
    said = re.sub(r"^#C\s+C\b", "The camera wearer", text.strip(), flags=re.IGNORECASE).removesuffix("<|eos|>").strip()
    said = re.sub(r"\s*#unsure\.?$", "", said, flags=re.IGNORECASE)
    said = re.sub(r"#unsure", "something", said, flags=re.IGNORECASE).strip()
    said = " ".join(said.split())
    return said if said[-1:] and said[-1] in string.punctuation else f"{said}."
