"""The clips of a split as the report needs them: labels and hashes of all of them, and the rows of those that are shown."""

from bisect import bisect_right
from collections import Counter
from collections.abc import Collection, Iterator, Sequence

import numpy as np
import pyarrow as pa

from engine.ingest.clips import from_table
from engine.ingest.hashes import hash_of
from engine.ingest.pieces import number_of
from engine.labels import Keywords, from_json, name_of
from engine.rows import Clip
from engine.store.files import FileRecord, Store

SEED = 0
"""Of the sample of clips that is shown."""


class SplitClips:
    """SplitClips(store, "train", sealed["ingest"].files): reads ids and labels of all clips by parts; 8 bytes a clip stay."""

    def __init__(self, store: Store, split: str, ingested: Sequence[FileRecord]) -> None:
        self._store = store
        self.records = [record for record in ingested if record.path.startswith(f"ingest/{split}/")]
        """Of the parts."""
        self.labels = Counter[str]()
        """Clips of each label."""
        self.classes = set[str]()
        """Labels that are named by their own text, and not by their kind."""
        starts, hashes = [0], [np.empty(0, np.uint64)]
        for record in self.records:
            table = store.read_table(record, ["clip_id", "label"])
            for label in table["label"].value_counts().to_pylist():
                value = from_json(label["values"])
                self.labels[name_of(value)] += label["counts"]
                if isinstance(value, Keywords):
                    self.classes.add(value.text)
            ids: list[str] = table["clip_id"].to_pylist()
            hashes.append(np.array([hash_of(f"{SEED} {clip_id}") for clip_id in ids], np.uint64))
            starts.append(starts[-1] + len(ids))
        self._starts = starts
        self.hashes = np.concatenate(hashes)
        """Of the clips' ids, in the split's order: the clips with the smallest ones are a random sample."""

    def __len__(self) -> int:
        return self._starts[-1]

    def parts(self) -> Iterator[tuple[int, int, list[Clip]]]:
        """The number of each part, the number of its first clip, and its clips."""
        for record, start in zip(self.records, self._starts, strict=False):
            yield number_of(record.path), start, from_table(self._store.read_table(record))

    def place_of(self, row: int) -> tuple[int, int]:
        """The number of the part that a clip is in, and the clip's number there."""
        place = bisect_right(self._starts, row) - 1
        return number_of(self.records[place].path), row - self._starts[place]

    def clips(self, rows: Collection[int]) -> dict[int, Clip]:
        """Some of the clips, by their number in the split. Their parts are read."""
        rows_by_part: dict[int, list[int]] = {}
        for row in sorted(rows):
            rows_by_part.setdefault(bisect_right(self._starts, row) - 1, []).append(row)
        clips: dict[int, Clip] = {}
        for place, of_part in rows_by_part.items():
            start = self._starts[place]
            table = self._store.read_table(self.records[place]).take(pa.array([row - start for row in of_part]))
            clips |= dict(zip(of_part, from_table(table), strict=True))
        return clips
