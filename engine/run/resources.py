"""What a configuration needs, computed before GPUs are requested: tokens of the context, bytes of each GPU. Pure.

The bytes of weights, keys and values and optimizer states are exact. Activations are estimated from the sizes of a layer, and
WORKSPACE is room for what torch and CUDA allocate themselves.
"""

import math
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field

from engine.config import Cluster, RunConfig
from engine.run.costs import hours
from engine.store.weights import local
from models.base import ENCODE_CLIPS, Dtype, ModelSize
from models.folders import SMALL_FILES
from models.registry import check_engine, check_finetune
from models.registry import size as size_of
from models.vllm.arguments import ENCODED_SHARE, memory_share

BYTES: dict[Dtype, int] = {"bfloat16": 2, "float32": 4}
"""Of one value."""
FP32 = BYTES["float32"]
GIB = 1 << 30
PROMPT_TOKENS = 256
"""Estimate for system prompt, question and hint; the generator checks the real number for each clip."""
EXCHANGE_TOKENS = 40
"""Estimate for question and narration of a shot, with the words of the chat template."""
WORKSPACE = 2 * GIB


@dataclass(frozen=True)
class Use:
    """Bytes of one GPU by what holds them: Use("generate", {"weights": 14_100_000_000, ...}, remedy="...", processes=2)."""

    what: str
    parts: dict[str, float]
    """Of one process."""
    remedy: str
    processes: int = 1
    """That share the GPU."""

    @property
    def total(self) -> float:
        """Of all processes together."""
        return sum(self.parts.values()) * self.processes

    def __str__(self) -> str:
        parts = ", ".join(f"{name} {size / GIB:.1f}" for name, size in self.parts.items())
        shared = f"{self.processes} processes of {self.total / self.processes / GIB:.1f}: " if self.processes > 1 else ""
        return f"{self.what}: {self.total / GIB:.1f} GiB a GPU ({shared}{parts})"


def processes_of_a_gpu(processes: int, gpus: float) -> int:
    """How many processes of a step share one GPU at most, when each is given so many GPUs.

    >>> processes_of_a_gpu(8, 0.5), processes_of_a_gpu(2, 0.3), processes_of_a_gpu(8, 1.0), processes_of_a_gpu(8, 0.0)
    (2, 2, 1, 1)
    """
    return min(processes, int(1 / gpus + 1e-9)) if 0 < gpus < 1 else 1


def generators_of_a_gpu(cluster: Cluster) -> int:
    """How many generators share one GPU at most. With "auto" there are as many as fit."""
    count = sys.maxsize if cluster.generator_actors == "auto" else cluster.generator_actors
    return processes_of_a_gpu(count, cluster.generator_gpus)


def refuse_odd_shares(config: RunConfig) -> None:
    """Raises ValueError for a share of GPUs that no process can use."""
    cluster, workers = config.cluster, config.train.num_workers
    for name, gpus, count in (
        ("generator_gpus", cluster.generator_gpus, "cluster.generator_actors"),
        ("train_gpus", cluster.train_gpus, "train.num_workers"),
    ):
        spreads = name == "generator_gpus" and config.generate.engine == "vllm"
        if gpus > 1 and spreads and gpus != int(gpus):
            raise ValueError(f"cluster.{name} = {gpus:g}: vLLM spreads a model over whole GPUs; give a whole number")
        if gpus > 1 and not spreads:
            raise ValueError(f"cluster.{name} = {gpus:g}: a process computes on one GPU; give 1, and use more with {count}")
    if 0 < cluster.train_gpus < 1 and workers > 1:
        raise ValueError(
            f"cluster.train_gpus = {cluster.train_gpus:g} with train.num_workers = {workers}: NCCL lets no two workers of a "
            "finetune share a GPU; give 1"
        )


def _many(count: int) -> str:
    """
    >>> _many(7_063_000_000), _many(88_100_000)
    ('7.06 B', '88.1 M')
    """
    return f"{count / 1e9:.2f} B" if count >= 1e9 else f"{count / 1e6:.1f} M"


def _trained(config: RunConfig, size: ModelSize) -> str:
    """What a finetune changes, with its parameters."""
    part = f"LoRA {_many(size.lora_params)}" if config.train.method == "lora" else f"LLM {_many(size.llm_params)}"
    return f"{part}, projector {_many(size.projector_params)}" if config.train.projector else part


