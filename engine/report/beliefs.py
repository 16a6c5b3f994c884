"""Whether to believe a run: what speaks against its figures, each with the number behind it and with what to do. Pure."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from engine.audit.audit import Audit
from engine.evaluate.metrics import metric_of
from engine.evaluate.paired import smallest_gain
from engine.generate.samples import FEWEST_COMPARED, RATIONALIZED_SHARE, TEMPLATE_SHARE
from engine.generate.scores import FEWEST_MISMATCHED
from engine.quantities import quantity
from engine.report.counts import LabelRow, StepCounts
from engine.report.figures import comparison_text, interval_text, label_text, measured_as
from engine.report.reasons import step_words
from engine.run.promotion import EVERY_CYCLE

MOST_NAMED = 6
PERCENT = re.compile(r"(?<=\d)%")
FAILED_SHARE, UNGROUNDED_SHARE, PRECISION = 0.02, 0.05, 0.9
"""Above the first two, and below the third, the report doubts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Belief:
    """Belief(level="doubt", name="Mostly rationalized", figure="250 of 300 kept answers (83 %) ...", advice="Read some ...")"""

    level: Literal["doubt", "note", "fine"]
    """doubt: the figures may mislead. note: something to know. fine: it was looked at, and nothing speaks against the run."""
    name: str
    figure: str
    advice: str = ""


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """What beliefs are formed from."""

    summary: Mapping[str, Any]
    labels: Sequence[LabelRow]
    generated: Mapping[int, StepCounts]
    """By cycle, of its generate step."""
    kept_in: int | None
    """The cycle whose kept answers the labels' rows count; None: none is generated."""
    audits: Sequence[Audit]
    level: float
    """The p-value above which the promoted cycle's gain over the base is taken for chance."""
    beside: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Summaries of ablations, by name."""
    evaluated: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Facts of the held-out evaluations of the base and of the promoted cycle, by step."""
    ignores_copies: bool = False
    """Near-copies of held-out clips are not looked for."""
    videos: int = 0
    """In the manifest; 0: not known."""
    is_toy: bool = False
    """The base is the toy of this project."""
    is_rendered: bool = False
    """The videos are the shapes that it knows, which the demo renders."""
    words: int = 0
    """People's words that the run has."""


def beliefs(evidence: Evidence) -> list[Belief]:
    """Doubts first, then notes, then what is fine."""
    looks = (_gain, _toy, _choice, _ablations, _labels, _rationalized, _templates, _grounding, _copies, _failures, _people)
    formed = [replace(belief, figure=PERCENT.sub(" %", belief.figure)) for look in looks for belief in look(evidence)]
    return sorted(formed, key=lambda belief: ("doubt", "note", "fine").index(belief.level))


def _gain(evidence: Evidence) -> Iterator[Belief]:
    summary = evidence.summary
    clips = summary["heldout_clips"]
    if clips is None or summary["base_accuracy"] is None:
        yield Belief(
            level="note",
            name="Nothing is measured yet",
            figure="no model has answered the held-out clips",
            advice="Go on with the run: until then the figures below only say what the verifiers keep.",
        )
        return
    metric, heldout = metric_of(summary["metric"]), _of_videos(clips, summary["heldout_videos"])
    least = smallest_gain(summary["heldout_videos"] or clips, evidence.level) if metric.is_share else None
    sees = "no gain that a test tells from chance" if least is None else f"gains of {least:.3f} or more, four times out of five"
    if metric.is_share and (least is None or least > 0.25):
        yield Belief(
            level="doubt",
            name="Held-out set too small",
            figure=f"{heldout} can show {sees}",
            advice=f"{_more_videos(evidence)}, and do not compare runs by this figure.",
        )
    power = f"{heldout}, which can show {sees}" if metric.is_share else heldout + _spread(summary["base_interval"])
    if summary["best_cycle"] < 0:
        if any(cycle["heldout_accuracy"] is not None for cycle in summary["cycles"]):
            yield Belief(
                level="note",
                name="No cycle is promoted",
                figure=f"no cycle is shown to be better than the base on {power}",
                advice="The base stays the run's model. Read what was kept: a model learns nothing from answers that it knew.",
            )
        return
    yield _gain_over_base(evidence, power)


