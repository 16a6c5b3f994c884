"""Check a manifest or a dataset's own annotations, fix the split, and write clips; or write conversations as examples."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from engine.ingest import manifest as manifests
from engine.ingest.adapters import ADAPTERS, FORMATS, adapter, table
from engine.ingest.adapters.source import Source
from engine.ingest.card import Card
from engine.ingest.clips import PART_CLIPS
from engine.ingest.listing import BUDGET_S, LISTED_FOLDERS, Listing
from engine.ingest.names import NamedVideos
from engine.ingest.own import folder_notes, ignored_files, own_records
from engine.ingest.skipped import Skipped
from engine.ingest.splits import split_named
from engine.ingest.tables import CARD
from engine.ingest.talks import Talks
from engine.presets import load_config
from engine.rows import CLIPS, EXAMPLES
from engine.store.documents import to_json
from engine.store.files import Store
from engine.store.filesystems import Storage
from engine.store.locations import local_path
from jobs.view import a_console, reasons


@dataclass(frozen=True, kw_only=True)
class IngestOptions:
    """The options of the command. IngestOptions(manifest="train.csv", form="kinetics")"""

    manifest: str
    form: str = "manifest"
    mapping: str = ""
    questions: str = ""
    group: str = ""
    video: str = ""
    split: str = ""
    skip_bad: bool = False
    dry_run: bool = False


def ingest(options: IngestOptions, out: str, settings: list[str]) -> None:
    manifest, form = options.manifest, options.form
    if given := [setting for setting in settings if setting.partition("=")[0].strip() == "data.manifest"]:
        raise ValueError(f"--set {given[0]}: the manifest is {manifest}, the argument; give one of them")
    config = load_config(None, [*settings, f"data.manifest={json.dumps(manifest)}"])
    if not out.endswith(".parquet"):
        raise ValueError(f"--out {out}: clips are written as one .parquet file")
    _refuse_blocked(out)
    if options.mapping and form == "manifest":
        form = "table"
    if options.mapping and form != "table":
        raise ValueError(f"--mapping is for tables, and --format {form} knows its own columns; leave one of them out")
    if form not in FORMATS:
        raise ValueError(f"--format {form}: one of {', '.join(FORMATS)}")
    if options.questions and not form.startswith("videostar-"):
        raise ValueError(f"--questions are wordings for the formats videostar-..., and not for {form}; leave one of them out")
    if options.group and form == "instruct":
        raise ValueError("--group is for clips; conversations have none")
    split = split_named(options.split)
    if options.split and not split:
        raise ValueError(f"--split {options.split}: train, heldout or test")
    if form == "instruct" and options.split:
        raise ValueError("--split is for clips; conversations have no split, all of them are trained on")
    storage = config.access()
    columns = table.read_mapping(options.mapping, storage) if options.mapping else {}
    videos = NamedVideos(manifests.folder_of(config.data), storage)
    source = Source(
        path=manifest,
        storage=storage,
        video=options.video,
        videos=videos,
        split=split,
        questions=options.questions,
        mapping=columns,
    )
    skipped = Skipped() if options.skip_bad else None
    folder, _, name = out.rpartition("/")
    store = Store(folder or ".", storage)
    listing = Listing(storage)
    card = Card(listing)
    if form == "instruct":
        talks = Talks(source, config.data, skipped, listing)
        content = _table_of(EXAMPLES, talks.rows())
        facts = _report(talks.facts(), skipped, listing)
        refuse_missing(talks.num_shown, listing)
        _write(store, name, content, facts, options.dry_run)
        return
    own = partial(own_records, manifest, storage, source)
    records = partial(adapter(form), source) if form in ADAPTERS else own

    def rows() -> Iterator[dict[str, Any]]:
        for clip in listing.counted(manifests.read_manifest(config.data, storage, card, records, skipped)):
            yield clip.to_row() | {"group": clip.group or options.group}

    content = _table_of(CLIPS, rows())
    left_out = {"left_out": counts} if (counts := source.counts_left_out) else {}
    facts = _report(card.facts() | _files_ignored(manifest, storage, form) | left_out, skipped, listing)
    notes = [*(folder_notes(manifest, storage) if form == "manifest" else ()), *card.notes()]
    if form in ("manifest", "table") and not split and "split" not in columns.get("values", {}):
        notes += filter(None, [card.one_split_note()])
    for note in notes:
        a_console().print(note)
    refuse_missing(len(card), listing)
    _write(store, name, content, facts, options.dry_run)


def _refuse_blocked(out: str) -> None:
    """Raises ValueError where a file stands in place of a folder of `out`: before a manifest is read for an hour."""
    path = local_path(out)
    if path and any(parent.is_file() for parent in Path(path).parents):
        raise ValueError(f"cannot write {out}: a file is in the way")


def _files_ignored(manifest: str, storage: Storage, form: str) -> dict[str, Any]:
    suffixes = ignored_files(manifest, storage) if form == "manifest" else {}
    return {"ignored_files": sum(suffixes.values()), "ignored_suffixes": suffixes} if suffixes else {}


def refuse_missing(num_clips: int, listing: Listing) -> None:
    """Raises ValueError where none of the clips has its video."""
    remedy = "set data.videos to their folder, or give their names with --video"
    if 0 < num_clips == listing.missing.count:
        raise ValueError(
            f"none of the {num_clips} clips has a video: there is no {listing.first_missing}; {remedy}; nothing is written"
        )
    if listing.first_missing:
        a_console().print(f"the first video that is missing: {listing.first_missing}; if it is elsewhere, {remedy}")


def _table_of(schema: pa.Schema, rows: Iterator[dict[str, Any]]) -> bytes:
    """The rows as one Parquet file: it is written after all of them were read without an error."""
    sink, waiting, count = pa.BufferOutputStream(), [], 0
    with pq.ParquetWriter(sink, schema, compression="zstd") as writer:
        for row in rows:
            waiting.append(row)
            count += 1
            if len(waiting) == PART_CLIPS:
                writer.write_table(pa.Table.from_pylist(waiting, schema=schema))
                waiting.clear()
        writer.write_table(pa.Table.from_pylist(waiting, schema=schema))
    if not count:
        raise ValueError("nothing to write: no conversation was found; --format instruct reads JSON or JSONL of them")
    content: bytes = sink.getvalue().to_pybytes()
    return content


def _write(store: Store, name: str, table: bytes, facts: dict[str, Any], is_dry: bool) -> None:
    """Write the rows, and the data card as JSON beside them."""
    card = name.removesuffix(".parquet") + CARD
    if is_dry:
        a_console().print(f"nothing is written by --dry-run; without it: {store.url(name)} and its data card {card}")
        return
    store.write(name, table)
    store.write(card, to_json(facts, indent=2) + b"\n")
    a_console().print(f"wrote {store.url(name)} and its data card {card}")


def _report(facts: dict[str, Any], skipped: Skipped | None, listing: Listing) -> dict[str, Any]:
    """The facts of the data card, which are printed in short."""
    facts |= {
        "missing_videos": listing.missing.count,
        "unanswered_videos": listing.unanswered.count,
        "unlisted_videos": listing.unlisted.count,
    }
    if skipped:
        facts |= {"bad_rows": skipped.count, "first_bad_rows": skipped.first}
    console = a_console()
    console.print("  ".join(f"{key.replace('_', ' ')} {value}" for key, value in facts.items() if isinstance(value, int | float)))
    if bad := facts.get("bad_rows_by_reason"):
        console.print("bad rows by reason: " + ", ".join(f"{reason} {count}" for reason, count in bad.items()))
    if left_out := facts.get("left_out"):
        console.print("annotations that the format's selection leaves out: " + reasons(left_out))
    if collections := facts.get("collections"):
        console.print("conversations by set: " + ", ".join(f"{name} {count}" for name, count in collections.items()))
    if kinds := facts.get("kinds"):
        console.print("labels by kind: " + ", ".join(f"{kind} {count}" for kind, count in kinds.items()))
    if listing.missing.count:
        console.print(
            f"clips without a video: {listing.missing.count}, among them {', '.join(listing.missing.first[:3])}; "
            "they are kept as rows and will be counted as failed: missing",
        )
    if listing.unanswered.count:
        first = ", ".join(listing.unanswered.first[:3])
        console.print(
            f"the videos of {listing.unanswered.count} clips could not be listed ({first} ...): it is not allowed, or storage did "
            "not respond; whether they exist is found out when they are read"
        )
    if listing.unlisted.count:
        first = ", ".join(listing.unlisted.first[:3])
        console.print(
            f"{listing.unlisted.count} clips' videos ({first} ...) not looked for: at most {LISTED_FOLDERS} folders are listed, "
            f"and for {BUDGET_S:g} s"
        )
    if skipped and skipped.count:
        console.print(f"{skipped.count} bad rows left out; the first: {skipped.first[0]}")
    return facts
