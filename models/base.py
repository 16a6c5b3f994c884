"""What the engine asks of a model: dataclasses and Protocols only. models/registry.py finds the module that serves a checkpoint.

Shapes: B clips, T frames of H x W pixels, N samples, L tokens of a sample, V vocabulary.
"""

from collections.abc import Callable, Container, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

ENCODE_CLIPS = 8
"""Clips that go through tower and prefill at once. This bounds the memory of their activations, whatever the size of a piece."""


PoolingName = Literal["pllava", "llava_onevision", "llava_next_video", "perception_lm"]
"""The models whose pool a LLaVA can be given (models/pllava/pooling.py)."""
PoolMethod = Literal["average", "strided", "bilinear"]
"""average: means of windows that cover all patches, and overlap where the shape does not divide them. strided: means of windows of
one whole size; patches that are left over at the end are dropped. bilinear: interpolation between the two nearest patches."""
PoolPlace = Literal["before", "after"]
"""Of the projector. Its activation lies between, so the two give different tokens."""
FrameChoice = Literal["moments", "published", "spread"]
"""Which frames a model watches. moments: as its family does here, by presentation time. published: as its authors' code does.
spread: from the first frame to the last one, as EILEV's code does."""


Augment = Literal["none", "published"]
"""How a finetune changes pictures. published: as PLLaVA's 7B and 13B: random parts, mirrored at random, and ImageNet's means."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatSpec:
    """How a chat is written around its questions.

    ChatSpec(form="pllava-vicuna", opening="{video}{turn}", answer_start="Best option:("). It is the same for all questions that a
    loaded model is asked: they share what stands before them.
    """

    form: str = ""
    """A published form by name (models/pllava/forms.py). "": the checkpoint's own template."""
    system: str = ""
    """Text before the first turn."""
    opening: str = "{video}"
    """What stands before a question about a clip, in the user's turn: {video} is the clip; {turn} ends the turn and begins another
    one of the user."""
    answer_start: str = ""
    """How the answer begins: the model goes on from there, and the reply has it too. Training examples hold whole answers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSpec:
    """Which weights: a base and, after a finetune, the adapter on it.

    ModelSpec(base="tiny"), ModelSpec(base="llava-hf/llava-v1.6-vicuna-7b-hf", adapter="runs/a/cycle-000/train/model")
    """

    base: str
    """"tiny" for the shipped one, a folder, or a hub id; a URI has to be fetched first (engine/store/weights.py)."""
    adapter: str | None = None
    """Folder of a PEFT adapter, or of a whole model that a finetune in full wrote; a URI has to be fetched first."""
    alpha: float | None = None
    """LoRA alpha to merge with: the adapter's, or without an adapter that of the LoRA in a released PLLaVA. None: as trained."""
    chat: ChatSpec = ChatSpec()
    choose: FrameChoice = "moments"
    num_frames: int | None = None
    """Frames of a video. None: what the checkpoint says, or 16 for an image model."""
    pooling_shape: tuple[int, int, int] | None = None
    """(T', H', W') of a video's tokens. None: what the checkpoint says, or half the patches a side for an image model."""
    pooling: PoolingName | None = None
    """Whose pool videos get. None: what the checkpoint says, or PLLaVA's for an image model."""
    pooling_method: PoolMethod | None = None
    """None: that of `pooling`."""
    pooling_place: PoolPlace | None = None
    """None: that of `pooling`."""
    shot_frames: int | None = None
    """Frames of each clip before the last of a sample, chosen evenly among num_frames. None: all of them."""
    shot_shape: tuple[int, int, int] | None = None
    """(T', H', W') of such a clip's tokens. None: half the pooling shape in each dimension."""
    base_uri: str = ""
    """Where the base was fetched from, if `base` is a copy of a URI's files; else ""."""
    adapter_uri: str = ""
    """The same of the adapter."""

    @property
    def pools(self) -> list[str]:
        """The keys by which it asks for a pool: ["pooling", "pooling_shape"]."""
        keys = ("pooling", "pooling_method", "pooling_place", "pooling_shape")
        return [key for key in keys if getattr(self, key) is not None]

    @property
    def base_name(self) -> str:
        """The base as the user named it: what cards, adapters and messages say."""
        return self.base_uri or self.base

    @property
    def adapter_name(self) -> str:
        """The adapter as the user named it; "" without one."""
        return self.adapter_uri or self.adapter or ""


