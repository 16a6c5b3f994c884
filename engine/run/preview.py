"""What the next command on a run would do: which steps are there, which are begun, and which would run. Nothing is written."""

from collections.abc import Mapping
from dataclasses import dataclass

from engine.config import RunConfig
from engine.run.checks import check_inputs, continued, refuse_changed_inputs
from engine.run.lease import lease_state
from engine.run.plan import INGEST, has_ended, needs_no_evaluation, next_step, refuse_gaps, so_far
from engine.run.seals import Seal
from engine.run.status import status
from engine.run.work import read_seals
from engine.store.files import Store


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """Preview(is_new=False, sealed=["ingest"], begun={"base/evaluate": (3, 8)}, next=["base/evaluate", ...], more_cycles=2, ...)"""

    is_new: bool
    sealed: list[str]
    """Steps whose results are used as they are."""
    begun: Mapping[str, tuple[int, int]]
    """Pieces that are written and planned, of steps that would go on."""
    next: list[str]
    """Steps that would run, as far as they are known before accuracies are: those of one cycle; [] where there is nothing to do."""
    more_cycles: int
    """That may follow while they gain."""
    holder: str
    """The driver that holds the lease, by which the command would be refused; "": none does."""


def preview(config: RunConfig, until: str) -> Preview:
    """Raises ValueError for all that would end the command before it begins to work."""
    store = Store(config.run.uri, config.access())
    is_new = store.read("config.json") is None
    if is_new:
        check_inputs(config, until)
        return Preview(
            is_new=True, sealed=[], begun={}, next=_next(config, {}, until), more_cycles=_more(config, {}, until), holder=""
        )
    config = continued(store, config)
    sealed = read_seals(store)
    refuse_gaps(config, sealed)
    if INGEST in sealed:
        refuse_changed_inputs(config, store, sealed[INGEST], until)
    return Preview(
        is_new=False,
        sealed=list(sealed),
        begun={step.step: (step.written, step.planned) for step in status(store).begun},
        next=_next(config, sealed, until),
        more_cycles=_more(config, sealed, until),
        holder=lease_state(store).holder,
    )


def _next(config: RunConfig, sealed: Mapping[str, Seal], until: str) -> list[str]:
    """Unsealed steps in their order, up to `until`."""
    if next_step(config, sealed, until) is None:
        return []
    unsealed = [step for step in so_far(config, sealed) if step.name not in sealed]
    if needs_no_evaluation(until):
        unsealed = [step for step in unsealed if step.kind != "evaluate" or step.cycle >= 0]
    names = [step.name for step in unsealed]
    return names[: names.index(until) + 1] if until in names else names


def _more(config: RunConfig, sealed: Mapping[str, Seal], until: str) -> int:
    if config.evaluate.only or has_ended(config, sealed) or next_step(config, sealed, until) is None:
        return 0
    planned = {step.cycle for step in so_far(config, sealed)}
    last = config.loop.max_cycles - 1
    if until:
        folder = until.partition("/")[0]
        last = int(folder.removeprefix("cycle-")) if folder.startswith("cycle-") else -1
    return max(0, last - max(planned))
