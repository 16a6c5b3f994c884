"""RunConfig: everything that decides a run, in sections. TOML in; unknown keys are refused; presets are overlays of defaults.

A field that decides results is part of the run's identity and cannot change within a run. A field declared with `cost` only decides
where the run lies, what runs it, or what it may take; it may change between two commands on the same run.
"""

import difflib
import tomllib
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from engine.store.filesystems import Storage, check_options
from models.base import Device, ModelSpec


class Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False)


def cost(default: Any, **constraints: Any) -> Any:
    """A field that decides time, memory or place and no result: it is not part of a run's identity."""
    return Field(default=default, json_schema_extra={"identity": False}, **constraints)


class Run(Section):
    uri: str = cost("runs/default", min_length=1)
    """Folder or fsspec URI that holds the run's state."""
    seed: int = 0
    trackers: tuple[str, ...] = cost(())
    """Who is told every training step and every sealed step, beside the terminal; see engine/run/trackers.py."""


class Data(Section):
    manifest: str = ""
    """CSV, TSV, JSONL or Parquet with at least the columns video and label."""
    videos: str = ""
    """Folder or URI that relative video paths start from; default: the manifest's folder."""
    question: str = "What is the action in this video?"
    """Asked where the manifest has no question."""
    heldout: float = Field(default=0.0, ge=0, lt=1)
    """Share of videos to hold out where the manifest has no split. Ingest fixes the split: it cannot be changed afterwards."""


class Model(Section):
    base: str = "tiny"
    """M: every finetune starts from it. "tiny", a folder, a URI or a hub id."""
    instruct: str = ""
    """M0: generates in cycle 0; default: the base."""
    num_frames: int | None = Field(default=None, gt=0, le=4096)
    """Frames of a video; default: what the checkpoint says, or 16 for an image model."""
    pooling_shape: tuple[int, int, int] | None = None
    """[T', H', W'] of a video's tokens; default: what the checkpoint says, or half the patches a side for an image model."""
    dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    """Precision of weights and activations. auto: bfloat16 on GPUs, float32 on CPUs."""

    def device(self, gpus: float) -> Device:
        """Where an actor that is given so many GPUs computes: what torch sees on its node does not matter."""
        if self.dtype != "auto":
            return Device("cuda" if gpus else "cpu", self.dtype)
        return Device("cuda", "bfloat16") if gpus else Device("cpu", "float32")


class Generate(Section):
    prompts: Literal["strict", "published"] = "strict"
    temperature: float = Field(default=0.0, ge=0)
    max_tokens: int = Field(default=256, gt=0)
    engine: str = "builtin"
    """What generates: "builtin" is the model's own shared-prefix decoding; others are listed in models/registry.py."""
    piece_clips: int = cost(32, gt=0)
    """Clips that travel, are generated and are written together: the GPU batch. Pieces that are written keep their size."""
    pieces_in_flight: int = cost(1, gt=0)
    """Pieces that a generator actor holds at once. More than one pays for an engine that batches by itself, or a slow verifier."""
    rationalize: bool = True
    """Show rejected clips their label and let the model explain again."""
    lora_alpha: float | None = Field(default=None, ge=0)
    """LoRA alpha at which the loop's adapters answer; default: the one of their training. PLLaVA's scripts train with 32 and answer
    with 4. The base is the base: a LoRA that it came with is merged as it was trained."""
    decoder: Literal["pyav", "decord"] = cost("pyav")
    """Both give the same frames."""


HELDOUT = "heldout"


class EvaluationSet(Section):
    """Clips that a model is evaluated on. The first set of a run decides which cycle is promoted.

    EvaluationSet(name="heldout"), EvaluationSet(name="mine", files="mine.jsonl", metrics=("accuracy", "accuracy_by_label"))
    """

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]*$")
    format: str = "manifest"
    """How the files are written: a reader of engine/evaluate/sets. "manifest" is what data.manifest may be."""
    files: str = ""
    """Path or URI. Default, for the set named heldout: the held-out split of data.manifest."""
    videos: str = ""
    """Folder or URI that relative video paths start from; default: the folder of the files."""
    metrics: tuple[str, ...] = Field(default=("accuracy",), min_length=1)
    """Names of engine/evaluate/metrics.py; the first one is the set's headline."""

    @model_validator(mode="after")
    def _has_files(self) -> "EvaluationSet":
        if self.name == "train":
            raise ValueError("an evaluation set cannot be named 'train'; choose another name")
        if (self.name == HELDOUT) == bool(self.files):
            raise ValueError(
                f"evaluation set {self.name!r} {'names files' if self.files else 'names no files'}; the set heldout is the "
                "held-out split of data.manifest, and every other set names its files"
            )
        return self


