"""Pins how long select takes examples and episodes to be: with the base's own chat template, wherever the base lies."""

from pathlib import Path
from typing import Any

import pytest

from engine.episodes.lengths import EpisodeLengths
from engine.rows import Episode, Example
from engine.select.lengths import Lengths
from engine.store.files import Store
from engine.store.filesystems import Storage
from models.base import ModelSpec
from models.folders import SMALL_FILES, TINY

LONG_CHAT = (
    "{% for message in messages %}{{ 'USER: ' if message.role == 'user' else ' ASSISTANT: ' }}{% for part in message.content %}"
    "{{ part.text if part.type == 'text' else '<video>\n' + 'seen ' * 400 }}{% endfor %}"
    "{{ '</s>' if message.role == 'assistant' else '' }}{% endfor %}{{ ' ASSISTANT:' if add_generation_prompt else '' }}"
)
"""A chat that takes more tokens than Vicuna's."""


@pytest.fixture(autouse=True)
def private_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def a_base(folder: str, template: str = LONG_CHAT) -> ModelSpec:
    """The small files of the tiny base, with another chat template."""
    store = Store(folder)
    for path in (path for pattern in SMALL_FILES for path in TINY.glob(pattern)):
        store.write(path.name, path.read_bytes())
    store.write("chat_template.jinja", template.encode())
    return ModelSpec(base=store.url())


def an_example(name: str = "a", video: str = "a.mp4", answer: str = "It moves.", **fields: Any) -> Example:
    return Example(
        example_id=name, clip_id=name, video=video, start_s=None, end_s=None, prompt="What?", answer=answer, source="instruct",
        **fields,
    )  # fmt: skip


def test_a_base_behind_a_uri_is_counted_with_its_own_chat_template(tmp_path: Path) -> None:
    examples = [an_example(str(words), answer="7 " * words) for words in range(100, 1000, 20)]
    here, there = (Lengths(spec, Storage()).too_long(examples) for spec in (a_base(str(tmp_path)), a_base("memory://long/base")))
    assert here == there
    assert len(here) > len(Lengths(ModelSpec(base="tiny"), Storage()).too_long(examples)) > 0
    episode = Episode(
        episode_id="e", query="a", context=("a",) * 2, roles=("noun",) * 2, prompts=("What?",) * 3, epoch=0, short=False
    )
    [row] = EpisodeLengths(a_base("memory://long/base"), Storage(), {"a": "It moves."}).too_long([episode])
    assert row.reason == "too_long"
