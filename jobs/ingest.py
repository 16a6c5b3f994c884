"""Check a manifest, fix its split, and write it as clips."""

import os

from engine.config import load_config
from engine.data import manifest as manifests
from engine.data.clips import to_table
from engine.store import Store
from jobs.view import a_console


def ingest(manifest: str, out: str, settings: list[str]) -> None:
    if given := [setting for setting in settings if setting.partition("=")[0].strip() == "data.manifest"]:
        raise ValueError(f"--set {given[0]}: the manifest is {manifest}, the argument; give one of them")
    config = load_config(None, [*settings, f"data.manifest={manifest}"])
    if not out.endswith(".parquet"):
        raise ValueError(f"--out {out}: clips are written as one .parquet file")
    storage, card = config.access(), manifests.Card()
    clips = list(manifests.read_manifest(config.data, storage, card))
    folder, _, name = out.rpartition("/")
    Store(folder or os.curdir, storage).write_table(name, to_table(clips))
    missing, unanswered = manifests.missing_videos(clips, storage)
    console = a_console()
    counts = card.counts() | {"missing_videos": len(missing)}
    console.print("  ".join(f"{name.replace('_', ' ')} {count}" for name, count in counts.items()))
    if missing:
        console.print(
            f"{len(missing)} clips have no video ({', '.join(missing[:3])} ...); "
            "they are kept as rows and will be counted as failed: missing",
        )
    if unanswered:
        console.print(f"where the videos of {len(unanswered)} clips lie ({', '.join(unanswered[:3])} ...), nobody answered")
    console.print(f"wrote {out}")
