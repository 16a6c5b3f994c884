"""Preflight: what would go wrong, found out before it costs anything. Each finding is ok, or says why not and what to do."""

import importlib.metadata
import os
import re
import shutil
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from engine import flow
from engine.config import RunConfig
from engine.decode.decoder import ChildDecoder, ClipRead
from engine.decode.frames import describe
from engine.ingest import manifest
from engine.ingest.card import Card
from engine.rows import Clip
from engine.run.resources import afford, needs
from engine.run.work import decoding_of
from engine.store.files import Store
from engine.store.filesystems import StorageError
from engine.store.weights import local
from models.base import Evenly, FrameSpec, Square
from models.registry import frame_spec, load

SAMPLED = 8
"""Videos that are decoded."""
FREE_BYTES = 2 << 30
PACKAGES = ("ray", "torch", "transformers", "peft", "deepspeed", "av", "decord", "pyarrow", "fsspec", "s3fs", "pydantic")
UNSAFE = (
    "RAY_DATA_AUTOLOAD_CLOUDPICKLE_TENSOR_METADATA",
    "RAY_DATA_WEBDATASET_ALLOW_UNSAFE_DESERIALIZATION",
    "RAY_DATA_AUTOLOAD_PICKLE_OBJECT_SCALAR",
    "RAY_DATA_ARROW_EXTENSION_SERIALIZATION_CLOUDPICKLE",
)
"""Environment variables with which Ray Data runs code that it finds in data files."""


@dataclass(frozen=True)
class Finding:
    """Finding("conditional create", "a second create of the same object succeeded", "use a store that honours If-None-Match")"""

    what: str
    detail: str
    remedy: str = ""
    """"": it is ok."""


def examine(config: RunConfig, model: bool = True) -> Iterator[Finding]:
    """Findings as they come. Needs no run folder yet, and leaves nothing in it. `model`: load it, as an actor would."""
    yield from _versions()
    yield from _settings(config.cluster.address or os.environ.get("RAY_ADDRESS", ""), os.environ)
    yield from _careful("run folder", "choose another run.uri", lambda: _storage(Store(config.run.uri, config.access())))
    clips: list[Clip] = []
    yield from _careful("manifest", "mend data.manifest", lambda: _manifest(config, clips))
    yield from _careful("budget", "see [model], [generate], [train] and cluster.gpu_memory_gib", lambda: _budget(config))
    yield from _careful("model", "check model.base and model.instruct", lambda: _model(config, model))
    yield from _careful("videos", "see the kinds of failure; starloop ingest names missing videos", lambda: _videos(config, clips))
    yield from _careful("cluster", "check cluster.address and the [cluster] section", lambda: _cluster(config))


def _careful(what: str, remedy: str, check: Callable[[], Iterator[Finding]]) -> Iterator[Finding]:
    """A check's findings, or what it ran into as one."""
    try:
        yield from check()
    except StorageError as error:
        detail, _, its_remedy = str(error).rpartition("; ")
        yield Finding(what, detail, its_remedy)
    except (ValueError, OSError, RuntimeError) as error:
        yield Finding(what, str(error).splitlines()[0], remedy)


def _versions() -> Iterator[Finding]:
    found = {}
    for name in PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            yield Finding("versions", f"{name} is not installed", f"pip install {name}, or generate.decoder=pyav without decord")
    yield Finding("versions", ", ".join(f"{name} {version}" for name, version in found.items()))
    try:
        required = importlib.metadata.requires("starloop") or []
    except importlib.metadata.PackageNotFoundError:
        return  # run from a working directory: nothing is declared
    for name, version in found.items():
        for line in required:
            if (match := re.match(rf"{name}(\[[^]]*\])?(?P<range>[^;]*)$", line)) and not _within(version, match["range"]):
                yield Finding(
                    "versions", f"{name} {version} is not {match['range'].strip()}", "pip install -c constraints.txt -e ."
                )


def _within(version: str, wanted: str) -> bool:
    """
    >>> _within("2.60.1", ">=2.60,<2.61"), _within("3.0", ">=2.60,<2.61"), _within("1", "")
    (True, False, True)
    """
    from packaging.specifiers import SpecifierSet  # comes with ray

    return SpecifierSet(wanted.strip()).contains(version, prereleases=True)


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