@dataclass(frozen=True, slots=True)
class Turn:
    """A clip, a question about it, and the answer: Turn(3, "What happens?", "The dax zups.")."""

    clip: int | None
    """Index into the videos that come with the samples; None: the turn is text only, or goes on about what is shown already."""
    prompt: str
    answer: str
    """"" in the last turn of a sample that the model is to answer."""
    learned: bool = True
    """Whether a finetune has a loss on the answer."""
    instruction: str = ""
    """The beginning of the prompt, where that is an instruction: a chat form may write it before the video."""


LossOn = Literal["query", "all"]
"""Which answers of an episode a finetune learns: the last one, or those of the shots too."""
Sample = Sequence[Turn]
"""The turns of one chat. The last clip is shown in full; clips before it are shots. A sample of one turn is a plain question."""


@dataclass(frozen=True, slots=True)
class Evenly:
    """A fixed number of frames: one from the middle of each of `num_frames` equal stretches of the clip. Evenly(16)."""

    num_frames: int


@dataclass(frozen=True, slots=True)
class ByIndex:
    """A fixed number of frames, chosen by their numbers in the file: from each equal part of these the middle one. ByIndex(16).

    PLLaVA's own rule (EvalDataset.get_index), with its rounding. Seconds are turned into numbers at the video's average rate.
    """

    num_frames: int
    spread: bool = False
    """Evenly from the first frame to the last one instead, both included, rounded down: EILEV's rule."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PerSecond:
    """A frame rate: `rate` frames for each second of the clip, within bounds. PerSecond(rate=2.0, min_frames=4, max_frames=768).

    Qwen-VL's rule. The number is rounded down to a multiple of `multiple`, the frames that the model merges into one.
    """

    rate: float
    min_frames: int
    max_frames: int
    multiple: int = 1


@dataclass(frozen=True, slots=True)
class Square:
    """The shorter side is scaled to `size_px`, and the middle square of that size is kept: CLIP's rule. Square(336)."""

    size_px: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Stretch:
    """The whole picture at one size, whatever its own aspect ratio: SigLIP's rule. Stretch(height_px=384, width_px=384)."""

    height_px: int
    width_px: int


@dataclass(frozen=True, slots=True, kw_only=True)
class KeepAspect:
    """The whole picture in its own aspect ratio: KeepAspect(min_pixels=65_536, max_pixels=602_112, multiple_px=28).

    Both sides are multiples of `multiple_px`, and their product is within the bounds: Qwen-VL's rule.
    """

    min_pixels: int
    max_pixels: int
    multiple_px: int
    of_all_frames: bool = False
    """Whether max_pixels bounds all frames of a clip together: Qwen3-VL's rule."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameSpec:
    """What a model watches: which frames of a clip, and how large. FrameSpec(choose=Evenly(16), size=Square(336))."""

    choose: Evenly | ByIndex | PerSecond
    size: Square | Stretch | KeepAspect
    augment: bool = False
    """Whether a random part of the picture is watched, mirrored or not, where the moments are random too: training alone."""


@dataclass(frozen=True, slots=True, eq=False)
class Video:
    """The frames of one clip, each with the second at which it is shown. Clips of one piece may have different shapes."""

    frames: NDArray[np.uint8]
    """uint8[T,H,W,3], RGB."""
    times_s: tuple[float, ...]
    """T presentation times, in seconds since the start of the clip."""

    @property
    def is_picture(self) -> bool:
        """True if one frame stands at all of several moments: a still picture, or a clip that shows a single frame.

        Where the model watches one frame of every video, a picture is a video like others.
        """
        return len(self.times_s) > 1 and len({*self.times_s}) == 1


Dtype = Literal["float32", "bfloat16"]


@dataclass(frozen=True, slots=True)
class Device:
    """The device on which a model computes, and its precision: Device("cuda", "bfloat16"), Device("cpu", "float32").

    The configuration decides both, never torch.cuda.is_available(): a process without a share of a GPU may see one all the same.
    """

    kind: Literal["cpu", "cuda"]
    dtype: Dtype


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineSpec:
    """What generates: EngineSpec(name="builtin"), EngineSpec(name="vllm", gpus=2.0, options={"memory_share": 0.9})."""

    name: str = "builtin"
    """"builtin" is the model's own shared-prefix decoding; models/registry.py lists the others."""
    gpus: float = 0.0
    """GPUs of the actor that holds the engine."""
    in_flight: int = 1
    """Pieces that the actor holds at once."""
    clips: int = 32
    """Clips of these pieces together."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """The engine's own section of the configuration: [generate.NAME]."""


