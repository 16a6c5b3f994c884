"""The VideoLLM behind an OpenAI-compatible server: questions become requests at once, and the server batches them.

There is no checkpoint here: what the model watches is what [generate.openai] says, and the server decides what is too long.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any, Literal

import numpy as np

from models.base import (
    ChatSpec,
    Device,
    EngineSpec,
    Evenly,
    FrameSpec,
    KeepAspect,
    Likelihood,
    ModelAway,
    ModelSpec,
    Passage,
    Reply,
    Sample,
    Sampling,
    Unanswerable,
    Video,
)
from models.endpoint.address import Endpoint
from models.endpoint.answers import Completion
from models.endpoint.client import ChatClient
from models.endpoint.messages import Part, Send, chat_of, media_of, parts_of, question_of
from models.endpoint.pictures import PictureFormat

NUM_FRAMES = 16
"""Of a video, where neither the section nor model.num_frames gives a number."""
MIN_PIXELS, MULTIPLE_PX = 112 * 112, 2
"""Of a frame: servers refuse pictures of a few pixels, and cut an odd side."""
SEED_BITS = 31
"""Of the seed that is sent: some servers take no larger number."""
GREETING_S = 10.0
"""Patience of the question by which a driver finds out whether the server is there, before anything else is done."""
SCORES = False
"""Whether it gives the likelihoods of texts: servers of this kind write them for what they generate alone."""
SHIFTING = "fp_"
"""How fingerprints begin by which vendors tell apart the machines that serve one model: they change from answer to answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """The section [generate.openai] of engine/config.py, where each key is described; prices are the engine's affair."""

    url: str
    model: str
    key_env: str
    frames: int | None
    max_pixels: int
    send: Send
    picture_format: PictureFormat
    times: bool
    max_tokens_key: Literal["max_tokens", "max_completion_tokens"]
    omit: tuple[str, ...]
    body: Mapping[str, Any]
    concurrency: int
    patience_s: float
    timeout_s: float

    @classmethod
    def of(cls, engine: EngineSpec) -> "Options":
        return cls(**{option.name: engine.options[option.name] for option in fields(cls)})

    @property
    def endpoint(self) -> Endpoint:
        return Endpoint(**{field.name: getattr(self, field.name) for field in fields(Endpoint) if field.name != "section"})

    @property
    def shown(self) -> dict[str, Any]:
        """What of the section decides how a question looks to the server."""
        names = ("max_pixels", "send", "picture_format", "times", "omit", "body")
        return {name: value for name, value in asdict(self).items() if name in names}


def load(spec: ModelSpec, device: Device, engine: EngineSpec) -> "EndpointVideoLLM":
    """The model of `engine`; nothing is loaded, and `device` is not used.

    Raises ValueError where the server refuses the key, the model or a question with frames, ModelAway where none answers.
    """
    llm = _opened(Options.of(engine), frame_spec(spec, engine))
    try:
        return llm.greeted()
    except BaseException:
        llm.client.close()
        raise


def frame_spec(spec: ModelSpec, engine: EngineSpec) -> FrameSpec:
    """What the section says; its frames default to those of the run's own model."""
    options = Options.of(engine)
    size = KeepAspect(min_pixels=min(MIN_PIXELS, options.max_pixels), max_pixels=options.max_pixels, multiple_px=MULTIPLE_PX)
    return FrameSpec(choose=Evenly(options.frames or spec.num_frames or NUM_FRAMES), size=size)


def greet(spec: ModelSpec, engine: EngineSpec) -> str:
    """Ask the server a short question with two frames; returns the digest of its model. Raises as load does, but soon."""
    options = Options.of(engine)
    options = replace(options, patience_s=min(options.patience_s, GREETING_S))
    with _opened(options, frame_spec(spec, engine)).client as client:
        return EndpointVideoLLM(options, frame_spec(spec, engine), client).greeted().digest


def version() -> str:
    """What answers is the server's model; its name and the server's are in the digest."""
    return "openai"


def check(spec: ModelSpec, engine: EngineSpec) -> None:
    """Raises ValueError for what a server cannot be asked. A chat's form is the server's own affair."""
    plain = replace(ChatSpec(), form=spec.chat.form)
    if spec.chat != plain:
        raise ValueError(
            'generate.engine = "openai", and the prompt set of generate.prompts has a system text, an opening or an answer_start; '
            "give the server one without, or generate.openai.body"
        )


def _opened(options: Options, frames: FrameSpec) -> "EndpointVideoLLM":
    return EndpointVideoLLM(options, frames, ChatClient(options.endpoint, _probe(options)))


def _probe(options: Options) -> dict[str, Any]:
    """A question of few tokens, in the form of all others."""
    grey = Video(np.full((2, 112, 112, 3), 128, np.uint8), (0.0, 1.0))
    messages = question_of(_parts(options, grey), "What do you see? Answer with one word.")
    return body_of(options, messages, [grey], 0, Sampling(temperature=0.0, max_tokens=16))


def _parts(options: Options, video: Video) -> list[Part]:
    return parts_of(video, options.send, options.picture_format, options.times)


