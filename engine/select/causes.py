"""Why a first cycle has no example: which settings left something out, in the words of the error. Pure."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence

from engine.config import RunConfig
from engine.rows import Unused


def nothing_left(config: RunConfig, step: str, counts: Mapping[str, int], copies: int, unused: Sequence[Unused]) -> str:
    """The message, with the way to use the answers again where settings of the select step are the cause.

    `copies`: clips with a kept answer that are left out as near-copies.
    """
    examples = {name: counts.get(name, 0) for name in ("direct", "rationalized", "instruct")}
    unweighted = next((name for name, number in examples.items() if number and not getattr(config.mixture, name)), "collections")
    by_setting = {
        "select.min_grounding": (counts.get("ungrounded", 0), "answers fit other videos as well as their own"),
        "select.pass_rate": (counts.get("pass_rate_dropped", 0), "clips have another pass rate"),
        "select.near_copies": (copies, "clips show nearly the same as others"),
        f"mixture.{unweighted}": (sum(examples.values()), "examples are of sources that [mixture] gives no weight"),
    }
    keys = [key for key, (number, _) in by_setting.items() if number]
    causes = [f"{by_setting[key][0]} {by_setting[key][1]} ({key})" for key in keys]
    causes += [f"{number} left out as {reason}" for reason, number in Counter(row.reason for row in unused).items()]
    beginning = f"{step}: nothing is left to train on: {', '.join(causes) or 'nothing survived verification'}"
    if not keys:
        return (
            f"{beginning}; see the reasons in the generate step's seal, and begin another run (run.uri) with other labels, prompts "
            "or rules"
        )
    return (
        f"{beginning}; another setting can use the same answers: `starloop extend {_first_run(config)} "
        f"{config.parent.manifest or config.data.manifest} --set {keys[0]}=...`"
    )


def _first_run(config: RunConfig) -> str:
    """The run that `starloop extend` is to be given: of RUN-002, which continues RUN-001, that is RUN."""
    match = re.fullmatch(r"(.+)-(\d{3})", config.run.uri)
    if not match or not config.parent.run:
        return config.run.uri
    number = int(match[2]) - 1
    before = f"{match[1]}-{number:03d}" if number else match[1]
    return match[1] if before.rpartition("/")[2] == config.parent.run.rpartition("/")[2] else config.run.uri
