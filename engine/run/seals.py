"""Seals: a record for each step, created once; its presence means that the step is complete."""

import json
from dataclasses import asdict, dataclass
from typing import Any, Self

from engine.store.documents import to_json
from engine.store.files import FileRecord, Store, digest

SEAL = "seal.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Seal:
    """The record whose presence means that a step is complete.

    Seal(step="cycle-000/generate", identity="9a...", files=[...], counts={"clips": 300}, facts={}, seconds=31.2, epoch=1)
    """

    step: str
    identity: str
    """Digest of what decides the step's result: its name, the configuration and the outputs of its inputs."""
    files: list[FileRecord]
    counts: dict[str, int]
    """Rows by reason."""
    facts: dict[str, Any]
    """What else later steps and the report need, for example an accuracy."""
    seconds: float
    epoch: int
    """The epoch of the lease under which the seal was written (engine/run/lease.py)."""

    @property
    def output(self) -> str:
        """Digest of the identity and of the contents of the files; seconds and epoch are not part of it."""
        return digest([self.identity, [[record.path, record.sha256] for record in self.files]])

    def to_json(self) -> bytes:
        """Raises ValueError where a fact is NaN or infinite: nothing of the kind is sealed."""
        return to_json(asdict(self), indent=1)

    @classmethod
    def from_json(cls, data: bytes) -> Self:
        value = json.loads(data, parse_constant=lambda number: None)  # older runs hold NaN where nothing was measured
        return cls(**value | {"files": [FileRecord(**record) for record in value["files"]]})


def read_seal(store: Store, step: str) -> Seal | None:
    """The step's seal; None if it is not sealed. Raises ValueError where the file is not a seal."""
    data = store.read(f"{step}/{SEAL}")
    try:
        return None if data is None else Seal.from_json(data)
    except (ValueError, KeyError, TypeError) as error:
        url = store.url(f"{step}/{SEAL}")
        raise ValueError(
            f"{url} is not a valid seal ({error}); restore it, or delete the folder {store.url(step)} and those "
            "of all later steps to do them again"
        ) from None


def write_seal(store: Store, seal: Seal) -> Seal:
    """Create the seal and return it; if another driver has created it first, return that one."""
    if store.create(f"{seal.step}/{SEAL}", seal.to_json()):
        return seal
    first = read_seal(store, seal.step)
    assert first is not None, f"{seal.step} has a seal that cannot be read"
    return first
