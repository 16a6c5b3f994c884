"""Measured points: bytes of files, memory and pace of the driver; and the lines through them for a hundred million clips.

`PYTHONPATH=.:tests python tests/bench/paper.py` prints the points of files and tables, tests/bench/scale.py those of the driver.
"""

from dataclasses import dataclass

from engine.estimate.bands import Band, exactly
from engine.estimate.workload import Workload
from engine.ingest.clips import PART_CLIPS

MIB = 1 << 20
PAGE_OBJECTS = 1000
"""Objects of one request of S3's ListObjectsV2, at most."""
LISTED_PARTS = 100
"""Parts whose pieces are listed at once, and have an index of their own (group_of of engine/ingest/pieces.py)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Points:
    """What was measured at several sizes: Points(what="...", unit="bytes", by="pieces", values=((1000, 41361), (10000, 405376)))"""

    what: str
    unit: str
    by: str
    values: tuple[tuple[int, float], ...]
    """(size, value), the smallest size first."""
    measured: str
    """When, and by what."""

    @property
    def slope(self) -> float:
        """Of the line through the last two points: from one size to the next."""
        (before, low), (last, high) = self.values[-2:]
        return (high - low) / (last - before)

    def at(self, size: float) -> float:
        """On that line; never below 0.

        >>> Points(what="", unit="", by="", values=((10, 100.0), (20, 150.0)), measured="").at(40)
        250.0
        """
        last, value = self.values[-1]
        return max(0.0, value + self.slope * (size - last))


PAPER = "2026-11-26, tests/bench/paper.py"
INDEX = Points(
    what="index of a step's pieces",
    unit="bytes",
    by="pieces",
    values=((1_000, 79_764), (10_000, 405_376), (100_000, 3_756_920)),
    measured=PAPER,
)
SEAL = Points(what="ingest's seal", unit="bytes", by="parts", values=((12, 2_176), (122, 19_666), (1_221, 194_407)), measured=PAPER)
CARD = Points(
    what="driver: the data card, while it ingests",
    unit="bytes",
    by="clips",
    values=((10_000, 1_281_541), (100_000, 3_672_982)),
    measured=PAPER,
)
SPANS = Points(
    what="driver: the spans of a hundred parts' pieces",
    unit="bytes",
    by="pieces",
    values=((10_000, 1_805_888), (100_000, 19_037_332)),
    measured=PAPER,
)
LISTING = Points(
    what="driver: one listing of a hundred parts' pieces on S3",
    unit="bytes",
    by="pieces",
    values=((10_000, 8_540_624), (100_000, 85_400_744)),
    measured=PAPER,
)
DRIVER = Points(
    what="driver: peak of the process while it generates, on a local disk",
    unit="MiB",
    by="clips",
    values=((100_000, 358), (1_000_000, 378)),
    measured="2026-11-27, tests/bench/scale.py",
)
CLIPS_PER_S = Band(2_100, 3_250, 3_550)
"""That the driver hands out and counts at most, with a model that answers at once: two cores, 1,000,000 clips. The least has the
start of a second driver in it, the most no start at all."""

CLIP_BYTES = Band(5, 24, 100)
"""Of a clip in ingest's parts: 5 with names that follow a pattern (tests/bench/paper.py), 24 in the demo's; ids that do not
compress take more."""
PIECE_BYTES = 10_700.0
"""Of a piece file without its answers: columns, statistics, and what all its rows share."""
ATTEMPT_BYTES_PER_TOKEN = 2.9
"""Of an attempt, by the tokens of its answer: 32 attempts of 10, 100 and 300 tokens take 11,502, 19,894 and 38,152 bytes."""
SIGNATURE_BYTES = Band(900, 1300, 1400)
"""Of a clip's attempts, where select.near_copies has signatures written: of the clips of tests/bench/copies.py in their pieces."""
COMPARED_PER_S = Band(200, 900, 1700)
"""Clips that the driver compares for near-copies on a core (tests/bench/copies.py): at most with photographs on an idle one, least
with clips that all look alike."""
EXAMPLE_BYTES, EXAMPLE_BYTES_PER_TOKEN = 30.0, 1.7
"""Of an example: 8,192 of 100 tokens take 1,647,480 bytes."""
INDEX_BYTES = INDEX.slope
SEAL_BYTES_PER_PART = SEAL.slope
SEAL_BYTES = SEAL.values[0][1] - SEAL.slope * SEAL.values[0][0]


@dataclass(frozen=True, slots=True, kw_only=True)
class OnPaper:
    """A number of a large run: OnPaper(what="pieces of a generate step", value=Band(...), unit="", points="")."""

    what: str
    value: Band
    unit: str
    points: str
    """The measured points that it was extrapolated from, with the size that it was extrapolated to; "": it was counted."""


def on_paper(workload: Workload, split: str, piece_clips: int, list_page_s: Band) -> list[OnPaper]:
    """The tables, listings and memory of a step over a split's clips, and of their ingestion."""
    clips, parts, pieces = workload.num_clips, sum(map(workload.parts, workload.clips)), workload.pieces(split, piece_clips)
    pages, held = -(-pieces // PAGE_OBJECTS), min(pieces, LISTED_PARTS * -(-PART_CLIPS // piece_clips))
    counted = [
        ("parts", exactly(parts), ""),
        (f"pieces of a step over {split}", exactly(pieces), ""),
        ("requests of one listing of them", exactly(pages), ""),
        ("time of one listing of them", list_page_s * float(pages), "s"),
        ("time of such a step at the driver's pace", exactly(workload.clips[split]) / CLIPS_PER_S, "s"),
    ]
    rows = [OnPaper(what=what, value=value, unit=unit, points="") for what, value, unit in counted]
    for points, size in ((SEAL, parts), (INDEX, pieces), (CARD, clips), (SPANS, held), (LISTING, held), (DRIVER, clips)):
        value = exactly(points.at(size) * (MIB if points.unit == "MiB" else 1))
        rows.append(OnPaper(what=points.what, value=value, unit="bytes", points=_in_words(points, size)))
    listed = SPANS.at(held) + LISTING.at(held)
    largest, least = max(CARD.at(clips), listed), DRIVER.values[0][1] * MIB
    memory = Band(least + largest, least + largest, least + CARD.at(clips) + 2 * listed)
    rows.append(
        OnPaper(what="driver: memory by these tables", value=memory, unit="bytes", points="the largest of them; all at once")
    )
    return rows


def _in_words(points: Points, size: int) -> str:
    """
    >>> print(_in_words(SEAL, 12_208))
    12,208 parts, by 2,176 at 12, 19,666 at 122, 194,407 at 1,221 (bytes; 2026-11-26, tests/bench/paper.py)
    """
    values = ", ".join(f"{value:,.0f} at {at:,}" for at, value in points.values)
    return f"{size:,} {points.by}, by {values} ({points.unit}; {points.measured})"
