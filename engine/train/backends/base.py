"""What engine/train asks of a training backend: Protocols only."""

from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from engine.config import Train
from models.base import Device

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class Cut:
    """How a finetune is spread, and therefore how its checkpoints are cut into files. A checkpoint records it."""

    backend: str
    dtype: str
    world_size: int
    zero_stage: int
    offload: bool
    micro_batch_rows: int


class Session(Protocol):
    """The model under training on one rank, with its optimizer. All ranks make the same calls in the same order."""

    @property
    def device(self) -> Any:
        """The torch.device that batches go to."""
        ...

    def logits(self, batch: dict[str, Any]) -> "Tensor":
        """[N,K,V] of the module for a batch without labels, at the K places of its `logits_to_keep`.

        [N,L,V] where the module ignores these.
        """
        ...

    def backward(self, summed_loss: "Tensor", divide_by: float, last: bool) -> None:
        """Add the gradient of summed_loss / divide_by. Gradients are summed over micro-batches and ranks.

        `last`: of the optimizer step's micro-batches.
        """
        ...

    def step(self, learning_rate: float) -> float:
        """Clip the gradients and change the weights; returns the gradients' norm before clipping."""
        ...

    def save(self, folder: Path, state: dict[str, Any]) -> None:
        """Write this rank's part of a checkpoint, and the state of the training loop."""
        ...

    def loads(self, name: str) -> bool:
        """Whether `load` reads the checkpoint's file of this name on this rank."""
        ...

    def load(self, folder: Path) -> dict[str, Any]:
        """Continue from a checkpoint, of which the folder has what `loads` names; returns the state that was saved with it."""
        ...

    def weights(self) -> Iterator[tuple[str, "Tensor"]]:
        """The trained parameters with their names, each whole on every rank until the next one is asked for: a device need not hold
        all at once. All ranks go through all of them."""
        ...


class Backend(Protocol):
    """A module in this folder that spreads a model and its optimizer over ranks."""

    def environment(self, device: Device) -> dict[str, str]:
        """Environment variables that a rank's process must have before it starts."""
        ...

    def join(self, device: Device) -> None:
        """Prepare the process group, which exists already."""
        ...

    def building(self, train: Train, device: Device, rank: int) -> AbstractContextManager[bool]:
        """Surrounds the building of the model. Gives whether this rank reads the weights; else another rank sends them."""
        ...

    def start(self, module: Any, train: Train, device: Device) -> Session:
        """Raises ValueError naming a parameter that the backend cannot train."""
        ...

    def refusal(self, saved: Cut, now: Cut) -> str:
        """Why a checkpoint that was cut in one way cannot be continued in another; "" where it can."""
        ...
