"""What a run took over from the one that it continues: which clips are new, changed or removed, and how many answers are reused.

`starloop extend` writes parent/ when it compares the manifests; the first generate step counts what came of it.
"""

import json
from collections.abc import Mapping
from typing import Any

from engine.config import Parent
from engine.generate.reuse import Origins
from engine.store.files import Store

MANIFEST, CHANGES, CHANGED_CLIPS = "parent/manifest.parquet", "parent/changes.json", "parent/changes.parquet"
"""The clips that the run was begun with; numbers of changes by split; and each clip that is new, changed or removed."""
CHANGE = ("unchanged", "new", "changed", "removed")
"""What a manifest can do to a clip. changed: the same id has another window, video, question or label."""
LINEAGE = ("reused", "new", "changed", "asked_again", "removed")
"""Counts in the seal of the first generate step. asked_again: unchanged in the manifest, and no attempt of before stands: the
video is another one now, the clip had failed, its rejected answer was not rationalized, or prompts or settings are others."""


def read_changes(store: Store) -> dict[str, dict[str, int]]:
    """{"train": {"unchanged": 9, "new": 3, "changed": 1, "removed": 2}, "heldout": ...}"""
    data = store.read(CHANGES)
    if data is None:
        raise ValueError(f"{store.url(CHANGES)} is gone, which `starloop extend` wrote; restore it")
    changes: dict[str, dict[str, int]] = json.loads(data)
    return changes


def lineage_of(changes: Mapping[str, Mapping[str, int]], origins: Origins, num_clips: int) -> dict[str, Any]:
    """The counts of LINEAGE for the clips of the step, and the reused ones by the digest of the model that answered.

    >>> lineage_of({"train": {"new": 3, "changed": 1, "removed": 2}}, Origins(9, {"ab12": 9}), 14)
    {'reused': 9, 'new': 3, 'changed': 1, 'asked_again': 1, 'removed': 2, 'by_model': {'ab12': 9}}
    """
    new, changed, removed = (changes["train"][name] for name in ("new", "changed", "removed"))
    return {
        "reused": origins.reused,
        "new": new,
        "changed": changed,
        "asked_again": num_clips - new - changed - origins.reused,
        "removed": removed,
        "by_model": dict(sorted(origins.by_model.items())),
    }


def reuse_line(lineage: Mapping[str, Any], parent: Parent) -> str:
    """
    >>> counts = {"reused": 9, "new": 3, "changed": 1, "asked_again": 1, "removed": 2}
    >>> reuse_line(counts, Parent(run="runs/a", step="cycle-001/generate"))
    'answers of 9 clips are those of runs/a/cycle-001/generate; asked: 3 new clips, 1 changed, 1 again; 2 removed'
    """
    questions = f"asked: {lineage['new']} new clips, {lineage['changed']} changed, {lineage['asked_again']} again"
    return (
        f"answers of {lineage['reused']} clips are those of {parent.run}/{parent.step}; {questions}; {lineage['removed']} removed"
    )
