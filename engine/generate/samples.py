"""What a reader should see of a generation before it is trained on: a few kept and dropped answers, and two warnings."""

import hashlib
import heapq
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from engine.generate.ledger import deciding
from engine.language.words import label_words, words
from engine.rows import Attempt, Clip

SHOWN = 5
COMPARED = 400
"""Kept answers, drawn at random, in which a template is looked for."""
SHOWN_CHARS = 160
RATIONALIZED_SHARE = 0.8
"""Kept answers that needed the label as a hint, above which a generation is doubtful: the model knows little by itself."""
TEMPLATE_SHARE, FEWEST_COMPARED = 0.65, 5
"""Mean share of an answer's words, its label's left out, that most other kept answers have too. It was .92 where the toy described
real clips, and is .59 in the demo's world, where answers do follow one pattern (docs/decisions.md)."""


@dataclass(frozen=True, order=True, slots=True)
class _Drawn:
    """An answer with its random rank: _Drawn(-93106548213, "c1", "rising", "It rises.", "direct"). The highest ranks are drawn."""

    rank: int
    """At most 0; it follows from the run's seed, the clip and the mode, so the same answers are drawn in every run."""
    clip_id: str
    label: str
    text: str
    note: str
    """The reason of a dropped answer, the mode of a kept one."""


@dataclass
class Samples:
    """Draws answers over all clips of a step, piece by piece; see Tally in engine/generate/attempts.py."""

    seed: int
    kept: list[_Drawn] = field(default_factory=list)
    dropped: list[_Drawn] = field(default_factory=list)
    modes: Counter[str] = field(default_factory=Counter)
    """Kept answers by mode."""

    def add(self, clips: Sequence[Clip], attempts: Sequence[Attempt]) -> None:
        """The clips of a piece, and all attempts at them."""
        labels = {clip.clip_id: clip.label.text for clip in clips}
        for attempt in deciding(attempts).values():
            if attempt.outcome == "failed":
                continue
            is_kept = attempt.outcome == "kept"
            self.modes[attempt.mode] += is_kept
            digest = hashlib.sha256(f"{self.seed} {attempt.clip_id} {attempt.mode}".encode()).digest()
            drawn = _Drawn(
                rank=-int.from_bytes(digest[:6], "big"),  # a heap gives up its smallest
                clip_id=attempt.clip_id,
                label=labels[attempt.clip_id],
                text=attempt.text,
                note=attempt.mode if is_kept else attempt.reason,
            )
            heap, limit = (self.kept, COMPARED) if is_kept else (self.dropped, SHOWN)
            (heapq.heappush if len(heap) < limit else heapq.heappushpop)(heap, drawn)

    def lines(self) -> list[str]:
        """A few kept and a few dropped answers, a line each, and what is suspicious about what was kept."""
        shown = [("kept", sorted(self.kept, reverse=True)[:SHOWN]), ("dropped", sorted(self.dropped, reverse=True))]
        lines = [
            f"{name} ({answer.note})  {answer.clip_id} [{answer.label}]: {_excerpt(answer.text)}"
            for name, answers in shown
            for answer in answers
        ]
        return lines + self.warnings()

    def warnings(self) -> list[str]:
        """What is suspicious about the kept answers, a line each.

        >>> Samples(0, modes=Counter(direct=1, rationalized=9)).warnings()[0][:73]
        'warning: 9 of 10 kept answers are rationalized: shown the label, the mode'
        """
        num_kept, warnings = self.modes.total(), []
        if num_kept and self.modes["rationalized"] > RATIONALIZED_SHARE * num_kept:
            warnings.append(
                f"warning: {self.modes['rationalized']} of {num_kept} kept answers are rationalized: shown the label, the model "
                "explains it, and it seldom finds it by itself; read some before you train on them"
            )
        share = template_share([(answer.text, answer.label) for answer in self.kept])
        if share > TEMPLATE_SHARE:
            warnings.append(
                f"warning: the kept answers share one template: {share:.0%} of an answer's words, its label left out, are in most "
                "of them; a model that says the same of every clip may not look at the clips"
            )
        return warnings


def template_share(answers: Sequence[tuple[str, str]]) -> float:
    """The mean share of an answer's words, those of its label left out, that most of the answers have; 0 for a few answers.

    `answers`: text and label.

    >>> template_share([(f"The cross starts large and ends small, so the action is {label}.", label) for label in "abcde"])
    1.0
    """
    if len(answers) < FEWEST_COMPARED:
        return 0.0
    bags = [Counter(words(text)) - Counter(label_words(label)) for text, label in answers]
    frequent = Counter(word for bag in bags for word in bag)
    common = {word for word, times in frequent.items() if 2 * times > len(bags)}
    shares = [sum(times for word, times in bag.items() if word in common) / bag.total() for bag in bags if bag]
    return sum(shares) / len(shares) if shares else 0.0


def _excerpt(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= SHOWN_CHARS else f"{line[:SHOWN_CHARS]}..."
