"""A generator's settings: which model answers, with which prompts, and how its answers are judged."""

from dataclasses import dataclass

from engine.generate.prompts import Prompts
from engine.store.files import Store
from engine.store.filesystems import Storage
from engine.store.weights import ALL_FILES, local
from engine.verify.stages import Stages
from models.base import Device, EngineSpec, ModelSpec, Sampling
from models.registry import ELSEWHERE


@dataclass(frozen=True, kw_only=True)
class GenerateSpec:
    """GenerateSpec(step="cycle-000/generate", model=ModelSpec(base="tiny"), device=Device("cpu", "float32"), ...)"""

    step: str
    store: Store
    """The run, where the step notes which model it asks."""
    model: ModelSpec
    device: Device
    engine: EngineSpec
    storage: Storage
    """Fetches the model's files."""
    prompts: Prompts
    sampling: Sampling
    verify: Stages
    rationalize: bool
    run_seed: int
    cycle: int

    def local_model(self, files: tuple[str, ...] = ALL_FILES) -> ModelSpec:
        """The model with these files on this machine; a model on another machine has none."""
        return self.model if self.engine.name in ELSEWHERE else local(self.model, self.storage, files)
