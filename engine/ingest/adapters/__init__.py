"""Datasets as they are published -> rows with a manifest's columns. One small file for each format; nothing is downloaded.

table        any CSV, TSV, JSONL or Parquet, with a mapping of its columns in TOML
kinetics     Kinetics-400/600/700: CSV
star         STAR: A Benchmark for Situated Reasoning: JSON
finediving   FineDiving: a pickle, read without running what is in it
something    Something-Something v2: JSON
ego4d        Ego4D, forecasting hands and objects: fho_main.json
epic         EPIC-KITCHENS-100: CSV
temporal     ActivityNet, and captions in its style (Charades-STA, ActivityNet Captions): JSON
instruct     LLaVA, VideoChat2-IT, VideoInstruct: JSON of conversations; they become examples, not clips
source       an adapter's input, and what adapters share: questions, files, names
"""

from engine.ingest.adapters import ego4d, epic, finediving, kinetics, something, star, table, temporal
from engine.ingest.adapters.source import Adapter

ADAPTERS: dict[str, Adapter] = {
    "table": table.records,
    "kinetics": kinetics.records,
    "star": star.records,
    "finediving": finediving.records,
    "something": something.records,
    "ego4d": ego4d.records,
    "epic": epic.records,
    "temporal": temporal.records,
}
