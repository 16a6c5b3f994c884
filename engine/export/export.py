"""Takes kept rows away: a folder of files in a tool's format, with a card. Nothing of the run is changed."""

import math
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from engine import __version__
from engine.decode.frame_folder import frame_folder
from engine.episodes.tags import shown_as
from engine.export.data_card import data_card, place
from engine.export.folder import Folder, Shard, opened
from engine.export.formats import (
    LAYOUTS,
    ROOT,
    TEXT_ROWS,
    Form,
    dataset_info,
    for_hub,
    hub_name,
    is_local,
    path_of,
    shared_folder,
)
from engine.export.front import counted
from engine.export.kept import Source, rows_by_cycle
from engine.export.tables import WRITERS, write_parquet
from engine.export.tar import Packed, write_tar
from engine.generate.ledger import too_many_failed
from engine.rows import Failure, Takeaway
from engine.run.plan import TRAIN
from engine.store.documents import to_json
from engine.store.files import Store
from engine.store.locations import canonical

FAILURES = "failures"
"""The folder with a file for each shard that lacks rows: example_id, kind and detail, a line each."""


@dataclass(frozen=True, kw_only=True)
class Exported:
    """What was written: Exported(uri="out", cycle=0, rows={"train": 299}, failures={}, is_new=True)."""

    uri: str
    cycle: int
    rows: dict[str, int]
    failures: dict[str, int]
    """Rows that are left out, by kind."""
    is_new: bool
    """False: the folder was complete already."""


def export(source: Source, form: Form, out: Store, splits: Sequence[str] = (TRAIN,), shard_rows: int | None = None) -> Exported:
    """Write the folder; a folder that an export was stopped in is gone on with, file by file.

    Raises ValueError for a split without rows, which no reader loads, for a folder that holds something else, for `shard_rows` of a
    format whose splits are one file each, and where too many videos of a split, or all of them, cannot be read. Raises StorageError
    where storage fails or denies access: then the same call goes on.
    """
    if shard_rows and LAYOUTS[form].shard_rows is None:
        raise ValueError(f"--shard-rows: each split of {form} is one file; leave it out")
    counts = {split: source.count(split) for split in dict.fromkeys(splits)}
    for split, count in counts.items():
        if not count:
            raise ValueError(_without_rows(source, split))
    videos = _folder_of_videos(source) if form == "hub" else ""
    rows_each = LAYOUTS[form].shard_rows and (shard_rows or LAYOUTS[form].shard_rows)
    with opened(out, _about(source, form, list(counts), rows_each)) as folder:
        is_new = not folder.is_complete
        if is_new:
            for split, count in counts.items():
                _write_split(folder, source, form, split, rows_each or max(1, count), videos)
            if (listing := dataset_info(form, _word(source), counts)) is not None:
                folder.store.write("dataset_info.json", listing)
            folder.finish(data_card(source, form, folder.shards))
    failures = sum((Counter(shard.failures) for shard in folder.shards.values()), Counter[str]())
    rows = {split: sum(shard.rows for shard in folder.shards.values() if shard.split == split) for split in counts}
    return Exported(uri=folder.store.url(), cycle=source.cycle, rows=rows, failures=dict(failures), is_new=is_new)


def _without_rows(source: Source, split: str) -> str:
    """What is missing, and where there are rows."""
    lack = f"cycle {source.cycle} of {source.store.url()} has no rows of {split}, so nothing is written"
    if split != TRAIN:
        return f"{lack}: none of its answers there is kept; leave --split {split} out"
    others = ", ".join(f"--cycle {cycle} has {count}" for cycle, count in rows_by_cycle(source.sealed).items() if count)
    return f"{lack}; {others or 'no cycle has any: the report says why answers were dropped'}"


def _about(source: Source, form: Form, splits: list[str], shard_rows: int | None) -> dict[str, Any]:
    """What decides every byte of the folder."""
    return {
        "run": place(source.store.url(), form),
        "cycle": source.cycle,
        "format": form,
        "splits": splits,
        "shard_rows": shard_rows,
        "rows": {split: source.sealed[source.step_of(split)].output for split in splits},
        "license": source.config.data.license,
        "source": source.config.data.source,
        "version": __version__,
    }


