"""[generate.vllm] and [generate.openai]: what the engines are told that are not the models' own; Server: the keys of any server."""

import re
from collections.abc import Mapping
from typing import Any, Literal, Self
from urllib.parse import SplitResult, urlsplit

from pydantic import Field, field_validator, model_validator

from engine.section import Section, cost
from models.vllm.arguments import refuse_decided


class Vllm(Section):
    """[generate.vllm]: how vLLM runs, where it is the engine."""

    memory_share: float | None = cost(None, gt=0, le=1)
    """Share of each of its GPUs' memory that an engine takes. Default: what its actor has of a GPU, less a tenth of a GPU. On CPUs
    it is a share of the machine's memory, and by default the engine keeps 2 GiB of keys and values."""
    max_model_len: int | None = cost(None, gt=0)
    """Maximum tokens of prompt and answer. Default: as much of the model's context as that memory holds."""
    max_num_seqs: int | None = cost(None, gt=0)
    """Answers that are generated at the same time. Default: one for each clip in flight."""
    enforce_eager: bool = cost(False)
    """Neither compile the model nor record CUDA graphs: a start of seconds, and slower answers."""
    block_size: int | None = cost(None, gt=0)
    """Tokens of a block of keys and values. Only whole blocks are shared between questions. Default: vLLM's; on CPUs 32."""
    batch_invariant: bool = cost(False)
    """Make an answer independent of what is answered beside it (VLLM_BATCH_INVARIANT), which takes time. Without it a killed step
    may end with other answers on a GPU, even at temperature 0: sums of bfloat16 depend on the batch."""
    engine_args: dict[str, Any] = cost({})
    """More arguments of vLLM's AsyncEngineArgs, by name."""

    @field_validator("engine_args")
    @classmethod
    def _free(cls, value: dict[str, Any]) -> dict[str, Any]:
        refuse_decided(value)
        return value


class Server(Section):
    """What every section has that names a server of OpenAI's chat protocol, as vLLM, SGLang, Ray Serve and vendors have."""

    url: str = cost("")
    """Address of the API, below which chat/completions lies: http://host:8000/v1."""
    model: str = ""
    """The model's name, as the server lists it."""
    key_env: str = cost("OPENAI_API_KEY")
    """The environment variable that holds the key, on each node. The key itself is never written anywhere."""
    max_tokens_key: Literal["max_tokens", "max_completion_tokens"] = cost("max_tokens")
    """The request's key for the most tokens of a reply: the newer models of OpenAI take max_completion_tokens only."""
    body: dict[str, Any] = Field(default={})
    """Further keys of each request, for example {chat_template_kwargs = {enable_thinking = false}}."""
    concurrency: int = cost(16, gt=0, le=4096)
    """Questions of each generator actor that are under way at once; the clips in its pieces in flight are another bound."""
    patience_s: float = cost(300.0, ge=0)
    """How long a question is asked again while the server is away, busy (HTTP 429) or in trouble (5xx). Then the step stops, and
    the same command goes on with it later: pieces that are written are not asked about again."""
    timeout_s: float = cost(600.0, gt=0)
    """Of one request."""
    price_in: float = cost(0.0, ge=0)
    """Price of a million prompt tokens, in any currency."""
    price_out: float = cost(0.0, ge=0)
    """Price of a million tokens of replies."""

    @property
    def name(self) -> str:
        """The model and where it is asked."""
        return f"{self.model} at {self.url}"

    @field_validator("url")
    @classmethod
    def _without_slash(cls, value: str) -> str:
        return value.strip().rstrip("/")

    @model_validator(mode="after")
    def _askable(self) -> Self:
        refuse_unaskable(self.url, self.key_env, self.body)
        return self


class OpenAI(Server):
    """What generate.engine = "openai" asks: a server of OpenAI's chat protocol, as vLLM, SGLang, Ray Serve and vendors have.

    It answers in the first cycle's generate step alone. All keys may change within a run; a step that was begun with a model, or
    with clips shown in one way, is refused with another one, because both belong to the digest of its model.
    """

    model: str = cost("")
    """The model's name, as the server lists it. It is part of the model's digest, and so not of the run's identity."""
    frames: int | None = cost(None, gt=0, le=1024)
    """Frames of a clip; default: model.num_frames, else 16."""
    max_pixels: int = cost(512 * 512, ge=28 * 28, le=4096 * 4096)
    """Maximum width times height of a frame, which is scaled down in its own aspect ratio."""
    send: Literal["images", "video"] = cost("images")
    """images: one image for each frame, which every server takes. video: all frames as one video with their seconds, in vLLM's own
    form; start vLLM with --trust-request-mm-kwargs."""
    picture_format: Literal["jpeg", "png"] = cost("jpeg")
    """Of images; png is exact and some ten times as large. A video has JPEG frames."""
    times: bool = cost(True)
    """Write before each image at which second of the clip it is shown. A video has its seconds in any case."""
    omit: tuple[Literal["temperature", "seed", "stop", "media_io_kwargs"], ...] = cost(())
    """Keys that the server does not take."""
    body: dict[str, Any] = cost({})
    """Further keys of each request, for example {chat_template_kwargs = {enable_thinking = false}}."""


def refuse_unaskable(url: str, key_env: str, body: Mapping[str, Any]) -> None:
    """Raises ValueError for what a server cannot be asked with. Messages are without the values: one of them may hold a key."""
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", key_env):
        raise ValueError("key_env is no name of an environment variable; the key itself does not belong into a configuration")
    if taken := {"messages", "model", "stream", "n"} & set(body):
        raise ValueError(f"body cannot have {', '.join(sorted(taken))}: these are Starloop's own")
    if not url:
        return
    parts = urlsplit(url)
    if "@" in parts.netloc or parts.query or parts.fragment:
        raise ValueError("url holds a user, a password or a query; give the plain address, and the key by key_env")
    if parts.scheme not in ("http", "https") or not parts.hostname or not _has_port(parts):
        raise ValueError(f"url = {url!r} is no address of a server; give one such as http://host:8000/v1")
    if parts.path.endswith(("/chat/completions", "/completions", "/models", "/responses")):
        raise ValueError(f"url = {url!r} names one call of the API; give what is before it, such as http://host:8000/v1")


def _has_port(parts: SplitResult) -> bool:
    """Whether the port is a number, or left out."""
    try:
        return parts.port is None or parts.port > 0
    except ValueError:
        return False
