"""RunConfig: everything that decides a run, in sections, with the meaning of every key. engine/presets.py reads it from TOML.

A field that decides results is part of the run's identity and cannot change within a run. A field declared with `cost` only decides
where the run lies, what runs it, or what it may take; it may change between two commands on the same run.
"""

import re
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from engine.engines import OpenAI, Vllm
from engine.judging import BenchmarkJudge, Judge
from engine.section import Section, cost, identity
from engine.store.filesystems import Storage, check_options
from models.base import (
    Augment,
    ChatSpec,
    Device,
    Dtype,
    EngineSpec,
    FinetuneSpec,
    ModelSpec,
    PoolingName,
    PoolMethod,
    PoolPlace,
)
from models.registry import can_score, engines


class Run(Section):
    uri: str = cost("runs/default", min_length=1)
    """Folder or fsspec URI that holds the run's state."""
    seed: int = 0
    """Of every random choice: another seed gives another run."""
    trackers: tuple[str, ...] = cost(("tensorboard",))
    """Who is told every training step and every sealed step, beside the terminal: "tensorboard" (a file in the run's folder),
    "mlflow", "wandb", "trackio", "opentelemetry" (docs/trackers.md). One that is away never stops a run."""


class Parent(Section):
    """The finished run that this one continues: `starloop extend` fills it (engine/extend). Empty: the run begins by itself.

    Parent(run="s3://bucket/runs/first", step="cycle-001/generate", model="s3://bucket/runs/first/cycle-000/train/model", ...)
    """

    run: str = ""
    """Its folder or URI. Cycle 0 reuses its attempts at clips that did not change."""
    step: str = ""
    """Its last generate step, whose attempts these are; "": it has none, or they were made with other settings."""
    model: str = ""
    """Its promoted model, on model.base: it generates in cycle 0, and a cycle has to be better than it to be promoted. "": no cycle
    was better than model.instruct, which then does both."""
    manifest: str = cost("")
    """The manifest that was given; data.manifest is the copy of its clips that the run keeps."""


class Data(Section):
    manifest: str = ""
    """CSV, TSV, JSON, JSONL or Parquet with at least the columns video and label; a folder of such files, or of class folders."""
    videos: str = ""
    """Folder or URI that relative video paths start from; default: the manifest's folder."""
    question: str = "What is the action in this video?"
    """The question for clips of which the manifest has none."""
    heldout: float | None = Field(default=None, ge=0, lt=1)
    """Share of videos to hold out, of rows without a split. Default: 0.1 if no row of the manifest has a split, else 0; a run keeps
    what it was begun with. Ingest fixes the split: it cannot be changed afterwards."""
    test: float | None = Field(default=None, ge=0, lt=1)
    """Set videos apart that are opened once: when the loop has ended, the model that it began with and the promoted one are asked
    about them, and theirs is the headline, since no cycle was chosen by it. It is the share of rows without a split; rows whose
    split is called test or testing are set apart too, and with 0 no others. Default: none, and `test` means held out."""
    license: str = cost("")
    """Under which license the videos and labels are, as a hub spells it: "cc-by-4.0". Cards of data that is taken away name
    it; where it is empty they say that it is unknown."""
    source: str = cost("")
    """Where the videos and labels come from, for these cards: a name, a citation or a URL."""

    @model_validator(mode="after")
    def _leaves_some(self) -> "Data":
        if (self.heldout or 0.0) + (self.test or 0.0) >= 1:
            raise ValueError(f"heldout = {self.heldout:g} and test = {self.test:g} leave no video to train on; lower one of them")
        return self


class Model(Section):
    base: str = "tiny"
    """The model from which every finetune starts: "tiny", a folder, a URI or a hub id."""
    allow_tiny: bool = cost(False)
    """Allow the base "tiny", a toy that knows four shapes' movements, for other videos than those of the demo."""
    instruct: str = ""
    """The model that generates in cycle 0; default: the base."""
    num_frames: int | None = Field(default=None, gt=0, le=4096)
    """Frames of a video; default: what the checkpoint says, or 16 for an image model."""
    pooling_shape: tuple[int, int, int] | None = None
    """[T', H', W'] of a video's tokens; default: what the checkpoint says, or half the patches a side for an image model."""
    pooling: PoolingName | None = None
    """Whose pool makes tokens of a video's patches: "pllava", "llava_onevision", "llava_next_video" or "perception_lm"; default:
    what the checkpoint says, or PLLaVA's for an image model. LLaVA-OneVision and LLaVA-NeXT-Video stay as they are without it."""
    pooling_method: PoolMethod | None = None
    """"average", "strided" or "bilinear"; default: that of the pool. Another one makes a pool that nobody has published."""
    pooling_place: PoolPlace | None = None
    """"before" or "after" the projector; default: that of the pool."""
    chat: str = ""
    """How chats are written; default: by the checkpoint's own template. PLLaVA's published forms are "pllava-vicuna" (7B and 13B as
    its benchmarks ask), "pllava-vicuna-demo" (as its demo asks) and "pllava-chatml" (34B); they train as published, too."""
    frames: Literal["moments", "published"] = "moments"
    """Which frames are watched. moments: those on screen in the middle of equal stretches of time. published: those that PLLaVA's
    code chooses, by their numbers in the file."""
    frame_tolerance_s: float = Field(default=0.0, ge=0)
    """A keyframe of the window no further than this from a wanted moment is shown in place of the moment's frame, where that saves
    decoding; a model is told the keyframe's own time. Each keyframe is shown once. Files other than MP4 with its whole index and
    Matroska are exact. 0: always the exact frames. It decides what is watched, and so belongs to the identity."""
    dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    """Precision of weights and activations. auto: bfloat16 on GPUs, float32 on CPUs."""

    @model_validator(mode="after")
    def _exact_where_published(self) -> "Model":
        if self.frames == "published" and self.frame_tolerance_s:
            raise ValueError(
                f'frames = "published" are those of PLLaVA\'s code, and frame_tolerance_s = {self.frame_tolerance_s:g} shows other '
                "ones; leave one of the two out"
            )
        return self

    @property
    def toys(self) -> list[str]:
        """The keys that name the toy."""
        return [f"model.{key}" for key in ("base", "instruct") if getattr(self, key) == "tiny"]

    def device(self, gpus: float) -> Device:
        """Where an actor that is given so many GPUs computes: what torch sees on its node does not matter."""
        if self.dtype != "auto":
            return Device("cuda" if gpus else "cpu", self.dtype)
        return Device("cuda", "bfloat16") if gpus else Device("cpu", "float32")


