"""Check a manifest, fix its split, and write it as clips."""

import os

from engine.config import load_config
from engine.data import manifest as manifests
from engine.store import Store
from jobs.view import a_console


def ingest(manifest: str, out: str, settings: list[str]) -> None:
    config = load_config(None, [*settings, f"data.manifest={manifest}"])
    if not out.endswith(".parquet"):
        raise ValueError(f"--out {out}: clips are written as one .parquet file")
    clips = manifests.read_manifest(config.data)
    card = manifests.card(clips)
    folder, _, name = out.rpartition("/")
    try:
        Store(folder or os.curdir, config.run.storage_options).write_table(name, manifests.to_table(clips))
    except OSError as error:
        raise ValueError(f"--out {out} cannot be written: {error.strerror or error}") from None
    console = a_console()
    console.print("  ".join(f"{name.replace('_', ' ')} {count}" for name, count in card.items()))
    if card["missing_videos"]:
        names = manifests.missing_videos(clips)[:3]
        console.print(
            f"{card['missing_videos']} clips have no video ({', '.join(names)} ...); "
            "they are kept as rows and will be counted as failed: missing",
        )
    console.print(f"wrote {out}")