@dataclass(frozen=True)
class Findings:
    lines: list[str] = field(default_factory=list)
    """What a user should know, one fact a line."""
    refusals: list[str] = field(default_factory=list)
    """Why the configuration cannot work, with the numbers and the remedy."""


def afford(config: RunConfig, trains: bool = True) -> list[str]:
    """The run's budget of tokens and memory as lines of text, computed from the models' small files alone.

    `trains`: whether the base is to be finetuned. Raises ValueError with the numbers if the configuration cannot work.
    """
    refuse_odd_shares(config)
    lines: list[str] = []
    for spec in config.models():
        local_spec = local(spec, config.access(), SMALL_FILES)
        is_trained = trains and spec.base == config.model.base
        if is_trained:
            check_finetune(local_spec, config.train.finetune())
        check_engine(local_spec, config.generate.engine_spec(config.cluster.generator_gpus))
        findings = budget(config, size_of(local_spec, config.train.finetune()), is_trained)
        if findings.refusals:
            raise ValueError(f"{spec.base}: {findings.refusals[0]}")
        lines += [f"{spec.base}: {line}" for line in findings.lines]
    return lines


def needs(config: RunConfig) -> tuple[float, float]:
    """The CPUs and GPUs that a step needs at once, or it would wait for ever: its actors, and one decode task beside them."""
    cluster, workers = config.cluster, config.train.num_workers
    generating, training = cluster.num_generators * cluster.generator_cpus, workers * cluster.train_cpus
    gpus = max(gpus_of(cluster.num_generators, cluster.generator_gpus), gpus_of(workers, cluster.train_gpus))
    return max(generating, training) + cluster.decode_cpus, gpus


def gpus_of(processes: int, gpus: float) -> float:
    """How many GPUs processes take that are given so many each: a share of a GPU does not reach over to the next one.

    >>> gpus_of(3, 0.6), gpus_of(3, 0.5), gpus_of(8, 1.0), gpus_of(2, 4.0), gpus_of(8, 0.0)
    (3, 2, 8, 8.0, 0)
    """
    return math.ceil(processes / processes_of_a_gpu(processes, gpus)) * max(1, gpus) if gpus else 0


def budget(config: RunConfig, size: ModelSize, is_trained: bool = True) -> Findings:
    """Tokens always; bytes of each GPU only if the configuration uses GPUs."""
    findings = Findings()
    trained = f", and {_many(size.trained_params)} that are trained ({_trained(config, size)})" if is_trained else ""
    findings.lines.append(f"{_many(size.params)} parameters{trained}")
    answer = config.generate.max_tokens
    longest = config.generate.vllm.max_model_len if config.generate.engine == "vllm" else None
    context = min(size.context_tokens, longest or size.context_tokens)
    left = context - size.video_tokens - answer
    findings.lines.append(
        f"{size.num_frames} frames become {size.video_tokens} visual tokens; with {answer} of answer they leave {left} "
        f"of the context's {context} for the prompt"
    )
    if left <= 0:
        raised = "raise generate.vllm.max_model_len, or " if context < size.context_tokens else ""
        findings.refusals.append(
            f"{size.video_tokens} visual tokens and generate.max_tokens = {answer} fill the model's context of "
            f"{context}; {raised}lower generate.max_tokens, model.num_frames or model.pooling_shape"
        )
    if config.mixture.episodes:
        shots = config.episodes.shots[-1]
        visual = shots * size.shot_tokens + size.video_tokens
        text = (shots + 1) * EXCHANGE_TOKENS
        findings.lines.append(
            f"an episode of {shots} shots has {shots} x {size.shot_tokens} + {size.video_tokens} visual tokens, and with some "
            f"{text} of text about {visual + text} of {size.context_tokens}; the select step counts them"
        )
        fit = (size.context_tokens - size.video_tokens - EXCHANGE_TOKENS) // (size.shot_tokens + EXCHANGE_TOKENS)
        if visual >= size.context_tokens:
            findings.refusals.append(
                f"{shots} shots of {size.shot_tokens} visual tokens and a query of {size.video_tokens} fill the model's "
                f"context of {size.context_tokens}; {max(0, fit)} would fit: lower episodes.shots, episodes.pooling_shape or "
                "model.pooling_shape"
            )
    value_bytes = max(_value_bytes(config, gpus) for gpus in (config.cluster.generator_gpus, config.cluster.train_gpus))
    loaded = size.params * value_bytes
    amount = f"{loaded / GIB:.1f} GiB" if loaded > 0.1 * GIB else f"{loaded / 2**20:.0f} MiB"
    findings.lines.append(
        f"each process needs {amount} of its machine's memory while it loads the model "
        "(with ZeRO-3 only the first training worker loads it)"
    )
    for use in _uses(config, size, is_trained):
        findings.lines.append(str(use))
        if use.total > config.cluster.gpu_memory_gib * GIB:
            findings.refusals.append(f"{use}, and cluster.gpu_memory_gib is {config.cluster.gpu_memory_gib:g}; {use.remedy}")
    if config.cluster.generator_gpus and config.cluster.train_gpus:
        findings.lines.append(hours(size, config.train, is_trained))
    return findings