def _spread(interval: Sequence[float] | None) -> str:
    """Of a metric that is no share: which gains it can show follows from its spread.

    >>> _spread((2.0, 2.5)), _spread(None)
    (', on which the base is known to ±0.250', '')
    """
    return f", on which the base is known to ±{(interval[1] - interval[0]) / 2:.3f}" if interval else ""


def _gain_over_base(evidence: Evidence, power: str) -> Belief:
    """Whether the promoted cycle's gain is one. `power`: the held-out clips, and what they can show."""
    summary = evidence.summary
    metric, comparison = metric_of(summary["metric"]), summary["cycles"][summary["best_cycle"]]["over_base"]
    risen = summary["best_accuracy"] - summary["base_accuracy"]
    gain = comparison["gain"] if comparison else -risen if metric.falls else risen
    figure = f"{gain:+.3f} on {power}; {comparison_text(comparison) or 'no test against the base was made'}"
    if gain <= 0:
        return Belief(
            level="doubt",
            name="The promoted cycle is no better than the base",
            figure=figure,
            advice='Use the base. With loop.promote = "last" every cycle is promoted, whatever its accuracy.',
        )
    if not comparison:
        return Belief(
            level="note",
            name="The gain over the base is not tested",
            figure=figure,
            advice="An earlier version evaluated the cycle, which compared it with the best cycle before it alone.",
        )
    if comparison["p"] > evidence.level:
        return Belief(
            level="doubt",
            name="Held-out set too small for the gain",
            figure=figure,
            advice=f"Take the gain for chance. {_more_videos(evidence)}, or promote by a test (loop.promote).",
        )
    return Belief(level="fine", name="The gain is larger than chance", figure=figure)


def _more_videos(evidence: Evidence) -> str:
    """How the held-out set grows: by a larger share of the videos, or by more videos where half of them are held out."""
    heldout, videos = evidence.summary["heldout_videos"] or evidence.summary["heldout_clips"], evidence.videos
    if videos and 2 * heldout >= videos:
        return f"Add labelled videos, of which {heldout} of {videos} are held out"
    return "Set more videos apart (data.heldout)"


def _of_videos(clips: int, videos: int | None) -> str:
    """
    >>> _of_videos(400, 100), _of_videos(400, 400), _of_videos(1, None)
    ('400 clips of 100 videos', '400 clips', '1 clip')
    """
    of = f" of {quantity(videos, 'video')}" if videos not in (None, clips) else ""
    return f"{quantity(clips, 'clip')}{of}"


def _toy(evidence: Evidence) -> Iterator[Belief]:
    if evidence.is_toy:
        yield Belief(
            level="note" if evidence.is_rendered else "doubt",
            name="The model is a toy",
            figure='the base is "tiny", which has only seen moving shapes and describes every video as such',
            advice="On the demo's shapes the figures show that the loop works; on other videos they say nothing. Name a video LLM.",
        )


def _choice(evidence: Evidence) -> Iterator[Belief]:
    summary = evidence.summary
    tried = sum(cycle["heldout_accuracy"] is not None for cycle in summary["cycles"])
    if summary["test"]:
        test = summary["test"]
        figure = f"{test['best']:.3f} ({interval_text(test['best_interval'])}) on {test['clips']} clips opened once, at the end"
        yield Belief(level="fine", name="Measured on clips that chose nothing", figure=figure)
    elif summary["best_cycle"] >= 0 and tried > 1 and not _promotes_every_cycle(summary):
        yield Belief(
            level="note",
            name="Best of several cycles",
            figure=f"the figure is the best of {tried} cycles on the clips that chose it, so it flatters a little",
            advice="Set clips apart with data.test: they are opened once, at the end.",
        )


