"""What the sampler and the split know of a clip: its action, and which seconds of which video it shows."""

from dataclasses import dataclass

Action = tuple[str, str]
"""(verb, noun)"""


@dataclass(frozen=True, slots=True)
class Footage:
    """Footage("cut", "onion", "P01_03.mp4", 12.0, 20.0): verb, noun, video, and the window in seconds.

    >>> early, late = Footage("cut", "onion", "a.mp4", None, 8.0), Footage("cut", "onion", "a.mp4", 8.0, None)
    >>> early.overlaps(late), early.overlaps(early)
    (False, True)
    """

    verb: str
    noun: str
    video: str
    start_s: float | None
    """None: from the start of the video."""
    end_s: float | None
    """None: to the end of the video."""

    @property
    def action(self) -> Action:
        return self.verb, self.noun

    @property
    def first_s(self) -> float:
        return self.start_s or 0.0

    @property
    def last_s(self) -> float:
        return self.end_s if self.end_s is not None else float("inf")

    def overlaps(self, other: "Footage") -> bool:
        """True if both show the same video and have a moment of it in common."""
        return self.video == other.video and self.first_s < other.last_s and other.first_s < self.last_s