def _uses(config: RunConfig, size: ModelSize, is_trained: bool) -> Iterator[Use]:
    if config.cluster.generator_gpus:
        yield vllm_generation(config, size) if config.generate.engine == "vllm" else generation(config, size)
    if config.cluster.train_gpus and is_trained:
        yield training(config, size)


def _value_bytes(config: RunConfig, gpus: float) -> int:
    """Bytes of one value of the model in an actor that is given so many GPUs."""
    return BYTES[config.model.device(gpus).dtype]


def generation(config: RunConfig, size: ModelSize) -> Use:
    """Memory of the generators of one GPU: the prefixes of each one's pieces in flight, and a copy of one piece's with room for
    question and answer.

    A piece keeps its prefixes until its last clip is verified; the pieces are answered one after another. Samples of a clip share
    its copy (models/streams.py). Reading texts afterwards takes less than answering. Below float32 a LoRA lies beside the weights.
    """
    cluster = config.cluster
    processes = generators_of_a_gpu(cluster)
    piece, in_flight, samples = config.generate.piece_clips, config.generate.in_flight, config.generate.samples
    value_bytes = _value_bytes(config, cluster.generator_gpus)
    token = size.kv_values_per_token * value_bytes
    beside = size.lora_params if config.train.method == "lora" and value_bytes < FP32 else 0
    weights = (size.params + beside) * value_bytes
    work = _encoding(size, value_bytes) + piece * samples * size.vocab_size * FP32 * 3
    continued = token * (size.clip_tokens + PROMPT_TOKENS + samples * config.generate.max_tokens)
    clip = token * in_flight * size.clip_tokens + continued
    fits = int((cluster.gpu_memory_gib * GIB / processes - weights - work - WORKSPACE) // clip)
    if fits >= 1:
        remedy = f"generate.piece_clips = {fits} fits"
    elif in_flight > 1:
        remedy = f"lower generate.pieces_in_flight = {in_flight}"
    elif processes > 1:
        remedy = "give each generator a GPU of its own: cluster.generator_gpus = 1"
    else:
        remedy = "this model needs a larger GPU, or fewer visual tokens"
    parts = {
        "weights": weights,
        f"keys and values of {in_flight * piece} clips": token * in_flight * piece * size.clip_tokens,
        f"continuation of {piece} clips": piece * continued,
        "work": work,
        "workspace": WORKSPACE,
    }
    return Use("generate", parts, remedy, processes)


def vllm_generation(config: RunConfig, size: ModelSize) -> Use:
    """Memory of vLLM's engines on one GPU: all that their share is, and what has to fit into it at least.

    vLLM keeps the encoded clips of all pieces in flight on each GPU, and shares out weights, keys and values.
    """
    cluster, generate = config.cluster, config.generate
    processes, gpus = generators_of_a_gpu(cluster), max(1.0, cluster.generator_gpus)
    value_bytes = _value_bytes(config, cluster.generator_gpus)
    share = memory_share(generate.vllm.model_dump(), cluster.generator_gpus) * cluster.gpu_memory_gib * GIB
    clip_tokens = size.clip_tokens + PROMPT_TOKENS + generate.max_tokens
    clip = size.kv_values_per_token * value_bytes * clip_tokens / gpus
    all_clips = generate.in_flight * generate.piece_clips * size.clip_tokens * size.hidden_size * value_bytes
    encoded = min(all_clips, ENCODED_SHARE * cluster.gpu_memory_gib * GIB)
    fixed = {"weights": size.params * value_bytes / gpus, "encoded clips": encoded, "workspace": WORKSPACE}
    left = share - sum(fixed.values())
    if left < clip:
        remedy = "give each generator more GPUs with cluster.generator_gpus, or raise generate.vllm.memory_share"
        outside = {"keys and values of a clip": clip, "outside of vLLM's share": cluster.gpu_memory_gib * GIB - share}
        return Use("generate", fixed | outside, remedy)
    remedy = "lower generate.vllm.memory_share, or give each generator a GPU of its own: cluster.generator_gpus = 1"
    return Use("generate", fixed | {f"keys and values of {int(left // clip)} clips": left}, remedy, processes)


def _encoding(size: ModelSize, value_bytes: int) -> float:
    """Activations while clips are encoded: the largest of a tower layer and the projector (patches) and an LLM layer (tokens)."""
    tower = size.num_frames * size.patches_per_frame * (6 * size.tower_size + 2 * size.tower_intermediate_size)
    projector = size.num_frames * size.patches_per_frame * 2 * size.hidden_size
    prefill = size.clip_tokens * (6 * size.hidden_size + 3 * size.intermediate_size)
    return ENCODE_CLIPS * value_bytes * max(tower, projector, prefill)


def _row_tokens(config: RunConfig, size: ModelSize, shots: int) -> int:
    """The longest row that training may be fed. Conversations are as long as their writers made them: up to the whole context."""
    if config.mixture.instruct:
        return size.context_tokens
    text = max(PROMPT_TOKENS + config.generate.max_tokens, shots * size.shot_tokens + (shots + 1) * EXCHANGE_TOKENS)
    return min(size.context_tokens, size.clip_tokens + text)


def _learned_tokens(config: RunConfig, size: ModelSize, shots: int) -> int:
    """How many tokens of a row are learned at most: training computes logits for these places alone."""
    if config.mixture.instruct:
        return size.context_tokens
    narrations = (shots + 1 if config.episodes.loss_on == "all" else 1) * EXCHANGE_TOKENS if shots else 0
    return max(config.generate.max_tokens, narrations)


def training(config: RunConfig, size: ModelSize) -> Use:
    """One training worker: DeepSpeed's states by ZeRO stage (arXiv 1910.02054, section 3), activations of a micro-batch."""
    train = config.train
    workers, stage = train.num_workers, train.zero_stage
    dtype, value_bytes = config.model.device(config.cluster.train_gpus).dtype, _value_bytes(config, config.cluster.train_gpus)
    shots = config.episodes.shots[-1] if config.mixture.episodes else 0
    row_tokens = _row_tokens(config, size, shots)
    tokens = train.micro_batch_rows * row_tokens
    # answers of rows that differ in length lie in different places, and logits are computed for the places of all of them
    places = min(row_tokens, train.micro_batch_rows * _learned_tokens(config, size, shots))
    trained = size.trained_params
    layer = tokens * value_bytes * (8 * size.hidden_size + 3 * size.intermediate_size)
    kept = (
        size.num_layers * tokens * value_bytes * size.hidden_size + layer
        if train.gradient_checkpointing
        else size.num_layers * layer
    )
    patches = train.micro_batch_rows * (shots + 1) * size.num_frames * size.patches_per_frame
    parts = {
        "weights": size.params * value_bytes / (workers if stage == 3 else 1),
        "gradients": trained * (FP32 if train.accumulates_float32(dtype) else value_bytes) / (workers if stage >= 2 else 1),
        "optimizer": 0.0 if train.offload else trained * 3 * FP32 / (workers if stage >= 1 else 1),
        "activations": kept + patches * value_bytes * (size.tower_size + 2 * size.hidden_size),
        "logits": train.micro_batch_rows * places * size.vocab_size * (value_bytes + 3 * FP32),
        "workspace": WORKSPACE,
    }
    fills = (
        f"conversations (mixture.instruct) fill the context of {size.context_tokens} tokens: " if config.mixture.instruct else ""
    )
    smaller = [] if train.gradient_checkpointing else ["train.gradient_checkpointing = true"]
    smaller += ["a smaller train.micro_batch_rows"] if train.micro_batch_rows > 1 else []
    smaller += ["train.zero_stage = 3 with more workers"] if stage < 3 else ["more train.num_workers"]
    return Use("train", parts, f"{fills}try {', or '.join(smaller)}")