def _write_split(folder: Folder, source: Source, form: Form, split: str, shard_rows: int, videos: str) -> None:
    """The files of a split. Those that are whole already are only read over, those that lack rows are written again.

    `videos`: of a hub, where names of videos begin.
    """
    shards = max(1, math.ceil(source.count(split) / shard_rows))
    rows = typed_first(source, split) if form in TEXT_ROWS else source.rows(split)
    if form == "hub":
        rows = (for_hub(row, videos) for row in rows)
    num_written, failed = 0, Counter[str]()
    for number in range(shards):
        path, shard = path_of(form, split, number, shards), islice(rows, shard_rows)
        if path in folder.shards and not folder.shards[path].failures:
            for _ in shard:
                pass
        else:
            written, failures = _write(folder, source, form, path, number * shard_rows, shard)
            folder.done(path, Shard(split=split, rows=written, failures=_kinds(failures)))
        num_written += folder.shards[path].rows
        failed.update(folder.shards[path].failures)
        reason = too_many_failed(failed, num_written + failed.total(), source.config.limits.failure_rate, "rows")
        if reason is not None:
            raise ValueError(f"{_stopped(folder, split, reason)}; or raise the limit")
    if not num_written:
        raise ValueError(_stopped(folder, split, f"none of its {failed.total()} rows could be written ({counted(failed)})"))
    assert next(rows, None) is None, f"{source.step_of(split)} has more rows than its seal counts"


def _stopped(folder: Folder, split: str, reason: str) -> str:
    return (
        f"the export of {split} stopped: {reason}; {folder.store.url(FAILURES)} names each video; make them readable, then the "
        "same command goes on"
    )


def _folder_of_videos(source: Source) -> str:
    """Where the names of local videos begin: it follows from the run alone, so that each command gives the same names.

    Raises ValueError where the videos share no folder but the root, and two of them have one name without its suffix, as ids are.
    """
    folder = shared_folder(source.all_videos())
    if folder == ROOT:
        names = dict[str, str]()
        for video in filter(is_local, source.all_videos()):
            name = os.path.splitext(hub_name(video, folder))[0]
            if (other := names.setdefault(name, canonical(video))) != canonical(video):
                raise ValueError(
                    f"{other} and {canonical(video)} would both be named {name} on a hub, and the videos of {source.store.url()} "
                    "share no folder below which they could be named; take --format parquet, whose rows have whole paths"
                )
    return folder


def typed_first(source: Source, split: str) -> Iterator[Takeaway]:
    """The rows in order, but one of each kind of what is shown (video, picture, nothing) first, where there are several kinds.

    What reads the files takes a column's type from the first rows, and of an empty list it knows none.
    """
    kinds = {_kind_of(video) for video in source.videos(split)}
    if len(kinds) < 2:
        yield from source.rows(split)
        return
    first = source.first_of_each(split, lambda row: _kind_of(row.video), kinds)
    ids = {row.example_id for row in first}
    yield from first
    yield from (row for row in source.rows(split) if row.example_id not in ids)


def _kind_of(video: str) -> str:
    return shown_as(video) if frame_folder(video) is None else "folder"


def _write(
    folder: Folder, source: Source, form: Form, path: str, start: int, rows: Iterator[Takeaway]
) -> tuple[int, list[tuple[str, Failure]]]:
    """One file, and the list of the rows that it lacks. `start`: the number of its first row among those of the split."""
    packed = Packed()
    with folder.store.writing(path) as file:
        match form:
            case "parquet" | "hub":
                packed.rows = write_parquet(file, rows)
            case "webdataset":
                packed = write_tar(file, enumerate(rows, start), source.store.storage)
            case _:
                shown = map(TEXT_ROWS[form], _without_folders(rows, form, packed.failures))
                packed.rows = WRITERS[LAYOUTS[form].suffix](file, shown)
    listing = f"{FAILURES}/{path.rpartition('/')[2].removesuffix(f'.{LAYOUTS[form].suffix}')}.jsonl"
    if packed.failures:
        lines = [to_json({"example_id": name, "kind": f.kind, "detail": f.detail}) + b"\n" for name, f in packed.failures]
        folder.store.write(listing, b"".join(lines))
    else:
        folder.store.delete(listing)  # of a command that was stopped, and did not read these videos
    return packed.rows, packed.failures


def _without_folders(rows: Iterator[Takeaway], form: Form, failures: list[tuple[str, Failure]]) -> Iterator[Takeaway]:
    """The rows without those that show a folder of pictures, which become failures."""
    for row in rows:
        if frame_folder(row.video) is None:
            yield row
        else:
            detail = (
                f"{row.video} is a folder of pictures, and {LAYOUTS[form].read_by} open files; --format webdataset holds it as one"
            )
            failures.append((row.example_id, Failure(kind="not_video", detail=detail)))


def _kinds(failures: list[tuple[str, Failure]]) -> dict[str, int]:
    return dict(Counter(failure.kind for _, failure in failures))


def _word(source: Source) -> str:
    """The run's name, by which LLaMA-Factory calls the rows."""
    return source.store.url().rstrip("/").rpartition("/")[2]
