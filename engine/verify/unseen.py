"""Answers that say they have not seen the video: whatever they name is a guess, however it is put."""

import regex

_VIDEO = r"(?:(?:any|the|this|that|these|those|your|a|an)\s+)?(?:(?:actual|attached|provided|given|uploaded|whole)\s+)?"
_NAME = r"(?:videos?|clips?|footage|frames|images|attachments?|recordings?)\b(?!['’]s)"
_WHOLE = r"(?=\s*(?:$|[.,;:!?)]|so\b|but\b|i\b|we\b|and\s+(?:i|can|so)\b|itself\b|directly\b|or\b|here\b|you\b|from\b|at\s+all\b))"
"""What may follow: not "the video's end", nor "the frames of the door"."""
_CANNOT = (
    r"(?:can(?:no|')?t|can’t|cannot|can\s+not|could\s?n['’]?t|could\s+not|(?:am|'m|’m|was)\s+(?:unable|not\s+able)\s+to|unable\s+to"
    r"|do\s?n['’]t\s+have\s+access\s+to|do\s+not\s+have\s+access\s+to|have\s+no\s+access\s+to|did\s?n['’]t\s+receive"
    r"|did\s+not\s+receive|have\s+not\s+seen|have\s?n['’]t\s+seen)"
)
_SEE = r"(?:\s+(?:actually|directly|really|yet))?(?:\s+(?:see|view|watch|access|open|play|process|analy[sz]e|look\s+at|load))?\s+"
_UNSEEN = regex.compile(
    rf"\b(?:i|we|as\s+an\s+ai)\b[^.;!?\n]{{0,40}}?{_CANNOT}{_SEE}{_VIDEO}{_NAME}{_WHOLE}"
    rf"|\b(?:no|there\s+is\s+no|there\s+are\s+no)\s+{_NAME}\s+(?:is|was|are|were|has\s+been|have\s+been)?\s*"
    r"(?:attached|provided|shared|available|included|uploaded|given|visible|found|loaded)\b"
    rf"|\bwithout\s+(?:seeing|viewing|watching|having\s+seen|access\s+to)\s+{_VIDEO}{_NAME}{_WHOLE}"
    rf"|\bthe\s+{_NAME}\s+(?:is|are|appears?\s+to\s+be|seems?\s+to\s+be)\s+(?:completely\s+|entirely\s+|all\s+|just\s+|totally\s+)?"
    r"(?:black|blank|empty|missing|corrupted|unavailable|not\s+(?:available|visible|attached|provided|shown))\s*(?:$|[.;!]|,?\s+so\b)",
    regex.IGNORECASE,
)


def unseen_span(text: str) -> tuple[int, int] | None:
    """Where the text says that its writer has not seen the video; None where it does not.

    >>> text = "I can't see the video, but a typical activity here is doing yoga."
    >>> start, end = unseen_span(text)
    >>> text[start:end]
    "I can't see the video"
    >>> unseen_span("I cannot see the video's end, but he dives.")
    """
    match = _UNSEEN.search(text)
    return match.span() if match else None
