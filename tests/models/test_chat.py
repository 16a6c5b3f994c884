"""Pins that chats and token ids are those of transformers' own tokenizer, in every layout that is read."""

import json
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoTokenizer

from llavas import write_released, write_stock
from models.base import ModelSpec
from models.folders import TINY
from models.pllava import checkpoints, convert
from models.pllava.chat import ChatTokenizer, chat_tokenizer, open_tokenizer

TEXTS = (
    "what is the action in this video?", "  two blanks , a\ttab\nand a line", "faire du vélo 跳舞 🎬", "", "<video>\nwhat?",
    "USER: <image>\nis it <video> so </s> or not?<pad>", "<|im_start|>user\nx<|im_end|>",
)  # fmt: skip
MESSAGES = [
    {"role": "user", "content": [{"type": "video"}, {"type": "text", "text": "what is it?"}]},
    {"role": "assistant", "content": [{"type": "text", "text": "so it is."}]},
    {"role": "user", "content": [{"type": "text", "text": "and?"}]},
]


def a_folder(tmp_path: Path, layout: str) -> Path:
    folder = tmp_path / layout
    if layout == "tiny":
        return TINY
    if layout == "released":
        write_released(folder)
    elif layout == "converted":
        write_stock(tmp_path / "stock")
        convert.convert(ModelSpec(base=str(tmp_path / "stock")), folder, lambda line: None)
        return folder / "base"
    elif layout == "exported":
        convert.export(ModelSpec(base="tiny"), folder, lambda line: None)
    else:
        write_stock(folder, next_gen=layout == "next", chatml=layout == "chatml")
    return folder


def theirs(folder: Path) -> Any:
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.add_tokens(["<video>"], special_tokens=True)
    return tokenizer


@pytest.mark.parametrize("layout", ["tiny", "stock", "next", "chatml", "released", "converted", "exported"])
def test_token_ids_and_texts_are_those_of_transformers(tmp_path: Path, layout: str) -> None:
    folder = a_folder(tmp_path, layout)
    ours = chat_tokenizer(folder, "llama")
    expected = theirs(folder)
    for text in TEXTS:
        ids = ours.encode(text)
        assert ids == expected(text, add_special_tokens=False).input_ids, text
        encoding = expected(text, add_special_tokens=False, return_offsets_mapping=True)
        assert ours.encode_with_offsets(text) == (encoding.input_ids, [tuple(pair) for pair in encoding.offset_mapping])
        for skip in (False, True):
            assert ours.decode(ids, skip_special_tokens=skip) == expected.decode(ids, skip_special_tokens=skip)
    assert (ours.named_token_id("eos_token"), ours.pad_token_id) == (expected.eos_token_id, expected.pad_token_id)
    assert ours.begins_with_bos == (expected("a").input_ids[0] == expected.bos_token_id)
    assert ours.special_tokens >= set(expected.all_special_tokens)
    for ask in (False, True):
        text = expected.apply_chat_template(MESSAGES, chat_template=ours.chat_template, tokenize=False, add_generation_prompt=ask)
        assert ours.render(MESSAGES, add_generation_prompt=ask) == text


def test_tokens_that_only_tokenizer_config_names_are_added_as_transformers_adds_them(tmp_path: Path) -> None:
    write_stock(tmp_path)
    path = tmp_path / "tokenizer_config.json"
    settings = json.loads(path.read_text())
    settings |= {"mask_token": "<mask>", "eos_token": {"content": "</s>", "special": True, "__type": "AddedToken"}}
    settings["extra_special_tokens"] = ["<extra>"]
    path.write_text(json.dumps(settings))
    ours, expected = open_tokenizer(tmp_path), AutoTokenizer.from_pretrained(tmp_path)
    text = "a<mask>b<extra>c</s>"
    assert ours.encode(text) == expected(text, add_special_tokens=False).input_ids
    assert {"<mask>", "<extra>", "</s>"} <= ours.special_tokens


def test_a_tokenizer_cut_off_at_a_length_still_reads_all(tmp_path: Path) -> None:
    tokenizer = open_tokenizer(TINY)
    tokenizer.backend.enable_truncation(4)
    tokenizer.backend.enable_padding(length=16)
    again = ChatTokenizer(tokenizer.backend, tokenizer.settings, tokenizer.chat_template)
    assert again.decode(again.encode("what is the action in this video?")) == "what is the action in this video?"


def test_a_template_may_not_run_code(tmp_path: Path) -> None:
    write_stock(tmp_path)
    (tmp_path / "chat_template.jinja").write_text("{{ ''.__class__.__mro__[1].__subclasses__() }}<video>")
    with pytest.raises(ValueError, match="cannot be used for videos: access to attribute '__class__' of 'str' object is unsafe"):
        checkpoints.describe(ModelSpec(base=str(tmp_path)))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("tokenizer.json", "{}", "tokenizer.json is not a tokenizer"),
        ("tokenizer_config.json", "{}", "names no eos_token that the tokenizer has"),
        ("tokenizer_config.json", '{"eos_token": "<end>"', "is not a JSON object"),
    ],
)
def test_a_damaged_tokenizer_is_named(tmp_path: Path, name: str, content: str, message: str) -> None:
    write_stock(tmp_path)
    (tmp_path / "special_tokens_map.json").unlink(missing_ok=True)
    (tmp_path / name).write_text(content)
    with pytest.raises(ValueError, match=message) as caught:
        open_tokenizer(tmp_path)
    assert len(str(caught.value).splitlines()) == 1
