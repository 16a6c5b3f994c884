"""What the page's browser of clips is given: clips, all attempts at each across the steps, and what became of them. Pure."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from engine.audit.audit import Sample
from engine.audit.reviews import answer_id
from engine.audit.sheet import cells
from engine.labels import name_of, plain
from engine.report.figures import label_text
from engine.report.reasons import in_words, step_words
from engine.report.spans import LONGEST_TEXT, deciding_spans, segments
from engine.report.strips import Strip, key_of
from engine.rows import Attempt, Clip, Review, Window
from engine.run.plan import TRAIN
from engine.store.locations import masked
from engine.verify.verdict import VerifySpec

MEASURED = ("support", "other")
"""Figures of an attempt whose 0 says something."""


AttemptKey = tuple[str, int, str, int]
"""clip_id, cycle, mode and seed of an attempt."""


@dataclass(frozen=True, kw_only=True)
class Uses:
    """What select made of the attempts at the clips that are shown."""

    chosen: Mapping[AttemptKey, list[int]] = field(default_factory=dict)
    """The cycles whose select step made an example of an attempt."""
    trained: Mapping[AttemptKey, list[int]] = field(default_factory=dict)
    """Those of them whose finetune is done and used it."""
    copies: Mapping[str, str] = field(default_factory=dict)
    """clip_id -> where the clip is that it is a near-copy of, and that clip's id."""
    selected: frozenset[int] = frozenset()
    """Cycles whose select step is complete."""


@dataclass(frozen=True, kw_only=True)
class Teller:
    """Teller(spec=VerifySpec(), url="runs/a", words={}, uses=Uses()).story(clip, fate, [("base/evaluate", [attempt])], strip)"""

    spec: VerifySpec
    url: str
    """Of the run: videos inside it are named relative to it."""
    words: Mapping[str, Review]
    """What people say, by the id of the answer."""
    uses: Uses

    def story(self, clip: Clip, fate: str, steps: Sequence[tuple[str, Sequence[Attempt]]], strip: Strip) -> dict[str, Any]:
        """A value of JSON. `steps`: the steps that asked about the clip, each with its attempts."""
        return {
            "id": clip.clip_id,
            "split": clip.split,
            "label": label_text(name_of(clip.label)),
            "text": clip.label.text,
            "question": clip.question,
            "video": masked(clip.video.removeprefix(f"{self.url}/")),
            "window": window_of(clip),
            "description": clip.description,
            "fate": fate,
            "copy": self.uses.copies.get(clip.clip_id, ""),
            "key": key_of(clip),
            "strip": _strip(strip),
            "steps": [
                {"name": step_words(step), "attempts": [self._attempt(clip, attempt) for attempt in attempts]}
                for step, attempts in steps
            ],
        }

    def _attempt(self, clip: Clip, attempt: Attempt) -> dict[str, Any]:
        text = attempt.text[:LONGEST_TEXT]
        spans = [(start, min(end, LONGEST_TEXT)) for start, end in deciding_spans(clip, attempt, self.spec)]
        review = self.words.get(answer_id(clip, attempt.text)) if self.words else None
        value: dict[str, Any] = {
            "mode": attempt.mode,
            "outcome": attempt.outcome,
            "reason": attempt.reason,
            "segments": segments(text, spans),
            "cut": len(attempt.text) > LONGEST_TEXT,
            "use": self._use(attempt) if clip.split == TRAIN else "",
            "support": None if attempt.support is None else round(attempt.support, 2),
            "other": others_of(attempt),
            "detail": masked(attempt.detail) if attempt.outcome == "failed" else "",
            "score": round(attempt.score, 3),
            "sample": attempt.sample,
            "judge": [f"{of.stage}: {in_words(of.reason)} {of.detail}".strip() for of in attempt.judgements if of.model],
            "people": f"{review.people} {review.note}".strip() if review else "",
        }
        return {name: content for name, content in value.items() if content not in (None, "", []) and (content or name in MEASURED)}

    def _use(self, attempt: Attempt) -> str:
        """What select made of an attempt that is kept, by the verifiers or by a person; "" of others, and before it is asked."""
        key = (attempt.clip_id, attempt.cycle, attempt.mode, attempt.seed)
        for what, uses in (("trained on", self.uses.trained), ("selected", self.uses.chosen)):
            if cycles := uses.get(key):
                return f"{what} in cycle {' and '.join(map(str, cycles))}"
        return "kept, and not trained on" if attempt.outcome == "kept" and attempt.cycle in self.uses.selected else ""


def _strip(strip: Strip) -> dict[str, Any]:
    return {name: value for name, value in asdict(replace(strip, missing=masked(strip.missing))).items() if value}


def others_of(attempt: Attempt) -> float | None:
    """The grounding of pairs that do not belong together: their largest, with which `support` is compared."""
    mismatched = attempt.grounding.mismatched if attempt.grounding else ()
    return round(max(mismatched), 2) if mismatched else None


def window_of(clip: Clip) -> str:
    """
    >>> from engine.labels import Keywords
    >>> fields = dict(clip_id="a", video="a.mp4", question="", label=Keywords(text="x"), split="train", verb="", noun="")
    >>> window_of(Clip(start_s=1.5, end_s=None, description="", narrator="", **fields))
    '1.5 s to the end'
    """
    if clip.start_s is None and clip.end_s is None:
        return ""
    return f"{plain(clip.start_s or 0.0)} s to {'the end' if clip.end_s is None else f'{plain(clip.end_s)} s'}"


def audit_value(
    sample: Sample | None, words: Mapping[str, Review], strip_of: Callable[[Clip | Window], Strip]
) -> dict[str, Any] | None:
    """The sample as the page shows it, and exports it again: the cells of a row are those of `starloop audit`'s own file.

    None where it has no answer, as where all clips failed.
    """
    if sample is None or not sample.rows:
        return None
    return {
        "step": sample.step,
        "size": sample.size,
        "seed": sample.seed,
        "strata": dict(sample.strata),
        "strips": [_strip(strip_of(Window(video=row.video, start_s=row.start_s, end_s=row.end_s, etag=""))) for row in sample.rows],
        "rows": [
            cells(replace(row, video=masked(row.video)))
            | ({"people": words[row.answer].people, "note": words[row.answer].note} if row.answer in words else {})
            for row in sample.rows
        ],
    }
