"""Seals: the record whose presence means that a step is complete, created once."""

import json
from dataclasses import asdict, dataclass
from typing import Any, Self

from engine.store.files import FileRecord, Store, digest

SEAL = "seal.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Seal:
    """The record whose presence means that a step is complete.

    Seal(step="cycle-000/generate", identity="9a...", files=[...], counts={"contains_label": 212}, facts={}, seconds=31.2, epoch=1)
    """

    step: str
    identity: str
    """Digest of the step, its configuration and its inputs' outputs: what was asked for."""
    files: list[FileRecord]
    counts: dict[str, int]
    """Rows by reason."""
    facts: dict[str, Any]
    """What else later steps and the report need, e.g. an accuracy."""
    seconds: float
    epoch: int
    """Of the lease under which it was written (engine/run/lease.py)."""

    @property
    def output(self) -> str:
        """Digest of what came out: the files' contents. Seconds and the epoch do not count."""
        return digest([self.identity, [[record.path, record.sha256] for record in self.files]])

    def to_json(self) -> bytes:
        return json.dumps(asdict(self), indent=1, ensure_ascii=False).encode()

    @classmethod
    def from_json(cls, data: bytes) -> Self:
        value = json.loads(data)
        return cls(**value | {"files": [FileRecord(**record) for record in value["files"]]})


def read_seal(store: Store, step: str) -> Seal | None:
    data = store.read(f"{step}/{SEAL}")
    try:
        return None if data is None else Seal.from_json(data)
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{store.url(f'{step}/{SEAL}')} is no seal ({error}); restore it, or take it away and go on") from None


def write_seal(store: Store, seal: Seal) -> Seal:
    """Create the seal; where another driver was first, its seal counts and is returned."""
    if store.create(f"{seal.step}/{SEAL}", seal.to_json()):
        return seal
    first = read_seal(store, seal.step)
    assert first is not None, f"{seal.step} has a seal that cannot be read"
    return first