def _promotes_every_cycle(summary: Mapping[str, Any]) -> bool:
    """With loop.promote = "last" no cycle is chosen by its accuracy."""
    comparison = summary["cycles"][summary["best_cycle"]]["comparison"]
    return bool(comparison) and (comparison["level"] or 0.0) >= EVERY_CYCLE


def _ablations(evidence: Evidence) -> Iterator[Belief]:
    own = evidence.summary["best_accuracy"]
    measured = {name: of["best_accuracy"] for name, of in evidence.beside.items() if of.get("best_accuracy") is not None}
    if own is None or not measured:
        return
    sign = -1 if metric_of(evidence.summary["metric"]).falls else 1
    rivals = {name: value for name, value in measured.items() if sign * value >= sign * own}
    if rivals:
        names = ", ".join(f"{name.replace('_', ' ')} {value:.3f}" for name, value in rivals.items())
        yield Belief(
            level="note",
            name="An ablation does as well",
            figure=f"this run {own:.3f}; {names}",
            advice="What the ablation leaves out shows no gain on these clips; compare the intervals before you say that it costs.",
        )
    else:
        name, value = max(measured.items(), key=lambda item: sign * item[1])
        figure = f"this run {own:.3f}; the best of {quantity(len(measured), 'ablation')}, {name.replace('_', ' ')}, {value:.3f}"
        yield Belief(level="fine", name="Better than without its parts", figure=figure)


def _labels(evidence: Evidence) -> Iterator[Belief]:
    untrained = [row for row in evidence.labels if row.heldout_clips and not row.train_clips]
    unkept = [row for row in evidence.labels if row.train_clips and row.kept == 0]
    single = sum(row.train_clips + row.heldout_clips == 1 for row in evidence.labels)
    if single > len(evidence.labels) / 2:
        yield Belief(
            level="note",
            name="Most labels are of one clip",
            figure=f"{single:,} of {quantity(len(evidence.labels), 'label')}{_unseen(untrained)}",
            advice="If they are texts, read the accuracy, and not the table of labels. If they are classes, give each two clips or "
            "more: what has no clip to train on is not learned.",
        )
        return
    if untrained:
        clips = sum(row.heldout_clips for row in untrained)
        sizes = f"{quantity(len(untrained), 'label')} ({quantity(clips, 'held-out clip')})"
        yield Belief(
            level="doubt",
            name="Labels without training clips",
            figure=f"{sizes}: {_named(row.label for row in untrained)}",
            advice="The run cannot learn them; add clips of these labels, or leave them out of the held-out split.",
        )
    if unkept and evidence.kept_in is not None:
        hint = "" if evidence.generated[evidence.kept_in].clips_by_mode["rationalized"] else ", which shows no clip its label"
        labels = f"{quantity(len(unkept), 'label')} without a kept answer in cycle {evidence.kept_in}{hint}"
        yield Belief(
            level="doubt",
            name="Labels of which nothing is kept",
            figure=f"{labels}: {_named(row.label for row in unkept)}",
            advice="Filter the clips below by one of these labels, and read why its answers are dropped.",
        )
    if evidence.labels and not untrained and not unkept:
        yield Belief(level="fine", name="Labels", figure=f"all {len(evidence.labels)} labels have train clips and kept answers")


def _unseen(untrained: Sequence[LabelRow]) -> str:
    """
    >>> _unseen([LabelRow(label="x", train_clips=0, kept=0, heldout_clips=2, before=None, after=None)])
    '; 2 held-out clips have a label that no training clip has'
    """
    clips = sum(row.heldout_clips for row in untrained)
    return (
        f"; {quantity(clips, 'held-out clip')} {'has' if clips == 1 else 'have'} a label that no training clip has" if clips else ""
    )


def _named(labels: Iterable[str]) -> str:
    names = [label_text(label) for label in labels]
    return ", ".join(names[:MOST_NAMED]) + (f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else "")


