"""Pins what a finetune is fed: which rows are which source, and that a window is named once, however often it is shown."""

from typing import Any

import pyarrow as pa

from engine.config import Mixture
from engine.rows import EPISODES, EXAMPLES
from engine.train.batches import WITH_VIDEO, Material
from engine.train.mixture import Stream
from engine.train.tables import with_rows


def an_example(name: str, **fields: Any) -> dict[str, Any]:
    defaults = {
        "example_id": name, "clip_id": name, "video": f"{name}.mp4", "start_s": None, "end_s": None, "prompt": f"{name}?",
        "answer": f"{name}!", "source": "star", "cycle": 0, "mode": "direct", "seed": 0, "model": "", "etag": "",
        "follow_ups": [], "shown_in": 0, "instruction": "",
    }  # fmt: skip
    return defaults | fields


def an_episode(query: str, *context: str, epoch: int = 0) -> dict[str, Any]:
    return {
        "episode_id": f"{query}#0/{epoch}", "query": query, "context": list(context), "roles": ["noun"] * len(context),
        "prompts": [f"{i}?" for i in range(len(context) + 1)], "epoch": epoch, "short": False,
    }  # fmt: skip


EXAMPLE_ROWS = [
    an_example("a"),
    an_example("b", mode="rationalized"),
    an_example("c", source="narration"),
    an_example("d", source="instruct"),
    an_example("e", source="narration", video="a.mp4"),
    an_example("f", source="template"),
]
EPISODE_ROWS = [an_episode("c", "e", "a"), an_episode("e"), an_episode("c", epoch=1), an_episode("e", "c", epoch=1)]


def material() -> Material:
    examples, episodes = (
        pa.Table.from_pylist(rows, schema=schema) for rows, schema in ((EXAMPLE_ROWS, EXAMPLES), (EPISODE_ROWS, EPISODES))
    )
    return Material(examples, with_rows(episodes, examples["example_id"]))


def test_rows_belong_to_their_sources() -> None:
    assert material().streams(Mixture(direct=1, rationalized=2, instruct=3, episodes=4)) == [
        Stream(1.0, [[0, 5]]),
        Stream(2.0, [[1]]),
        Stream(3.0, [[3]]),
        Stream(4.0, [[6, 7], [8, 9]]),
    ]


def test_a_micro_batch_names_a_window_once_and_keeps_each_turns_words() -> None:
    micro_batch = material().micro_batch([6, 9, 0])
    assert [window.video for window in micro_batch.windows] == ["a.mp4", "c.mp4", "a.mp4"]
    assert micro_batch.jitter_ids == [None, None, "a"]
    turns = [[(turn.clip, turn.prompt, turn.answer) for turn in sample] for sample in micro_batch.samples]
    assert turns == [
        [(0, "0?", "e!"), (0, "1?", "a!"), (1, "2?", "c!")],
        [(1, "0?", "c!"), (0, "1?", "e!")],
        [(2, "a?", "a!")],
    ]


def test_rows_of_a_length_have_as_many_shots_and_texts_alone_their_characters() -> None:
    turn = {"prompt": "Why?", "answer": "It is."}
    texts = [
        an_example("t", source="instruct", video=""),
        an_example("g", source="instruct", video="", follow_ups=[turn, turn]),
        an_example("v", source="instruct", follow_ups=[turn]),
    ]
    lengths = [material().length(row) for row in range(10)]
    assert lengths == [(shots, WITH_VIDEO) for shots in (0, 0, 0, 0, 0, 0, 2, 0, 0, 1)]
    alone = Material(pa.concat_tables([pa.Table.from_pylist([row], schema=EXAMPLES) for row in texts]), None)
    assert [alone.length(row) for row in range(3)] == [(0, 4), (0, 4 + 2 * 10), (0, WITH_VIDEO)]


def test_examples_alone_need_no_episodes() -> None:
    alone = Material(pa.Table.from_pylist(EXAMPLE_ROWS, schema=EXAMPLES), None)
    assert [len(stream.passes[0]) for stream in alone.streams(Mixture())] == [2, 1, 1]
    assert alone.micro_batch([1]).samples[0][0].answer == "b!"


def test_an_example_at_fixed_moments_is_the_same_window_as_a_shot() -> None:
    examples, episodes = (
        pa.Table.from_pylist(rows, schema=schema) for rows, schema in ((EXAMPLE_ROWS, EXAMPLES), (EPISODE_ROWS, EPISODES))
    )
    fixed = Material(examples, with_rows(episodes, examples["example_id"]), "middle").micro_batch([6, 0])
    assert [window.video for window in fixed.windows] == ["a.mp4", "c.mp4"]
    assert fixed.jitter_ids == [None, None]


def test_rows_are_named_by_their_examples_and_episodes_by_their_queries() -> None:
    assert material().ids([0, 5, 6, 9]) == ["a", "f", "c", "e"]
