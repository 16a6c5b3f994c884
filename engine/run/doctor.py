"""Preflight: checks what would go wrong before it costs anything. A finding is ok, or says what is wrong and what to do."""

import importlib.metadata
import math
import os
import re
import shutil
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from engine.config import TEST, Loop, RunConfig
from engine.connection import connect, is_local
from engine.decode.decoder import ChildDecoder, ClipRead
from engine.decode.frames import describe
from engine.decode.process import ChildProcess, NotStarted
from engine.decode.stage import DecodeSettings
from engine.evaluate.paired import SPOILED, fewest_videos, smallest_gain
from engine.ingest import manifest
from engine.ingest.card import Card
from engine.nodes.look import take_inventory
from engine.nodes.placement import demands, placed
from engine.nodes.probe import troubles
from engine.nodes.shortage import refusal, too_small
from engine.quantities import quantity
from engine.rows import Clip
from engine.run import elsewhere, engines
from engine.run.caveats import caveats
from engine.run.checks import refuse_bad_sets, refuse_tiny, refuse_undecided, refuse_unknown_names
from engine.run.promotion import level_of
from engine.run.resources import afford, needs
from engine.run.work import decoding_of
from engine.select.signed import videos_in
from engine.store.files import Store
from engine.store.filesystems import Storage
from engine.store.locations import refuse_placeholder
from engine.store.troubles import StorageError
from engine.store.weights import local
from models.base import Device, Evenly, FrameSpec, ModelAway, ModelSpec, Square
from models.folders import SMALL_FILES
from models.registry import frame_spec, load

SAMPLED = 8
"""Videos that are decoded as a sample."""
FREE_BYTES = 2 << 30
PACKAGES = "ray torch transformers peft deepspeed av decord faiss-cpu pyarrow fsspec s3fs aiohttp pydantic".split()
UNSAFE = (
    "RAY_DATA_AUTOLOAD_CLOUDPICKLE_TENSOR_METADATA",
    "RAY_DATA_WEBDATASET_ALLOW_UNSAFE_DESERIALIZATION",
    "RAY_DATA_AUTOLOAD_PICKLE_OBJECT_SCALAR",
    "RAY_DATA_ARROW_EXTENSION_SERIALIZATION_CLOUDPICKLE",
)
"""Environment variables that make Ray Data run code from data files."""


@dataclass(frozen=True)
class Finding:
    """Finding("conditional create", "a second create of the same object succeeded", "use a store that honours If-None-Match")"""

    what: str
    detail: str
    remedy: str = ""
    """"" if it is ok."""


def examine(config: RunConfig, model: bool = True) -> Iterator[Finding]:
    """Yield findings while the checks run. Needs no run folder, and leaves nothing in it. `model`: load it, on the CPU."""
    storage, address = config.access(), config.cluster.address
    yield from _versions()
    yield from _settings(address or os.environ.get("RAY_ADDRESS", ""), os.environ)
    yield from _guarded("run folder", "choose another run.uri", lambda: _run_folder(Store(config.run.uri, storage)))
    sample: list[Clip] = []
    yield from _guarded("manifest", "correct data.manifest", lambda: _manifest(config, storage, sample))
    yield from _guarded("names and sets", "correct the key that is named", lambda: _names_and_sets(config))
    for line in caveats(config):
        yield Finding("loop", line)
    yield from _guarded("budget", "see [model], [generate], [train] and cluster.gpu_memory_gib", lambda: _budget(config))
    yield from _guarded("engine", "see generate.engine and cluster.generator_python", lambda: _engine(config))
    device = Device("cpu", config.model.device(config.cluster.generator_gpus).dtype) if model else None
    yield from _guarded("model", "check model.base and model.instruct", lambda: _models(config.models(), storage, device))
    if elsewhere.questions(config):
        yield from _guarded("generation", "check [generate.openai]", lambda: _elsewhere(config))
    if elsewhere.judges(config):
        yield from _guarded("judge", "check [verify.judge]", lambda: _judge(config))
    if elsewhere.scored(config):
        yield from _guarded("benchmarks' judge", "check [evaluate.judge]", lambda: _scorer(config))
    failures = "see the kinds of failure; starloop ingest names missing videos"
    yield from _guarded("videos", failures, lambda: _videos(decoding_of(config), sample[:SAMPLED]))
    yield from _guarded("isolation", "free memory, or raise limits.decode_memory_bytes", lambda: _isolation(decoding_of(config)))
    yield from _guarded("cluster", "check cluster.address and the [cluster] section", lambda: _cluster(config))


