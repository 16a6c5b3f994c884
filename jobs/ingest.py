"""Check a manifest or a dataset's own annotations, fix the split, and write clips; or write conversations as examples."""

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from engine.ingest import manifest as manifests
from engine.ingest.adapters import ADAPTERS, FORMATS, adapter, instruct, table
from engine.ingest.adapters.source import Source
from engine.ingest.card import LISTED_FOLDERS, Card, Listing, Skipped
from engine.ingest.clips import PART_CLIPS
from engine.presets import load_config
from engine.rows import CLIPS, EXAMPLES, Example, FollowUp
from engine.store.files import Store
from jobs.view import a_console


@dataclass(frozen=True, kw_only=True)
class IngestOptions:
    """The options of the command. IngestOptions(manifest="train.csv", form="kinetics")"""

    manifest: str
    form: str = "manifest"
    mapping: str = ""
    video: str = ""
    split: str = ""
    skip_bad: bool = False


def ingest(options: IngestOptions, out: str, settings: list[str]) -> None:
    manifest, form = options.manifest, options.form
    if given := [setting for setting in settings if setting.partition("=")[0].strip() == "data.manifest"]:
        raise ValueError(f"--set {given[0]}: the manifest is {manifest}, the argument; give one of them")
    config = load_config(None, [*settings, f"data.manifest={json.dumps(manifest)}"])
    if not out.endswith(".parquet"):
        raise ValueError(f"--out {out}: clips are written as one .parquet file")
    if options.mapping and form == "manifest":
        form = "table"
    if options.mapping and form != "table":
        raise ValueError(f"--mapping is for tables, and --format {form} knows its own columns; leave one of them out")
    if form not in FORMATS:
        raise ValueError(f"--format {form}: one of {', '.join(FORMATS)}")
    if options.split not in ("", "train", "heldout"):
        raise ValueError(f"--split {options.split}: train or heldout")
    if form == "manifest" and (options.video or options.split):
        raise ValueError("--video and --split are for other formats; a manifest says its own")
    if form == "instruct" and options.split:
        raise ValueError("--split is for clips; conversations have no split, all of them are trained on")
    storage = config.access()
    columns = table.read_mapping(options.mapping, storage) if options.mapping else {}
    source = Source(path=manifest, storage=storage, video=options.video, split=options.split, mapping=columns)
    skipped = Skipped() if options.skip_bad else None
    folder, _, name = out.rpartition("/")
    store = Store(folder or ".", storage)
    card, listing = Card(), Listing(storage)
    if form == "instruct":
        talks = Talks(source, config.data, skipped, listing)
        _write(store, name, EXAMPLES, talks.rows())
        _report(store, name, talks.facts(), skipped, listing)
        return
    records = partial(adapter(form), source) if form in ADAPTERS else None

    def rows() -> Iterator[dict[str, Any]]:
        for clip in manifests.read_manifest(config.data, storage, card, records, skipped):
            listing.count(clip)
            yield clip.to_row()

    _write(store, name, CLIPS, rows())
    _report(store, name, card.facts(), skipped, listing)


def _write(store: Store, name: str, schema: pa.Schema, rows: Iterator[dict[str, Any]]) -> None:
    """Write the rows as one file, after all of them were read without an error."""
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
        raise ValueError(f"nothing to write to {name}: no conversation was found; --format instruct reads a JSON array of them")
    store.write(name, sink.getvalue().to_pybytes())


class Talks:
    """Conversations as examples, counted while they stream."""

    def __init__(self, source: Source, data: Any, skipped: Skipped | None, listing: Listing) -> None:
        self._source, self._data, self._skipped, self._listing = source, data, skipped, listing
        self._counts, self._bad = Counter[str](), Counter[str]()

    def rows(self) -> Iterator[dict[str, Any]]:
        for _, row in instruct.records(self._source):
            if isinstance(row, ValueError):
                if self._skipped is None:
                    raise row
                self._skipped.add(row)
                self._bad[getattr(row, "reason", "malformed")] += 1
                continue
            example = self._example(row)
            self._counts.update(examples=1, turns=len(example.turns), text_only=not example.video)
            if example.video:
                self._listing.count(example)
            yield example.to_row()
        if self._skipped is not None and self._skipped.count and not self._counts:
            raise ValueError(f"all {self._skipped.count} conversations are bad; the first: {self._skipped.first[0]}")

    def _example(self, row: dict[str, Any]) -> Example:
        (prompt, answer), *later = row["turns"]
        return Example(
            example_id=row["clip_id"],
            clip_id=row["clip_id"],
            video=manifests.locate(row["video"], self._data) if row["video"] else "",
            start_s=row["start_s"],
            end_s=row["end_s"],
            prompt=prompt,
            answer=answer,
            source="instruct",
            follow_ups=tuple(FollowUp(prompt=question, answer=reply) for question, reply in later),
            shown_in=row["shown_in"],
        )

    def facts(self) -> dict[str, Any]:
        return dict(self._counts) | {"bad_rows_by_reason": dict(self._bad)}


def _report(store: Store, name: str, facts: dict[str, Any], skipped: Skipped | None, listing: Listing | None = None) -> None:
    """Write the data card as JSON beside the clips, and print it in short."""
    if listing:
        facts |= {
            "missing_videos": listing.missing.count,
            "unanswered_videos": listing.unanswered.count,
            "unlisted_videos": listing.unlisted.count,
        }
    if skipped:
        facts |= {"bad_rows": skipped.count, "first_bad_rows": skipped.first}
    card = f"{name.removesuffix('.parquet')}.card.json"
    store.write(card, (json.dumps(facts, indent=2, ensure_ascii=False) + "\n").encode())
    console = a_console()
    console.print("  ".join(f"{key.replace('_', ' ')} {value}" for key, value in facts.items() if isinstance(value, int | float)))
    if bad := facts.get("bad_rows_by_reason"):
        console.print("bad rows by reason: " + ", ".join(f"{reason} {count}" for reason, count in bad.items()))
    if kinds := facts.get("kinds"):
        console.print("labels by kind: " + ", ".join(f"{kind} {count}" for kind, count in kinds.items()))
    if listing and listing.missing.count:
        console.print(
            f"clips without a video: {listing.missing.count}, among them {', '.join(listing.missing.first[:3])}; "
            "they are kept as rows and will be counted as failed: missing",
        )
    if listing and listing.unanswered.count:
        first = ", ".join(listing.unanswered.first[:3])
        console.print(
            f"whether the videos of {listing.unanswered.count} clips exist is not known ({first} ...): their folders may not be "
            "listed, or storage did not respond"
        )
    if listing and listing.unlisted.count:
        first = ", ".join(listing.unlisted.first[:3])
        console.print(
            f"{listing.unlisted.count} clips' videos ({first} ...) not looked for: {LISTED_FOLDERS} folders are listed at most"
        )
    if skipped and skipped.count:
        console.print(f"{skipped.count} bad rows left out; the first: {skipped.first[0]}")
    console.print(f"wrote {store.url(name)} and its data card {card}")