class PromptSet(Section):
    """How a model is asked: [prompts.NAME]. {question} and {label} are replaced, with nothing done to other braces.

    PromptSet(answer="{question}\nGive the best option.", opening="{video}{turn}", answer_start="Best option:(")
    """

    answer: str = "{question}"
    """Direct attempts."""
    rationalize: str = ""
    """Attempts at rejected clips, with the label as a hint: it needs {label}."""
    train: str = ""
    """Training examples and evaluation; default: as `answer`."""
    system: str = ""
    """Text before the first turn, the same for all questions. It may hold the chat's own tokens."""
    opening: str = "{video}"
    """What stands before each question in the user's turn: {video} is the clip; {turn} ends the turn and begins another one of the
    user, which needs a published form (model.chat)."""
    answer_start: str = ""
    """How each answer begins; the model goes on from there. The answer that is verified, and trained on, has it too."""

    @field_validator("answer", "rationalize", "train")
    @classmethod
    def _asks(cls, value: str) -> str:
        if value and "{question}" not in value:
            raise ValueError("mark the place of the question with {question}")
        return value

    @field_validator("rationalize")
    @classmethod
    def _hints(cls, value: str) -> str:
        if value and "{label}" not in value:
            raise ValueError("mark the place of the hint with {label}")
        return value

    @field_validator("opening")
    @classmethod
    def _shows_once(cls, value: str) -> str:
        if value.count("{video}") != 1:
            raise ValueError("mark the place of the video with {video}, once")
        return value

    @field_validator("answer_start")
    @classmethod
    def _goes_on(cls, value: str) -> str:
        if value != value.rstrip(" "):
            raise ValueError("leave out the blank at its end: a tokenizer joins it with the next word")
        return value


BUILT_IN_PROMPTS = ("strict", "published")
"""Prompt sets that need no section: our own, and Video-STaR's (engine/generate/prompts.py)."""


COMPARED = 4
"""Clips with which a text is compared, by default (docs/grounding.md has the figures)."""


class Generate(Section):
    prompts: str = "strict"
    """How clips are asked about: "strict", "published", or the NAME of a section [prompts.NAME]."""
    temperature: float = Field(default=0.0, ge=0)
    """Of sampling; 0: the likeliest token each time."""
    max_tokens: int = Field(default=256, gt=0)
    """Most tokens of an answer; one that is cut off there is rejected."""
    stop: tuple[str, ...] = ()
    """Texts that end an answer, such as ["###", "USER:"]; the answer is cut there."""
    samples: int = Field(default=1, ge=1, le=64)
    """Direct attempts at each clip, all from one prefix, each with a seed of its own; a clip of which none is kept is rationalized
    once. More than 1 needs temperature > 0. docs/samples.md says how one of several is chosen."""
    grounding: int | None = Field(default=None, ge=0, le=16)
    """Number of other clips, of the same piece and with other labels, after whose videos each kept text is read again, as an answer
    to the question without a hint. How much likelier it is after its own video is the attempt's grounding, by which
    select.min_grounding decides (docs/grounding.md). 0: it is not computed. Default: 4 where the engine can read texts, which
    "openai" cannot. Which clips these are depends on the pieces, and so on piece_clips."""
    engine: str = cost("builtin")
    """What generates: "builtin" is the model's own shared-prefix decoding; "openai" is the server of [generate.openai], in the
    first cycle alone; others are listed in models/registry.py. A step that was begun with one engine is refused with another one:
    an engine's name and version belong to the digest of its model."""
    piece_clips: int = cost(32, gt=0)
    """Clips that travel, are generated and are written together: the GPU batch. Pieces that are written keep their size."""
    pieces_in_flight: int | None = cost(None, gt=0)
    """Pieces that a generator actor holds at once. Default: 1 for the built-in engine, which answers a piece as one batch, and 2
    for those that batch by themselves: while one piece ends, the next one is answered. More pays for a slow verifier, too."""
    rationalize: bool = True
    """Show rejected clips their label and let the model explain again."""
    lora_alpha: float | None = Field(default=None, ge=0)
    """LoRA alpha of what answers; default: the one it was trained with. PLLaVA's scripts train with 32 and answer with 4.

    It is the alpha of the loop's adapter. Before there is one, it is that of the LoRA that a released PLLaVA came with (in
    model.instruct or model.base). Below an adapter of the loop, and where a finetune starts, that LoRA stays as it was trained."""
    decoder: Literal["pyav", "decord"] = cost("pyav")
    """Both give the same frames. With model.frame_tolerance_s only "pyav"."""
    vllm: Vllm = Vllm()
    openai: OpenAI = OpenAI()

    @property
    def in_flight(self) -> int:
        """Pieces that a generator actor holds at once."""
        return self.pieces_in_flight or (1 if self.engine == "builtin" else 2)

    @field_validator("engine")
    @classmethod
    def _known(cls, value: str) -> str:
        if value not in engines():
            raise ValueError(f"known are {', '.join(engines())}")
        return value

    @field_validator("stop")
    @classmethod
    def _texts(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if not all(value):
            raise ValueError("an empty text stands everywhere; leave it out")
        return value

    @field_validator("grounding")
    @classmethod
    def _compares(cls, value: int | None) -> int | None:
        if value == 1:
            raise ValueError("a text is compared with at least 2 other clips; 0 is none")
        return value

    @model_validator(mode="after")
    def _can_score(self) -> "Generate":
        if self.grounding and not can_score(self.engine):
            raise ValueError(
                f"grounding = {self.grounding}, and engine {self.engine!r} cannot read texts; leave grounding out, or choose "
                "another engine"
            )
        return self

    @model_validator(mode="after")
    def _draws_samples(self) -> "Generate":
        if self.samples > 1 and not self.temperature:
            raise ValueError(
                f"samples = {self.samples}, and at temperature = 0 all are the same; set generate.temperature, such as 0.7"
            )
        return self

    def compared(self, engine: str) -> int:
        """Clips with which a text is compared that the engine has generated."""
        if not can_score(engine):
            return 0
        return COMPARED if self.grounding is None else self.grounding

    @model_validator(mode="after")
    def _names_a_server(self) -> "Generate":
        empty = [key for key in ("url", "model") if not getattr(self.openai, key)]
        if self.engine == "openai" and empty:
            raise ValueError(
                f'engine is "openai", and openai.{empty[0]} is empty; give --set generate.openai.url=http://host:8000/v1 and '
                "--set generate.openai.model=NAME"
            )
        return self

    def engine_spec(self, gpus: float) -> EngineSpec:
        """What an actor with so many GPUs generates with."""
        section = getattr(self, self.engine, None)
        options = section.model_dump() if isinstance(section, Section) else {}
        clips = self.in_flight * self.piece_clips
        return EngineSpec(name=self.engine, gpus=gpus, in_flight=self.in_flight, clips=clips, options=options)


HELDOUT, TEST = "heldout", "test"
"""Evaluation sets that are splits of data.manifest: one decides which cycle is promoted, the other one is opened last."""


class EvaluationSet(Section):
    """Clips that a model is evaluated on (docs/benchmarks.md). The first set of a run decides which cycle is promoted.

    EvaluationSet(name="heldout"), EvaluationSet(name="mine", files="mine.jsonl", metrics=("accuracy", "accuracy_by_label"))
    """

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]*$")
    """Names the steps that evaluate it: cycle-000/evaluate-NAME."""
    format: str = "manifest"
    """How the files are written: a reader of engine/evaluate/sets. "manifest" is what data.manifest may be."""
    files: str = ""
    """Path or URI. Default, for the set named heldout: the held-out split of data.manifest."""
    videos: str = ""
    """Folder or URI that relative video paths start from; default: the folder of the files."""
    metrics: tuple[str, ...] = Field(default=("accuracy",), min_length=1)
    """Names of engine/evaluate/metrics; the first one is the set's headline."""
    prompts: str = ""
    """How its clips are asked about, in the wording of training; default: generate.prompts."""
    when: Literal["cycle", "end"] = "cycle"
    """cycle: of the base and of every cycle. end: once when the loop has ended, of the first model and of the promoted one."""
    judge: str = ""
    """The model that judges its answers, at the server of [evaluate.judge]; default: that section's model."""

    @model_validator(mode="after")
    def _has_files(self) -> "EvaluationSet":
        if self.name == "train":
            raise ValueError("an evaluation set cannot be named 'train'; choose another name")
        if (self.name == HELDOUT) == bool(self.files):
            raise ValueError(
                f"evaluation set {self.name!r} {'names files' if self.files else 'names no files'}; the set heldout is the "
                "held-out split of data.manifest, and every other set names its files"
            )
        if self.name == HELDOUT and self.when == "end":
            raise ValueError('the set heldout decides about each cycle; leave out when = "end"')
        return self


