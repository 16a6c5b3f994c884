"""Does a text follow from its clip's video? It is read again after the video and after those of other clips.

docs/grounding.md has the formulas, where they come from, and what was measured.
"""

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from engine.generate.prompts import Prompts, answer_prompt
from engine.language.vocabulary import FUNCTION_WORDS
from engine.language.words import fold, label_words, lemmas, word_pattern
from engine.rows import Attempt, Clip, Grounding
from models.base import Likelihood, OutOfMemory, Passage, Video, VideoLLM, Watched

FEWEST_OTHERS = 2
"""Other clips that a text has to be compared with: a mismatched pair needs one more to be compared with itself."""
DIGITS = 4
"""Decimals of the columns, in nats."""


def others_of(clips: Sequence[Clip], most: int, seed: int) -> list[list[int]]:
    """For each clip of a piece the numbers of the clips that its text is compared with, at most so many; [] where too few can be.

    They have another label, and show nothing of the clip's own stretch of video. Which ones is drawn by the seed and the ids, those
    first that are asked the same question: texts that answer one question after one video share its reading.
    """
    others = []
    for clip in clips:
        able = [number for number, other in enumerate(clips) if other.label.text != clip.label.text and not _overlap(clip, other)]
        drawn = sorted(able, key=lambda number: (clips[number].question != clip.question, _rank(seed, clip, clips[number])))[:most]
        others.append(drawn if len(drawn) >= FEWEST_OTHERS else [])
    return others


def _overlap(clip: Clip, other: Clip) -> bool:
    """Whether both show a moment of one video."""
    if clip.video != other.video:
        return False
    start, end = max(clip.start_s or 0.0, other.start_s or 0.0), min(_end(clip), _end(other))
    return start < end


def _end(clip: Clip) -> float:
    return math.inf if clip.end_s is None else clip.end_s


def _rank(seed: int, clip: Clip, other: Clip) -> bytes:
    return hashlib.blake2b(f"{seed}/{clip.clip_id}/{other.clip_id}".encode(), digest_size=8).digest()


@dataclass(frozen=True)
class Readings:
    """The kept attempts of a piece, and what has to be read to score them: Readings(attempts, others, passages)."""

    clips: Sequence[Clip]
    attempts: list[list[Attempt]]
    """Of each clip."""
    others: list[list[int]]
    """See others_of."""
    passages: list[Passage]
    """For each kept attempt of a clip with others: its text after its own video, then after those of the others."""

    @classmethod
    def of(cls, clips: Sequence[Clip], attempts: list[list[Attempt]], most: int, seed: int, prompts: Prompts) -> "Readings":
        """All texts are read as answers to the direct question: a hint would explain them."""
        others = others_of(clips, most, seed)
        passages = [
            Passage(clip=number, question=answer_prompt(prompts, clips[own].question, clips[own].label), text=attempt.text)
            for own, of_clip in enumerate(attempts)
            for attempt in of_clip
            if attempt.outcome == "kept" and others[own]
            for number in [own, *others[own]]
        ]
        return cls(clips, attempts, others, passages)

    def grounded(self, likelihoods: Sequence[Likelihood | None]) -> list[list[Attempt]]:
        """The attempts with their scores. `likelihoods`: of the passages; None for one that could not be read."""
        left = iter(likelihoods)
        return [
            [
                _scored(attempt, self._grounding(own, next(left), [next(left) for _ in self.others[own]]))
                if attempt.outcome == "kept" and self.others[own]
                else attempt
                for attempt in of_clip
            ]
            for own, of_clip in enumerate(self.attempts)
        ]

    def _grounding(self, own: int, likelihood: Likelihood | None, others: Sequence[Likelihood | None]) -> Grounding | None:
        read = [(self.clips[number].clip_id, other) for number, other in zip(self.others[own], others, strict=True) if other]
        if likelihood is None or len(read) < FEWEST_OTHERS or not (tokens := reason_tokens(likelihood, self.clips[own].label.text)):
            return None
        return Grounding(
            tokens=len(tokens),
            own=_total(likelihood, tokens),
            others=tuple(_total(other, tokens) for _, other in read),
            clips=tuple(clip_id for clip_id, _ in read),
        )


def score(llm: VideoLLM, videos: Sequence[Video], passages: Sequence[Passage], watched: Watched | None) -> list[Likelihood | None]:
    """The likelihoods of the passages; None for one after a clip that takes more than the device's memory by itself.

    `watched`: the clips, with their prefixes; where it is None, or memory does not hold what is read, the clips are watched again
    in halves, each with the passages that are read after one of them.
    """
    if not passages:
        return []
    try:
        if watched is None:
            watched = llm.watch(videos, True)
            for clip in range(len(videos)):
                watched.leave(clip)
        return list(watched.score(passages))
    except OutOfMemory:
        pass  # its traceback holds what is to be freed
    finally:
        if watched is not None:
            watched.close()
        del watched
    if len(videos) == 1:
        return [None] * len(passages)
    likelihoods: list[Likelihood | None] = [None] * len(passages)
    half = len(videos) // 2
    for start, part in ((0, videos[:half]), (half, videos[half:])):
        numbers = [number for number, passage in enumerate(passages) if start <= passage.clip < start + len(part)]
        moved = [replace(passages[number], clip=passages[number].clip - start) for number in numbers]
        for number, likelihood in zip(numbers, score(llm, part, moved, None), strict=True):
            likelihoods[number] = likelihood
    return likelihoods


def _scored(attempt: Attempt, grounding: Grounding | None) -> Attempt:
    return replace(attempt, grounding=grounding, support=round(grounding.support, DIGITS)) if grounding else attempt


def _total(likelihood: Likelihood, tokens: Sequence[int]) -> float:
    return round(sum(likelihood.logprobs[token] for token in tokens), DIGITS)


def reason_tokens(likelihood: Likelihood, label: str) -> list[int]:
    """The tokens of the reason: of all words that say something about a video (not a, the, is), without forms of the label's words.

    That a text has its label is known, and behind a reason the label follows from the reason. A text of nothing else keeps it.

    >>> spans = ((0, 3), (3, 10), (10, 16), (16, 22), (22, 23))
    >>> reason_tokens(Likelihood(text="The circle ascends: rises.", spans=spans, logprobs=(0.0,) * 5), "rising")
    [1, 2, 3]
    >>> reason_tokens(Likelihood(text="It rises.", spans=((0, 2), (2, 8), (8, 9)), logprobs=(0.0,) * 3), "rising")
    [1]
    """
    label_forms = frozenset(form for word in label_words(label) for form in lemmas(word))
    matches = [match for match in word_pattern(likelihood.text).finditer(likelihood.text) if fold(match[0]) not in FUNCTION_WORDS]
    reasons = [match for match in matches if label_forms.isdisjoint(lemmas(fold(match[0])))]
    words = [match.span() for match in reasons or matches]
    tokens, first = [], 0
    for number, (start, end) in enumerate(likelihood.spans):
        while first < len(words) and words[first][1] <= start:
            first += 1
        if first < len(words) and words[first][0] < end:
            tokens.append(number)
    return tokens
