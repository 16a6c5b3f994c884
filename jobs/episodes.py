"""Makes a folder of in-context episodes from a manifest: split, training episodes, evaluation contexts, exports, properties."""

import json
import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace

import pyarrow as pa

from engine.config import Episodes, RunConfig
from engine.episodes import export
from engine.episodes.build import Maker, narrated, narration, narration_id, shot_of
from engine.episodes.properties import Properties, properties
from engine.episodes.splits import by_clip, by_video, commonest
from engine.evaluate.few_shot.curve import context_line
from engine.evaluate.few_shot.step import CONTEXTS, SETTINGS
from engine.ingest.card import Card
from engine.ingest.clips import to_table
from engine.ingest.manifest import listing_for, read_manifest
from engine.presets import load_config
from engine.rows import EPISODES, Clip, Episode
from engine.store.documents import to_json
from engine.store.files import Store
from jobs.view import a_console, reasons


def episodes(manifest: str, out: str, settings: list[str]) -> None:
    config = load_config(None, [*settings, f"data.manifest={json.dumps(manifest)}"])
    console = a_console()
    for line in build(config, Store(out, config.access())):
        console.print(line)


@dataclass(frozen=True)
class Parts:
    """The clips that are trained on, from which all contexts are drawn, and the sets of queries to evaluate with."""

    pool: list[Clip]
    sets: dict[str, list[Clip]]
    unused: dict[str, int]
    """Clips in neither, by reason."""


def build(config: RunConfig, store: Store) -> Iterator[str]:
    """Write the folder, and yield the lines of a report on it. Raises ValueError if the manifest cannot give episodes."""
    section, seed = config.episodes, config.run.seed
    card = Card(listing_for(config.data, config.access()) if section.split == "manifest" else None)
    parts = divide([windowed(clip, section.window_s) for clip in read_manifest(config.data, config.access(), card)], section, seed)
    if section.split == "manifest":
        yield from card.notes()
    for path in (SETTINGS, CONTEXTS, "eilev", "messages"):  # of an earlier build
        store.delete(path)
    # an ablation changes the training episodes only
    evaluated = section.model_copy(update={"contexts": "bursty", "top_actions": None, "canonical": ""})
    shots = [shot_of(clip) for clip in parts.pool]
    trained = list(Maker(shots, section, seed).epoch(0))
    held = [replace(clip, split="heldout") for clips in parts.sets.values() for clip in clips]
    clips = [*(replace(clip, split="train") for clip in parts.pool), *held]
    store.write_table("clips.parquet", to_table(clips))
    store.write_table("train.parquet", to_table(clips[: len(parts.pool)]))
    store.write_table("episodes.parquet", pa.Table.from_pylist([episode.to_row() for episode in trained], schema=EPISODES))
    report = {"train": properties(parts.pool, trained, section)}
    paths = export.frame_paths(clips)
    examples = {narration_id(clip.clip_id): narration(clip, narrated(clip, section), section.question) for clip in parts.pool}
    rewritten = clips if section.sentence else clips[: len(parts.pool)] if section.canonical else []
    replaced = {clip.clip_id: narrated(clip, section if clip.split == "train" else evaluated) for clip in rewritten}
    store.write("eilev/narrated_actions.csv", export.eilev_csv(clips, paths, replaced).encode())
    store.write("eilev/train.jsonl", "".join(export.eilev_jsonl(trained, paths)).encode())
    store.write("messages/train.jsonl", "".join(export.messages_jsonl(trained, examples, section.loss_on)).encode())
    maker, videos = Maker(shots, evaluated, seed), frozenset(clip.video for clip in parts.pool)
    clip_of = {narration_id(clip.clip_id): clip.clip_id for clip in clips}
    for name, queries in parts.sets.items():
        evaluation: list[Episode] = []
        for number in section.eval_shots:
            frozen = [maker.frozen(shot_of(clip), number, name) for clip in queries]
            lines = (context_line(clip_of[episode.query], [clip_of[shot] for shot in episode.context]) for episode in frozen)
            store.write(f"{CONTEXTS}/{name}-{number}-shot.jsonl", "".join(lines).encode())
            store.write(f"eilev/{name}-{number}-shot.jsonl", "".join(export.eilev_jsonl(frozen, paths)).encode())
            evaluation += frozen
        report[name] = properties([*parts.pool, *queries], evaluation, evaluated, videos)
    facts = {name: asdict(value) for name, value in report.items()} | {"unused": parts.unused}
    store.write("properties.json", to_json(facts, indent=1) + b"\n")
    settings = {"manifest": config.data.manifest, "seed": seed, "episodes": section.model_dump(mode="json")}
    store.write(SETTINGS, to_json(settings, indent=1))
    for name, value in report.items():
        yield from _report_lines(name, value)
    if parts.unused:
        yield f"clips that are neither trained on nor queries: {reasons(parts.unused)}"
    yield f"wrote {store.url()}: train.parquet to train on, contexts to evaluate with, properties.json, eilev, messages"


