"""The table of metrics: every name that a run reports, with its kind, unit, labels and meaning. Nothing else names one.

Labels have few values. `run` is the last name of the run's folder, `cycle` its number or "base", `step` the step's own name, and
`pool` the node pool that does the counted work. Reasons are the enumerated ones of docs/labels.md and of engine/rows.py. No label
holds a clip, a video, a piece, a process or a URI.
"""

from dataclasses import dataclass
from typing import Literal

Kind = Literal["counter", "gauge"]
RUN = ("run",)
STEP = ("run", "cycle", "step", "pool")


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """Metric(name="starloop_pieces", kind="counter", unit="pieces", labels=STEP, pool="generate", meaning="Pieces written.")"""

    name: str
    """As ray.util.metrics takes it."""
    kind: Kind
    unit: str
    labels: tuple[str, ...] = STEP
    pool: str = "head"
    """The value of the label `pool`: head, decode, generate or train."""
    meaning: str

    @property
    def series(self) -> str:
        """The name in Prometheus: Ray puts ray_ before it, and _total behind a counter's.

        >>> PIECES.series, LOSS.series
        ('ray_starloop_pieces_total', 'ray_starloop_loss')
        """
        return f"ray_{self.name}" + ("_total" if self.kind == "counter" else "")


def _counter(name: str, unit: str, pool: str, meaning: str, *labels: str) -> Metric:
    return Metric(name=f"starloop_{name}", kind="counter", unit=unit, labels=STEP + labels, pool=pool, meaning=meaning)


def _gauge(name: str, unit: str, pool: str, meaning: str, *labels: str) -> Metric:
    return Metric(name=f"starloop_{name}", kind="gauge", unit=unit, labels=STEP + labels, pool=pool, meaning=meaning)


def _of_run(name: str, unit: str, meaning: str) -> Metric:
    return Metric(name=f"starloop_{name}", kind="gauge", unit=unit, labels=RUN, meaning=meaning)


CLIPS = _counter(
    "clips", "clips", "generate", "Clips that are done: kept, dropped or failed, each with its reason.", "outcome", "reason"
)
ATTEMPTS = _counter(
    "attempts", "attempts", "generate", "Answers, by mode (direct, rationalized) and outcome (kept, rejected, failed).",
    "mode", "outcome",
)  # fmt: skip
TOKENS = _counter(
    "tokens", "tokens", "generate",
    "Tokens: of answers (answer), of prompts where a server counts them (prompt), of a judge's replies and prompts (judge, "
    "judge_prompt), and answer tokens trained on (trained).", "kind",
)  # fmt: skip
PIECES = _counter("pieces", "pieces", "generate", "Pieces that are written.")
CLIPS_ENCODED = _counter("clips_encoded", "clips", "generate", "Clips that went through the tower.")
CLIPS_SHOWN = _counter(
    "clips_shown", "clips", "generate",
    "Clips that questions or samples showed. Divided by the clips that were encoded it is the reuse of the encoder.",
)  # fmt: skip
DECODE_SECONDS = _counter("decode_seconds", "s", "decode", "Seconds of decoding processes, reading from storage included.")
BYTES_READ = _counter("bytes_read", "bytes", "decode", "Bytes of video files that were read from storage.")
BUSY_SECONDS = _counter("generator_busy_seconds", "s", "generate", "Seconds in which generators had a piece.")
IDLE_SECONDS = _counter(
    "generator_idle_seconds", "s", "generate",
    "Seconds in which generators had no piece, by cause: starting, no_input, output_blocked, handover, dead.", "cause",
)  # fmt: skip
GENERATOR_DEATHS = _counter(
    "generator_deaths", "processes", "generate", "Generators that died and were started again, those that load included."
)
OPTIMIZER_STEPS = _counter("optimizer_steps", "steps", "train", "Optimizer steps.")
QUEUE = _gauge("queue_pieces", "pieces", "head", "Pieces that wait for a stage of the flow, by stage.", "stage")
RUNNING = _gauge("step_running", "0 or 1", "head", "1 while the driver does the step.")
DONE = _gauge("step_done", "clips or steps", "head", "How much of the step is done, what earlier commands did included.")
GOAL = _gauge("step_goal", "clips or steps", "head", "How much the step has to do.")
LAST_PROGRESS = _gauge(
    "last_progress_timestamp_seconds", "Unix time", "head", "When something of the step was done last, or it began."
)
WAITING = _gauge(
    "waiting_seconds", "s", "head",
    "How long the step has been waiting without progress, and for what: GPU, CPU, or the start of its processes (start).", "for",
)  # fmt: skip
STEP_SECONDS = _gauge("step_seconds", "s", "head", "Seconds that the step took, once it is sealed.")
LOSS = _gauge("loss", "nats a token", "train", "Loss of the last optimizer step: mean over answer tokens.")
LEARNING_RATE = _gauge("learning_rate", "1", "train", "Learning rate of the last optimizer step.")
GRADIENT_NORM = _gauge("gradient_norm", "1", "train", "Norm of the gradients of the last optimizer step, before clipping.")
TOKENS_PER_SECOND = _gauge("tokens_per_second", "tokens/s", "train", "Answer tokens of the last optimizer step a second.")
ACCURACY = _gauge("accuracy", "0 to 1", "head", "A sealed evaluate step's metrics, by name.", "metric")
LEASE_RENEWED = _of_run("lease_renewed_timestamp_seconds", "Unix time", "When the driver renewed its lease last.")
LEASE_LOST = _of_run("lease_lost", "0 or 1", "1 once another driver has taken the run over.")
CYCLE = _of_run("cycle", "cycle", "The cycle of the step that the driver does; -1 before the first.")