class OutOfMemory(RuntimeError):
    """The device's memory does not hold all clips that were given at once; fewer may fit."""


class EngineDied(RuntimeError):
    """The processes that answer are gone or give requests up: whoever holds the model has to end, and is started anew."""


class Unanswerable(RuntimeError):
    """A question that the model does not answer, however often it is asked: Unanswerable("refused", "HTTP 400: ...")."""

    def __init__(self, kind: Literal["too_long", "refused"], detail: str) -> None:
        super().__init__(detail)
        self.kind, self.detail = kind, detail


class ModelAway(OSError):
    """A model on another machine does not answer, or refuses every question: one line with the remedy. Ask nothing more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampling:
    """Sampling(temperature=0.0, max_tokens=64): temperature 0 is greedy."""

    temperature: float
    max_tokens: int
    stop: tuple[str, ...] = ()
    """Texts that end an answer; they do not belong to it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    text: str
    num_tokens: int
    finished: bool
    """False if max_tokens cut the answer off."""
    prompt_tokens: int = 0
    """Tokens of the prompt, the video's included; 0 where the engine does not count them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Passage:
    """A text that is read as the answer to a question: Passage(clip=3, question="What happens?", text="It rises.")."""

    clip: int
    """The clip after whose prefix it is read; the text may be about another one."""
    question: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Likelihood:
    """How likely a model takes each token of a passage's text, given those before it.

    Likelihood(text="It rises.", spans=((0, 2), (2, 8), (8, 9)), logprobs=(-0.1, -2.3, -0.2))
    """

    text: str
    """As the model reads it: the chat's own tokens in it are taken apart, and the beginning that each answer has is left out."""
    spans: tuple[tuple[int, int], ...]
    """The characters from which to which each token was made."""
    logprobs: tuple[float, ...]
    """Natural logarithms, at temperature 1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FinetuneSpec:
    """What of a model a finetune changes: FinetuneSpec(rank=128, alpha=32.0, dropout=0.05), PLLaVA's choice.

    The tower that looks at frames is never changed.
    """

    rank: int
    alpha: float
    dropout: float
    method: Literal["lora", "full"] = "lora"
    """lora: a LoRA on q and v of the LLM. full: all of the LLM, as in Video-STaR; then rank, alpha and dropout have no meaning."""
    projector: bool = True
    """Whether the projector is trained too, in full."""
    augment: Augment = "none"
    gradient_checkpointing: bool = False
    """Keep only what enters each layer, and compute the layer again for the backward pass."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSize:
    """The numbers from which a model's memory is computed: ModelSize(llm_params=6_738_939_904, ...). Parameters are exact."""

    tower_params: int
    projector_params: int
    llm_params: int
    lora_params: int
    """Parameters of a LoRA of the rank that `size` was called with."""
    trained_params: int
    """Parameters that the finetune changes which `size` was called with."""
    num_layers: int
    hidden_size: int
    intermediate_size: int
    vocab_size: int
    kv_values_per_token: int
    """Keys and values of one token in all layers."""
    tower_size: int
    tower_intermediate_size: int
    num_frames: int
    patches_per_frame: int
    video_tokens: int
    """Tokens of one video, after pooling."""
    shot_tokens: int
    """Tokens of one video that is a shot."""
    context_tokens: int

    @property
    def clip_tokens(self) -> int:
        """Tokens of a video, or of a still picture, which is not pooled, where that takes more."""
        return max(self.video_tokens, self.patches_per_frame)

    @property
    def params(self) -> int:
        return self.tower_params + self.projector_params + self.llm_params