class Evaluate(Section):
    lora_alpha: float | None = Field(default=None, ge=0)
    """As generate.lora_alpha, for the evaluation sets; `starloop alpha-sweep` shows what it does."""
    sets: tuple[EvaluationSet, ...] = Field(default=(EvaluationSet(name=HELDOUT),), min_length=1)
    """[[evaluate.sets]]: each is evaluated in every cycle. The first one has to be the held-out split."""

    @field_validator("sets")
    @classmethod
    def _distinct(cls, value: tuple[EvaluationSet, ...]) -> tuple[EvaluationSet, ...]:
        names = [evaluation_set.name for evaluation_set in value]
        if names[0] != HELDOUT or len(set(names)) != len(names):
            raise ValueError("the first of evaluate.sets is named heldout, and no name stands twice")
        return value


class Verify(Section):
    preset: Literal["strict", "paper", "code"] = "strict"
    """Which rules: our own, or as published in the paper or in the code."""
    stages: tuple[str, ...] = Field(default=("rules",), min_length=1)
    """Verifiers that are asked one after another until one rejects; see engine/verify/stages.py."""
    sentence_model: str = ""
    """Compares sentences by meaning: folder or hub id of a sentence-transformers model. Default: ROUGE-L, by words."""


class Select(Section):
    source: Literal["star", "template"] = "star"
    """star: what survived verification. template: every label in a fixed sentence, the baseline that Video-STaR compares with."""
    template: str = "The answer is {label}."
    max_per_label: int | None = Field(default=None, gt=0)
    """Examples of one label at most; which ones is drawn by the run's seed."""
    balance: bool = False
    """At most as many examples of a label as the median label has."""
    carry_over: bool = False
    """Where a clip has nothing kept in this cycle, take what an earlier one kept of it."""


class Mixture(Section):
    """How often a row of each source is seen in an epoch: 1 once, 2.0 twice, 0.5 every other epoch, 0 never."""

    direct: float = Field(default=1.0, ge=0, le=100)
    """What was answered without a hint."""
    rationalized: float = Field(default=1.0, ge=0, le=100)
    """What was explained with one; the last finetune takes none of it, unless loop.final_direct_only says otherwise."""
    episodes: float = Field(default=0.0, ge=0, le=100)
    """In-context episodes, one query a clip that has verb and noun ([episodes]); drawn anew each time."""
    instruct: float = Field(default=0.0, ge=0, le=100)
    """Conversations from mixture.examples."""
    examples: str = ""
    """Parquet of examples that `starloop ingest --format instruct` wrote."""