def _rationalized(evidence: Evidence) -> Iterator[Belief]:
    for cycle, counts in evidence.generated.items():
        hinted, direct = counts.endings["kept rationalized"], counts.endings["kept direct"]
        if not (kept := hinted + direct):
            yield Belief(
                level="doubt",
                name="Nothing is kept",
                figure=f"cycle {cycle}: of {counts.clips:,} clips none has a kept answer",
                advice="Read the reasons below, and try the rules on a few answers with `starloop verify - --explain`.",
            )
            continue
        figure = f"cycle {cycle}: {hinted:,} of {kept:,} clips with a kept answer ({hinted / kept:.0%}) needed the label as a hint"
        if hinted > RATIONALIZED_SHARE * kept:
            advice = "The model knows little by itself. Read rationalized answers below before you trust what it was trained on."
            yield Belief(level="doubt", name="Mostly rationalized", figure=figure, advice=advice)
        else:
            yield Belief(level="fine", name="Answers without a hint", figure=figure)


def _templates(evidence: Evidence) -> Iterator[Belief]:
    for cycle, counts in evidence.generated.items():
        share = counts.template_share
        figure = f"cycle {cycle}: {share:.0%} of the words of a kept answer, its label's left out, are in most kept answers"
        if share > TEMPLATE_SHARE:
            advice = "A model that says the same of every clip may not look at the clips: compare answers and frames below."
            yield Belief(level="doubt", name="Kept answers share a template", figure=figure, advice=advice)
        elif 0 < (kept := counts.endings["kept rationalized"] + counts.endings["kept direct"]) < FEWEST_COMPARED:
            yield Belief(
                level="note",
                name="Too few kept answers to compare",
                figure=f"cycle {cycle}: of {quantity(kept, 'kept answer')} a shared template does not show; it takes "
                f"{FEWEST_COMPARED}",
                advice="Read them side by side below.",
            )
        elif kept:
            yield Belief(level="fine", name="No shared template", figure=figure)


def _grounding(evidence: Evidence) -> Iterator[Belief]:
    for cycle in evidence.summary["cycles"]:
        if "generate" not in cycle["seconds"]:
            continue
        grounding, kept = cycle.get("grounding"), cycle["direct_kept"] + cycle["rationalized_kept"]
        if not grounding or not grounding["scored"]:
            if kept:
                yield Belief(
                    level="note",
                    name="Grounding is unknown",
                    figure=f"cycle {cycle['cycle']}: no kept answer was read again with other videos",
                    advice="Its pieces had no other video to read it with: more clips, or larger pieces (generate.piece_clips)."
                    if grounding and grounding["unscored"]
                    else "Set generate.grounding, or read more answers: rules check what is said, and not what is seen.",
                )
            continue
        ungrounded = grounding["ungrounded"]
        if ungrounded is None:
            if _lacks_pairs(cycle):
                yield Belief(
                    level="note",
                    name="Grounding is not judged",
                    figure=f"cycle {cycle['cycle']}: {grounding['mismatched']} pairs of an answer with another video are too few "
                    f"for a threshold, which needs {FEWEST_MISMATCHED}; no answer is left out for it",
                    advice="More clips give more pairs. Until then compare an answer's grounding with its mismatched pairs.",
                )
            continue
        share = ungrounded / grounding["scored"]
        figure = (
            f"cycle {cycle['cycle']}: {ungrounded:,} of {grounding['scored']:,} kept answers ({share:.1%}) fit other videos too"
        )
        if share > UNGROUNDED_SHARE:
            advice = "They are left out of training (select.min_grounding); those just above the line deserve a look."
            yield Belief(level="doubt", name="Ungrounded answers", figure=figure, advice=advice)
        else:
            yield Belief(level="fine", name="Answers fit their own videos", figure=f"{figure} and are left out")


def _lacks_pairs(cycle: Mapping[str, Any]) -> bool:
    """Whether answers were chosen, and no threshold was set since too few pairs do not belong together."""
    return "select" in cycle["seconds"] and cycle["grounding"].get("mismatched", FEWEST_MISMATCHED) < FEWEST_MISMATCHED