class Watched(Protocol):
    """Clips that a model watches, ready for any number of questions. What all questions about a clip share is computed once."""

    def ask(self, clip: int, question: str, seed: int, sampling: Sampling) -> Future[Reply]:
        """Answer a question about the clip with that index. A clip has at most one question under way.

        An engine may hold questions back until all clips that have not left have one, and answer them as a batch. The call may
        return only after that batch is answered. The future may raise OutOfMemory, Unanswerable, ModelAway, or ValueError where
        question and answer are longer than the model's context.
        """
        ...

    def ask_all(self, clip: int, question: str, seeds: Sequence[int], sampling: Sampling) -> list[Future[Reply]]:
        """Ask a question once for each seed, at the same time: all answers begin with the clip's one prefix."""
        ...

    def leave(self, clip: int) -> None:
        """Tell that no more questions about the clip will come. Every clip has to leave: a batch waits for all that have not."""
        ...

    def score(self, passages: Sequence[Passage]) -> Sequence[Likelihood | None]:
        """Read texts after the prefixes of clips, once all have left and before `close`: nothing is generated, or encoded again.

        Only where the clips are watched with `scores`. None for a text that cannot be read so. Raises OutOfMemory.
        """
        ...

    def close(self) -> None:
        """Let go of what `score` needs. It may be called more than once, and need not be without `scores`."""
        ...


class VideoLLM(Protocol):
    """A loaded model that answers questions about clips. Its methods may be called from several threads at once."""

    @property
    def frames(self) -> FrameSpec: ...

    @property
    def digest(self) -> str:
        """Names the weights and how they are used: the same for the same weights."""
        ...

    @property
    def scores(self) -> bool:
        """Whether it can read texts after the prefixes of clips: Watched.score."""
        ...

    def too_long(self, question: str, video: Video, max_tokens: int) -> str:
        """Why a question about a clip leaves no room in the model's context for an answer of so many tokens, with the numbers.

        "" where it does, and where nobody knows before the question is asked. models/context.py has the words.
        """
        ...

    def watch(self, videos: Sequence[Video], scores: bool = False) -> Watched:
        """Raises OutOfMemory. `scores`: texts will be read too (Watched.score), so what is computed stays until `close`."""
        ...

    def converse(self, videos: Sequence[Video], samples: Sequence[Sample], seeds: Sequence[int], sampling: Sampling) -> list[Reply]:
        """Answer the last turn of each sample. Each clip is encoded once, however many samples show it.

        Raises ValueError where a sample and its answer are longer than the model's context, OutOfMemory.
        """
        ...


class OpenChats(Protocol):
    """Chats up to their last question, whose clips are encoded: texts are read as its answer, and nothing is generated."""

    def read(self, number: int, texts: Sequence[str]) -> list[Likelihood]:
        """How likely each text is as the answer in the chat of that number, all read after one prefix.

        The prefix stays until another chat is read. An answer may be read from its beginning: a text need not be a whole answer.
        """
        ...


@runtime_checkable
class ChatReader(Protocol):
    """A VideoLLM that reads texts after shots too."""

    def open_chats(self, videos: Sequence[Video], samples: Sequence[Sample]) -> OpenChats:
        """Each clip is encoded once, however many samples show it. Raises OutOfMemory, ValueError for a sample that is too long."""
        ...