def _storage(store: Store) -> Iterator[Finding]:
    probe, data = f".doctor-{uuid.uuid4().hex}", b"starloop doctor was here"
    existed, is_new = store.read("config.json") is not None, not os.path.exists(store.url())
    try:
        first, second = store.create(probe, data), store.create(probe, b"another")
        there = store.read(probe) == data
        listed = probe in store.names("")
    finally:
        store.delete(probe)
        if is_new and os.path.isdir(store.url()):
            os.rmdir(store.url())
    yield Finding("run folder", f"{store.url()} can be written, read and listed{', and holds a run' if existed else ''}")
    if first and not second and there:
        yield Finding("conditional create", "a second create of one object is refused")
    else:
        yield Finding("conditional create", "a second create of one object succeeds", "use a store that honours If-None-Match")
    if not listed:
        yield Finding("run folder", "what was just written is not listed", "use a store whose listings are up to date")
    if "://" not in store.url():
        folder = store.url()
        while not os.path.exists(folder):
            folder = os.path.dirname(folder)
        free = shutil.disk_usage(folder).free
        detail = f"{free / 1e9:.1f} GB are free"
        yield Finding("disk", detail) if free >= FREE_BYTES else Finding("disk", detail, "free some, or choose another run.uri")


def _manifest(config: RunConfig, clips: list[Clip]) -> Iterator[Finding]:
    """Also samples clips, evenly over the manifest: one in every 2^k of those seen."""
    card, stride = Card(), 1
    for number, clip in enumerate(manifest.read_manifest(config.data, config.access(), card)):
        if number % stride == 0:
            clips.append(clip)
            if len(clips) == 2 * SAMPLED:
                del clips[1::2]
                stride *= 2
    counts = card.counts()
    yield Finding("manifest", "  ".join(f"{name.replace('_', ' ')} {count}" for name, count in counts.items()))
    for split in ("train", "heldout"):
        if not counts[split]:
            yield Finding(
                "manifest",
                f"no clips in split {split!r}: selftrain will refuse it",
                "give it a split column, or set data.heldout=0.2 before ingest",
            )


def _budget(config: RunConfig) -> Iterator[Finding]:
    for line in afford(config):
        yield Finding("budget", line)


def _model(config: RunConfig, whole: bool) -> Iterator[Finding]:
    for spec in config.models():
        frames = frame_spec(local(spec, config.access(), only=".json"))
        detail = f"{spec.base} watches {describe(frames)}"
        if whole:
            detail += f"; it loads, with digest {load(local(spec, config.access())).digest}"
        yield Finding("model", detail)


def _videos(config: RunConfig, clips: list[Clip]) -> Iterator[Finding]:
    sample = clips[:SAMPLED]
    decoding = decoding_of(config)
    spec, kinds, in_order = FrameSpec(choose=Evenly(8), size=Square(224)), Counter[str](), 0
    with ChildDecoder(decoding.storage, decoding.limits, decoding.backend) as decoder:
        for clip in sample:
            seen = decoder.decode(clip, spec)
            if isinstance(seen, ClipRead):
                in_order += seen.in_order
            else:
                kinds[f"{seen.kind} ({seen.detail})"] += 1
    if sample and not kinds:
        slow = f", {in_order} of them read from their start for want of an index" if in_order else ""
        yield Finding("videos", f"{len(sample)} of {len(sample)} sampled clips decode{slow}")
    for reason, count in kinds.items():
        yield Finding("videos", f"{count} of {len(sample)} sampled clips: {reason}", "mend them, or accept them as failed rows")


def _cluster(config: RunConfig) -> Iterator[Finding]:
    cpus, gpus = needs(config)
    with flow.cluster(config.cluster.address, cpus, gpus) as there:
        short = [f"{amount:g} {kind}" for kind, amount in (("CPU", cpus), ("GPU", gpus)) if there.get(kind, 0) < amount]
        has = f"{there.get('CPU', 0):g} CPUs and {there.get('GPU', 0):g} GPUs"
        if short:
            yield Finding(
                "cluster", f"it has {has}, and {' and '.join(short)} are asked for at once", "let it grow, or ask for less"
            )
        else:
            yield Finding("cluster", f"{has}; {cpus:g} and {gpus:g} are asked for at once")