def _guarded(what: str, remedy: str, check: Callable[[], Iterator[Finding]]) -> Iterator[Finding]:
    """The findings of a check; an error that it raises becomes a finding."""
    try:
        yield from check()
    except (StorageError, ModelAway, ValueError) as error:  # they name their remedy, by convention at their end
        detail, _, own_remedy = (str(error).partition("\n")[0] or type(error).__name__).rpartition("; ")
        yield Finding(what, detail or own_remedy, own_remedy if detail else remedy)
    except (OSError, RuntimeError, NotStarted) as error:
        yield Finding(what, str(error).partition("\n")[0] or type(error).__name__, remedy)


def _versions() -> Iterator[Finding]:
    installed = {}
    for name in PACKAGES:
        try:
            installed[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            yield Finding("versions", f"{name} is not installed", f"pip install {name}, or generate.decoder=pyav without decord")
    yield Finding("versions", ", ".join(f"{name} {version}" for name, version in installed.items()))
    try:
        required = importlib.metadata.requires("starloop") or []
    except importlib.metadata.PackageNotFoundError:
        return  # not installed, but run from a working directory: no requirements are declared
    for name, version in installed.items():
        for line in required:
            if (match := re.match(rf"{name}(\[[^]]*\])?(?P<range>[^;]*)$", line)) and not _within(version, match["range"]):
                yield Finding(
                    "versions", f"{name} {version} is not {match['range'].strip()}", "pip install -c constraints.txt -e ."
                )


def _within(version: str, required: str) -> bool:
    """
    >>> _within("2.60.1", ">=2.60,<2.61"), _within("3.0", ">=2.60,<2.61"), _within("1", "")
    (True, False, True)
    """
    from packaging.specifiers import SpecifierSet  # comes with ray

    return SpecifierSet(required.strip()).contains(version, prereleases=True)


def _settings(address: str, environment: Mapping[str, str]) -> Iterator[Finding]:
    bad = [name for name in UNSAFE if environment.get(name, "0").lower() not in ("", "0", "false")]
    for name in bad:
        yield Finding("Ray settings", f"{name} lets data files run code", "unset it, on the nodes too")
    token = (
        environment.get("RAY_AUTH_TOKEN") or environment.get("RAY_AUTH_TOKEN_PATH") or environment.get("RAY_AUTH_MODE") == "token"
    )
    if address and not token and not os.path.exists(os.path.expanduser("~/.ray/auth_token")):
        yield Finding(
            "Ray settings",
            f"no token for {address}: whoever reaches it runs code on it",
            "RAY_AUTH_MODE=token, and ray get-auth-token",
        )
    elif not bad:
        yield Finding("Ray settings", "nothing unsafe is set")


def _run_folder(store: Store) -> Iterator[Finding]:
    refuse_placeholder("run.uri", store.url())
    probe, data = f".doctor-{uuid.uuid4().hex}", b"starloop doctor was here"
    has_run, is_new = store.read("config.json") is not None, not os.path.exists(store.url())
    try:
        first, second = store.create(probe, data), store.create(probe, b"another")
        is_intact = store.read(probe) == data
        is_listed = probe in store.names("")
    finally:
        store.delete(probe)
        if is_new and os.path.isdir(store.url()):
            os.rmdir(store.url())
    yield Finding("run folder", f"{store.url()} can be written, read and listed{', and holds a run' if has_run else ''}")
    if first and not second and is_intact:
        yield Finding("conditional create", "a second create of one object is refused")
    else:
        yield Finding("conditional create", "a second create of one object succeeds", "use a store that honours If-None-Match")
    if not is_listed:
        yield Finding("run folder", "a file that was just written is not listed", "use a store whose listings are up to date")
    if "://" not in store.url():
        yield _disk(store.url())


def _disk(folder: str) -> Finding:
    """Free bytes where the folder is, or will be."""
    while not os.path.exists(folder):
        folder = os.path.dirname(folder)
    free = shutil.disk_usage(folder).free
    detail = f"{free / 1e9:.1f} GB are free"
    return Finding("disk", detail) if free >= FREE_BYTES else Finding("disk", detail, "free some, or choose another run.uri")


def _names_and_sets(config: RunConfig) -> Iterator[Finding]:
    refuse_tiny(config)
    refuse_unknown_names(config)
    refuse_bad_sets(config)
    sets = ", ".join(evaluation_set.name for evaluation_set in config.sets)
    yield Finding("names and sets", f"engine, stages, trackers and metrics exist; evaluation sets: {sets}")
    for folder in config.select.benchmarks:
        number = len(videos_in(folder, config.access()))
        yield Finding("benchmarks", f"{folder} holds {number} videos; the driver decodes them once, in the first select step")


def _manifest(config: RunConfig, storage: Storage, sample: list[Clip]) -> Iterator[Finding]:
    """Also fills the sample, evenly over the manifest: with every 2^k-th clip, so that at most 2 * SAMPLED are held."""
    card, stride, data = Card(), 1, config.data
    for number, clip in enumerate(manifest.read_manifest(data, storage, card)):
        refuse_undecided(config, clip)
        if number % stride == 0:
            sample.append(clip)
            if len(sample) == 2 * SAMPLED:
                del sample[1::2]
                stride *= 2
    counts = card.counts()
    yield Finding("manifest", "  ".join(f"{name.replace('_', ' ')} {count}" for name, count in counts.items()))
    for split in ("train", "heldout", *([TEST] if data.test is not None else [])):
        if not counts.get(split, 0):
            yield Finding(
                "manifest",
                f"no clips in split {split!r}: selftrain will refuse it",
                "give it a split column, or set data.heldout=0.2 before ingest",
            )
    for note in card.notes():
        yield Finding("manifest", note)
    if videos := card.heldout_videos():
        yield what_can_be_seen(config.loop, counts["heldout"], videos, counts["videos"], card.has_fixed_splits)


def what_can_be_seen(loop: Loop, clips: int, videos: int, all_videos: int, has_fixed_splits: bool = False) -> Finding:
    """The smallest gain that the held-out set shows; as if the clips of one video were right or wrong together.

    `all_videos`: of the manifest. `has_fixed_splits`: the manifest names the split of each row, as what `starloop ingest` writes
    does, so that data.heldout alone moves none.

    >>> what_can_be_seen(Loop(), 400, 200, 1000).detail
    '400 clips of 200 videos: a cycle that gains 0.114 or more is promoted at least four times in five (one answer in 10 spoiled)'
    """
    what, of = "held-out split", f"{quantity(clips, 'clip')} of {quantity(videos, 'video')}"
    if loop.promote == "last":
        return Finding(what, f'{of}: with loop.promote = "last" they decide nothing: every cycle is promoted')
    if loop.promote == "best":
        luck = 'with loop.promote = "best" a cycle that gains nothing counts as better about every other time'
        return Finding(what, f"{of}: {luck}")
    gain = smallest_gain(videos, level_of(loop))
    if gain is None:
        fewest = fewest_videos(level_of(loop))
        share = math.ceil(100 * fewest / max(1, all_videos)) / 100
        if share >= 1:
            how = f"the manifest has {quantity(all_videos, 'video')} in all, so add videos"
        elif has_fixed_splits:
            again = f"`starloop ingest` the table without one again, with --set data.heldout={share:g} or more"
            how = f"its split column decides: {again}"
        else:
            how = f"set data.heldout={share:g} or more"
        remedy = f'hold out {quantity(fewest, "video")} or more ({how}), or set loop.promote = "best"'
        return Finding(what, f"{of} are too few to show that a cycle is better: none would be promoted", remedy)
    often = f"promoted at least four times in five (one answer in {1 / SPOILED:.0f} spoiled)"
    return Finding(what, f"{of}: a cycle that gains {gain:g} or more is {often}")


def _budget(config: RunConfig) -> Iterator[Finding]:
    for line in afford(config):
        yield Finding("budget", line)


def _engine(config: RunConfig) -> Iterator[Finding]:
    yield Finding("engine", engines.describe(config))


def _judge(config: RunConfig) -> Iterator[Finding]:
    yield Finding("judge", elsewhere.judged(config))
    yield Finding("judge", f"it answers a test question, as {elsewhere.greet_judge(config)}")


def _scorer(config: RunConfig) -> Iterator[Finding]:
    for line in elsewhere.scored(config):
        yield Finding("benchmarks' judge", line)
    yield Finding("benchmarks' judge", f"it answers a test question, as {elsewhere.greet_scorer(config)}")


def _elsewhere(config: RunConfig) -> Iterator[Finding]:
    """What a model on another machine will be asked, and whether it answers."""
    yield Finding("generation", elsewhere.questions(config))
    if elsewhere.is_asked(config):
        yield Finding("generation", f"it answers a test question, as {elsewhere.greet(config)}")


def _models(specs: Sequence[ModelSpec], storage: Storage, device: Device | None) -> Iterator[Finding]:
    """What each model watches; and where a device is given, whether its weights load."""
    for spec in specs:
        frames = frame_spec(local(spec, storage, SMALL_FILES))
        detail = f"{spec.base} watches {describe(frames)}"
        if device is not None:
            detail += f"; it loads, with digest {load(local(spec, storage), device).digest}"
        yield Finding("model", detail)


def _videos(decoding: DecodeSettings, sample: Sequence[Clip]) -> Iterator[Finding]:
    spec, failures, in_order = FrameSpec(choose=Evenly(8), size=Square(224)), Counter[str](), 0
    with ChildDecoder(decoding.storage, decoding.limits, decoding.backend, decoding.tolerance_s) as decoder:
        for clip in sample:
            outcome = decoder.decode(clip, spec)
            if isinstance(outcome, ClipRead):
                in_order += outcome.in_order
            else:
                failures[f"{outcome.kind} ({outcome.detail})"] += 1
    if sample and not failures:
        slow = f", {in_order} of them read from their start because they have no index" if in_order else ""
        yield Finding("videos", f"{len(sample)} of {len(sample)} sampled clips decode{slow}")
    for failure, count in failures.items():
        remedy = "repair them, or accept them as failed rows"
        yield Finding("videos", f"{count} of {len(sample)} sampled clips: {failure}", remedy)


def _isolation(decoding: DecodeSettings) -> Iterator[Finding]:
    """What keeps a video that takes its decoder over away from files and the network: on this machine, not on every node."""
    child = ChildProcess(decoding.limits.memory_bytes, decoding.backend)
    child.close()
    if child.unconfined:
        remedy = "allow seccomp in the container, or decode only videos that you trust"
        yield Finding("isolation", f"the decoding process could open files and sockets: {child.unconfined}", remedy)
    else:
        yield Finding("isolation", "the kernel forbids the decoding process files, sockets and other processes")


def _cluster(config: RunConfig) -> Iterator[Finding]:
    """Whether the cluster has the CPUs and GPUs that a step asks for at once, on nodes with the labels and packages for it."""
    cpus, gpus = needs(config)
    with connect(config.cluster.address, cpus, gpus) as available:
        missing = [f"{amount:g} {kind}" for kind, amount in (("CPU", cpus), ("GPU", gpus)) if available.get(kind, 0) < amount]
        has = f"{available.get('CPU', 0):g} CPUs and {available.get('GPU', 0):g} GPUs"
        if missing:
            needed = f"{' and '.join(missing)} are asked for at once"
            yield Finding("cluster", f"it has {has}, and {needed}", "let it grow, or ask for less")
        else:
            yield Finding("cluster", f"{has}; {cpus:g} and {gpus:g} are asked for at once")
        inventory = take_inventory()
        cluster, lines = placed(config.cluster, inventory)
        for line in lines:
            yield Finding("placement", line)
        for kind in ("generate", "train"):
            if (lack := too_small(demands(cluster, kind, config.train.num_workers), inventory)) is not None:
                detail, _, remedy = refusal(lack, inventory).rpartition("; ")
                yield Finding("placement", f"{kind}: {detail}", remedy)
        if not is_local(config.cluster.address):
            for trouble in troubles(inventory, cluster):
                detail, _, remedy = trouble.rpartition("; ")
                yield Finding("nodes", detail, remedy)