class Trainee(Protocol):
    """A model with an adapter on it, to be finetuned."""

    @property
    def frames(self) -> FrameSpec: ...

    @property
    def module(self) -> Any:
        """torch.nn.Module; module(**batch) gives .logits[N,L,V] for batch(...). All its floating parameters are of one dtype."""
        ...

    def batch(self, videos: Sequence[Video], samples: Sequence[Sample]) -> dict[str, Any]:
        """The arguments of module(**...), and "labels" int64[N,L], which are -100 except on the answers that are learned.

        Each clip is encoded once, however many samples show it. The module runs the same layers for every batch, one without any
        clip too: with ZeRO-3 the ranks wait for each other in each layer. Raises ValueError where a sample is too long.
        """
        ...

    def too_long(self, videos: Sequence[Video], sample: Sample) -> str:
        """Why the sample does not fit into the model's context, with the numbers; "" where it does."""
        ...

    def save(self, folder: Path, state: dict[str, Any]) -> None:
        """Write what a ModelSpec's adapter may name, given the trained parameters by name, as safetensors: a PEFT adapter or, after
        a finetune in full, the whole model."""
        ...


class UnwritableChat(ValueError):
    """The chat template of a checkpoint cannot write a chat of these turns: a line with the reason."""


class TokenCounter(Protocol):
    """Counts tokens by a checkpoint's tokenizer and shapes, which are opened once: of a large vocabulary that takes seconds."""

    @property
    def context_tokens(self) -> int: ...

    def count(self, sample: Sample, pictures: Container[int] = ()) -> int:
        """How many tokens of the model's context the sample takes. Raises UnwritableChat.

        `pictures`: the numbers that turns give to clips that are still pictures.
        """
        ...

    def too_long(self, sample: Sample, pictures: Container[int] = ()) -> str:
        """As Trainee.too_long. Raises UnwritableChat."""
        ...


class Family(Protocol):
    """A module that serves checkpoints of some kinds (models/registry.py). All but load and trainee read small files only."""

    PUBLISHED: Mapping[str, str]
    """model_type by hub id, of the checkpoints that `size`, `check_finetune` and `shrink` know without the hub."""

    def check(self, spec: ModelSpec) -> None:
        """Raises ValueError naming what is wrong with the checkpoint's files; of weights it reads the headers only."""
        ...

    def check_finetune(self, spec: ModelSpec, finetune: FinetuneSpec) -> None:
        """Raises ValueError for a finetune that the model cannot have, by its small files alone."""
        ...

    def size(self, spec: ModelSpec, finetune: FinetuneSpec) -> ModelSize:
        """How large the model is, from its small files alone; of a checkpoint in PUBLISHED without the hub."""
        ...

    def frame_spec(self, spec: ModelSpec) -> FrameSpec:
        """What the model watches, without loading its weights."""
        ...

    def version(self, spec: ModelSpec) -> str:
        """The digest that the loaded model will have, of all bytes of its files; they are read once per machine."""
        ...

    def token_counter(self, spec: ModelSpec) -> TokenCounter:
        """Raises ValueError naming what is wrong with the tokenizer's files."""
        ...

    def load(self, spec: ModelSpec, device: Device) -> VideoLLM:
        """Raises ValueError for a checkpoint that is not there or lacks a weight."""
        ...

    def trainee(self, spec: ModelSpec, finetune: FinetuneSpec, seed: int, device: Device, read_weights: bool = True) -> Trainee:
        """The base, with a fresh adapter from the seed where the method is "lora", on the CPU in the device's dtype.

        `read_weights` is False where another process sends the weights while the model is built: shapes only. That works only
        inside the training backend's own context (ZeRO-3).
        """
        ...

    def export(self, spec: ModelSpec, out: Path, report: Callable[[str], None]) -> None:
        """Write a folder that other tools load, with the spec's adapter merged at its alpha; `report` takes lines of progress.

        Raises ValueError naming what is wrong with the source, or where `out` holds something already.
        """
        ...

    def shrink(self, spec: ModelSpec, folder: Path, seed: int) -> ModelSpec:
        """Write a random checkpoint of the same architecture and layout, a few MB small; returns the spec that loads it.

        It is for rehearsals. Of the source it reads config.json and the tokenizer's files, where they are there, and no weights.
        """
        ...