class Evaluate(Section):
    lora_alpha: float | None = Field(default=None, ge=0)
    """As generate.lora_alpha, for the evaluation sets; `starloop alpha-sweep` shows what it does."""
    sets: tuple[EvaluationSet, ...] = Field(default=(EvaluationSet(name=HELDOUT),), min_length=1)
    """[[evaluate.sets]]: any number. The first one is the held-out split, which need not be written down."""
    only: bool = False
    """The run evaluates its sets and ends: it has no manifest, no held-out split and no cycle. `starloop benchmark` sets it."""
    judge: BenchmarkJudge = BenchmarkJudge()
    sentence_model: str = "sentence-transformers/all-mpnet-base-v2"
    """For the metric sts: folder or hub id of a model of sentence-transformers. EILEV's is the default."""
    cross_encoder: str = "cross-encoder/stsb-roberta-large"
    """For the metric sts_cross, likewise."""
    bert_model: str = "roberta-large"
    """For the metric bert_score: folder or hub id of an encoder."""

    @field_validator("sets")
    @classmethod
    def _distinct(cls, value: tuple[EvaluationSet, ...]) -> tuple[EvaluationSet, ...]:
        names = [evaluation_set.name for evaluation_set in value]
        if HELDOUT in names[1:] or len(set(names)) != len(names):
            raise ValueError("heldout is the first of evaluate.sets, and no name stands twice")
        return value if HELDOUT in names else (EvaluationSet(name=HELDOUT), *value)


JUDGE = "judge"
"""The name of the judge in verify.stages."""


class Verify(Section):
    preset: Literal["strict", "paper", "code"] = "strict"
    """Which rules: our own, or as published in the paper or in the code."""
    stages: tuple[str, ...] = Field(default=("rules",), min_length=1)
    """Verifiers that are asked one after another until one rejects; see engine/verify/stages.py."""
    sentence_model: str = ""
    """Compares sentences by meaning: folder or hub id of a sentence-transformers model. Default: ROUGE-L, by words."""
    parser: str = ""
    """Judges what the rules keep by keywords once more, by a dependency parse of English: spacy:MODEL. Default: the rules alone.

    It decides results, so it is never used only because it is installed: what the configuration names has to be there."""
    span_model: str = ""
    """Of the presets paper and code: a model for extractive question answering, a folder or a hub id, which finds the span of an
    answer in which some labels are looked for (docs/labels.md). It is loaded where a label needs it. "": whole answers are read."""
    entailment_model: str = ""
    """Of the presets paper and code: a model for natural language inference, a folder or a hub id, by which labels with compare =
    "entailment" are compared. It is loaded where a label needs it. "": they are compared as sentences."""
    stop_words: Literal["own", "spacy"] = "own"
    """Of the presets paper and code: the words that their matcher drops. own: our list, the greater part of spaCy's. spacy: spaCy's
    list, as published; then the package spacy has to be there."""
    language: str = "en"
    """Code of the language of labels and answers (de, es, fr, ru, ar ...), for the dictionary forms of their words.

    The rules of grammar are made for English in any case (docs/labels.md)."""
    judge: Judge = Judge()

    @model_validator(mode="after")
    def _names_a_judge(self) -> "Verify":
        named, stages = bool(self.judge.url), self.stages
        if named and JUDGE not in stages:
            raise ValueError('judge.url names a server that is never asked; add --set verify.stages=["rules","judge"]')
        if JUDGE not in stages:
            return self
        if "rules" not in stages[: stages.index(JUDGE)]:
            raise ValueError(f"stages = {list(stages)}: the judge is asked what the rules leave open; name rules before it")
        if empty := [key for key in ("url", "model") if not getattr(self.judge, key)]:
            raise ValueError(
                f'stages has "judge", and judge.{empty[0]} is empty; give --set verify.judge.url=http://host:8000/v1 and '
                "--set verify.judge.model=NAME"
            )
        return self

    def stages_of(self, kind: str) -> tuple[str, ...]:
        """The stages that a step of this kind asks. No judge is asked about evaluations: accuracies follow from labels and rules
        alone, so that they can be compared, and cost nothing."""
        return tuple(name for name in self.stages if name != JUDGE or kind == "generate")