def divide(clips: list[Clip], section: Episodes, seed: int) -> Parts:
    """The pool and the sets, by episodes.split. Raises ValueError if the pool or all sets are empty."""
    unused = Counter[str]()
    named = [clip for clip in clips if clip.description and narrated(clip, section)]
    unused.update(not_narrated=len(clips) - len(named))
    match section.split:
        case "manifest":
            group = {clip.clip_id: str(clip.split) for clip in named}
        case "video":
            of_video = by_video(Counter(clip.video for clip in named), seed)
            group = {clip.clip_id: of_video[clip.video] for clip in named}
        case "action":
            unused.update(no_verb_or_noun=sum(not all(clip.action) for clip in named))
            named = [clip for clip in named if all(clip.action)]
            common = commonest(Counter(clip.action for clip in named), section.common_mass)
            group = {clip.clip_id: "rare" for clip in named}
            group |= _of_common([clip for clip in named if clip.action in common], section, seed)
    pool = [clip for clip in named if group[clip.clip_id] == "train"]
    sets: dict[str, list[Clip]] = {}
    for clip in named:
        if group[clip.clip_id] != "train":
            sets.setdefault(group[clip.clip_id], []).append(clip)
    if not pool or not sets:
        num_queries, why = sum(map(len, sets.values())), f" ({reasons(+unused)})" if +unused else ""
        raise ValueError(
            f"episodes.split = {section.split!r} leaves {len(pool)} of {len(clips)} clips to train on and {num_queries} queries to "
            f"evaluate with{why}; fill in descriptions, verbs and nouns, or choose another of episodes.split=manifest (its own "
            "split, or data.heldout), video and action"
        )
    for name, queries in sets.items():
        if section.eval_queries is not None and section.eval_queries < len(queries):
            unused.update({f"{name}_not_drawn": len(queries) - section.eval_queries})
            sets[name] = random.Random(f"{seed}/{name}").sample(queries, section.eval_queries)
    return Parts(pool, dict(sorted(sets.items())), dict(+unused))


def _of_common(clips: list[Clip], section: Episodes, seed: int) -> dict[str, str]:
    """clip_id -> train or common, for the clips of common actions."""
    if section.common_by == "clip":
        trained = by_clip((clip.clip_id for clip in clips), seed)
        return {clip.clip_id: "train" if clip.clip_id in trained else "common" for clip in clips}
    of_video = by_video(Counter(clip.video for clip in clips), seed)
    return {clip.clip_id: "common" if of_video[clip.video] == "test" else "train" for clip in clips}


def windowed(clip: Clip, window_s: float | None) -> Clip:
    """The clip with so many seconds around the moment of its narration, where that is known."""
    if window_s is None or clip.narrated_s is None:
        return clip
    start_s = max(clip.narrated_s - window_s / 2, 0.0)
    return replace(clip, start_s=start_s, end_s=start_s + window_s)


def _report_lines(name: str, measured: Properties) -> Iterator[str]:
    burst, roles = measured.burstiness, ", ".join(f"{count} {role}" for role, count in measured.roles.items()) or "none"
    yield (
        f"{name}: {measured.episodes} episodes of {measured.clips} clips; shots drawn for: {roles}; "
        f"{measured.short} episodes have fewer shots than wanted"
    )
    yield (
        f"  burstiness: {burst.verb:.3f} of the shots share the query's verb (chance {burst.verb_by_chance:.3f}), "
        f"{burst.noun:.3f} its noun (chance {burst.noun_by_chance:.3f})"
    )
    tails = ", ".join(
        f"{kind} {'none' if tail.exponent is None else f'{tail.exponent:.2f}'} ({tail.classes} classes, {tail.singles} of one clip)"
        for kind, tail in measured.tails.items()
    )
    yield f"  tail exponents: {tails}"
    if measured.text_only:
        baselines = ", ".join(f"{shots}: {text.ceiling:.2f} ({text.counting:.2f})" for shots, text in measured.text_only.items())
        yield f"  text-only baselines by shots, both words are in the context (they are its commonest words): {baselines}"
    if measured.shots.keys() == {0} and measured.short:
        yield "  all contexts are empty: has each narrator only one video? see episodes.same_narrator and episodes.exclude"
    for kind, meaning in measured.meanings.items():
        yield f"  {kind}s: {meaning.surfaces_per_class:.2f} words a class, {meaning.classes_per_surface:.2f} classes a word"
    if measured.not_taken_apart:
        yield f"  {measured.not_taken_apart} narrations do not match episodes.pattern, and do not count in these"
    yield f"  leaks: {reasons(measured.leaks)}"
