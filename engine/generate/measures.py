"""What a piece's file says for the metrics, and the metrics of a generate or evaluate step that follow from it."""

import threading
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from engine.flow import Stage, StageState
from engine.metrics import emit
from engine.metrics.clock import Worked
from engine.metrics.idle import IdleAccount, Pool
from engine.metrics.table import (
    ATTEMPTS,
    BUSY_SECONDS,
    BYTES_READ,
    CLIPS,
    CLIPS_ENCODED,
    CLIPS_SHOWN,
    DECODE_SECONDS,
    GENERATOR_DEATHS,
    IDLE_SECONDS,
    PIECES,
    QUEUE,
    TOKENS,
)


def measured(attempts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Counts of a piece, from the rows of its attempts, in their order: a clip's outcome is its first kept one, or its last.

    >>> direct = {"clip_id": "a", "mode": "direct", "outcome": "rejected", "reason": "label_missing"}
    >>> direct |= {"num_tokens": 9, "prompt_tokens": 0}
    >>> rows = [direct, direct | {"mode": "rationalized", "outcome": "kept", "reason": "kept"}]
    >>> counts = measured(rows)
    >>> counts["clips"], counts["attempts"]
    ([['kept', 'rationalized', 1]], [['direct', 'rejected', 1], ['rationalized', 'kept', 1]])
    >>> counts["tokens"], counts["encoded"], counts["shown"]
    (18, 1, 2)
    """
    decides: dict[str, Mapping[str, Any]] = {}
    for attempt in attempts:
        if attempt["clip_id"] not in decides or decides[attempt["clip_id"]]["outcome"] != "kept":
            decides[attempt["clip_id"]] = attempt
    clips = Counter(_outcome(attempt) for attempt in decides.values())
    answered = [attempt for attempt in attempts if attempt["outcome"] != "failed"]
    judgements = [judgement for attempt in attempts for judgement in attempt.get("judgements", ())]
    return {
        "clips": [[*key, number] for key, number in clips.items()],
        "attempts": [[*key, number] for key, number in Counter((a["mode"], a["outcome"]) for a in attempts).items()],
        "tokens": sum(attempt["num_tokens"] for attempt in attempts),
        "prompt_tokens": sum(attempt["prompt_tokens"] or 0 for attempt in attempts),
        "judge": _summed(judgements, "num_tokens"),
        "judge_prompt": _summed(judgements, "prompt_tokens"),
        "encoded": len({attempt["clip_id"] for attempt in answered}),
        "shown": len(answered),
    }


def _summed(judgements: Sequence[Mapping[str, Any]], name: str) -> int:
    return sum(judgement[name] for judgement in judgements)


def _outcome(attempt: Mapping[str, Any]) -> tuple[str, str]:
    """Of a clip whose last attempt this is, with its reason; a kept one's is the mode that was kept."""
    if attempt["outcome"] == "kept":
        return "kept", attempt["mode"]
    return ("failed" if attempt["outcome"] == "failed" else "dropped"), attempt["reason"]


class Measures:
    """The metrics of one step: counts of its pieces, queues, and where the time of its generators goes. See Observer in flow.py."""

    def __init__(self, step: str, stages: Sequence[Stage]) -> None:
        self._step, self._stages, self._lock = step, [stage.name for stage in stages], threading.Lock()
        self._idle = IdleAccount(
            sum(stage.actors for stage in stages if stage.name == "generate"),
            add=lambda cause, seconds: emit.count(IDLE_SECONDS, step, seconds, cause=cause),
            busy=lambda seconds: emit.count(BUSY_SECONDS, step, seconds),
        )

    def begins(self, at: float) -> None:
        with self._lock:
            self._idle.begins(at)
        emit.count(GENERATOR_DEATHS, self._step, 0)

    def observe(self, at: float, stages: Sequence[StageState]) -> None:
        for stage in stages:
            emit.gauge(QUEUE, self._step, stage.waiting, stage=stage.name)
            if stage.name == "generate":
                with self._lock:
                    self._idle.observe(at, Pool(stage.alive, stage.restarting, stage.is_blocked))

    def ends(self, at: float) -> None:
        for stage in self._stages:
            emit.gauge(QUEUE, self._step, 0, stage=stage)
        with self._lock:
            self._idle.ends(at)

    def piece(self, counts: Mapping[str, Any]) -> None:
        """What write_piece and the generator measured."""
        step = self._step
        for outcome, reason, number in counts["clips"]:
            emit.count(CLIPS, step, number, outcome=outcome, reason=reason)
        for mode, outcome, number in counts["attempts"]:
            emit.count(ATTEMPTS, step, number, mode=mode, outcome=outcome)
        for kind, name in (("answer", "tokens"), ("prompt", "prompt_tokens")):
            emit.count(TOKENS, step, counts[name], kind=kind)
        for kind in ("judge", "judge_prompt"):
            if counts[kind]:
                emit.count(TOKENS, step, counts[kind], kind=kind)
        for metric, name in (
            (CLIPS_ENCODED, "encoded"),
            (CLIPS_SHOWN, "shown"),
            (DECODE_SECONDS, "decode_s"),
            (BYTES_READ, "bytes_read"),
        ):
            emit.count(metric, step, counts[name])
        emit.count(PIECES, step, 1)
        with self._lock:
            self._idle.piece(Worked(**counts["worked"]))
