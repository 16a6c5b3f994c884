"""Datasets as they are published -> rows with a manifest's columns. One small file for each format; nothing is downloaded.

table        any CSV, TSV, JSON, JSONL or Parquet, with a mapping of its columns in TOML
kinetics     Kinetics-400/600/700: CSV
star         STAR: A Benchmark for Situated Reasoning: JSON
finediving   FineDiving: a pickle, read without running what is in it
something    Something-Something v2: JSON
ego4d        Ego4D, forecasting hands and objects: fho_main.json
epic         EPIC-KITCHENS-100: CSV
temporal     ActivityNet, THUMOS, HACS, COIN, YouCook2, and captions in that style (Charades-STA, ActivityNet Captions): JSON
videostar    Video-STaR's own annotations, and its kinds of questions about STAR, FineDiving, Something-Something, MOMA, Ego-Exo4D
instruct     LLaVA, ShareGPT, OpenAI's messages, VideoChat2-IT, VideoInstruct: conversations; they become examples, not clips
collections  VideoChat2-IT as a folder: its sets, and the folders of their videos
turns        the turns of a conversation in each of these forms
source       an adapter's input, and what adapters share: questions, files, names
"""

import importlib
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:  # the names of the formats are in --help, which does not wait for pyarrow
    from engine.ingest.adapters.source import Adapter

ADAPTERS = {
    "table": "engine.ingest.adapters.table",
    "kinetics": "engine.ingest.adapters.kinetics",
    "star": "engine.ingest.adapters.star",
    "finediving": "engine.ingest.adapters.finediving",
    "something": "engine.ingest.adapters.something",
    "ego4d": "engine.ingest.adapters.ego4d",
    "epic": "engine.ingest.adapters.epic",
    "temporal": "engine.ingest.adapters.temporal",
    "videostar": "engine.ingest.adapters.videostar.annotations",
    "videostar-star": "engine.ingest.adapters.videostar.starb",
    "videostar-finediving": "engine.ingest.adapters.videostar.finediving",
    "videostar-something": "engine.ingest.adapters.videostar.something",
    "videostar-moma": "engine.ingest.adapters.videostar.moma",
    "videostar-egoexo4d": "engine.ingest.adapters.videostar.egoexo4d",
}
"""Name of a format of clips -> the module that reads it; it has records(source: Source) -> Iterator[Record]."""
FORMATS = ("manifest", *ADAPTERS, "instruct")
"""What --format may name: our own manifest, the formats of clips, and conversations, which become examples."""


def adapter(name: str) -> "Adapter":
    return cast("Adapter", importlib.import_module(ADAPTERS[name]).records)
