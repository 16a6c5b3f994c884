"""What an estimate assumes where nothing was measured: each number with its bounds, its source, and its name for --assume."""

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from engine.estimate.bands import Band
from engine.run.resources import PROMPT_TOKENS


@dataclass(frozen=True, slots=True, kw_only=True)
class Assumption:
    """Assumption(value=Band(0.01, 0.4, 0.61), what="share of clips ...", source="assumed: ...")"""

    value: Band
    what: str
    source: str


def _assumed(what: str, value: tuple[float, float, float], why: str) -> Assumption:
    return Assumption(value=Band(*value), what=what, source=why if why.startswith("measured") else f"assumed: {why}")


DEFAULTS: dict[str, Assumption] = {
    "direct_share": _assumed(
        "share of clips whose direct attempt is kept in the first cycle",
        (0.01, 0.4, 0.61),
        "0.40 in the demo; Video-STaR's figure 4 has 0.00 (FineDiving), 0.065 (STAR) and 0.61 (Kinetics)",
    ),
    "later_direct_share": _assumed(
        "the same in later cycles",
        (0.01, 0.7, 1.0),
        "1.00 in the demo; Video-STaR's figure 4 has 0.01, 0.07 and 0.97",
    ),
    "rationalized_share": _assumed(
        "share of rationalizations that are kept",
        (0.025, 0.9, 1.0),
        "1.00 in the demo; Video-STaR's figure 4 has 0.025, 0.95 and 0.96",
    ),
    "answer_tokens": _assumed(
        "tokens of an answer; generate.max_tokens bounds them", (20, 100, 300), "depends on prompts and model"
    ),
    "longest_answer": _assumed(
        "the longest answer of a piece against the mean", (1.2, 2.0, 4.0), "a piece ends with its last answer"
    ),
    "prompt_tokens": _assumed("tokens of system prompt and question, or of the hint", (30, 80, PROMPT_TOKENS), "by the prompts"),
    "clip_s": _assumed("seconds of a clip whose length the manifest does not say", (3, 10, 60), "Kinetics has clips of 10 s"),
    "video_bytes_per_s": _assumed("bytes of a second of video", (60e3, 250e3, 1e6), "0.5, 2 and 8 Mbit/s"),
    "requests_per_clip": _assumed(
        "requests to storage to read a clip",
        (2, 5, 40),
        "its size, and one range for up to 1 MiB, more for scattered frames",
    ),
    "decode_cpu_s": _assumed(
        "CPU seconds to decode a clip",
        (0.07, 0.3, 2.0),
        "measured 2026-11-26: clips of 10 s, 8 and 16 frames: 0.07 and 0.10 s at 480 x 270, 0.33 and 0.49 s at 1280 x 720",
    ),
    "flops_share": _assumed(
        "share of a GPU's peak operations that encoding and prefill reach",
        (0.2, 0.4, 0.6),
        "not measured: no GPU was here",
    ),
    "train_flops_share": _assumed("the same for a finetune", (0.15, 0.3, 0.45), "not measured: no GPU was here"),
    "bandwidth_share": _assumed(
        "share of a GPU's peak memory bandwidth that answering reaches", (0.3, 0.5, 0.8), "not measured here"
    ),
    "cpu_flops": _assumed(
        "operations a second of a CPU core in float32",
        (20e9, 35e9, 60e9),
        "measured: 31 to 38 GFLOP/s a core by the small shape of docs/measurements.md, two cores",
    ),
    "server_answer_s": _assumed("seconds of one answer of the server of generate.openai", (2, 8, 40), "differs by server and load"),
    "start_s": _assumed(
        "seconds until a step's processes are at work, without reading weights", (10, 45, 240), "an image that is there"
    ),
    "load_bytes_per_s": _assumed("bytes a second at which a process reads weights", (0.3e9, 1e9, 3e9), "disk or object store"),
    "kept_months": _assumed("months for which a run's folder is kept", (1, 1, 1), "set it to yours"),
    "list_page_s": _assumed("seconds of a listing of 1,000 objects", (0.05, 0.15, 0.5), "one request of an object store"),
    "judged_share": _assumed("share of answers that the rules leave open to a judge", (0.0, 0.05, 0.3), "by labels and rules"),
    "picture_tokens": _assumed("prompt tokens of one picture, as a vendor counts", (85, 400, 1100), "differs by vendor and size"),
}


@dataclass(frozen=True)
class Assumptions:
    """The assumptions of one estimate, by name."""

    by_name: Mapping[str, Assumption]

    def __getitem__(self, name: str) -> Band:
        return self.by_name[name].value

    def measured(self, name: str, value: Band, where: str) -> "Assumptions":
        """With a value that was measured; one that the user has set stays."""
        before = self.by_name[name]
        if before.source == SET:
            return self
        return Assumptions({**self.by_name, name: replace(before, value=value, source=f"measured: {where}")})


SET = "set by --assume"


def assumptions(settings: Iterable[str] = ()) -> Assumptions:
    """The defaults with the user's `NAME=VALUE` or `NAME=LOW:EXPECTED:HIGH`. Raises ValueError in one line.

    >>> assumptions(["direct_share=0.5"])["direct_share"], assumptions(["clip_s=1:2:3"])["clip_s"]
    (Band(low=0.5, expected=0.5, high=0.5), Band(low=1.0, expected=2.0, high=3.0))
    """
    by_name = dict(DEFAULTS)
    for setting in settings:
        name, equals, text = setting.partition("=")
        name = name.strip()
        if name not in by_name:
            close = difflib.get_close_matches(name, by_name, n=1)
            hint = f"did you mean {close[0]!r}?" if close else f"known are {', '.join(by_name)}"
            raise ValueError(f"--assume {setting}: there is no assumption {name!r}; {hint}")
        by_name[name] = replace(by_name[name], value=_band_of(name, text if equals else "", setting), source=SET)
    return Assumptions(by_name)


def _band_of(name: str, text: str, setting: str) -> Band:
    try:
        values = [float(part) for part in text.split(":")]
        if len(values) not in (1, 3):
            raise ValueError(f"{text!r}: give one number, or low:expected:high")
        band = Band(values[0], values[len(values) // 2], values[-1])
    except ValueError as error:
        raise ValueError(f"--assume {setting}: {error}") from None
    if name.endswith("_share") and band.high > 1:
        raise ValueError(f"--assume {setting}: a share is at most 1")
    if not band.low and not name.endswith("direct_share"):
        raise ValueError(f"--assume {setting}: give numbers above 0")
    return band
