"""A generator's settings: which model answers, with which prompts, and how its answers are judged."""

from collections.abc import Collection
from dataclasses import dataclass

from engine.config import JUDGE, RunConfig
from engine.generate.prompts import Prompts
from engine.store.files import Store
from engine.store.filesystems import Storage
from engine.store.weights import ALL_FILES, local
from engine.verify.judging import JudgeSpec
from engine.verify.stages import Stages
from engine.verify.verdict import VerifySpec
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
    samples: int = 1
    """Direct attempts at each clip."""
    grounding: int = 0
    """Other clips after whose videos a kept text is read again (engine/generate/grounding.py); 0: none."""
    must_score: bool = False
    """Somebody asked for it: a model that cannot read texts so is refused. Else its attempts have no score."""

    def local_model(self, files: tuple[str, ...] = ALL_FILES) -> ModelSpec:
        """The model with these files on this machine; a model on another machine has none."""
        return self.model if self.engine.name in ELSEWHERE else local(self.model, self.storage, files)


def verify_spec_of(config: RunConfig, needs: Collection[str] = ()) -> VerifySpec:
    """How the verifiers of a run judge. `needs`: the models that the published rules take for its labels."""
    rules, has_judge = config.verify.model_dump(exclude={"stages", "judge"}), JUDGE in config.verify.stages
    rules |= {f"{name}_model": "" for name in ("span", "entailment") if name not in needs or config.verify.preset == "strict"}
    return VerifySpec(**rules, judge=JudgeSpec.of(config.verify.judge, config.run.seed) if has_judge else None)
