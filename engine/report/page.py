"""The report page: one HTML file without scripts, fonts or anything loaded from elsewhere. Pure: values in, text out."""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from engine.labels import plain
from engine.report.evidence import LabelScore, Repeated, Story

STYLE = """
:root { color-scheme: light dark; --line: #8884; --bar: #3a7bd5; --was: #999; --good: #2e8b57; --bad: #c0392b }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem }
h1 { font-size: 1.5rem } h2 { font-size: 1.1rem; margin-top: 2.2rem } small { opacity: .7 }
table { border-collapse: collapse; width: 100% }
td, th { padding: .3rem .6rem; text-align: left; border-bottom: 1px solid var(--line) }
td.n, th.n { text-align: right; font-variant-numeric: tabular-nums }
.bar { display: inline-block; height: .6rem; background: var(--bar); vertical-align: middle } .was { background: var(--was) }
.story { display: flex; gap: 1rem; border-bottom: 1px solid var(--line); padding: .7rem 0 }
video { width: 9rem; height: 7rem; background: #000 }
.kept { color: var(--good) } .rejected { color: var(--bad) } .story p { margin: .15rem 0 }
"""


def page(
    summary: Mapping[str, Any],
    labels: Sequence[LabelScore],
    learned: Sequence[Story],
    rescued: Sequence[Story],
    repeated: Repeated,
) -> str:
    """The whole page. All text that comes from data is escaped."""
    base, best = summary["base_accuracy"], summary["best_accuracy"]
    return "\n".join(
        [
            "<!doctype html><html lang='en'><meta charset='utf-8'><meta name='viewport' content='width=device-width'>",
            f"<title>Starloop: {base:.3f} to {best:.3f}</title><style>{STYLE}</style>",
            f"<h1>Held-out accuracy {base:.3f} &rarr; {best:.3f}</h1>",
            f"<p>on {summary['heldout_clips']} clips that no finetune saw; stopped: {escape(summary['stopped_because'])}.</p>",
            f"<p>{escape(summary['note'])}.</p>" if summary["note"] else "",
            "<h2>The cycles</h2>",
            _cycles(summary),
            _repeated(repeated),
            "<h2>By label, on held-out clips</h2>",
            _labels(labels),
            "<h2>The same held-out clip, before and after</h2>",
            *[_story(story) for story in learned],
            "<h2>What the hint rescued in the first cycle, and what it did not</h2>",
            *[_story(story) for story in rescued],
            "</html>",
        ]
    )


def _cycles(summary: Mapping[str, Any]) -> str:
    names = (("cycle", ""), ("clips", "n"), ("kept alone", "n"), ("kept after the hint", "n"), ("dropped", ""), ("failed", ""))
    head = "".join(f"<th class='{css}'>{name}" for name, css in (*names, ("held-out", "n")))
    rows = [f"<tr><td>before<td><td><td><td><td><td class=n>{summary['base_accuracy']:.3f}</tr>"]
    for cycle in summary["cycles"]:
        accuracy = "" if cycle["heldout_accuracy"] is None else f"{cycle['heldout_accuracy']:.3f}"
        promoted = " (promoted)" if cycle["cycle"] == summary["best_cycle"] else ""
        rows.append(
            f"<tr><td>{cycle['cycle']}{promoted}<td class=n>{cycle['clips']}"
            f"<td class=n>{cycle['direct_kept']}<td class=n>{cycle['rationalized_kept']}<td>{_counted(cycle['dropped'])}"
            f"<td>{_counted(cycle['failed'])}<td class=n>{accuracy}</tr>"
        )
    return f"<table><tr>{head}</tr>{''.join(rows)}</table>"


def _counted(counts: Mapping[str, int]) -> str:
    return escape(", ".join(f"{count} {name.replace('_', ' ')}" for name, count in counts.items()))


def _repeated(repeated: Repeated) -> str:
    """A paragraph; empty if no answer contains a description, as with people's narrations, which models hardly ever repeat."""
    if not any(number for number, _ in repeated.modes.values()):
        return ""
    counts = escape("; ".join(f"{number} of {kept} {mode}" for mode, (number, kept) in repeated.modes.items()))
    clips = f"the first {repeated.clips} train clips"
    return (
        f"<p>Answers of the first cycle to {clips} that were kept, and contain the clip's description word for word: {counts}.</p>"
    )


def _labels(labels: Sequence[LabelScore]) -> str:
    rows = [
        f"<tr><td>{escape(score.label)}<td class=n>{score.clips}<td class=n>{score.before:.2f}<td class=n>{score.after:.2f}"
        f"<td><span class='bar was' style='width:{score.before * 8:.2f}rem'></span><br>"
        f"<span class=bar style='width:{score.after * 8:.2f}rem'></span></tr>"
        for score in labels
    ]
    return f"<table><tr><th>label<th class=n>clips<th class=n>before<th class=n>after<th></tr>{''.join(rows)}</table>"


def _story(story: Story) -> str:
    answers = "".join(
        f"<p><small>{escape(name)}</small> {escape(text)} "
        f"<small class={'kept' if kept else 'rejected'}>{escape(reason.replace('_', ' '))}</small></p>"
        for name, text, kept, reason in story.answers
    )
    clip = story.clip
    source = escape(clip.video + (f"#t={plain(clip.start_s)}" if clip.start_s else ""), quote=True)
    title = f"<b>{escape(clip.label.text)}</b> <small>{escape(clip.clip_id)}: {escape(clip.question)}</small>"
    player = f"<video src='{source}' controls muted loop preload=metadata></video>"
    return f"<div class=story>{player}<div><p>{title}</p>{answers}</div></div>"
