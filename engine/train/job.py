"""A finetune's job, and what each of its steps reports: values that travel between the driver and the ranks."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from engine.config import Mixture, Train
from engine.decode.stage import DecodeSettings
from engine.store.files import FileRecord, Store
from models.base import Device, LossOn, ModelSpec


@dataclass(frozen=True, kw_only=True)
class TrainJob:
    """What to finetune, on which rows, how, and where the adapter goes."""

    identity: str
    """Digest of the step. Checkpoints with another identity are ignored."""
    epoch: int = 0
    """Of the lease of the driver that began it; 0 where there is none. Once a later driver has the run, nothing is published."""
    backend: str = "deepspeed"
    """Name in engine/train/backends."""
    device: Device
    model: ModelSpec
    train: Train
    store: Store
    examples: FileRecord
    """The examples table, as select sealed it."""
    episodes: FileRecord | None
    """The episodes table, as select sealed it; None where the mixture has no episodes."""
    mixture: Mixture
    loss_on: LossOn
    out: str
    """Folder in the store: model/ for the adapter, losses.json, and while the step runs resume.json and checkpoints/."""
    seed: int
    failure_rate: float
    """The finetune stops once a larger share of the samples so far could not be used, and at least 20 of them."""
    decoding: DecodeSettings
    decode_cpus: float
    decode_selector: Mapping[str, str] = field(default_factory=dict)
    """Labels of the nodes that decode for it."""


@dataclass(frozen=True)
class Rank:
    """One of the processes that train together: Rank(rank=9, world_size=16, local_rank=1)."""

    rank: int
    world_size: int
    local_rank: int
    """Its number among the ranks of its machine."""


@dataclass(frozen=True)
class Fed:
    """Counts of what the micro-batches consisted of."""

    undecodable: int = 0
    """Samples without a usable video; they stay out of their batch."""
    shots_lost: int = 0
    """Shots without a usable video; they are left out of their samples."""
    shown: int = 0
    """Clips that the samples show; a clip counts once for each sample that shows it."""
    encoded: int = 0
    """Clips that went through the tower; a clip counts once for each micro-batch."""
    too_long: int = 0
    """Samples beyond the model's context that select did not recognize; they stay out of their batch."""


@dataclass(frozen=True, kw_only=True)
class StepRecord:
    """One optimizer step: StepRecord(step=41, num_steps=300, loss=0.71, learning_rate=1.9e-5, gradient_norm=0.4, ...)."""

    step: int
    """Number of steps done: 1 for the first."""
    num_steps: int
    loss: float | None
    """Mean over all answer tokens of all ranks; None: there was none, and the step changed nothing."""
    learning_rate: float
    gradient_norm: float
    """Before clipping, over all trained parameters."""
    tokens: int
    """Answer tokens of all ranks: those that have a loss."""
    seconds: float
    """Of rank 0, waiting for decoded videos included."""


class Listener(Protocol):
    """Receives what rank 0 reports while it trains."""

    def record(self, record: StepRecord) -> None: ...

    def note(self, line: str) -> None:
        """One line for the driver's log."""
        ...

    def is_preempted(self) -> bool:
        """Whether a node of the finetune is about to be taken away. All ranks ask equally often, and get the same answer."""
        ...
