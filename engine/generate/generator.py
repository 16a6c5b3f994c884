"""The GPU actor: answer, verify, rationalize the rejects, verify. One call a piece; each video is encoded and prefilled once."""

import json
from collections import Counter
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from engine.decode.stage import Origin, frames_of
from engine.generate.prompts import Prompts, answer_prompt, rationalize_prompt
from engine.generate.seeds import derive_seed
from engine.generate.watch import PIECE_TRIES, begin
from engine.language import similarity
from engine.rows import ATTEMPTS, Attempt, Clip, Failure, Mode
from engine.store.files import Store
from engine.store.filesystems import Storage
from engine.store.weights import local
from engine.verify.verdict import VerifySpec, verify
from models.base import ModelSpec, Reply, Sampling, VideoLLM, Watched
from models.registry import load


@dataclass(frozen=True, kw_only=True)
class GenerateSpec:
    """GenerateSpec(model=ModelSpec(base="tiny"), prompts=STRICT, sampling=Sampling(temperature=0, max_tokens=64), ...)"""

    model: ModelSpec
    storage: Storage
    """Fetches the model's files."""
    prompts: Prompts
    sampling: Sampling
    verify: VerifySpec
    rationalize: bool
    run_seed: int
    cycle: int


class Generator:
    """Built once per actor: loads the model; then maps decoded pieces to attempts."""

    def __init__(self, spec: GenerateSpec, watch: Any) -> None:
        """`watch`: handle of the step's Watch (engine/generate/watch.py)."""
        self.spec, self._watch = spec, watch
        similarity.of(spec.verify.sentence_model)
        self.llm: VideoLLM = load(local(spec.model, spec.storage))

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        piece_id = row["piece_id"]
        clips = [Clip.from_row(value) for value in json.loads(row["clips"])]
        frames, found = frames_of(row, self.llm.frames)
        if (begun := begin(self._watch, piece_id)) > PIECE_TRIES:
            detail = f"the model went down {begun - 1} times while it answered about this clip's piece {piece_id}"
            found = [origin if isinstance(origin, Failure) else Failure(kind="crashed", detail=detail) for origin in found]
        watched = [clip for clip, one in zip(clips, found, strict=True) if isinstance(one, Origin)]  # whose frames there are
        found = [one if isinstance(one, Failure) else self._fits(clip) or one for clip, one in zip(clips, found, strict=True)]
        attempts = [self._failed(piece_id, clip, one) for clip, one in zip(clips, found, strict=True) if isinstance(one, Failure)]
        seen = [(clip, one) for clip, one in zip(clips, found, strict=True) if isinstance(one, Origin)]
        if seen:
            fitting = {clip.clip_id for clip, _ in seen}
            frames = frames[[clip.clip_id in fitting for clip in watched]]
            attempts += self._attempt(piece_id, seen, self.llm.watch(frames))
        return {"piece_id": piece_id, "attempts": json.dumps([attempt.to_row() for attempt in attempts])}

    def _fits(self, clip: Clip) -> Failure | None:
        """A failure where one of the clip's prompts leaves no room in the model's context for an answer."""
        spec, context = self.spec, self.llm.context_tokens
        prompts = {"question": answer_prompt(spec.prompts, clip.question)}
        if spec.rationalize:
            prompts["question with its label"] = rationalize_prompt(spec.prompts, clip.question, clip.label)
        for what, prompt in prompts.items():
            tokens = len(self.llm.prompt_token_ids(prompt))
            if tokens + spec.sampling.max_tokens > context:
                detail = (
                    f"its {what} makes a prompt of {tokens} tokens, the video's included, and with generate.max_tokens = "
                    f"{spec.sampling.max_tokens} that is more than the model's context of {context}; shorten it, or lower "
                    "model.pooling_shape"
                )
                return Failure(kind="too_long", detail=detail)
        return None

    def _attempt(self, piece_id: str, seen: list[tuple[Clip, Origin]], watched: Watched) -> list[Attempt]:
        everyone = list(range(len(seen)))
        direct = self._ask(piece_id, seen, watched, everyone, "direct")
        if not self.spec.rationalize:
            return direct
        rejected = [i for i, attempt in zip(everyone, direct, strict=True) if attempt.outcome == "rejected"]
        return direct + self._ask(piece_id, seen, watched, rejected, "rationalized")

    def _ask(self, piece_id: str, seen: list[tuple[Clip, Origin]], watched: Watched, rows: list[int], mode: Mode) -> list[Attempt]:
        spec, asked = self.spec, [seen[i][0] for i in rows]
        prompts = [
            answer_prompt(spec.prompts, clip.question)
            if mode == "direct"
            else rationalize_prompt(spec.prompts, clip.question, clip.label)
            for clip in asked
        ]
        seeds = [derive_seed(spec.run_seed, spec.cycle, clip.clip_id, mode) for clip in asked]
        replies = watched.reply(rows, prompts, seeds, spec.sampling)
        return [
            self._judged(piece_id, seen[i], mode, prompt, seed, reply)
            for i, prompt, seed, reply in zip(rows, prompts, seeds, replies, strict=True)
        ]

    def _judged(self, piece_id: str, seen: tuple[Clip, Origin], mode: Mode, prompt: str, seed: int, reply: Reply) -> Attempt:
        clip, origin = seen
        verdict = verify(reply.text, clip.question, clip.label, mode, reply.finished, self.spec.verify)
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
            etag=origin.etag,
            in_order=origin.in_order,
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
            etag="",
            in_order=False,
        )


def write_piece(row: dict[str, Any], store: Store, folder: str) -> dict[str, Any]:
    """Publish a piece's attempts, kept, rejected and failed alike, under the piece's own name; yields what progress needs."""
    attempts = json.loads(row["attempts"])
    store.write_table(f"{folder}/{row['piece_id']}.parquet", pa.Table.from_pylist(attempts, schema=ATTEMPTS))
    return {
        "piece_id": row["piece_id"],
        "clips": len({attempt["clip_id"] for attempt in attempts}),
        "kept": sum(attempt["outcome"] == "kept" for attempt in attempts),
        "failed": json.dumps(Counter(attempt["reason"] for attempt in attempts if attempt["outcome"] == "failed")),
    }
