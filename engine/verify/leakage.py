"""Does a rationalization give away that it was told the answer?"""

import re

from engine.verify.text import normal

_GIVEAWAYS = re.compile(
    r"\b(?:the|this|your|a|given|provided) (?:hint|label|annotation)\b|\bhints? (?:says?|tells?|states?|suggests?|is|was)\b"
    r"|\b(?:given|provided|stated|correct|supplied) (?:answer|label)\b"
    r"|\bas (?:the )?(?:answer|label) (?:says?|states?|suggests?|indicates?)\b"
    r"|\b(?:i|we) (?:was|were|am|are) (?:told|given)\b|\baccording to the (?:answer|label|hint)\b"
)


def gives_away_hint(text: str) -> str:
    """The stretch that does, "" where none does.

    >>> gives_away_hint("As the label says, he dives."), gives_away_hint("He bends, leaps and dives.")
    ('as the label says', '')
    """
    match = _GIVEAWAYS.search(normal(text))
    return match.group(0) if match else ""