class Episodes(Section):
    """EILEV's in-context episodes: shots before a query, with the loss on the query's answer. `paper` has the published choices."""

    answers: Literal["narration", "kept"] = "narration"
    """What a shot says: the clip's description, or what the loop kept of it in the same cycle."""
    shots: tuple[int, ...] = Field(default=(0, 1, 2, 4, 8, 16), min_length=1)
    """One is drawn for each episode. Published: always 16, which is poor at 0 shots."""
    verb_noun_ratio: float = Field(default=0.5, ge=0, le=1)
    """Share of the shots with the query's verb; the others have its noun. Rounded down, so a single shot has the noun."""
    contexts: Literal["bursty", "random"] = "bursty"
    """random: any clips, the first property's ablation."""
    top_actions: int | None = Field(default=None, gt=0)
    """Only the most frequent actions, their clips repeated up to as many as there were: the second property's ablation."""
    canonical: str = ""
    """All clips of an action narrated alike, e.g. "The camera wearer {verb} the {noun}.": the third property's ablation."""
    exclude: Literal["nothing", "overlap", "video"] = "video"
    """What of the query's own video may not be a shot. Published: nothing, not even clips that share its seconds."""
    same_narrator: bool = True
    """Shots by the query's narrator only, where the manifest has a narrator column. Published: anybody's."""
    question: str = Field(default="What is the camera wearer doing?", min_length=1)
    """Asked about each shot and query; the manifest's own questions are the loop's."""
    wordings: Literal["plain", "published"] = "plain"
    """How the question is put: as it stands, or in one of nine ways, drawn for each shot."""
    pattern: str = "The camera wearer {verb} {noun}"
    """Where a narration has its verb and noun: for accuracy and for the report on meanings. Where one is built otherwise, an answer
    has to say the names of the classes, and that is counted."""
    loss_on: Literal["query", "all"] = "query"
    """all: on the shots' answers too, as EILEV had it until July 2023."""
    num_frames: int | None = Field(default=None, gt=0, le=4096)
    """Of a shot: evenly chosen among the model's own number, which is the default."""
    pooling_shape: tuple[int, int, int] | None = None
    """[T', H', W'] of a shot's tokens; default: half the model's in each dimension."""
    split: Literal["manifest", "video", "action"] = "manifest"
    """For `starloop episodes`: the manifest's own split; by video, 75 % and of these 75 %; or common actions against rare ones."""
    common_mass: float = Field(default=0.8, gt=0, lt=1)
    """Share of the clips whose actions are common."""
    eval_shots: tuple[int, ...] = Field(default=(0, 1, 2, 4, 8, 12, 16), min_length=1)
    eval_queries: int | None = Field(default=None, gt=0)
    """Of each set, drawn by the seed; default: all."""

    @field_validator("shots", "eval_shots")
    @classmethod
    def _counts(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        if any(not 0 <= shots <= 1024 for shots in value) or len(set(value)) != len(value):
            raise ValueError("shots are different numbers of at least 0")
        return tuple(sorted(value))

    @field_validator("pattern", "canonical")
    @classmethod
    def _places(cls, value: str) -> str:
        if value and not value.count("{verb}") == value.count("{noun}") == 1:
            raise ValueError("say where verb and noun stand: {verb} and {noun}, each once")
        return value


class Train(Section):
    epochs: float = Field(default=1.0, gt=0)
    batch_rows: int = Field(default=128, gt=0)
    """Examples per optimizer step, over all workers."""
    micro_batch_rows: int = cost(4, gt=0)
    """Examples per forward pass of one worker."""
    num_workers: int = cost(1, gt=0)
    lr: float = Field(default=2e-5, gt=0)
    warmup_ratio: float = Field(default=0.03, ge=0, lt=1)
    lr_floor: float = Field(default=0.0, ge=0, le=1)
    """Share of lr that neither warm-up nor decay goes below; PLLaVA's code has 0.25."""
    weight_decay: float = 0.02
    max_grad_norm: float = 1.0
    lora_rank: int = Field(default=128, gt=0)
    lora_alpha: float = Field(default=32.0, gt=0)
    lora_dropout: float = Field(default=0.05, ge=0, lt=1)
    zero_stage: Literal[0, 1, 2, 3] = cost(2)
    offload: bool = cost(False)
    """Keep the optimizer's state in CPU memory."""
    gradient_checkpointing: bool = cost(False)
    """Compute each layer again for the backward pass instead of keeping what it made: slower, and far less memory."""
    checkpoint_every_steps: int = cost(200, gt=0)

    @model_validator(mode="after")
    def _divides(self) -> "Train":
        at_once = self.micro_batch_rows * self.num_workers
        if self.batch_rows % at_once:
            raise ValueError(
                f"batch_rows {self.batch_rows} is not a multiple of micro_batch_rows x num_workers = {at_once}; change one of them"
            )
        return self


class Loop(Section):
    max_cycles: int = Field(default=3, gt=0)
    min_delta: float = Field(default=0.005, ge=0)
    """Held-out accuracy that a cycle must add to the best so far, or it counts as one without progress."""
    patience: int = Field(default=1, gt=0)
    """Cycles without progress that end the loop."""
    final_direct_only: bool = True
    """Make the last finetune of direct attempts only (Video-STaR section 2.2)."""


class Cluster(Section):
    address: str = cost("")
    """Ray address; default: RAY_ADDRESS, else a local cluster."""
    decode_cpus: float = cost(1.0, gt=0)
    generator_actors: int = cost(1, gt=0)
    generator_cpus: float = cost(1.0, ge=0)
    generator_gpus: float = cost(0.0, ge=0)
    train_cpus: float = cost(1.0, ge=0)
    """Per training worker."""
    train_gpus: float = cost(0.0, ge=0)
    """Per training worker."""
    gpu_memory_gib: float = cost(79.0, gt=0)
    """Of one GPU: what would need more is refused before a GPU is asked for."""


class Limits(Section):
    """What a clip and a run may cost before they are given up. May change between two commands on the same run."""

    decode_timeout_s: float = cost(60.0, gt=0)
    """Wall clock of the decoding process for one clip; the time that storage takes is not counted."""
    decode_memory_bytes: int = cost(4 << 30, ge=1 << 28)
    """Address space of the decoding process."""
    read_bytes: int = cost(8 << 30, gt=0)
    """Bytes that may be read for one clip."""
    frame_pixels: int = cost(8192 * 4320, gt=0)
    """Width times height of a video."""
    decode_pixels: int = cost(50_000_000_000, gt=0)
    """Pixels that may be decoded for one clip, all frames together: 6,000 frames of 4K."""
    keep_bytes: int = cost(1 << 29, ge=0)
    """Of decoded frames that each decoding process keeps, for episodes: shots come back in other episodes."""
    failure_rate: float = cost(0.2, ge=0, le=1)
    """Share of failed clips at which a step stops with an explanation, once 20 failed."""
    storage_patience_s: float = cost(120.0, ge=0)
    """How long storage may be away before a step gives up; what is denied or not there is not waited for."""


class RunConfig(Section):
    preset: Literal["strict", "paper", "code"] = "strict"
    """Which published or own constants are the defaults; see PRESETS."""
    run: Run = Run()
    data: Data = Data()
    model: Model = Model()
    generate: Generate = Generate()
    evaluate: Evaluate = Evaluate()
    verify: Verify = Verify()
    select: Select = Select()
    mixture: Mixture = Mixture()
    episodes: Episodes = Episodes()
    train: Train = Train()
    loop: Loop = Loop()
    cluster: Cluster = Cluster()
    limits: Limits = Limits()
    storage: dict[str, dict[str, Any]] = cost({})
    """fsspec options by protocol, for every URI: [storage.s3] endpoint_url = "..."; credentials come from the environment."""

    @field_validator("storage")
    @classmethod
    def _checked(cls, value: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
        check_options(value)
        return value

    def models(self) -> list[ModelSpec]:
        """M0 and M, without an adapter; once where they are one."""
        return [self.spec(base) for base in dict.fromkeys((self.model.instruct or self.model.base, self.model.base))]

    def spec(self, base: str, adapter: str | None = None, alpha: float | None = None) -> ModelSpec:
        """A model of the run, watched as the run watches."""
        shape = self.model.pooling_shape
        return ModelSpec(
            base=base,
            adapter=adapter,
            alpha=alpha,
            num_frames=self.model.num_frames,
            pooling_shape=shape,
            shot_frames=self.episodes.num_frames,
            shot_shape=self.episodes.pooling_shape,
        )

    @property
    def generates(self) -> bool:
        """Whether anything of the mixture comes from answers that were verified."""
        mixture = self.mixture
        kept = mixture.direct or mixture.rationalized or (mixture.episodes and self.episodes.answers == "kept")
        return self.select.source == "star" and bool(kept)

    @model_validator(mode="after")
    def _mixed(self) -> "RunConfig":
        mixture = self.mixture
        if mixture.instruct and not mixture.examples:
            raise ValueError("mixture.instruct needs mixture.examples, what `starloop ingest --format instruct` wrote")
        if not (mixture.direct or mixture.rationalized or mixture.episodes or mixture.instruct):
            raise ValueError("[mixture] leaves nothing to train on; give a source a weight above 0")
        return self

    def access(self) -> Storage:
        """How every process of the run opens URIs."""
        return Storage(self.storage, self.limits.storage_patience_s)

    def identity(self) -> dict[str, Any]:
        """What may not change within a run: every field that is not declared with `cost`."""
        return _identity(self)


def _identity(section: Section) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for name, field in type(section).model_fields.items():
        extra, value = field.json_schema_extra, getattr(section, name)
        if isinstance(value, Section):
            values |= {name: kept} if (kept := _identity(value)) else {}
        elif not (isinstance(extra, dict) and extra.get("identity") is False):
            values[name] = section.model_dump(mode="json", include={name})[name]
    return values


PRESETS: dict[str, dict[str, Any]] = {
    "strict": {},
    "paper": {
        "generate": {"prompts": "published", "temperature": 0.2, "max_tokens": 1024},
        "verify": {"preset": "paper"},
        "loop": {"max_cycles": 3},
        "train": {"batch_rows": 128, "lr": 2e-5, "epochs": 1.0, "weight_decay": 0.0},
        "episodes": {"shots": (16,), "exclude": "nothing", "same_narrator": False, "wordings": "published"},
    },
    "code": {
        "generate": {"prompts": "published", "temperature": 0.2, "max_tokens": 1024},
        "verify": {"preset": "code"},
        "loop": {"max_cycles": 10, "final_direct_only": False},
        "train": {"batch_rows": 128, "lr": 2e-5, "epochs": 1.0, "weight_decay": 0.0},
        "episodes": {"shots": (16,), "exclude": "nothing", "same_narrator": False, "wordings": "published"},
    },
}
"""Video-STaR's paper and released code differ (matcher 80 or 85, three cycles or ten, final set); strict is our own."""


def load_config(path: Path | None, settings: list[str]) -> RunConfig:
    """Preset, then the TOML file, then `section.key=value` settings. Raises ValueError in one line that names the remedy."""
    values: dict[str, Any] = {}
    if path is not None:
        try:
            values = tomllib.loads(path.read_text())
        except FileNotFoundError:
            raise ValueError(f"no such config: {path}") from None
        except OSError as error:
            raise ValueError(f"{path} cannot be read as a config: {error.strerror}") from None
        except UnicodeDecodeError:
            raise ValueError(f"{path} is not TOML: it is not even UTF-8 text") from None
        except tomllib.TOMLDecodeError as error:
            raise ValueError(f"{path} is not TOML: {error}") from None
    for setting in settings:
        _apply(values, setting)
    return _resolve(values, str(path) if path else "--set")


def _apply(values: dict[str, Any], setting: str) -> None:
    key, equals, text = setting.partition("=")
    if not equals:
        raise ValueError(f"--set {setting}: expected section.key=value")
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        value = text
    *sections, name = key.strip().split(".")
    for section in sections:
        values = values.setdefault(section, {})
        if not isinstance(values, dict):
            raise ValueError(f"--set {setting}: {section} is not a section")
    values[name] = value


def _resolve(values: dict[str, Any], origin: str) -> RunConfig:
    preset = values.get("preset", "strict")
    merged = {key: dict(section) for key, section in PRESETS.get(preset, {}).items()} if isinstance(preset, str) else {}
    for key, value in values.items():
        merged[key] = {**merged.get(key, {}), **value} if isinstance(value, dict) else value
    try:
        return RunConfig.model_validate(merged)
    except ValidationError as error:
        raise ValueError(f"{origin}: {_one_line(error)}") from None


def _one_line(error: ValidationError) -> str:
    first = error.errors()[0]
    key = ".".join(str(part) for part in first["loc"])
    if first["type"] != "extra_forbidden":
        message = first["msg"].removeprefix("Value error, ")
        return (
            f"{key} = {first['input']!r}: {message}"
            if not isinstance(first["input"], dict)
            else f"[{key}] {message}"
            if key
            else message
        )
    section, name = first["loc"][:-1], str(first["loc"][-1])
    fields = RunConfig.model_fields
    known = list(fields) if not section else list(fields[str(section[0])].annotation.model_fields)  # type: ignore[union-attr]
    close = difflib.get_close_matches(name, known, n=1)
    meant = ".".join([*map(str, section), close[0]]) if close else ""
    return f"no key {key!r}" + (f"; did you mean {meant!r}?" if close else f"; known: {', '.join(known)}")


def differing_keys(old: dict[str, Any], new: dict[str, Any], prefix: str = "") -> list[str]:
    """Dotted keys whose values differ.

    >>> differing_keys({"a": {"b": 1}, "c": 2}, {"a": {"b": 3}, "c": 2})
    ['a.b: 1 -> 3']
    """
    found = []
    for key in sorted({*old, *new}):
        before, after = old.get(key), new.get(key)
        if isinstance(before, dict) and isinstance(after, dict):
            found += differing_keys(before, after, f"{prefix}{key}.")
        elif before != after:
            found.append(f"{prefix}{key}: {before!r} -> {after!r}")
    return found
