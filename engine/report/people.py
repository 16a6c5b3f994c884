"""What people say about the verifiers, in words. Pure: values in, text out."""

from engine.audit.audit import Audit
from engine.audit.figures import Agreement, Estimate
from engine.report.figures import interval_text


def audit_lines(audit: Audit) -> list[str]:
    """The figures, a line each."""
    judged, total = audit.judged, sum(stratum.size for stratum in audit.strata.values())
    unsure = f", and {audit.unsure} {'is' if audit.unsure == 1 else 'are'} left open" if audit.unsure else ""
    lines = [f"{audit.step}: people have judged {judged} of {len(audit.rows)} answers that were drawn of {total:,}{unsure}"]
    if not judged:
        return lines
    if not audit.is_random:
        lines.append(
            f"no figures yet: {audit.reused} of these words came with another sample, which had the same texts, and texts that do "
            f"not change are no random sample; read the other {audit.unread} rows, too"
        )
        return lines
    lines.append(f"precision of what the verifiers keep: {_estimate_text(audit.precision, 'no kept answer is judged yet')}")
    lines.append(f"recall of what people would keep: {_estimate_text(audit.recall, _without_recall(audit))}")
    if audit.judge:
        lines.append(f"judge and people agree on {agreement_text(audit.judge)}")
    lines += [
        f"{group.name.replace('_', ' ')}: people agree with {group.agree} of {group.judged} ({interval_of(group.share)})"
        for group in audit.groups
    ]
    return lines


def _without_recall(audit: Audit) -> str:
    """Why nothing is known of it: answers of one kind are unread, or people would keep none."""
    judged = {name.partition(" ")[0] for name, stratum in audit.strata.items() if stratum.judged}
    unread = {name.partition(" ")[0] for name, stratum in audit.strata.items() if stratum.size} - judged
    return f"no {' and no '.join(sorted(unread))} answer is judged yet" if unread else "people would keep none of those they judged"


def _estimate_text(estimate: Estimate | None, otherwise: str) -> str:
    """
    >>> _estimate_text(Estimate(0.92, 0.81, 0.97), ""), _estimate_text(None, "nothing is judged yet")
    ('0.920 (0.810 to 0.970)', 'nothing is judged yet')
    """
    return otherwise if estimate is None else f"{estimate.value:.3f} ({interval_of(estimate)})"


def interval_of(estimate: Estimate) -> str:
    return interval_text((estimate.low, estimate.high))


def agreement_text(agreement: Agreement) -> str:
    """
    >>> agreement_text(Agreement(count=40, share=Estimate(0.9, 0.77, 0.96), kappa=0.78))
    '0.900 of 40 answers (0.770 to 0.960; kappa 0.78)'
    """
    kappa = "" if agreement.kappa is None else f"; kappa {agreement.kappa:.2f}"
    return f"{agreement.share.value:.3f} of {agreement.count} answers ({interval_of(agreement.share)}{kappa})"
