"""The report page: one HTML file with its style, its script and its data inside, which loads nothing. Pure: values in, text out.

All text is escaped by the template engine, or by `embedded`; the script writes text alone, and no markup.
"""

import base64
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from shlex import quote
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from engine.audit.audit import Audit
from engine.config import RunConfig
from engine.evaluate.metrics import metric_of
from engine.generate.judged import line_of
from engine.quantities import quantity
from engine.report import charts, tables
from engine.report.beliefs import Belief
from engine.report.counts import MOST_ROWS, LabelRow, StepCounts, shown_rows
from engine.report.few_shot import Curve, contexts_line, episode_rows
from engine.report.figures import comparison_text, interval_text, label_text, measured_as
from engine.report.people import audit_lines
from engine.report.reasons import IN_WORDS, step_words
from engine.report.strips import Strip, translated
from engine.run.plan import BASE, INGEST, name_of
from engine.run.seals import Seal
from engine.store.locations import masked

ASSETS = Path(__file__).parent / "assets"
NOTHING = "default-src 'none'; img-src data:; base-uri 'none'; form-action 'none'"
"""The Content-Security-Policy of a page that may load nothing; its own style and script are named by their digests."""
INPUTS = "starloop-inputs"
"""Name of the meta element with the digest of what a page was made of."""


@dataclass(frozen=True, kw_only=True)
class Parts:
    """Everything that a page shows."""

    summary: Mapping[str, Any]
    config: RunConfig
    sealed: Mapping[str, Seal]
    url: str
    beliefs: Sequence[Belief]
    labels: Sequence[LabelRow]
    kept_in: int | None
    """The cycle whose kept answers the labels' rows count."""
    counts: Mapping[str, StepCounts]
    """By step."""
    stories: Sequence[Mapping[str, Any]]
    """Clips, for the browser."""
    clips: Mapping[str, int]
    """All clips that were asked about, by split."""
    deleted: Sequence[str] = ()
    """Steps whose answers `starloop gc` has deleted, before a report had counted them."""
    audits: Sequence[Audit] = ()
    sample: Mapping[str, Any] | None = None
    """Of answers for people to read; None where there is none."""
    curves: Sequence[Curve] = ()
    commands: Sequence[Mapping[str, Any]] = ()
    beside: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    next_step: str = ""
    is_at_work: bool = False
    """Whether a driver holds the lease, as far as can be known without waiting."""
    inputs: str = ""


def page(parts: Parts) -> str:
    style, script = (Markup((ASSETS / name).read_text()) for name in ("report.css", "report.js"))
    summary = parts.summary
    generated = {of["cycle"]: parts.counts.get(name_of(of["cycle"], "generate")) for of in summary["cycles"]}
    counted = [(step, counts) for step, counts in parts.counts.items()]
    best = parts.counts.get(name_of(summary["best_cycle"], "evaluate"))
    return (
        _environment()
        .get_template("page.html")
        .render(
            parts=parts,
            summary=summary,
            headline=headline_of(summary),
            name=parts.url.rstrip("/").rsplit("/", 1)[-1],
            facts=facts_of(parts),
            doubts=sum(belief.level == "doubt" for belief in parts.beliefs),
            notes=sum(belief.level == "note" for belief in parts.beliefs),
            values=_values(summary),
            losses=_losses(parts.sealed, summary),
            funnels=[
                (cycle, tables.funnel_of(counts, parts.sealed.get(name_of(cycle, "select")), parts.config.select))
                for cycle, counts in generated.items()
            ],
            has_answers=generated,
            collected=[cycle for cycle in generated if name_of(cycle, "generate") in parts.deleted],
            yields=[tables.yield_of(cycle, counts) for cycle, counts in generated.items() if counts],
            described=[(cycle, counts.described) for cycle, counts in generated.items() if counts and _repeats(counts)],
            reasons=tables.reason_rows(counted),
            steps=[step for step, _ in counted],
            failures=tables.failure_rows(counted),
            confusion=tables.confusion_of(best) if best else None,
            labels=shown_rows(parts.labels),
            most_rows=MOST_ROWS,
            work=list(tables.work_rows(summary, parts.sealed, parts.counts)),
            lineage=tables.lineage_rows(parts.sealed, summary, parts.config),
            episodes=episode_rows(parts.sealed, summary),
            contexts=contexts_line(parts.config.episodes),
            curves=[(curve, charts.by_shots(curve.lines, f"{curve.set}: verb and noun right, by shots")) for curve in parts.curves],
            judged=[f"cycle {of['cycle']}: {line_of(of['judge'])}" for of in summary["cycles"] if of.get("judge")],
            people=[line for audit in parts.audits for line in audit_lines(audit)],
            data=embedded({"run": parts.url, "stories": parts.stories, "words": IN_WORDS, "audit": parts.sample}),
            style=style,
            script=script,
            policy=f"{NOTHING}; style-src {_hash(style)}; script-src {_hash(script)}",
            inputs_name=INPUTS,
        )
        .encode("utf-8", errors="replace")
        .decode()
    )


