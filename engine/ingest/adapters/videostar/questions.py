"""Wordings of Video-STaR's kinds of questions: our own, four of each; or the release's, out of the user's copy of it.

The release has 13 to 80 of a kind (videostar/generation_scripts/templates.py). {name} stands for a value of the clip; times are
shares of the clip, boxes shares of its frame padded to a square.
"""

import re
from collections.abc import Mapping
from typing import Any

from engine.ingest.adapters.source import Source, ask
from engine.ingest.adapters.videostar.release import pools_of
from engine.ingest.tables import opened

Pools = Mapping[str, tuple[str, ...]]
POOLS: Pools = {
    "reversed_qa": (
        'Somebody who watched this video answered "{answer}" What had they been asked about it?',
        'Which question about the video has the answer "{answer}"',
        'The answer is "{answer}" What is the question, if it is about this video?',
        'Write the question about this video that "{answer}" replies to.',
    ),
    "actions_between": (
        "What is done between {start} and {end} of the video's length? Both are shares, from 0 to 1.",
        "Name the actions from {start} to {end}, where 0 is the video's start and 1 its end.",
        "Which actions fall into the stretch from {start} to {end} of the video?",
        "Describe what the person does from {start} until {end}, as shares of the video's length.",
    ),
    "interval_of": (
        "When does this happen: {action}? Give start and end as shares of the video's length, from 0 to 1.",
        "In which stretch of the video do you see this: {action}? Answer with two numbers from 0 to 1.",
        "From when to when does the video show {action}? Its start is 0 and its end is 1; give numbers from 0 to 1.",
        "Find {action} in the video, and give its start and its end, each from 0 to 1.",
    ),
    "temporal_qa": (
        'Asked "{question}", somebody answered "{answer}" Which stretch of the video shows it? Give start and end from 0 to 1.',
        '"{question}" - "{answer}" From when to when can that be seen, as shares of the video\'s length from 0 to 1?',
        'When in the video is the answer to "{question}" to be seen, which is "{answer}"? Give two numbers from 0 to 1.',
        'Give the start and the end, from 0 to 1, of the part that shows why the answer to "{question}" is "{answer}"',
    ),
    "object_at": (
        "What is the object in the box {box} at {time} of the video? Times are shares of its length.",
        "Name what the box {box} holds when {time} of the video has passed.",
        "At {time} of the video, which object is at {box}?",
        "Look at {box} at the time {time}, where 1 is the video's end. What is there?",
    ),
    "same_object": (
        "Which objects are at {box} at {time}, and at {other_box} at {other_time}? Are the objects the same?",
        "Name what {box} holds at {time} of the video and what {other_box} holds at {other_time}, and say whether it is the same.",
        "Compare the object at {box} at {time} with that at {other_box} at {other_time}: what are they, and are they the same?",
        "What do the boxes {box}, at {time}, and {other_box}, at {other_time}, hold? Is it the same?",
    ),
    "after": (
        "What comes right after {action}?",
        "When {action} is over, what does the person do next?",
        "Which action follows {action} in this video?",
        "{action} is done. What is done then?",
    ),
    "before": (
        "What comes right before {action}?",
        "What has the person done just before {action}?",
        "Which action does {action} follow in this video?",
        "Before {action} something else is done. What is it?",
    ),
    "sequence": (
        "Which actions does this video consist of, in their order?",
        "List what is done, from first to last.",
        "What is done step by step?",
        "In which order are the parts of this performed?",
    ),
    "quality": (
        "How well is this performed? Judge it as the jury would, on a scale of 1 to 100, and say what was performed.",
        "What is performed here, how difficult is it, and which score from 1 to 100 does it deserve?",
        "Rate this performance from 1 to 100, with its elements and its difficulty in mind.",
        "Which score from 1 to 100 would a judge give, and for what?",
    ),
    "fill_in": (
        'The sentence "{template}" describes this video, with blanks for things. Which things are they?',
        'Fill in each [something] of "{template}" with what you see.',
        'Complete "{template}" with the things in this video.',
        'Which things stand for [something] in "{template}", going by this video?',
    ),
    "sentence_of": (
        "In one sentence, what is done in this video with {objects}?",
        "What happens to {objects} here?",
        "Describe what the hand does, using these: {objects}.",
        "Which action links these in the video: {objects}?",
    ),
    "relation": (
        "How do {first} and {second} relate to each other at {time} of the video?",
        "At {time} of the video, what is between {first} and {second}?",
        "Describe the relation of {first} to {second} when {time} of the clip has passed.",
        "What does {first} do with, or where is it to, {second} at the time {time}?",
    ),
    "location": (
        "The {object} is at {box} at {time} of the video. Where is it at {other_time}? Give the box as [left, top, right, bottom].",
        "Follow the {object} that is at {box} at {time}. Which box, [left, top, right, bottom], is around it at {other_time}?",
        "At {time} the box {box} is around the {object}. Give its box at {other_time} in the same form.",
        "Where has the {object} gone from {box} at {time} when it is {other_time}? Answer with a box of four shares in brackets.",
    ),
    "action_at": (
        "What happens at {time} of the video's length?",
        "What is being done when {time} of the video has passed, where 1 is all of it?",
        "Describe the moment {time} of this video; 0 is its start and 1 its end.",
        "Which action can be seen {time%} % into the video?",
    ),
    "time_of": (
        "At which moment does this happen: {action} Give a share of the video's length, from 0 to 1.",
        "When can this be seen: {action} Answer with one number from 0 to 1.",
        "Find this in the video: {action} How much of it has passed by then, from 0 to 1?",
        "Give the time, from 0 to 1, of this: {action}",
    ),
}
"""Kind -> wordings. The release has four more kinds, which nothing here builds: commentary, good execution, tips and proficiency of
Ego-Exo4D."""
RELEASED = {
    "reversed_qa": ("question_answer_reversal", ("answer",)),
    "actions_between": ("temporal_action_prompts", ("start", "end")),
    "interval_of": ("reverse_temporal_action_prompts", ("action",)),
    "temporal_qa": ("temporal_qa_prompts", ("question", "answer")),
    "object_at": ("spatiotemporal_prompts", ("box", "time")),
    "same_object": ("spatiotemporal_comparison_prompts", ("box", "time", "other_box", "other_time")),
    "after": ("after_prompts", ("action",)),
    "before": ("before_prompts", ("action",)),
    "sequence": ("subaction_sequence_prompts", ()),
    "quality": ("aqa_prompts", ()),
    "fill_in": ("fill_in_prompts", ("template",)),
    "sentence_of": ("guess_full_sentence_prompts", ("objects",)),
    "relation": ("relationship_prompts", ("first", "second", "time")),
    "location": ("loc_predict_prompts", ("object", "time", "box", "other_time")),
    "action_at": ("prompts_for_normalized_time", ("time",)),
    "time_of": ("reverse_single_timestamp_prompts", ("action",)),
}
"""Kind -> the release's name for its pool, and our names for what its wordings take, in their order."""


def wordings(source: Source) -> Pools:
    """Those of --questions, else our own. Raises ValueError for a file that is not the release's."""
    if not source.questions:
        return POOLS
    with opened(source.questions, source.storage) as file:
        return pools_of(source.questions, file.read(), RELEASED)


def worded_question(pools: Pools, kind: str, clip_id: str, label: Any, values: Mapping[str, Any]) -> str:
    """One wording of the kind, with the clip's values, that does not hold the label."""
    if "time" in values:
        values = {**values, "time%": f"{float(values['time']) * 100:g}"}
    filled = [re.sub(r"\{([\w%&]+)\}", lambda place: str(values[place[1]]), template) for template in pools[kind]]
    return ask(filled, clip_id, label)
