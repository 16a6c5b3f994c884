"""The GPU actor: answer, verify, rationalize the rejects, verify. One call a piece; each video is encoded and prefilled once."""

import hashlib
import json
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from engine.data.decoder import frames_of
from engine.generate.prompts import Prompts, answer_prompt, rationalize_prompt
from engine.rows import ATTEMPTS, Attempt, Clip, Failure, Mode
from engine.store import Store
from engine.verify.verdict import VerifySpec, verify
from models.base import ModelSpec, Reply, Sampling, VideoLLM, Watched, load


@dataclass(frozen=True, kw_only=True)
class GenerateSpec:
    """GenerateSpec(model=ModelSpec(base="tiny"), prompts=STRICT, sampling=Sampling(temperature=0, max_tokens=64), ...)"""

    model: ModelSpec
    prompts: Prompts
    sampling: Sampling
    verify: VerifySpec
    rationalize: bool
    run_seed: int
    cycle: int


class Generator:
    """Built once per actor: loads the model; then maps decoded pieces to attempts."""

    def __init__(self, spec: GenerateSpec) -> None:
        self.spec = spec
        self.llm: VideoLLM = load(spec.model)

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        clips = [Clip.from_row(value) for value in json.loads(row["clips"])]
        frames, failures = frames_of(row, self.llm.frames)
        attempts = [self._failed(row["piece_id"], clip, failure) for clip, failure in zip(clips, failures, strict=True) if failure]
        seen = [clip for clip, failure in zip(clips, failures, strict=True) if not failure]
        if seen:
            attempts += self._attempt(row["piece_id"], seen, self.llm.watch(frames))
        return {"piece_id": row["piece_id"], "attempts": json.dumps([attempt.to_row() for attempt in attempts])}

    def _attempt(self, piece_id: str, clips: list[Clip], watched: Watched) -> list[Attempt]:
        everyone = list(range(len(clips)))
        direct = self._ask(piece_id, clips, watched, everyone, "direct")
        if not self.spec.rationalize:
            return direct
        rejected = [i for i, attempt in zip(everyone, direct, strict=True) if attempt.outcome == "rejected"]
        return direct + self._ask(piece_id, clips, watched, rejected, "rationalized")

    def _ask(self, piece_id: str, clips: list[Clip], watched: Watched, rows: list[int], mode: Mode) -> list[Attempt]:
        spec, asked = self.spec, [clips[i] for i in rows]
        prompts = [
            answer_prompt(spec.prompts, clip.question)
            if mode == "direct"
            else rationalize_prompt(spec.prompts, clip.question, clip.label)
            for clip in asked
        ]
        seeds = [derive_seed(spec.run_seed, spec.cycle, clip.clip_id, mode) for clip in asked]
        replies = watched.reply(rows, prompts, seeds, spec.sampling)
        return [
            self._judged(piece_id, clip, mode, prompt, seed, reply)
            for clip, prompt, seed, reply in zip(asked, prompts, seeds, replies, strict=True)
        ]

    def _judged(self, piece_id: str, clip: Clip, mode: Mode, prompt: str, seed: int, reply: Reply) -> Attempt:
        verdict = verify(reply.text, clip.label, mode, reply.finished, self.spec.verify)
        return Attempt(
            piece_id=piece_id,
            clip_id=clip.clip_id,
            cycle=self.spec.cycle,
            mode=mode,
            outcome="kept" if verdict.keep else "rejected",
            reason=verdict.reason,
            detail=verdict.extracted,
            score=verdict.score,
            prompt=prompt,
            text=reply.text,
            num_tokens=reply.num_tokens,
            seed=seed,
            model=self.llm.digest,
        )

    def _failed(self, piece_id: str, clip: Clip, failure: Failure) -> Attempt:
        return Attempt(
            piece_id=piece_id,
            clip_id=clip.clip_id,
            cycle=self.spec.cycle,
            mode="direct",
            outcome="failed",
            reason=failure.kind,
            detail=failure.detail,
            score=0.0,
            prompt="",
            text="",
            num_tokens=0,
            seed=0,
            model=self.llm.digest,
        )


def derive_seed(run_seed: int, cycle: int, clip_id: str, mode: Mode, attempt: int = 0) -> int:
    """63 bits that depend on what is asked and on nothing else: neither on the piece, nor on the machine, nor on time.

    >>> derive_seed(0, 0, "a", "direct") == derive_seed(0, 0, "a", "direct") != derive_seed(0, 1, "a", "direct")
    True
    """
    name = f"{run_seed}/{cycle}/{clip_id}/{mode}/{attempt}"
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big") >> 1


def write_piece(row: dict[str, Any], store: Store, folder: str) -> dict[str, Any]:
    """Publish a piece's attempts, kept, rejected and failed alike, under the piece's own name; yields what progress needs."""
    attempts = json.loads(row["attempts"])
    store.write_table(f"{folder}/{row['piece_id']}.parquet", pa.Table.from_pylist(attempts, schema=ATTEMPTS))
    return {
        "piece_id": row["piece_id"],
        "clips": len({attempt["clip_id"] for attempt in attempts}),
        "kept": sum(attempt["outcome"] == "kept" for attempt in attempts),
        "failed": sum(attempt["outcome"] == "failed" for attempt in attempts),
    }
