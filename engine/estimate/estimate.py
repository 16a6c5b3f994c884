"""The estimate of a run: its steps, totals, money and assumptions; and beside it what the run took."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from engine.config import JUDGE, RunConfig
from engine.estimate.assumptions import Assumptions
from engine.estimate.bands import NOTHING, Band, exactly, total
from engine.estimate.cycles import fewest_cycles, steps_at_most
from engine.estimate.hardware import Gpu
from engine.estimate.observed import Observed, Taken, with_measurements
from engine.estimate.paces import Machine
from engine.estimate.points import OnPaper, on_paper
from engine.estimate.prices import Prices
from engine.estimate.steps import Estimator, Requests, StepEstimate
from engine.estimate.workload import Workload
from engine.nodes.demand import share_nodes
from engine.run.plan import TRAIN
from models.base import ModelSize

GB = 1e9
MILLION = 1e6
LETTERS_PER_TOKEN = 4.0
"""Of English."""


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """What an estimate is made of."""

    config: RunConfig
    instruct: ModelSize
    base: ModelSize
    workload: Workload
    assumed: Assumptions
    observed: Observed
    gpu: Gpu
    prices: Prices | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """Cost(what="GPUs while they work", amount=Band(...), how="12.3 GPU hours (H100)")"""

    what: str
    amount: Band | None
    """None: the table has no price."""
    how: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Beside:
    """A step that is done, beside what was planned for it without this run's own measurements."""

    step: str
    planned_s: Band
    actual_s: float
    planned_questions: Band
    actual_questions: int
    planned_bytes: Band
    actual_bytes: int

    @property
    def ratio(self) -> float:
        """Of actual to expected seconds."""
        return self.actual_s / self.planned_s.expected if self.planned_s.expected else 0.0


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """What a run will take; `starloop plan --json` prints it."""

    workload: Workload
    hours: Band
    """Of all clips."""
    gpu: str
    """"": the configuration uses no GPU."""
    steps: list[StepEstimate]
    """Of the whole run, those that are done among them."""
    remaining: list[str]
    """Names of the steps that are not sealed."""
    questions_at_most: int
    questions: Band
    """The next fields, too, count remaining steps: low without the cycles that may not come."""
    eta_s: Band
    gpu_hours: Band
    """While the steps' processes hold GPUs."""
    held_gpus: float
    held_gpu_hours: Band
    """Of a cluster of fixed size that is held from start to end."""
    bytes_kept: Band
    bytes_passing: Band
    bytes_read: Band
    requests: Requests
    currency: str
    costs: list[Cost]
    """Empty where no table of prices was given."""
    on_paper: list[OnPaper]
    beside: list[Beside]
    assumed: Assumptions
    notes: list[str]


def make_estimate(inputs: Inputs, is_on_paper: bool) -> Estimate:
    config, observed = inputs.config, inputs.observed
    assumed = with_measurements(inputs.assumed, observed)
    steps = _steps(replace(inputs, assumed=assumed))
    left = [_rest_of(step, inputs) for step in steps if step.step not in observed.sealed]
    summed = {name: _sum(left, name) for name in ("questions", "seconds", "gpu_hours", "bytes_kept", "bytes_read")}
    held = _held_gpus(config, steps)
    requests = Requests()
    for step in left:
        requests += step.requests if step.is_sure else _without_low(step.requests)
    passing = max((step.bytes_passing for step in left), key=lambda band: band.expected, default=NOTHING)
    estimate = Estimate(
        workload=inputs.workload,
        hours=inputs.workload.seconds(assumed) / 3600.0,
        gpu=inputs.gpu.name if held else "",
        steps=steps,
        remaining=[step.step for step in left],
        questions_at_most=sum(step.questions_at_most for step in left),
        questions=summed["questions"],
        eta_s=summed["seconds"],
        gpu_hours=summed["gpu_hours"],
        held_gpus=held,
        held_gpu_hours=summed["seconds"] * (held / 3600),
        bytes_kept=summed["bytes_kept"],
        bytes_passing=passing,
        bytes_read=summed["bytes_read"],
        requests=requests,
        currency=inputs.prices.currency if inputs.prices else "",
        costs=[],
        on_paper=on_paper(inputs.workload, TRAIN, config.generate.piece_clips, assumed["list_page_s"]) if is_on_paper else [],
        beside=_beside(inputs),
        assumed=assumed,
        notes=_notes(inputs, steps),
    )
    return replace(estimate, costs=_costs(estimate, inputs.prices, config))