METRICS: tuple[Metric, ...] = (
    CLIPS, ATTEMPTS, TOKENS, PIECES, CLIPS_ENCODED, CLIPS_SHOWN, DECODE_SECONDS, BYTES_READ, BUSY_SECONDS, IDLE_SECONDS,
    GENERATOR_DEATHS, OPTIMIZER_STEPS, QUEUE, RUNNING, DONE, GOAL, LAST_PROGRESS, WAITING, STEP_SECONDS, LOSS, LEARNING_RATE,
    GRADIENT_NORM, TOKENS_PER_SECOND, ACCURACY, LEASE_RENEWED, LEASE_LOST, CYCLE,
)  # fmt: skip
CAUSES = ("starting", "no_input", "output_blocked", "handover", "dead")
"""Why a generator is idle; engine/metrics/idle.py says what each one counts."""


def run_label(uri: str) -> str:
    """The last name of a run's folder: nothing of a URI that may hold a credential, and no character that a query would
    quote, or that Ray, whose labels are ASCII, would not take.

    >>> run_label("s3://key:secret@bucket/runs/first/"), run_label("/tmp/my run"), run_label("s3://key:secret@bucket")
    ('first', 'my-run', 'run')
    >>> run_label("/tmp/café")
    'caf-'
    >>> run_label("https://account.blob/runs/first?sv=2026&sig=SECRET"), run_label("first")
    ('first', 'first')
    """
    scheme, _, rest = uri.partition("://") if "://" in uri else ("", "", uri)
    path = rest.partition("?")[0].rstrip("/")
    has_folder = not scheme or "/" in path
    name = path.rpartition("/")[2] if has_folder else ""
    return "".join(letter if (letter.isascii() and letter.isalnum()) or letter in "._-" else "-" for letter in name)[:100] or "run"


def step_labels(step: str) -> dict[str, str]:
    """
    >>> step_labels("cycle-003/evaluate-mine"), step_labels("base/evaluate"), step_labels("ingest")
    ({'cycle': '3', 'step': 'evaluate-mine'}, {'cycle': 'base', 'step': 'evaluate'}, {'cycle': 'base', 'step': 'ingest'})
    """
    folder, _, name = step.rpartition("/")
    return {"cycle": str(int(folder.removeprefix("cycle-"))) if folder.startswith("cycle-") else "base", "step": name}
