"""The second stage: a model behind an OpenAI-compatible server, asked what the rules leave open, and about a share of their keeps.

A server that is away is waited for, and then the step stops: no answer passes unjudged because of it. A reply without a verdict,
and a question that the server refuses, leave the verdict as it was, with a reason that is counted.
"""

import asyncio
import hashlib
from collections import OrderedDict
from typing import Any

from engine.rows import Usage, Verdict
from engine.verify.asking import client_of
from engine.verify.judging import OPEN, REFUSED, JudgeSpec, case_text, request_body, verdict_of
from engine.verify.stages import Case
from engine.verify.verdict import VerifySpec
from models.base import Unanswerable, Video
from models.endpoint.messages import parts_of, text_part

REMEMBERED = 1 << 15
"""Replies that an actor keeps: a piece that did not fit a GPU's memory is answered again in halves, and is not judged again."""


class Judge:
    """One for each actor; its client lives as long."""

    reviews = OPEN

    def __init__(self, spec: JudgeSpec) -> None:
        self.spec = spec
        self.client = client_of(spec)
        self._replies: OrderedDict[tuple[str, str, int, str], asyncio.Task[Verdict]] = OrderedDict()

    async def judge(self, case: Case) -> Verdict | None:
        """None where it is not asked. Raises ModelAway where the server does not answer within the patience."""
        before = case.verdict
        assert before is not None, "the rules come first"
        if before.keep and not is_sampled(self.spec, case):
            return None
        key = (case.clip.clip_id, case.mode, case.seed, case.text)
        if key not in self._replies:
            self._replies[key] = asyncio.create_task(self._ask(case, before))
            if len(self._replies) > REMEMBERED:
                self._replies.popitem(last=False)
        return await self._replies[key]

    async def _ask(self, case: Case, before: Verdict) -> Verdict:
        seed = int.from_bytes(hashlib.blake2b(f"{self.spec.run_seed}/{case.seed}".encode(), digest_size=8).digest(), "big")
        body = request_body(self.spec, content_of(self.spec, case), seed)
        try:
            completion = await asyncio.wrap_future(self.client.start(self.client.complete(body)))
        except Unanswerable as error:
            usage = Usage(model=self.spec.endpoint.model)
            return Verdict(keep=before.keep, reason=REFUSED, score=before.score, extracted=error.detail, usage=usage)
        return verdict_of(completion, before, self.spec)


def is_sampled(spec: JudgeSpec, case: Case) -> bool:
    """Whether a kept answer is among those that are judged: by seed, clip and mode alone."""
    digest = hashlib.blake2b(f"{spec.run_seed}/{case.clip.clip_id}/{case.mode}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") < spec.sample * 2**64


def content_of(spec: JudgeSpec, case: Case) -> str | list[dict[str, Any]]:
    """Of the user's turn: the case, after frames of the clip where the judge sees some."""
    text = case_text(case.clip.question, case.clip.label, case.text)
    if not spec.frames or case.video is None:
        return text
    return [*parts_of(fewer(case.video, spec.frames), "images", "jpeg", times=True), text_part(text)]


def fewer(video: Video, most: int) -> Video:
    """At most so many of its frames: the middle ones of equal stretches.

    >>> import numpy as np
    >>> fewer(Video(np.zeros((8, 2, 2, 3), np.uint8), tuple(map(float, range(8)))), 3).times_s
    (1.0, 4.0, 6.0)
    """
    total = len(video.times_s)
    if total <= most:
        return video
    chosen = [(2 * place + 1) * total // (2 * most) for place in range(most)]
    return Video(video.frames[chosen], tuple(video.times_s[number] for number in chosen))


def build(spec: VerifySpec) -> Judge:
    """Raises ValueError where no judge is named."""
    if spec.judge is None:
        raise ValueError('verify.stages has "judge", and [verify.judge] names no server')
    return Judge(spec.judge)