def body_of(
    options: Options, messages: list[dict[str, Any]], videos: Sequence[Video], seed: int, sampling: Sampling
) -> dict[str, Any]:
    """The request's JSON, without the model. `videos`: those that the messages show."""
    body = {
        "messages": messages,
        "temperature": sampling.temperature,
        options.max_tokens_key: sampling.max_tokens,
        "seed": seed % 2**SEED_BITS,
        **({"stop": list(sampling.stop)} if sampling.stop else {}),
        **media_of(videos, options.send),
    }
    return {name: value for name, value in body.items() if name not in options.omit} | dict(options.body)


def reply_of(completion: Completion, sampling: Sampling) -> Reply:
    """A server that gives no reason to finish has finished where tokens were left."""
    reason = completion.finish_reason
    is_finished = reason != "length" if reason else completion.num_tokens < sampling.max_tokens
    return Reply(
        text=completion.text,
        num_tokens=completion.num_tokens,
        finished=is_finished,
        prompt_tokens=completion.prompt_tokens,
    )


@dataclass(frozen=True, eq=False)
class EndpointVideoLLM:
    """See VideoLLM in models/base.py."""

    options: Options
    frames: FrameSpec
    client: ChatClient
    digest: str = ""
    answers_as: str = ""
    """What the server calls the model that answered the greeting; "" where it does not say."""
    scores = SCORES

    def greeted(self) -> "EndpointVideoLLM":
        """With the digest of what answers: the model as the server names it, and how it is shown a clip."""
        client, options = self.client, self.options
        try:
            served = client.start(client.served()).result()
            completion = client.start(client.greeting()).result()
        except Unanswerable as error:
            keys = "generate.openai.send, max_tokens_key, omit and body"
            raise ValueError(f"a test question with two grey frames failed: {error.detail}; see {keys}") from None
        except ModelAway as error:
            if client.is_refused:
                raise ValueError(str(error)) from None
            raise
        fingerprint = "" if completion.fingerprint.startswith(SHIFTING) else completion.fingerprint
        named = [served.get("root") or "", served.get("parent") or "", fingerprint, str(self.frames), options.shown]
        suffix = hashlib.sha256(json.dumps(named, sort_keys=True).encode()).hexdigest()[:12]
        digest = f"openai:{completion.model or options.model}@{options.endpoint.host}+{suffix}"
        return replace(self, digest=digest, answers_as=completion.model)

    def too_long(self, question: str, video: Video, max_tokens: int) -> str:
        """The server alone knows: it refuses what is."""
        return ""

    def watch(self, videos: Sequence[Video], scores: bool = False) -> "EndpointWatched":
        return EndpointWatched(self, {clip: (video, _parts(self.options, video)) for clip, video in enumerate(videos)})

    def converse(self, videos: Sequence[Video], samples: Sequence[Sample], seeds: Sequence[int], sampling: Sampling) -> list[Reply]:
        """All samples are asked at once. Raises Unanswerable, ModelAway."""
        parts_by_clip = {clip: _parts(self.options, video) for clip, video in enumerate(videos)}
        futures = []
        for sample, seed in zip(samples, seeds, strict=True):
            shown = [videos[turn.clip] for turn in sample if turn.clip is not None]
            futures.append(self.ask(chat_of(parts_by_clip, sample), shown, seed, sampling))
        return [future.result() for future in futures]

    def ask(self, messages: list[dict[str, Any]], shown: Sequence[Video], seed: int, sampling: Sampling) -> Future[Reply]:
        """Raises ModelAway in the future where another model answers than the digest names: a vendor has moved an alias."""

        async def answered() -> Reply:
            completion = await self.client.complete(body_of(self.options, messages, shown, seed, sampling))
            if self.answers_as and completion.model not in ("", self.answers_as):
                raise ModelAway(
                    f"{self.options.endpoint} answers as {completion.model!r} by now, and answered as {self.answers_as!r} when "
                    "this step's model was loaded; name one version of the model in generate.openai.model, and begin another run"
                )
            return reply_of(completion, sampling)

        return self.client.start(answered())


@dataclass(frozen=True, eq=False)
class EndpointWatched:
    """See Watched in models/base.py. The pictures of a clip are made once, and let go when it leaves."""

    llm: EndpointVideoLLM
    clips: dict[int, tuple[Video, list[Part]]] = field(default_factory=dict)

    def ask(self, clip: int, question: str, seed: int, sampling: Sampling) -> Future[Reply]:
        """Raises Unanswerable or ModelAway in the future."""
        video, parts = self.clips[clip]
        return self.llm.ask(question_of(parts, question), [video], seed, sampling)

    def ask_all(self, clip: int, question: str, seeds: Sequence[int], sampling: Sampling) -> list[Future[Reply]]:
        return [self.ask(clip, question, seed, sampling) for seed in seeds]

    def leave(self, clip: int) -> None:
        del self.clips[clip]

    def score(self, passages: Sequence[Passage]) -> list[Likelihood | None]:
        raise AssertionError("a server reads no texts (SCORES)")

    def close(self) -> None:
        """Nothing is held."""
