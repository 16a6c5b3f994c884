"""What a shell completes beside commands and options: runs of this machine's folders, clips of a run, keys of the configuration.

`starloop --install-completion` sets the shell up. Nothing here opens a connection or reads a large file: a completion that takes
seconds is worse than none.
"""

import os
from pathlib import Path

import typer

FOLDER = "runs"
"""Where runs are looked for while nothing is typed: run.uri's default is runs/default."""
NAMES = 50
"""Completions that are offered at most."""


def complete_run(ctx: typer.Context, incomplete: str) -> list[str]:
    """Folders that begin so, those of runs alone where there are such; nothing for other machines' storage."""
    if "://" in incomplete:
        return []
    begins = incomplete or f"{FOLDER}/"
    folder, _, name = begins.rpartition("/")
    try:
        with os.scandir(folder or ("/" if begins.startswith("/") else ".")) as entries:
            names = [entry.name for entry in entries if entry.name.startswith(name) and entry.is_dir()]
    except OSError:
        return []
    paths = [f"{folder}/{entry}" if folder or begins.startswith("/") else entry for entry in sorted(names)]
    runs = [path for path in paths if (Path(path) / "config.json").is_file()]
    return (runs or [f"{path}/" for path in paths])[:NAMES]


def complete_clip(ctx: typer.Context, incomplete: str) -> list[str]:
    """Ids of clips that begin so, out of the first part of each split of a run on this machine."""
    run = str(ctx.params.get("run") or "")
    if "://" in run or not (Path(run) / "ingest").is_dir():
        return []
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    names: list[str] = []
    for part in sorted((Path(run) / "ingest").glob("*/00000.parquet")):
        ids = pq.read_table(part, columns=["clip_id"]).column(0)
        names += ids.filter(pc.starts_with(ids, incomplete)).slice(0, NAMES).to_pylist()
    return sorted(names)[:NAMES]


def complete_key(ctx: typer.Context, incomplete: str) -> list[str]:
    """Dotted keys of the configuration that begin so."""
    from engine.reference import keys

    return [key.key for key in keys() if not key.entry and key.key.startswith(incomplete)]


def complete_setting(ctx: typer.Context, incomplete: str) -> list[str]:
    """Keys for --set, up to their equals sign."""
    return [f"{key}=" for key in complete_key(ctx, incomplete)]
