"""What of finished runs nobody needs any more: adapters and pieces, by rule; and deleting it.

Taken, of a run that is complete: the models of cycles that are not its best one, and the pieces of evaluations of those; the pieces
of generate steps between the first one, which the report shows, and the last one, which a continuation reuses; the logs of all
commands but the first one, which says how the run was begun, and the last LOGS_KEPT. Seals, indexes, examples, losses and summaries
stay: a run still tells all that it has done.
Nothing of a run that is not complete, that a driver holds, or that has a gap; and nothing that a run which continues this one
names, or one that continues that one.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from engine.config import Parent, RunConfig
from engine.run.children import children_of
from engine.run.collected import note_collected
from engine.run.lease import Lease, Occupied, lease_state
from engine.run.logs import LOGS
from engine.run.plan import gap, history, name_of, next_step
from engine.run.refresh import write_cards
from engine.run.seals import Seal
from engine.run.work import pieces_of, read_seals, run_config
from engine.store.files import Store

LOGS_KEPT = 10


@dataclass(frozen=True, slots=True)
class Collectable:
    """A folder of a step that nobody needs: Collectable("cycle-001/train", "cycle-001/train/model", 41943, "cycle 1 is ...")"""

    step: str
    """"": no seal names its files."""
    path: str
    """Relative to the run."""
    size: int
    """Bytes."""
    why: str


@dataclass(frozen=True, slots=True)
class Collection:
    """What can be taken of a run: Collection("runs/a", [...], ""), or why nothing is: Collection("runs/b", [], "it is not ...")"""

    run: str
    folders: list[Collectable]
    kept: str
    """Why nothing is looked at; "": it was."""


def collectable(store: Store) -> Collection:
    """Raises ValueError where a run, or one that continues it, cannot be read: then nothing is known to be needless."""
    config, sealed = run_config(store), read_seals(store)
    if reason := untouchable(store, config, sealed):
        return Collection(store.uri, [], reason)
    needed = needs_of_children(store)
    folders = [
        Collectable(step, path, size, why)
        for step, path, why in [*needless(config, sealed, needed, store.url()), *old_logs(store)]
        if (size := sum(store.sizes(path).values()))
    ]
    return Collection(store.uri, folders, "")


def untouchable(store: Store, config: RunConfig, sealed: Mapping[str, Seal]) -> str:
    """Why nothing of a run may be taken; "" where it may."""
    if holder := lease_state(store).holder:
        return f"{holder} holds its lease"
    if line := gap(config, sealed):
        return line
    step = next_step(config, sealed)
    return "" if step is None else f"it is not finished, its next step is {step.name}"


def needs_of_children(store: Store) -> list[Parent]:
    """What each run that continues this one, or one that does, names of the run that it continues."""
    needs, waiting, known = list[Parent](), children_of(store), set[str]()
    while waiting:
        url = waiting.pop()
        child = Store(url, store.storage)
        if url in known or child.read("config.json") is None:  # deleted, or not begun: it names what is kept anyway
            continue
        known.add(url)
        needs.append(run_config(child).parent)
        waiting += children_of(child)
    return needs


def needless(config: RunConfig, sealed: Mapping[str, Seal], needed: list[Parent], url: str) -> Iterator[tuple[str, str, str]]:
    """Step, folder and reason. `needed`: what continuations name of the runs that they continue. `url`: this run's."""
    best = history(sealed).best_cycle
    models = {parent.model for parent in needed}
    generated = [name for name in sealed if name.endswith("/generate")]
    reused = {parent.step for parent in needed if parent.run == url}
    for cycle in range(len(history(sealed).cycles)):
        trained = name_of(cycle, "train")
        if cycle != best and trained in sealed and f"{url}/{trained}/model" not in models:
            yield trained, f"{trained}/model", f"cycle {cycle} is not the best one"
        for evaluation_set in config.sets if cycle != best else ():
            evaluated = name_of(cycle, "evaluate", evaluation_set.name)
            if evaluated in sealed:
                yield evaluated, pieces_of(evaluated), f"cycle {cycle} is not the best one"
    for step in generated[1:-1]:
        if step not in reused:
            yield step, pieces_of(step), "a later cycle has answered about the same clips"


def old_logs(store: Store) -> Iterator[tuple[str, str, str]]:
    """Step, folder and reason, as `needless`: logs belong to no step."""
    for name in store.folders(LOGS)[1:-LOGS_KEPT]:
        yield "", f"{LOGS}/{name}", f"{LOGS_KEPT} later commands have left their logs"


def delete(store: Store) -> Collection:
    """Take what can be taken, under the run's lease; a folder is noted before it goes."""
    first = collectable(store)
    if not first.folders:
        return first
    try:
        return _delete_under_lease(store, first)
    except Occupied as error:
        return Collection(store.uri, [], str(error))


def _delete_under_lease(store: Store, first: Collection) -> Collection:
    with Lease(store) as lease:
        # another command may have been at work since, and this one holds the lease now
        config, sealed = run_config(store), read_seals(store)
        if next_step(config, sealed) is not None or gap(config, sealed):
            return Collection(store.uri, [], "it has changed meanwhile")
        needed = needs_of_children(store)
        still = {path for _, path, _ in [*needless(config, sealed, needed, store.url()), *old_logs(store)]}
        folders = [folder for folder in first.folders if folder.path in still]
        for folder in folders:
            lease.confirm()
            if folder.step:
                note_collected(store, folder.step, [folder.path])
            store.delete(folder.path)
        write_cards(store, config, sealed)
    return Collection(store.uri, folders, "")