def _held_gpus(config: RunConfig, steps: Sequence[StepEstimate]) -> float:
    """Of a cluster that holds every step. Where no node may both generate and train, it has GPUs for each."""
    training = max((step.gpus for step in steps if step.kind == "train"), default=0.0)
    others = max((step.gpus for step in steps if step.kind != "train"), default=0.0)
    may_share = share_nodes(config.cluster.generator_selector, config.cluster.train_selector)
    return max(training, others) if may_share else training + others


def _steps(inputs: Inputs) -> list[StepEstimate]:
    config, sealed = inputs.config, inputs.observed.sealed
    machine = Machine(config=config, assumed=inputs.assumed, gpu=inputs.gpu, instruct=inputs.instruct, base=inputs.base)
    estimator = Estimator(machine=machine, workload=inputs.workload, observed=inputs.observed)
    sure = fewest_cycles(config, sealed)
    return [estimator.estimate(step, step.cycle < sure) for step in steps_at_most(config, sealed)]


def _rest_of(step: StepEstimate, inputs: Inputs) -> StepEstimate:
    """The step without what it has done: the clips of its written pieces, or the steps up to its latest checkpoint."""
    units = step.optimizer_steps.expected if step.kind == "train" else float(inputs.workload.clips[step.split])
    share = inputs.observed.left(step.step, units)
    return replace(
        step,
        questions_at_most=round(step.questions_at_most * share),
        questions=step.questions * share,
        seconds=step.seconds * share,
        gpu_hours=step.gpu_hours * share,
        bytes_read=step.bytes_read * share,
    )


def _sum(steps: Sequence[StepEstimate], name: str) -> Band:
    """Over the steps; a step that may not come adds nothing to the low end."""
    return total(getattr(step, name) if step.is_sure else _down_to_nothing(getattr(step, name)) for step in steps)


def _down_to_nothing(band: Band) -> Band:
    return Band(0.0, band.expected, band.high)


def _without_low(requests: Requests) -> Requests:
    return Requests(
        puts=_down_to_nothing(requests.puts), gets=_down_to_nothing(requests.gets), lists=_down_to_nothing(requests.lists)
    )


def _beside(inputs: Inputs) -> list[Beside]:
    """The steps that are done, beside an estimate that knows nothing of the run but its clips and which steps it had."""
    done: dict[str, Taken] = {taken.step: taken for taken in inputs.observed.taken if taken.is_whole}
    ignorant = Observed(sealed=inputs.observed.sealed)
    planned = _steps(replace(inputs, observed=ignorant)) if done else []
    return [
        Beside(
            step=step.step,
            planned_s=step.seconds,
            actual_s=done[step.step].seconds,
            planned_questions=step.questions,
            actual_questions=done[step.step].questions,
            planned_bytes=step.bytes_kept,
            actual_bytes=done[step.step].bytes_written,
        )
        for step in planned
        if step.step in done
    ]