def embedded(value: Any) -> Markup:
    """JSON for a script element: no text in it ends the element, and half characters are escaped.

    >>> print(embedded({"text": "</script><b>&\\ud800"}))
    {"text":"\\u003c/script\\u003e\\u003cb\\u003e\\u0026\\ud800"}
    """
    text = json.dumps(value, separators=(",", ":"), allow_nan=False)
    return Markup(text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e"))


def strips_in(html: str) -> dict[str, Strip]:
    """The film strips that a page holds, by the clip, without those that are missing. A damaged page holds none."""
    match = re.search(r'<script type="application/json" id="data">(.*?)</script>', html, re.DOTALL)
    try:
        stories = json.loads(match[1])["stories"] if match else []
        return {translated(story["key"]): Strip(**story["strip"]) for story in stories if "picture" in story["strip"]}
    except (ValueError, KeyError, TypeError, AttributeError):
        return {}


def _hash(text: str) -> str:
    """As a Content-Security-Policy names an inline style or script."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(ASSETS), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters.update(
        count=lambda value: f"{value:,}",
        quantity=quantity,
        share=lambda value: "" if value is None else f"{value:.3f}",
        signed=lambda value: "" if value is None else f"{value:+.3f}",
        percent=lambda part, whole: f"{part / whole:.1%}".replace("%", " %") if whole else "",
        seconds=duration,
        interval=interval_text,
        label=label_text,
        comparison=comparison_text,
        step=step_words,
        quoted=quote,
        words=lambda text: str(text).replace("_", " "),
    )
    return environment


def duration(seconds: float) -> str:
    """
    >>> duration(0.2), duration(75), duration(7325)
    ('0.2 s', '1 min 15 s', '2 h 02 min')
    """
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"


def headline_of(summary: Mapping[str, Any]) -> dict[str, Any] | None:
    """Those of the test split where clips are set apart, else the held-out ones. None: nothing is measured."""
    if summary["base_accuracy"] is None:
        return None
    heldout = {
        "what": f"Held-out {measured_as(summary['metric'])}",
        "base": summary["base_accuracy"],
        "best": summary["best_accuracy"],
        "base_interval": summary["base_interval"],
        "best_interval": summary["best_interval"],
        "clips": f"{quantity(summary['heldout_clips'], 'clip')} that no finetune saw",
        "comparison": summary["cycles"][summary["best_cycle"]]["over_base"] if summary["best_cycle"] >= 0 else None,
        "chosen_by": None,
        "is_compared": any(cycle["heldout_accuracy"] is not None for cycle in summary["cycles"]),
    }
    if not (test := summary["test"]):
        return heldout
    own = {name: test[name] for name in ("base", "best", "base_interval", "best_interval", "comparison")}
    clips = f"{test['clips']:,} clips that were opened once, at the end"
    return heldout | own | {"what": f"Test {measured_as(test['metric'])}", "clips": clips, "chosen_by": heldout}


def facts_of(parts: Parts) -> list[tuple[str, str]]:
    """What was run: name and value of each fact."""
    config, sealed = parts.config, parts.sealed
    versions = parts.commands[-1].get("versions", {}) if parts.commands else {}
    ingested = sealed[INGEST].counts
    clips = ", ".join(f"{ingested[split]:,} {split}" for split in ("train", "heldout", "test") if ingested.get(split))
    sizes = [quantity(ingested.get(f"{noun}s", 0), noun) for noun in ("label", "video")]
    facts = [
        ("Run", parts.url),
        ("Begun", _day(parts.commands[0].get("started")) if parts.commands else ""),
        (
            "State",
            f"next is {parts.next_step}" if parts.next_step else f"complete; stopped because: {parts.summary['stopped_because']}",
        ),
        ("Command", parts.commands[0].get("command", "") if parts.commands else ""),
        ("Last command", _ended(parts.commands, parts.is_at_work) if parts.commands else ""),
        ("Model", f"{_models(config, sealed)}; engine {config.generate.engine}"),
        ("Data", f"{masked(config.data.manifest)}: {clips}; {', '.join(sizes)}"),
        ("Preset and seed", f"{config.preset}, seed {config.run.seed}"),
        ("Continues", f"{masked(config.parent.run)} ({masked(config.parent.model) or 'its base'})" if config.parent.run else ""),
        ("Versions", ", ".join(f"{name} {version}" for name, version in versions.items())),
    ]
    return [(name, value) for name, value in facts if value]


def _models(config: RunConfig, sealed: Mapping[str, Seal]) -> str:
    """The base, and the models that answered before the first finetune, each with the digest that the run knows of it."""
    first = config.parent.model or config.model.instruct or config.model.base
    digests = {config.model.base: ""}
    for step in (BASE, name_of(0, "generate")):
        model = sealed[step].facts.get("model", {}) if step in sealed else {}
        name = config.parent.model or model.get("base", first)
        digests[name] = model.get("digest") or digests.get(name, "")
    base, *others = (f"{masked(name)}{f' (digest {digest})' if digest else ''}" for name, digest in digests.items())
    return f"{base}, first answers by {' and '.join(others)}" if others else base


def _day(moment: str | None) -> str:
    return (moment or "").replace("T", " ")[:16] + " UTC" if moment else ""


def _ended(commands: Sequence[Mapping[str, Any]], is_at_work: bool) -> str:
    """What the last command did, and how it was called where that is another way than the first one."""
    command = commands[-1]
    what = f"ran until {command['until']}" if command.get("until") else "ran the loop"
    line = command.get("command", "")
    what = f"{line}: {what}" if line != commands[0].get("command", "") else what
    without = "at work when this was written" if is_at_work else "killed, or its machine is gone: it did not say how it ended"
    return f"{what}; {command.get('outcome') or without}"


def _values(summary: Mapping[str, Any]) -> Markup | None:
    if summary["base_accuracy"] is None:
        return None
    low, high = summary["base_interval"] or (None, None)
    marks = [charts.Mark(name="base", value=summary["base_accuracy"], low=low, high=high, is_best=summary["best_cycle"] < 0)]
    for of in summary["cycles"]:
        if of["heldout_accuracy"] is not None:
            low, high = of["heldout_interval"] or (None, None)
            is_best = of["cycle"] == summary["best_cycle"]
            name = f"cycle {of['cycle']}"
            marks.append(charts.Mark(name=name, value=of["heldout_accuracy"], low=low, high=high, is_best=is_best))
    title = f"Held-out {measured_as(summary['metric'])} of the base and of each cycle, with 95 % intervals"
    return charts.values(marks, title, metric_of(summary["metric"]).bounds)


def _losses(sealed: Mapping[str, Seal], summary: Mapping[str, Any]) -> Markup | None:
    steps = [(f"cycle {of['cycle']}", sealed.get(name_of(of["cycle"], "train"))) for of in summary["cycles"]]
    curves = [(name, seal.facts["losses"]) for name, seal in steps if seal and seal.facts.get("losses")]
    return charts.losses(curves, "Training loss by optimizer step, for each cycle") if curves else None


def _repeats(counts: StepCounts) -> bool:
    """People's narrations are hardly ever repeated word for word, which says nothing about the reasons."""
    return any(number for number, _ in counts.described.values())
