"""Names of a run in words: steps, and reasons and kinds of failure with the rule behind each (docs/labels.md). Pure."""

from collections.abc import Mapping

from engine.config import Select
from engine.quantities import quantity
from engine.rows import RELABELLED
from engine.run.plan import TRAIN

COPIES = "near_copies."
"""Before the place of the clips, in the counts of a select step."""
IN_WORDS = {
    "contains_label": "The answer asserts the label.",
    "empty_answer": "The answer has no word.",
    "runs_on": "The answer goes on with a turn of its user.",
    "cut_off": "The answer was cut off at the token limit, or breaks off in the middle.",
    "repetition": "The answer repeats itself in a loop.",
    "unseen": "The answer says that its model has not seen the video.",
    "gives_away_hint": "The answer shows that its model was told the label.",
    "copies_hint": "The answer says nothing beyond the hint that it was given.",
    "label_missing": "The label's words are not in the answer.",
    "no_answer": "The answer holds no number, time, box or option that could be compared.",
    "label_denied": "The answer names the label and denies it.",
    "label_open": "The answer names the label and does not say that it happens: it is left open, another's, over, or a property.",
    "lists_classes": "The answer lists other classes around the label, and does not choose.",
    "other_answer": "The answer concludes with another answer than the label.",
    "no_rule": "The label is a reference, and no rule decides whether other words mean the same.",
    "no_single_answer": "The answer gives several answers and does not choose one.",
    "wrong_option": "The answer chooses another option.",
    "wrong_number": "The answer's number is outside the label's tolerance.",
    "wrong_time": "The answer's moment is outside the label's tolerance.",
    "low_iou": "The answer's range or box overlaps the label's too little.",
    "reversed_range": "The answer's time range ends before it begins.",
    "no_area": "The answer's box has no area.",
    "outside_frame": "The answer's box leaves the frame.",
    "wrong_order": "The answer has the label's parts in another order.",
    "judge_keep": "The rules left it open, and the judge keeps it.",
    "judge_drop": "The judge drops it.",
    "judge_unclear": "The judge's reply has no verdict, so the rules' verdict stands.",
    "judge_refused": "The judge's server refused the question, so the rules' verdict stands.",
    "people_keep": "A person keeps it.",
    "people_drop": "A person drops it.",
    "ungrounded": "The answer fits other clips' videos as well as its own (select.min_grounding).",
    "missing": "There is no such video.",
    "denied": "Storage does not let the run read the video.",
    "replaced": "The video changed while the run read it.",
    "unreadable": "Storage does not give the video's bytes.",
    "not_video": "The file is not a video.",
    "no_video_stream": "The file has no pictures.",
    "truncated": "The file is cut short.",
    "codec": "The video's codec is not decoded.",
    "empty_window": "The window shows no frame of the video.",
    "too_large": "Decoding it takes more than the limits allow.",
    "timeout": "Decoding it takes longer than the limits allow.",
    "crashed": "It takes its decoder down.",
    "too_long": "The question does not fit into the model's context.",
    "refused": "The server of the engine refused this question.",
    "chat_template": "The base's chat template cannot write the conversation.",
    "out_of_memory": "Answering about it takes more than the device's memory.",
}

LEFT_OUT = {
    "ungrounded": ("answer", "whose text fits other videos as well"),
    "people.dropped": ("answer", "dropped by people"),
    "pass_rate_dropped": ("clip", "outside of select.pass_rate"),
    "near_duplicates_dropped": ("clip", "with near-duplicate answers"),
    "over_limit": ("clip", "over the limit of their label"),
    "unused": ("example", "that training cannot use"),
}
"""Counts of a select step of what it leaves out: what is counted, and why."""


def left_out(counts: Mapping[str, int], section: Select) -> list[str]:
    """What a select step left out, with what each number counts. A near-copy is counted whether it has a kept answer or not.

    >>> left_out({"ungrounded": 2, "over_limit": 0, "near_copies.heldout": 1, "near_copies.train": 3}, Select())
    ['2 answers whose text fits other videos as well', '1 train clip nearly the same as clips of heldout']
    """
    words = [f"{quantity(count, noun)} {why}" for name, (noun, why) in LEFT_OUT.items() if (count := counts.get(name))]
    stays = (RELABELLED,) if section.train_copies == "drop" else (RELABELLED, TRAIN)
    copies = {name.removeprefix(COPIES): count for name, count in counts.items() if name.startswith(COPIES)}
    return words + [
        f"{quantity(count, 'train clip')} nearly the same as {'others' if place == TRAIN else f'clips of {place}'}"
        for place, count in copies.items()
        if section.near_copies == "drop" and place not in stays
    ]


def in_words(reason: str) -> str:
    """The sentence; a reason that is not known here, as its name.

    >>> in_words("label_missing"), in_words("of_tomorrow")
    ("The label's words are not in the answer.", 'of tomorrow')
    """
    return IN_WORDS.get(reason, reason.replace("_", " "))


def step_words(step: str) -> str:
    """
    >>> step_words("cycle-002/generate"), step_words("base/evaluate"), step_words("cycle-000/evaluate-mine")
    ('cycle 2 generate', 'base evaluate', 'cycle 0 evaluate-mine')
    """
    folder, _, kind = step.partition("/")
    cycle = folder.removeprefix("cycle-")
    return f"{folder if cycle == folder else f'cycle {int(cycle)}'} {kind}".strip()
