"""Pins what select leaves out for its length or its chat: by the base's own chat template, wherever the base lies, opened once."""

from pathlib import Path
from typing import Any

import pytest

from engine.config import RunConfig
from engine.episodes.lengths import EpisodeLengths
from engine.presets import load_config
from engine.rows import Episode, Example, FollowUp
from engine.run.checks import refuse_unwritable
from engine.select.examples import ExampleWriter
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
TEXTS = "{% for part in message.content if part.type == 'text' %}{{ part.text }}{% endfor %}"
THINKS_LAST = (
    "{% for message in messages %}{% if message.role == 'user' %}USER: {% for part in message.content if part.type != 'text' %}"
    "<{{ part.type }}>\n{% endfor %}"
    + TEXTS
    + "{% else %} ASSISTANT: {{ '<think></think>' if loop.last }}"
    + TEXTS
    + "</s>{% endif %}"
    "{% endfor %}{{ ' ASSISTANT:' if add_generation_prompt }}"
)
"""A thought stands before the last answer and no other, as in Qwen3's chat."""
SHOWS_FIRST = (
    "{% for message in messages %}{% if message.role == 'user' %}USER: "
    "{{ '<image>\n' if loop.first and message.content | length > 1 }}" + TEXTS + "{% else %} ASSISTANT: " + TEXTS
    + "</s>{% endif %}{% endfor %}{{ ' ASSISTANT:' if add_generation_prompt }}"
)  # fmt: skip
"""Only the first message may show something."""
AGAIN = (FollowUp(prompt="And then?", answer="It stops."),)


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
    here, there = (Lengths(spec, Storage()).unused(examples) for spec in (a_base(str(tmp_path)), a_base("memory://long/base")))
    assert here == there
    assert len(here) > len(Lengths(ModelSpec(base="tiny"), Storage()).unused(examples)) > 0
    episode = Episode(
        episode_id="e", query="a", context=("a",) * 2, roles=("noun",) * 2, prompts=("What?",) * 3, epoch=0, short=False
    )
    [row] = EpisodeLengths(a_base("memory://long/base"), Storage(), {"a": "It moves."}).too_long([episode])
    assert row.reason == "too_long"


def test_a_conversation_that_the_template_cannot_write_is_left_out_and_the_others_stay(tmp_path: Path) -> None:
    examples = [an_example("one"), an_example("two", follow_ups=AGAIN), an_example("text", "", follow_ups=AGAIN)]
    thinks = Lengths(a_base(str(tmp_path / "thinks"), THINKS_LAST), Storage()).unused(examples)
    assert [(row.example_id, row.reason) for row in thinks] == [("two", "chat_template"), ("text", "chat_template")]
    base = tmp_path / "thinks"
    assert thinks[0].detail.startswith(
        f"{base} has no chat for its 2 turns: the chat template writes the beginning of a chat otherwise where turns follow"
    )
    examples.append(an_example("shown later", follow_ups=AGAIN, shown_in=1))
    shows = Lengths(a_base(str(tmp_path / "shows"), SHOWS_FIRST), Storage()).unused(examples)
    assert [row.example_id for row in shows] == ["shown later"], "what the template can write stays, of several turns too"


def a_mixture(base: ModelSpec, folder: Path, examples: list[Example], **episodes: Any) -> RunConfig:
    with open(folder / "i.parquet", "wb") as file, ExampleWriter(file) as writer:
        writer.write(examples)
    settings = [f"model.base={base.base}", "mixture.instruct=1", f"mixture.examples={folder / 'i.parquet'}"]
    return load_config(None, [*settings, *(f"{name}={value}" for name, value in episodes.items())])


def test_a_base_is_refused_before_the_run_only_where_nothing_can_be_used(tmp_path: Path) -> None:
    base = a_base(str(tmp_path / "thinks"), THINKS_LAST)
    two = an_example("two", follow_ups=AGAIN)
    with pytest.raises(ValueError, match=r"i\.parquet: none of its conversations can be trained on; the last: .* split it into"):
        refuse_unwritable(a_mixture(base, tmp_path, [two, two]))
    refuse_unwritable(a_mixture(base, tmp_path, [two, an_example("one")]))
    config = a_mixture(base, tmp_path, [an_example("one")])
    with pytest.raises(ValueError, match=r"thinks has no chat for shots: .*; set episodes\.shots = \[0\]"):
        refuse_unwritable(config.model_copy(update={"mixture": config.mixture.model_copy(update={"episodes": 1.0})}))


@pytest.mark.parametrize(
    ("video", "kept_of"),
    [
        ("https://host/a.jpg?size=big", "a.jpg"),
        ("a.JFIF", "a.jpg"),
        ("a.avif", "a.jpg"),
        ("a.tif", "a.jpg"),
        ("COCO_12", "either"),
        ("a.webp", "either"),
        ("s3://b/a?b.mp4", "a.mp4"),
    ],
)
def test_only_what_is_too_long_in_its_smallest_case_is_left_out(video: str, kept_of: str) -> None:
    """Of the tiny base: 36 tokens of a picture, 32 of a video."""

    def most(name: str) -> int:
        kept = [number for number in range(900, 1000) if not lengths.unused([an_example("x", name, "7" * number)])]
        return kept[-1]

    lengths = Lengths(ModelSpec(base="tiny"), Storage())
    both = {"a.jpg": most("a.jpg"), "a.mp4": most("a.mp4")}
    assert both["a.mp4"] - both["a.jpg"] == 36 - 32
    assert most(video) == (both | {"either": max(both.values())})[kept_of]


def test_the_tokenizer_is_opened_once(tmp_path: Path) -> None:
    spec = a_base(str(tmp_path / "base"))
    lengths = Lengths(spec, Storage())
    shots = EpisodeLengths(spec, Storage(), {"a": "It moves."})
    (tmp_path / "base" / "tokenizer.json").unlink()
    assert len(lengths.unused([an_example(answer="7 " * 900), an_example("b", "", "7 " * 1900, follow_ups=AGAIN)])) == 2
    episode = Episode(episode_id="e", query="a", context=(), roles=(), prompts=("?",), epoch=0, short=False)
    assert shots.too_long([episode]) == []
