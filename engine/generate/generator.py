"""The GPU actor: for each clip of a piece answer, verify, rationalize what was rejected, verify.

The clips of a piece are answered and verified at the same time: the model answers them as one batch, and a slow verifier holds up
no other piece.
"""

import asyncio
import json
import platform
import threading
from collections import Counter
from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import ray

from engine.decode.stage import Decoded, videos_of
from engine.generate.grounding import Readings, score
from engine.generate.measures import measured
from engine.generate.one_model import Loaded, note_model
from engine.generate.prompts import answer_prompt, rationalize_prompt
from engine.generate.seeds import derive_seed
from engine.generate.spec import GenerateSpec
from engine.generate.watch import ALONE_AFTER, PIECE_TRIES, Door, begin, begun, ending_with_its_engine
from engine.metrics.clock import WorkClock, decoded_at
from engine.rows import ATTEMPTS, Attempt, Clip, Failure, Mode
from engine.store.files import Store
from engine.verify.stages import Case, Verification
from models.base import OutOfMemory, Reply, Unanswerable, VideoLLM, Watched
from models.folders import has_lora
from models.registry import ELSEWHERE, engine_version, load

Subject = tuple[Clip, Decoded]
"""A clip and its frames."""


class Generator:
    """Built once per actor: loads the model; then maps decoded pieces to attempts, several at once where several are in flight."""

    def __init__(self, spec: GenerateSpec, watch: Any) -> None:
        """`watch`: handle of the step's Watch (engine/generate/watch.py)."""
        self.spec, self._watch = spec, watch
        if spec.store.read("config.json") is None:
            raise ValueError(
                f"{spec.store.uri} holds no run on node {platform.node()}; run.uri has to be an object store, or a folder that "
                "every node sees"
            )
        self._door = Door()
        self._finished: list[str] = []
        """Pieces whose attempts are made and that the Watch still counts."""
        self._verification = Verification(spec.verify)
        self._verifying = _loop_in_a_thread()
        """All verifiers of all pieces run on this event loop, which lives as long as the actor: a client may be bound to it."""
        model = spec.local_model()
        self.llm: VideoLLM = load(model, spec.device, spec.engine)
        if spec.must_score and not self.llm.scores:
            raise ValueError(
                f"generate.grounding = {spec.grounding}, and {spec.model.base} cannot read a text again after a video: some of its "
                "layers keep no prefix; leave generate.grounding out, or set it to 0"
            )
        dtype = "" if spec.engine.name in ELSEWHERE else spec.device.dtype
        engine = engine_version(spec.engine.name)
        loaded = Loaded(digest=self.llm.digest, base=spec.model.base, engine=engine, dtype=dtype)
        note_model(spec.store, spec.step, loaded, has_lora=dtype != "" and has_lora(model.base, model.adapter))
        self._clock = WorkClock(ray.get_runtime_context().get_actor_id() or "")

    @ending_with_its_engine
    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        several = self.spec.engine.in_flight > 1
        alone = not several or begun(self._watch, row["piece_id"]) >= ALONE_AFTER
        with self._door.enter(alone), self._clock.piece(decoded_at(row)) as worked:
            attempts = self._answer_piece(row)
        took = {name: row.get(name, 0) for name in ("decode_s", "bytes_read")}
        return attempts | {"took": json.dumps(took | {"worked": worked})}

    def _answer_piece(self, row: dict[str, Any]) -> dict[str, Any]:
        piece_id = row["piece_id"]
        clips = [Clip.from_row(value) for value in json.loads(row["clips"])]
        results = videos_of(row)
        finished, self._finished = self._finished, []
        if (times_begun := begin(self._watch, piece_id, [other for other in finished if other != piece_id])) > PIECE_TRIES:
            detail = f"the model went down {times_begun - 1} times while it answered about this clip's piece {piece_id}"
            crashed = Failure(kind="crashed", detail=detail)
            results = [result if isinstance(result, Failure) else crashed for result in results]
        results = [
            result if isinstance(result, Failure) else self._refuse_long(clip, result) or result
            for clip, result in zip(clips, results, strict=True)
        ]
        subjects = [(clip, result) for clip, result in zip(clips, results, strict=True) if isinstance(result, Decoded)]
        answered = iter(self._attempts(piece_id, subjects))
        attempts = [
            attempt
            for clip, result in zip(clips, results, strict=True)
            for attempt in ([self._failed(piece_id, clip, result)] if isinstance(result, Failure) else next(answered))
        ]
        self._finished.append(piece_id)
        rows = json.dumps([attempt.to_row() for attempt in attempts])
        return {"piece_id": piece_id, "file_name": row["file_name"], "attempts": rows}

    def _refuse_long(self, clip: Clip, decoded: Decoded) -> Failure | None:
        """A failure where one of the clip's prompts leaves no room in the model's context for an answer."""
        spec = self.spec
        prompts = {"question": answer_prompt(spec.prompts, clip.question, clip.label)}
        if spec.rationalize:
            prompts["question with its label"] = rationalize_prompt(spec.prompts, clip.question, clip.label)
        for name, prompt in prompts.items():
            if reason := self.llm.too_long(prompt, decoded.video, spec.sampling.max_tokens):
                detail = f"its {name} makes {reason}; shorten it, or lower model.pooling_shape in another run"
                return Failure(kind="too_long", detail=detail)
        return None

    def _attempts(self, piece_id: str, subjects: Sequence[Subject]) -> list[list[Attempt]]:
        """The attempts of each clip, with their grounding where it is asked for.

        What does not fit the device's memory at once is answered in halves, down to one clip. The clips that a text is compared
        with are those of the whole piece all the same; then they are watched again.
        """
        if not subjects:
            return []
        clips, spec = [clip for clip, _ in subjects], self.spec
        scores = bool(spec.grounding) and self.llm.scores
        try:
            attempts, watched = asyncio.run(self._answer_all(piece_id, subjects, scores))
        except OutOfMemory as error:
            attempts, watched = self._answer_halves(piece_id, subjects, error), None
        if not scores:
            return attempts
        readings = Readings.of(clips, attempts, spec.grounding, spec.run_seed, spec.prompts)
        videos = [decoded.video for _, decoded in subjects]
        try:
            likelihoods = score(self.llm, videos, readings.passages, watched)
        finally:
            del watched
        return readings.grounded(likelihoods)

    def _answer_halves(self, piece_id: str, subjects: Sequence[Subject], error: OutOfMemory) -> list[list[Attempt]]:
        if len(subjects) == 1:
            keys = "model.num_frames, model.pooling_shape or generate.max_tokens"
            detail = f"{error}; use a larger GPU, or lower {keys} in another run"
            return [[self._failed(piece_id, subjects[0][0], Failure(kind="out_of_memory", detail=detail))]]
        half, attempts = len(subjects) // 2, list[list[Attempt]]()
        for part in (subjects[:half], subjects[half:]):
            try:
                attempts += asyncio.run(self._answer_all(piece_id, part, False))[0]
            except OutOfMemory as again:
                attempts += self._answer_halves(piece_id, part, again)
        return attempts

    async def _answer_all(self, piece_id: str, subjects: Sequence[Subject], scores: bool) -> tuple[list[list[Attempt]], Watched]:
        """The attempts of each clip, and the clips as they are watched: for `scores` what was computed of them is still there."""
        watched = self.llm.watch([decoded.video for _, decoded in subjects], scores)
        answers = [self._answer(piece_id, number, subject, watched) for number, subject in enumerate(subjects)]
        results = await asyncio.gather(*answers, return_exceptions=True)
        attempts = [result for result in results if not isinstance(result, BaseException)]
        if len(attempts) == len(results):
            return attempts, watched
        watched.close()
        errors = [result for result in results if isinstance(result, BaseException)]
        try:
            raise min(errors, key=lambda error: not isinstance(error, OutOfMemory))
        finally:  # the error's traceback holds this frame, which would keep the piece's frames until a garbage collection
            del results, errors, answers, watched

    async def _answer(self, piece_id: str, number: int, subject: Subject, watched: Watched) -> list[Attempt]:
        """A clip's attempts: direct ones, and where all are rejected a rationalization; one that is refused is a failure."""
        try:
            attempts = await self._ask(piece_id, number, subject, watched, "direct", self.spec.samples)
            if self.spec.rationalize and all(attempt.outcome == "rejected" for attempt in attempts):
                attempts += await self._ask(piece_id, number, subject, watched, "rationalized", 1)
            return attempts
        finally:
            watched.leave(number)

    async def _ask(self, piece_id: str, number: int, subject: Subject, watched: Watched, mode: Mode, samples: int) -> list[Attempt]:
        """One question, answered so many times from the clip's prefix. A sample that the model refuses fails its clip."""
        spec, (clip, _) = self.spec, subject
        prompt = (
            answer_prompt(spec.prompts, clip.question, clip.label)
            if mode == "direct"
            else rationalize_prompt(spec.prompts, clip.question, clip.label)
        )
        seeds = [derive_seed(spec.run_seed, spec.cycle, clip.clip_id, mode, sample) for sample in range(samples)]
        futures = [asyncio.wrap_future(future) for future in watched.ask_all(number, prompt, seeds, spec.sampling)]
        replies = await asyncio.gather(*futures, return_exceptions=True)
        if refusals := [reply for reply in replies if isinstance(reply, BaseException)]:
            error = min(refusals, key=lambda error: isinstance(error, Unanswerable))
            if not isinstance(error, Unanswerable):
                raise error
            return [self._failed(piece_id, clip, Failure(kind=error.kind, detail=error.detail), mode)]
        judged = [
            self._judged(piece_id, subject, mode, prompt, (sample, seeds[sample]), reply)
            for sample, reply in enumerate(replies)
            if isinstance(reply, Reply)
        ]
        return list(await asyncio.gather(*judged))

    async def _judged(
        self, piece_id: str, subject: Subject, mode: Mode, prompt: str, drawn: tuple[int, int], reply: Reply
    ) -> Attempt:
        """`drawn`: the sample's number and its seed."""
        spec, (clip, decoded), (sample, seed) = self.spec, subject, drawn
        case = Case(clip=clip, mode=mode, prompt=prompt, text=reply.text, finished=reply.finished, seed=seed, video=decoded.video)
        judging = asyncio.run_coroutine_threadsafe(self._verification.judge(case), self._verifying)
        verdict, judgements = await asyncio.wrap_future(judging)
        return Attempt(
            piece_id=piece_id,
            clip_id=clip.clip_id,
            cycle=spec.cycle,
            mode=mode,
            outcome="kept" if verdict.keep else "rejected",
            reason=verdict.reason,
            detail=verdict.extracted,
            score=verdict.score,
            judgements=judgements,
            prompt=prompt,
            text=reply.text,
            num_tokens=reply.num_tokens,
            seed=seed,
            model=self.llm.digest,
            etag=decoded.etag,
            in_order=decoded.in_order,
            prompt_tokens=reply.prompt_tokens,
            signature=decoded.signature if mode == "direct" and not sample else "",
            sample=sample,
        )

    def _failed(self, piece_id: str, clip: Clip, failure: Failure, mode: Mode = "direct") -> Attempt:
        return Attempt(
            piece_id=piece_id,
            clip_id=clip.clip_id,
            cycle=self.spec.cycle,
            mode=mode,
            outcome="failed",
            reason=failure.kind,
            detail=failure.detail,
            score=0.0,
            judgements=(),
            prompt="",
            text="",
            num_tokens=0,
            seed=0,
            model=self.llm.digest,
            etag="",
            in_order=False,
        )


def _loop_in_a_thread() -> asyncio.AbstractEventLoop:
    """An event loop that runs until the process ends."""
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, name="verify", daemon=True).start()
    return loop


def write_piece(row: dict[str, Any], store: Store, folder: str) -> dict[str, Any]:
    """Publish a piece's attempts, kept, rejected and failed alike, under the piece's own name; yields what progress needs.

    The first copy stays: a node that was taken for lost may publish the piece a second time, even after the step is sealed.
    """
    attempts = json.loads(row["attempts"])
    store.create_table(f"{folder}/{row['file_name']}", pa.Table.from_pylist(attempts, schema=ATTEMPTS))
    return {
        "piece_id": row["piece_id"],
        "measured": json.dumps(measured(attempts) | json.loads(row["took"])),
        "clips": len({attempt["clip_id"] for attempt in attempts}),
        "kept": len({attempt["clip_id"] for attempt in attempts if attempt["outcome"] == "kept"}),
        "failed": json.dumps(Counter(attempt["reason"] for attempt in attempts if attempt["outcome"] == "failed")),
    }