Prefer = Literal["vote", "grounding", "length"]


MIN_GROUNDINGS = 'write "fdr 0.05", a share above 0 and below 1 of clips whose answer fits other videos, a number of nats, or "off"'


class Select(Section):
    source: Literal["star", "template"] = "star"
    """star: what survived verification. template: every label in a fixed sentence, the baseline that Video-STaR compares with."""
    template: str = "The answer is {label}."
    """The sentence of source = "template"."""
    max_per_label: int | None = Field(default=None, gt=0)
    """Maximum number of examples of one label; the run's seed draws which ones.

    A keywords label counts by its text, any other label by its kind."""
    balance: bool = False
    """Cap the examples of each label, counted as for max_per_label, at the number that the median label has."""
    near_duplicates: int | None = Field(default=None, gt=0)
    """Maximum number of examples whose answers are nearly the same; the run's seed draws which ones. Default: they are only
    counted. Short answers, and those of a model that was taught in few words, are alike for good reasons: a cap costs clips."""
    near_copies: Literal["drop", "count", "ignore"] = "drop"
    """What is done with train clips that show nearly the same pictures as a clip of an evaluation set, or a video of a benchmark:
    copies that were encoded again, mirrored, cropped, or made faster or slower (docs/near_copies.md). They are listed and left out,
    or only listed. With source = "template" nothing is compared."""
    train_copies: Literal["drop", "count"] = "count"
    """What near_copies = "drop" does with train clips that show nearly the same as another train clip with the same question and
    label, in a file of its own: of those that hang together one stays, drawn by the run's seed among those with an example, or all
    do."""
    benchmarks: tuple[str, ...] = ()
    """Folders or URIs of videos that near_copies looks for in the train split; each video is watched whole, and decoded once."""
    min_grounding: float | str = "fdr 0.05"
    """Which kept attempts are grounded enough to be trained on. "fdr 0.05": of the clips that keep one, an expected 5 % at most
    keep it though it fits the videos of other clips as well; the threshold follows from pairs of text and video that do not belong
    together, for each generate step and model anew. A number: the least grounding, in nats. "off": all. Attempts without a score
    stay (docs/grounding.md)."""
    prefer: tuple[Prefer, ...] = ("vote", "grounding", "length")
    """By what one of several kept samples of a clip is chosen, the first that tells them apart. vote: the value that most of them
    give, where the label allows several. grounding: the highest. length: the fewest characters. Then the sample that was asked
    first."""
    pass_rate: tuple[float, float] | None = None
    """[lowest, highest] share of a clip's direct samples that are kept, of clips that are trained on: [0.1, 0.9] leaves out what is
    never or always right, rationalized clips among them. The samples are those of the cycle whose attempt is trained on. It needs
    generate.samples > 1."""
    carry_over: bool = False
    """For a clip without a kept attempt in this cycle, use the latest attempt that an earlier cycle kept."""

    @field_validator("min_grounding")
    @classmethod
    def _rates(cls, value: float | str) -> float | str:
        if isinstance(value, str) and not re.fullmatch(r"off|fdr 0?\.\d+", value):
            raise ValueError(MIN_GROUNDINGS)
        return value

    @field_validator("pass_rate")
    @classmethod
    def _rises(cls, value: tuple[float, float] | None) -> tuple[float, float] | None:
        if value is not None and not 0 <= value[0] <= value[1] <= 1:
            raise ValueError("give [lowest, highest] from 0 to 1")
        return value


class Mixture(Section):
    """How often a row of each source is seen in an epoch: 1 once, 2.0 twice, 0.5 every other epoch, 0 never."""

    direct: float = Field(default=1.0, ge=0, le=100)
    """Examples of answers given without a hint."""
    rationalized: float = Field(default=1.0, ge=0, le=100)
    """Examples of answers given with a hint; the last finetune uses none of them while loop.final_direct_only is true."""
    episodes: float = Field(default=0.0, ge=0, le=100)
    """In-context episodes, one query for each clip with verb and noun ([episodes]); every epoch draws new contexts."""
    instruct: float = Field(default=0.0, ge=0, le=100)
    """Conversations from mixture.examples."""
    examples: str = ""
    """Parquet of examples that `starloop ingest --format instruct` wrote, or a folder of such files, in which each file is a set of
    its name, unless its rows name theirs."""
    collections: dict[str, Annotated[float, Field(ge=0, le=100)]] = Field(default={})
    """How often the conversations of a set are seen, times `instruct`: {caption_webvid = 0.25, vqa_tgif_frame_qa = 2.0}. Those of
    sets that are not named are seen `instruct` times."""

    def conversation_weight(self, collection: str) -> float:
        """How often a conversation of that set is seen in an epoch."""
        return self.instruct * self.collections.get(collection, 1.0)