def _costs(estimate: Estimate, prices: Prices | None, config: RunConfig) -> list[Cost]:
    """Empty without a table. Raises ValueError where it has no price of the GPU."""
    costs = [cost for cost in (_elsewhere(estimate, config), _judge(estimate, config)) if cost]
    if prices is None:
        return costs
    if estimate.gpu:
        price = prices.of_gpu(estimate.gpu)
        for what, hours in (("GPUs while they work", estimate.gpu_hours), ("GPUs held from start to end", estimate.held_gpu_hours)):
            how = "the table has no price" if price is None else f"{estimate.gpu} at {price:g} an hour"
            costs.append(Cost(what=what, amount=None if price is None else hours * price, how=how))
    months = estimate.assumed["kept_months"]
    stored = estimate.bytes_kept / GB * months
    requests, puts = estimate.requests, prices.put_1000
    for what, amount, price_of in (
        ("storage of the run's folder", stored, prices.gb_month),
        ("requests that write", requests.puts / 1000.0, puts),
        ("requests that read", requests.gets / 1000.0, prices.get_1000),
        ("requests that list", requests.lists / 1000.0, puts if prices.list_1000 is None else prices.list_1000),
        ("bytes of videos", estimate.bytes_read / GB, prices.read_gb),
    ):
        how = "the table has no price" if price_of is None else f"at {price_of:g}"
        costs.append(Cost(what=what, amount=None if price_of is None else amount * price_of, how=how))
    return costs


def _elsewhere(estimate: Estimate, config: RunConfig) -> Cost | None:
    """What a server costs by generate.openai.price_in and price_out; None where it is not asked, or has no price."""
    section, assumed = config.generate.openai, estimate.assumed
    questions = total(step.questions for step in estimate.steps if step.elsewhere and step.step in estimate.remaining)
    if questions == NOTHING or not (section.price_in or section.price_out):
        return None
    frames = float(section.frames or config.model.num_frames or 16)
    prompt = assumed["prompt_tokens"] + assumed["picture_tokens"] * frames
    answer = assumed["answer_tokens"].at_most(config.generate.max_tokens)
    amount = questions * (prompt * section.price_in + answer * section.price_out) / MILLION
    return Cost(what=f"answers of {section.name}", amount=amount, how="by generate.openai.price_in and price_out (picture_tokens)")


def _judge(estimate: Estimate, config: RunConfig) -> Cost | None:
    """What a judge costs by verify.judge.price_in and price_out; None where none is asked, or it has no price."""
    section, assumed, steps = config.verify.judge, estimate.assumed, estimate.steps
    judged = [step for step in steps if JUDGE in config.verify.stages_of(step.kind) and step.step in estimate.remaining]
    if not judged or not (section.price_in or section.price_out):
        return None
    share = assumed["judged_share"] + assumed["judged_share"].rest * section.sample
    answer = assumed["answer_tokens"].at_most(config.generate.max_tokens)
    prompt = assumed["prompt_tokens"] + answer + exactly(len(section.rubric) / LETTERS_PER_TOKEN)
    prompt += assumed["picture_tokens"] * float(section.frames)
    reply = assumed["answer_tokens"].at_most(section.max_tokens)
    amount = total(step.questions for step in judged) * share * (prompt * section.price_in + reply * section.price_out) / MILLION
    return Cost(what=f"judgements of {section.name}", amount=amount, how="by verify.judge.price_in and price_out (judged_share)")


def _notes(inputs: Inputs, steps: Sequence[StepEstimate]) -> list[str]:
    config, notes = inputs.config, list(inputs.workload.notes)
    if maybe := sorted({step.step.partition("/")[0] for step in steps if not step.is_sure}):
        notes.append(
            f"{', '.join(maybe)}: only if the cycle before gains loop.min_delta = {config.loop.min_delta:g}; low ends leave it out"
        )
    cluster = config.cluster
    if cluster.generator_selector != cluster.train_selector and share_nodes(cluster.generator_selector, cluster.train_selector):
        notes.append("by their labels, nodes may generate and train, so GPUs held from start to end are counted once for both")
    if config.mixture.instruct:
        notes.append("conversations (mixture.instruct) are not counted among the rows of a finetune")
    if config.generate.engine == "vllm":
        notes.append("vLLM's own batching is not modelled: its answers are computed as those of whole pieces")
    if any(step.gpus and step.basis.startswith("computed") for step in steps):
        notes.append("nothing was measured on a GPU: the seconds are computed until the run has pieces and seals of its own")
    return notes