def _copies(evidence: Evidence) -> Iterator[Belief]:
    copies = sum(sum(cycle["near_copies"].values()) for cycle in evidence.summary["cycles"][:1])
    if evidence.ignores_copies:
        yield Belief(
            level="note",
            name="Near-copies are not looked for",
            figure="select.near_copies is ignore",
            advice="A train clip that shows a held-out clip raises the figure: set select.near_copies to drop.",
        )
    elif copies:
        where = ", ".join(f"{count} of {name}" for name, count in evidence.summary["cycles"][0]["near_copies"].items())
        advice = "Those of evaluation clips are left out of training; look where they come from (docs/near_copies.md)."
        yield Belief(
            level="note", name="Near-copies", figure=f"{copies} train clips show nearly the same as others: {where}", advice=advice
        )
    elif any(cycle["examples"] is not None for cycle in evidence.summary["cycles"]):
        yield Belief(level="fine", name="No near-copies", figure="no train clip shows nearly the same as an evaluation clip")


def _failures(evidence: Evidence) -> Iterator[Belief]:
    for cycle, counts in evidence.generated.items():
        failed = sum(count for ending, count in counts.endings.items() if ending.startswith("failed"))
        if failed <= FAILED_SHARE * max(1, counts.clips):
            figure = f"cycle {cycle}: {failed:,} of {quantity(counts.clips, 'clip')} could not be answered"
            yield Belief(level="fine", name="Hardly a clip failed" if failed else "No clip failed", figure=figure)
        else:
            yield Belief(
                level="doubt",
                name="Many clips failed",
                figure=f"cycle {cycle}: {failed:,} of {counts.clips:,} clips ({failed / counts.clips:.1%}) could not be answered",
                advice="`starloop failures RUN` lists them with what to do. What is left may be another mix of videos.",
            )
    for step, facts in evidence.evaluated.items():
        clips, failed = facts.get("clips", 0), sum(facts.get("failed", {}).values())
        if failed > FAILED_SHARE * max(1, clips):
            metric = evidence.summary["metric"]
            answered = facts.get("answered", {}).get(metric)  # older runs have none
            others = "" if answered is None else f"; {measured_as(metric)} of the other clips is {answered:.3f}"
            yield Belief(
                level="doubt",
                name="Many held-out clips failed",
                figure=f"{step_words(step)}: {failed:,} of {clips:,} clips ({failed / clips:.1%}) could not be answered and count "
                f"as wrong: {measured_as(metric)} is {facts['accuracy']:.3f}{others}",
                advice="The gain and its test leave these clips out, and the headline does not: put the videos back, see "
                "`starloop failures RUN`.",
            )


def _people(evidence: Evidence) -> Iterator[Belief]:
    audits = [audit for audit in evidence.audits if audit.judged]
    if not audits and evidence.words:
        yield Belief(
            level="note",
            name="The sample has no precision yet",
            figure=f"people's words about {quantity(evidence.words, 'answer')} count here, and came with another sample: of the "
            "run before, or of a step that was done again",
            advice="Mark the answers under Audit, at the end of this page, and hand the file back.",
        )
    elif not audits:
        yield Belief(
            level="note",
            name="Nobody has read a sample",
            figure="how often the verifiers are right on these answers is unknown",
            advice="Mark the answers under Audit, at the end of this page, and hand the file back: it takes ten minutes.",
        )
    for audit in audits:
        if audit.precision is None:
            yield Belief(
                level="note",
                name="The sample has no precision yet",
                figure=f"{audit.step}: people have judged {audit.judged} of {len(audit.rows)} answers, {audit.reused} of them with "
                f"another sample; {audit.unread} are still to be read",
                advice="Mark the other answers under Audit, at the end of this page, and hand the file back.",
            )
            continue
        low = audit.precision.value < PRECISION
        estimate = f"{audit.precision.value:.3f} ({interval_text((audit.precision.low, audit.precision.high))})"
        yield Belief(
            level="doubt" if low else "fine",
            name="People disagree with what is kept" if low else "People agree with what is kept",
            figure=f"{audit.step}: precision {estimate}, by {audit.judged} answers that people have read",
            advice="Find the reason that people overrule most, under People and judge, and change that rule." if low else "",
        )