class Episodes(Section):
    """EILEV's in-context episodes: shots before a query, with the loss on the query's answer. `paper` has the published choices."""

    answers: Literal["narration", "kept"] = "narration"
    """The text of a shot: the clip's description, or the attempt that the same cycle kept."""
    shots: tuple[int, ...] = Field(default=(0, 1, 2, 4, 8, 16), min_length=1)
    """Numbers of shots, of which one is drawn for each episode. Published: always 16, which is poor at 0 shots."""
    verb_noun_ratio: float = Field(default=0.5, ge=0, le=1)
    """Share of the shots with the query's verb; the others have its noun. Rounded down, so a single shot has the noun."""
    contexts: Literal["bursty", "random"] = "bursty"
    """bursty: clips that share the query's verb or noun. random: any clips, the ablation of burstiness."""
    top_actions: int | None = Field(default=None, gt=0)
    """Use only so many of the most frequent actions, with their clips repeated to the old total: the ablation of the long tail."""
    canonical: str = ""
    """One narration for all clips of an action, e.g. "The camera wearer {verb} the {noun}.": the ablation of dynamic meaning."""
    exclude: Literal["nothing", "overlap", "video"] = "video"
    """Which clips of the query's own video cannot be shots. Published: nothing is excluded, not even overlapping clips."""
    same_narrator: bool = True
    """Use shots of the query's narrator only, if the manifest has a narrator column. Published: shots of every narrator."""
    question: str = Field(default="What is the camera wearer doing?", min_length=1)
    """The question about each shot and query; the manifest's own questions are used by the loop only."""
    wordings: Literal["plain", "published"] = "plain"
    """plain: the question as it is. published: one of nine wordings, drawn for each shot."""
    pattern: str = "The camera wearer {verb} {noun}"
    """Where a narration has its verb and noun, for accuracy and the report on meanings. For a narration that does not match, an
    answer is right if it names verb class and noun class; such narrations are counted."""
    loss_on: Literal["query", "all"] = "query"
    """query: loss on the query's answer. all: on the shots' answers too, as EILEV did until July 2023."""
    sentence: str = ""
    """How a narration that is a phrase becomes a sentence, in training and evaluation: "The camera wearer {phrase}." makes "The
    camera wearer opens the door." of EPIC-KITCHENS' "open door". Narrations that begin so are left as they are."""
    frames: Literal["model", "published"] = "model"
    """Which frames the run's model watches, of all clips. model: as model.frames says. published: EILEV's, from the first frame to
    the last one in even steps, the same in training and evaluation; EILEV has model.num_frames = 8."""
    num_frames: int | None = Field(default=None, gt=0, le=4096)
    """Frames of a shot, chosen evenly from the model's frames; default: all of them."""
    pooling_shape: tuple[int, int, int] | None = None
    """[T', H', W'] of a shot's tokens; default: half the model's in each dimension."""
    split: Literal["manifest", "video", "action"] = "manifest"
    """For `starloop episodes`. manifest: its own split. video: 75 % of the clips, by video. action: common against rare actions."""
    common_by: Literal["video", "clip"] = "video"
    """Which common clips are held out by split = "action". video: those of a quarter of the videos. clip: a quarter of the clips,
    as published, so that other clips of their videos are trained on."""
    window_s: float | None = Field(default=None, gt=0)
    """Seconds around the moment of its narration that a clip shows, where the manifest has that moment (narrated_s); default: the
    clip's own window. For `starloop episodes`. EILEV: 8, which Ego4D's clips have already."""
    common_mass: float = Field(default=0.8, gt=0, lt=1)
    """Share of the clips whose actions are common."""
    eval_shots: tuple[int, ...] = Field(default=(0, 1, 2, 4, 8, 12, 16), min_length=1)
    """Numbers of shots of the few-shot curve."""
    eval_queries: int | None = Field(default=None, gt=0)
    """Queries of each set, drawn by the seed; default: all."""

    @field_validator("shots", "eval_shots")
    @classmethod
    def _counts(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        if any(not 0 <= shots <= 1024 for shots in value) or len(set(value)) != len(value):
            raise ValueError("give different numbers of shots from 0 to 1024")
        return tuple(sorted(value))

    @field_validator("sentence")
    @classmethod
    def _place(cls, value: str) -> str:
        if value and value.count("{phrase}") != 1:
            raise ValueError("mark the place of the phrase with {phrase}, once")
        return value

    @field_validator("pattern", "canonical")
    @classmethod
    def _places(cls, value: str) -> str:
        if value and not value.count("{verb}") == value.count("{noun}") == 1:
            raise ValueError("mark the places of verb and noun with {verb} and {noun}, each once")
        return value


class FewShot(Section):
    """What `starloop few-shot` measures beside words and ROUGE-L. BLEU, the cross-encoder and gains need the extra `metrics`."""

    bleu: bool = cost(False)
    """BLEU of the answers of each point of the curve."""
    cross_encoder: str = cost("")
    """STS by a cross-encoder of sentence-transformers: folder or hub id. Published: cross-encoder/stsb-roberta-large."""
    bert_model: str = cost("")
    """BERTScore by this encoder: folder or hub id. Published: roberta-large, rescaled."""
    bert_baseline: str = cost("")
    """A file of bert_score's rescale_baseline, by which BERTScore is rescaled."""
    verbs: str = cost("")
    """Classes of which the likeliest is chosen: CSV with the columns prompt and structured_verb, JSON with a list verbs (Ego4D's
    fho_lta_taxonomy.json), or "clips" for those of the clips. It reads all texts of a class list after each context."""
    nouns: str = cost("")
    """The same of nouns, chosen after the verb."""
    gains: bool = cost(False)
    """gains.json: what each verb and noun gains from shots beside its clips in training, and how the two correlate."""

    @model_validator(mode="after")
    def _both_classes(self) -> "FewShot":
        if bool(self.verbs) != bool(self.nouns):
            raise ValueError(
                "verbs and nouns are chosen together, one after the other; set few_shot.verbs and few_shot.nouns, or none"
            )
        if self.bert_baseline and not self.bert_model:
            raise ValueError("few_shot.bert_baseline needs the model that it is of; set few_shot.bert_model")
        return self

    @property
    def metrics(self) -> list[str]:
        """The names of the metrics that need a library."""
        chosen = {"bleu": self.bleu, "sts_cross": self.cross_encoder, "bert_score": self.bert_model, "correlation": self.gains}
        return [name for name, value in chosen.items() if value]


class Train(Section):
    epochs: float = Field(default=1.0, gt=0)
    """How often a finetune sees its examples; [mixture] weighs their sources."""
    batch_rows: int = Field(default=128, gt=0)
    """Examples per optimizer step, over all workers."""
    micro_batch_rows: int = cost(4, gt=0)
    """Examples per forward pass of one worker."""
    num_workers: int = cost(1, gt=0)
    """Processes that share a finetune, each with train_gpus of the cluster."""
    moments: Literal["random", "middle"] = "random"
    """Which moment an example shows of each of the equal parts of its clip. random: another one in each epoch (PLLaVA's training).
    middle: always the one that answers are given on; then each decoding process keeps clips, as many as limits.keep_bytes holds."""
    augment: Augment = "none"
    """Whether pictures are changed at random in training. published: as PLLaVA trained its 7B and 13B: a part of half to all of the
    picture, the same in all frames of a clip, mirrored in half of the cases, and normalized with ImageNet's means instead of the
    checkpoint's. It swaps left and right, which are labels. Answers and evaluations are never changed, and episodes cannot be."""
    lr: float = Field(default=2e-5, gt=0)
    """Highest learning rate, after the warm-up; then it falls as a cosine."""
    warmup_ratio: float = Field(default=0.03, ge=0, lt=1)
    """Share of the optimizer steps in which the learning rate rises."""
    lr_floor: float = Field(default=0.0, ge=0, le=1)
    """Minimum learning rate as a share of lr, for warm-up and decay; PLLaVA's code has 0.25."""
    weight_decay: float = 0.02
    """AdamW's."""
    decay: Literal["matrices", "all"] = "all"
    """Which trained weights it shrinks. matrices: no biases and no norms, as PLLaVA's optimizer. all: every one."""
    max_grad_norm: float = 1.0
    """Gradients are scaled down to this norm, over all weights."""
    method: Literal["lora", "full"] = "lora"
    """What a finetune changes. lora: a LoRA on q and v of the LLM. full: all of the LLM, as in Video-STaR; then the lora_ keys
    have no meaning, and a cycle's model is a whole model. A PLLaVA or LLaVA learns with lora."""
    projector: bool = True
    """Train the projector too, in full. The tower is never trained."""
    lora_rank: int = Field(default=128, gt=0)
    """Rank of the LoRA's matrices."""
    lora_alpha: float = Field(default=32.0, gt=0)
    """The LoRA's output is scaled by alpha / rank."""
    lora_dropout: float = Field(default=0.05, ge=0, lt=1)
    """Share of the LoRA's inputs that a training step leaves out."""
    zero_stage: Literal[0, 1, 2, 3] = cost(2)
    """DeepSpeed's ZeRO: what the workers share out among them. 1: optimizer states. 2: gradients too. 3: weights too. In
    bfloat16, gradients of micro-batches add up in float32 with 2 and 3; with 0 and 1 in bfloat16, which loses small ones."""
    offload: bool = cost(False)
    """Keep the optimizer's state in CPU memory."""
    gradient_checkpointing: bool = cost(False)
    """Recompute each layer in the backward pass instead of keeping its activations: slower, with far less memory."""
    checkpoint_every_steps: int = cost(200, gt=0)
    """Optimizer steps after which a finetune can go on where it was stopped; train.checkpoint_every_s may come first."""
    checkpoint_every_s: float = cost(900.0, gt=0)
    """Seconds since the last checkpoint, or the beginning, after which the optimizer step under way is followed by one."""

    def accumulates_float32(self, dtype: Dtype) -> bool:
        """Whether the gradients of micro-batches add up in float32 although those of a micro-batch are of the model's dtype."""
        return dtype == "bfloat16" and self.zero_stage >= 2

    def finetune(self) -> FinetuneSpec:
        """What of a model this section changes."""
        return FinetuneSpec(
            rank=self.lora_rank,
            alpha=self.lora_alpha,
            dropout=self.lora_dropout,
            method=self.method,
            projector=self.projector,
            augment=self.augment,
            gradient_checkpointing=self.gradient_checkpointing,
        )

    @model_validator(mode="after")
    def _draws_parts_and_moments(self) -> "Train":
        if self.augment == "published" and self.moments != "random":
            raise ValueError('augment = "published" draws another part of the picture each time; leave moments = "middle" out')
        return self

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
    """Most cycles of a run."""
    promote: Literal["significant", "best", "last"] = "significant"
    """Which cycle is promoted: its model generates next, and is the run's in the end. significant: one that is better than the best
    model so far by a paired test on the same held-out clips; a run without any true gain promotes a cycle with a probability of at
    most 5 %. docs/promotion.md has the test, and `starloop doctor` says the smallest gain that the held-out set can show. best: one
    whose accuracy is the highest so far. last: every cycle, whatever its accuracy, as Video-STaR's loop goes."""
    min_delta: float = Field(default=0.005, ge=0)
    """Minimum gain of held-out accuracy over the best so far, on the clips that both answered; a cycle below it counts as one
    without progress, and so does one that is not promoted by loop.promote = "significant"."""
    patience: int = Field(default=1, ge=0)
    """The loop ends after so many cycles without progress. 0: never; it makes max_cycles cycles. More than 1 needs
    generate.temperature above 0: without it the cycle after one that is not promoted has the same answers again."""
    final_direct_only: bool = True
    """Make the last finetune of direct attempts only (Video-STaR section 2.2)."""


SET_BY_RAY = frozenset(
    ("CUDA_VISIBLE_DEVICES", "DS_ACCELERATOR", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT", "RANK", "WORLD_SIZE")
)
"""Environment variables that tell a training worker which one it is."""
LABEL = r"([a-zA-Z0-9]([a-zA-Z0-9_.-]{0,61}[a-zA-Z0-9])?)"
"""A name or a value of Kubernetes' labels, and so of Ray's (ray/_private/label_utils.py)."""
Selector = Annotated[
    dict[
        Annotated[str, Field(pattern=rf"^({LABEL}(\.{LABEL})*/)?{LABEL}$")],
        Annotated[str, Field(pattern=rf"^!?({LABEL}|in\({LABEL}(, ?{LABEL})*\))$")],
    ],
    "label_selector",
]


class Cluster(Section):
    """Where each stage runs, and with what.

    A selector is Ray's label_selector: {"starloop/pool" = "decode"} are the nodes with this label, which `ray start --labels` or a
    manifest gives them. Conditions are "a", "!a", "in(a,b)" and "!in(a,b)". An empty selector is any node.
    """

    address: str = cost("")
    """Ray address; default: RAY_ADDRESS, else a local cluster."""
    decode_cpus: float = cost(1.0, gt=0)
    """Per decoding process."""
    decode_selector: Selector = cost({})
    """For decoding of every step, training included. Without one, decode stays off the nodes whose GPUs Ray knows by type, where
    there are worker nodes without GPUs."""
    decode_on_gpu_nodes: bool = cost(False)
    """Let decode use the CPUs of nodes with GPUs although there are worker nodes without GPUs. Where there are none, it uses them
    anyway."""
    generator_actors: Annotated[int, Field(gt=0)] | Literal["auto"] = cost(1)
    """auto: as many as the nodes that generator_selector selects hold next to one decode task, read anew when a step begins; where
    Ray knows the bounds of a cluster that grows, as many as it may hold then."""
    generator_selector: Selector = cost({})
    """For generators, and for what writes their answers."""
    generator_cpus: float = cost(1.0, ge=0)
    """Per generator."""
    generator_gpus: float = cost(0.0, ge=0)
    """Per generator. More than 1 for vLLM alone, which spreads a model over as many GPUs of one node."""
    generator_python: str = cost("")
    """Python that the generators run in, where their engine's packages clash with ours: a path on their nodes, such as
    /opt/vllm/bin/python. Ray has to be of the same version there. Default: the one of all other processes."""
    train_cpus: float = cost(1.0, ge=0)
    """Per training worker."""
    train_gpus: float = cost(0.0, ge=0)
    """Per training worker."""
    train_selector: Selector = cost({})
    """For training workers."""
    train_placement: Literal["PACK", "SPREAD"] = cost("PACK")
    """Training workers on as few nodes as possible, whose GPUs are connected fastest, or on as many as possible."""
    train_env: dict[str, str] = cost({})
    """Environment variables of the training workers, beside those of their nodes: {NCCL_SOCKET_IFNAME = "eth0"}. No secrets: Ray's
    dashboard shows them."""
    gpu_memory_gib: float = cost(79.0, gt=0)
    """Memory of one GPU. A configuration that needs more is refused before GPUs are requested."""
    metrics_port: int = cost(0, ge=0, le=65535)
    """Port of this machine at which the driver serves the run's metrics as text (docs/metrics.md); 0: it does not. A Prometheus
    that scrapes Ray's nodes needs no port."""

    @field_validator("train_env")
    @classmethod
    def _leaves_ranks_alone(cls, value: dict[str, str]) -> dict[str, str]:
        if taken := sorted(SET_BY_RAY & value.keys()):
            raise ValueError(f"{taken[0]} is set for each training worker by Ray or DeepSpeed; leave it out")
        return value

    @property
    def num_generators(self) -> int:
        """generator_actors; the least for "auto", of which the number is known when a step begins."""
        return 1 if self.generator_actors == "auto" else self.generator_actors

    @property
    def generator_env(self) -> dict[str, Any]:
        """Ray's runtime environment of the generators."""
        return {"py_executable": self.generator_python} if self.generator_python else {}


class Limits(Section):
    """What a clip and a run may take before they are given up. All may change between two commands on the same run."""

    decode_timeout_s: float = cost(60.0, gt=0)
    """CPU time of the decoding process for one clip, so that a busy node does not decide which clips are kept. By the clock it is
    ten times as long, without the time that storage takes."""
    decode_memory_bytes: int = cost(4 << 30, ge=1 << 28)
    """Address space of the decoding process."""
    read_bytes: int = cost(8 << 30, gt=0)
    """Maximum bytes read for one clip."""
    frame_pixels: int = cost(8192 * 4320, gt=0)
    """Maximum width times height of a video."""
    decode_pixels: int = cost(50_000_000_000, gt=0)
    """Maximum pixels decoded for one clip, over all frames; the default is 6,000 frames of 4K."""
    keep_bytes: int = cost(1 << 29, ge=0)
    """Decoded frames that each decoding process keeps: of shots of episodes, and of examples with train.moments = "middle"."""
    failure_rate: float = cost(0.2, ge=0, le=1)
    """A step stops with an explanation if a larger share of its clips failed, and at least 20 of them."""
    storage_patience_s: float = cost(120.0, ge=0)
    """How long a step waits for storage that does not respond; a request without a byte ends after this time too, but not before
    5 s and no later than 60 s, and an object of a web server that comes slower than 64 KiB/s after so long. Denied access and
    missing objects are not waited for."""
    resource_patience_s: float = cost(1800.0, ge=0)
    """How long a step that gets nothing done waits for CPUs, GPUs or nodes before it stops and says what was asked, what exists and
    what to change. A cloud takes minutes for a node, and an hour for a rare one. 0: without end."""


class RunConfig(Section):
    preset: Literal["strict", "paper", "code"] = "strict"
    """Which set of constants is the default: our own or a published one; see engine/presets.py."""
    run: Run = Run()
    parent: Parent = Parent()
    data: Data = Data()
    model: Model = Model()
    generate: Generate = Generate()
    evaluate: Evaluate = Evaluate()
    verify: Verify = Verify()
    select: Select = Select()
    mixture: Mixture = Mixture()
    episodes: Episodes = Episodes()
    few_shot: FewShot = FewShot()
    train: Train = Train()
    loop: Loop = Loop()
    cluster: Cluster = Cluster()
    limits: Limits = Limits()
    prompts: dict[str, PromptSet] = Field(default={})
    """[prompts.NAME]: prompt sets, for generate.prompts and for evaluation sets."""
    storage: dict[str, dict[str, Any]] = cost({})
    """fsspec options by protocol, for every URI: [storage.s3] endpoint_url = "..."; credentials come from the environment."""

    @field_validator("storage")
    @classmethod
    def _checked(cls, value: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
        check_options(value)
        return value

    def models(self) -> list[ModelSpec]:
        """The instruct model and the base, without an adapter; a single entry if they are the same."""
        return [self.spec(base) for base in dict.fromkeys((self.model.instruct or self.model.base, self.model.base))]

    def spec(self, base: str, adapter: str | None = None, alpha: float | None = None, prompts: str = "") -> ModelSpec:
        """A model with the frames and the pooling of this run, and with the chat of a prompt set, generate.prompts by default."""
        model, prompt_set = self.model, self.prompts.get(prompts or self.generate.prompts, PromptSet())
        return ModelSpec(
            base=base,
            adapter=adapter,
            alpha=alpha,
            num_frames=model.num_frames,
            pooling_shape=model.pooling_shape,
            pooling=model.pooling,
            pooling_method=model.pooling_method,
            pooling_place=model.pooling_place,
            chat=ChatSpec(
                form=self.model.chat,
                system=prompt_set.system,
                opening=prompt_set.opening,
                answer_start=prompt_set.answer_start,
            ),
            choose=self.model.frames if self.episodes.frames == "model" else "spread",
            shot_frames=self.episodes.num_frames,
            shot_shape=self.episodes.pooling_shape,
        )

    @property
    def sets(self) -> tuple[EvaluationSet, ...]:
        """All evaluation sets: those of evaluate.sets, and the split that data.test sets apart, measured as the first one."""
        if self.data.test is None:
            return self.evaluate.sets
        return (*self.evaluate.sets, self.evaluate.sets[0].model_copy(update={"name": TEST, "when": "end"}))

    @model_validator(mode="after")
    def _one_test_set(self) -> "RunConfig":
        if self.data.test is not None and any(own.name == TEST for own in self.evaluate.sets):
            raise ValueError("data.test makes an evaluation set named test, and evaluate.sets has one too; name that one otherwise")
        return self

    @property
    def generates(self) -> bool:
        """Whether the training mixture uses verified answers, so that the generate step is needed."""
        mixture = self.mixture
        kept = mixture.direct or mixture.rationalized or (mixture.episodes and self.episodes.answers == "kept")
        return self.select.source == "star" and bool(kept)

    @property
    def learns_from_hints(self) -> bool:
        """Whether finetunes use answers that were given with a hint: as examples, or as shots of episodes."""
        return bool(self.mixture.rationalized or (self.mixture.episodes and self.episodes.answers == "kept"))

    @property
    def scores_answers(self) -> bool:
        """Whether a generate step may give kept answers a grounding. Only the first cycle is a server's that reads no texts."""
        is_own_later = self.loop.max_cycles > 1 or bool(self.parent.model)
        return bool(self.generate.compared("builtin" if is_own_later else self.generate.engine))

    @model_validator(mode="after")
    def _mixed(self) -> "RunConfig":
        mixture = self.mixture
        if mixture.instruct and not mixture.examples:
            raise ValueError("mixture.instruct needs mixture.examples, a file that `starloop ingest --format instruct` writes")
        if not (mixture.direct or mixture.rationalized or mixture.episodes or mixture.instruct):
            raise ValueError("[mixture] leaves nothing to train on; give at least one source a weight above 0")
        return self

    def prompts_of(self, evaluation_set: str) -> str:
        """The name of the prompt set by which an evaluation set is asked."""
        named = (own.prompts for own in self.sets if own.name == evaluation_set)
        return next(named, "") or self.generate.prompts

    @model_validator(mode="after")
    def _prompts_exist(self) -> "RunConfig":
        names = [*BUILT_IN_PROMPTS, *self.prompts]
        if built_in := [name for name in self.prompts if name in BUILT_IN_PROMPTS]:
            raise ValueError(f"[prompts.{built_in[0]}] has the name of a built-in prompt set; choose another name")
        used = {"generate.prompts": self.generate.prompts}
        used |= {f"prompts of evaluation set {own.name}": own.prompts for own in self.evaluate.sets if own.prompts}
        for key, name in used.items():
            if name not in names:
                raise ValueError(f"{key} = {name!r}: known are {', '.join(names)}; add [prompts.{name}] or choose one of them")
        prompt_set = self.prompts.get(self.generate.prompts)
        if self.generate.rationalize and prompt_set is not None and not prompt_set.rationalize:
            raise ValueError(
                f"[prompts.{self.generate.prompts}] has no `rationalize`; give it, with {{label}}, or set "
                "generate.rationalize = false"
            )
        return self

    @model_validator(mode="after")
    def _has_pass_rates(self) -> "RunConfig":
        if self.select.pass_rate is not None and self.generate.samples == 1:
            raise ValueError("select.pass_rate needs several samples of a clip; set generate.samples and generate.temperature")
        return self

    @model_validator(mode="after")
    def _has_a_lora(self) -> "RunConfig":
        if self.train.method == "full" and (self.generate.lora_alpha, self.evaluate.lora_alpha) != (None, None):
            raise ValueError("train.method = 'full' makes no LoRA: take lora_alpha out of [generate] and [evaluate]")
        return self

    @model_validator(mode="after")
    def _one_choice_of_frames(self) -> "RunConfig":
        if self.episodes.frames == "published":
            if self.model.frames == "published":
                raise ValueError(
                    "episodes.frames and model.frames = \"published\" are EILEV's and PLLaVA's; leave one of the two out"
                )
            if self.model.frame_tolerance_s:
                raise ValueError(
                    f'episodes.frames = "published" are EILEV\'s, and model.frame_tolerance_s = {self.model.frame_tolerance_s:g} '
                    "shows other ones; leave one of the two out"
                )
        return self

    @model_validator(mode="after")
    def _reads_keyframes(self) -> "RunConfig":
        if self.generate.decoder == "decord" and self.model.frame_tolerance_s:
            raise ValueError(
                f"model.frame_tolerance_s = {self.model.frame_tolerance_s:g} is read by PyAV alone; set generate.decoder = 'pyav'"
            )
        return self

    def access(self) -> Storage:
        """How each process of the run opens URIs."""
        return Storage(self.storage, self.limits.storage_patience_s)

    def identity(self) -> dict[str, Any]:
        """What may not change within a run: every field that is not declared with `cost`."""
        return identity(self)
