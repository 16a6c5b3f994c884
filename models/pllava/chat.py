"""A checkpoint's tokenizer and chat template, read without transformers: the driver counts tokens with them.

tests/models/test_chat.py holds text and token ids to those of transformers' AutoTokenizer.
"""

import json
import logging
from collections.abc import Mapping, Sequence
from functools import cache, cached_property
from pathlib import Path
from typing import Any

from tokenizers import AddedToken, Tokenizer

from models.folders import read_json
from models.pllava.forms import FORMS, PublishedForm
from models.pllava.template import IMAGE_TOKEN, VIDEO_TOKEN, Form, Unusable, default_template, environment, form_of

log = logging.getLogger(__name__)

NAMED_TOKENS = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token")
"""Keys of tokenizer_config.json that name a special token; chat templates may use them."""
PUT = "put the chat_template.jinja of the published model into the folder"


class ChatTokenizer:
    """Text to token ids and back, and messages to text. Its methods may be called from several threads at once.

    ChatTokenizer(Tokenizer.from_file("tokenizer.json"), {"bos_token": "<s>", "eos_token": "</s>"}, "{% for message ... %}")
    """

    def __init__(
        self,
        backend: Tokenizer,
        settings: Mapping[str, Any],
        chat_template: str | None,
        form: Form | PublishedForm | None = None,
    ) -> None:
        """`settings`: what tokenizer_config.json holds. `form`: how the template writes videos, or the form that is used in its
        place; None: messages are not changed."""
        backend.no_padding()
        backend.no_truncation()
        self.backend, self.settings, self.chat_template, self.form = backend, dict(settings), chat_template, form
        self.named_tokens = {name: _content(settings[name]) for name in NAMED_TOKENS if settings.get(name) is not None}
        listed = settings.get("added_tokens_decoder") or {}
        added = [_added_token(listed[index]) for index in sorted(listed, key=int)]
        extra = [_added_token(token) for token in _extra_tokens(settings)]
        named = [AddedToken(token, special=True, normalized=False) for token in self.named_tokens.values()]
        vocabulary = backend.get_vocab()
        backend.add_tokens([token for token in (*added, *named, *extra) if token.content not in vocabulary])
        self._extra = [token.content for token in extra]

    @cached_property
    def _template(self) -> Any:
        return environment().from_string(self.chat_template or "")

    def render(self, messages: Sequence[Mapping[str, Any]], add_generation_prompt: bool) -> str:
        """The messages as text, by the chat template. Raises UnwritableChat."""
        if isinstance(self.form, Form):
            return self.form.write(self._render, messages, add_generation_prompt)
        return self._render(messages, add_generation_prompt)

    def render_begun(self, messages: Sequence[Mapping[str, Any]], answer_start: str) -> str:
        """The messages as text, up to an answer that begins so. Raises UnwritableChat."""
        if isinstance(self.form, Form):
            return self.form.begun(self._render, messages, answer_start)
        assert not answer_start, "messages are not changed"
        return self._render(messages, True)

    def _render(self, messages: Sequence[Mapping[str, Any]], add_generation_prompt: bool) -> str:
        text: str = self._template.render(
            messages=messages, tools=None, documents=None, add_generation_prompt=add_generation_prompt, **self.named_tokens
        )
        return text

    def with_template(self, chat_template: str, folder: Path) -> "ChatTokenizer":
        """The tokenizer with a chat template, whose form is found out. Raises ValueError naming the folder where it has none."""
        plain = ChatTokenizer(self.backend, self.settings, chat_template)
        begin = self.named_tokens.get("bos_token", "") if self.begins_with_bos else ""
        try:
            form = form_of(plain._render, begin, self.turn_tokens, self.named_tokens["eos_token"])
        except Unusable as problem:
            raise ValueError(f"{folder}: its chat template cannot be used for videos: {problem}; {PUT}") from None
        return ChatTokenizer(self.backend, self.settings, chat_template, form)

    def with_form(self, name: str, folder: Path) -> "ChatTokenizer":
        """The tokenizer with a published form in place of its template. Raises ValueError for one that its model does not speak."""
        if name not in FORMS:
            raise ValueError(f'model.chat = {name!r}: known are {", ".join(FORMS)}, and "" for the checkpoint\'s own template')
        form = FORMS[name]
        if self.token_id(form.end) is None:
            raise ValueError(f"{folder}: model.chat = {name!r} ends an answer with {form.end}, which its tokenizer does not have")
        return ChatTokenizer(self.backend, self.settings, self.chat_template, form)

    def encode(self, text: str) -> list[int]:
        """Token ids, without the tokens that the tokenizer would put around a text."""
        ids: list[int] = self.backend.encode(text, add_special_tokens=False).ids
        return ids

    def encode_with_offsets(self, text: str) -> tuple[list[int], list[tuple[int, int]]]:
        """Token ids, and the characters from which to which each was made."""
        encoding = self.backend.encode(text, add_special_tokens=False)
        return encoding.ids, encoding.offsets

    def decode(self, ids: Sequence[int], skip_special_tokens: bool = False) -> str:
        text: str = self.backend.decode(list(ids), skip_special_tokens=skip_special_tokens)
        return text

    def token_id(self, token: str) -> int | None:
        token_id: int | None = self.backend.token_to_id(token)
        return token_id

    @property
    def begins_with_bos(self) -> bool:
        """True if the tokenizer itself puts the begin token before a text."""
        ids = self.backend.encode("a").ids
        return bool(ids) and ids[0] == self.named_token_id("bos_token")

    def named_token_id(self, name: str) -> int | None:
        """Id of the token that tokenizer_config.json names "eos_token", "pad_token" and so on; None where it names none."""
        return self.token_id(self.named_tokens[name]) if name in self.named_tokens else None

    @property
    def pad_token_id(self) -> int:
        """Stock tokenizers without a pad token pad with the end token."""
        token_id = self.named_token_id("pad_token")
        token_id = self.named_token_id("eos_token") if token_id is None else token_id
        assert token_id is not None, "open_tokenizer refuses a tokenizer without an end token"
        return token_id

    @property
    def special_tokens(self) -> set[str]:
        """Texts of the tokens that are no text, and of those that the chat template writes behind an answer."""
        added = {token.content for token in self.backend.get_added_tokens_decoder().values() if token.special}
        return added | {*self.named_tokens.values(), *self._extra, *([self.form.end] if self.form else [])}

    @property
    def turn_tokens(self) -> set[str]:
        """Texts of the tokens that may end an answer. Some tokenizers add <end_of_turn> as a plain token, and blanks too."""
        added = {token.content for token in self.backend.get_added_tokens_decoder().values()}
        return {token for token in added if token[0] in "<[" and token[-1] in ">]"} | self.special_tokens

    def save(self, folder: Path, processor_class: str) -> None:
        """Write tokenizer.json, tokenizer_config.json and chat_template.jinja, as transformers lays them out."""
        folder.mkdir(parents=True, exist_ok=True)
        self.backend.save(str(folder / "tokenizer.json"))
        left_out = ("added_tokens_decoder", "auto_map", "chat_template", "tokenizer_file", "name_or_path")
        kept = {name: value for name, value in self.settings.items() if name not in left_out}
        written = {"backend": "tokenizers", "padding_side": "left", "processor_class": processor_class}
        settings = kept | self.named_tokens | written | {"tokenizer_class": "TokenizersBackend"}
        (folder / "tokenizer_config.json").write_text(json.dumps(settings, indent=2, sort_keys=True, ensure_ascii=False) + "\n")
        if self.chat_template:
            (folder / "chat_template.jinja").write_text(self.chat_template)


def open_tokenizer(folder: Path) -> ChatTokenizer:
    """The tokenizer of a folder as its files have it. Raises ValueError naming a file that is missing or damaged."""
    if not (folder / "tokenizer.json").is_file():
        raise ValueError(f"{folder} has no tokenizer.json; save its fast tokenizer there")
    settings: dict[str, Any] = {}
    for name in ("special_tokens_map.json", "tokenizer_config.json"):
        if (folder / name).is_file():
            settings |= read_json(folder / name)
    try:
        backend = Tokenizer.from_file(str(folder / "tokenizer.json"))
    except Exception as error:  # the library raises plain Exception
        raise ValueError(f"{folder}/tokenizer.json is not a tokenizer: {error}; fetch it again") from None
    tokenizer = ChatTokenizer(backend, settings, _chat_template(folder, settings))
    if tokenizer.named_token_id("eos_token") is None:
        raise ValueError(f"{folder}/tokenizer_config.json names no eos_token that the tokenizer has; fetch it again")
    return tokenizer


def chat_tokenizer(folder: Path, llm: str, form: str = "") -> ChatTokenizer:
    """A checkpoint's tokenizer with a video token, and with its own chat template, brought to write videos. Raises ValueError.

    `llm`: the LLM's model_type. A folder without a template gets the chat that its tokenizer and LLM leave no doubt about. `form`:
    the name of a published one, which takes the template's place.
    """
    tokenizer = open_tokenizer(folder)
    if tokenizer.token_id(IMAGE_TOKEN) is None:
        raise ValueError(f"{folder}: the tokenizer has no {IMAGE_TOKEN} token; is it a LLaVA checkpoint in transformers' layout?")
    tokenizer.backend.add_tokens([AddedToken(VIDEO_TOKEN, special=True, normalized=False)])
    if form:
        return tokenizer.with_form(form, folder)
    if tokenizer.chat_template is not None:
        return tokenizer.with_template(tokenizer.chat_template, folder)
    tokens = tokenizer.turn_tokens
    if "<|im_start|>" in tokens:
        name = "chatml"
    elif llm == "llama" and tokenizer.named_tokens.get("bos_token") == "<s>" and "[INST]" not in tokens:
        name = "vicuna"
    else:
        raise ValueError(f"{folder} has no chat template, and its {llm} LLM may speak any chat; {PUT}")
    _note_default(folder, name)
    begin = tokenizer.named_tokens["bos_token"] if tokenizer.begins_with_bos else ""
    return tokenizer.with_template(default_template(name, begin, tokenizer.named_tokens["eos_token"]), folder)


@cache
def _note_default(folder: Path, name: str) -> None:
    log.warning("%s has no chat template; %s's is used", folder, {"chatml": "ChatML", "vicuna": "Vicuna"}[name])


def _chat_template(folder: Path, settings: Mapping[str, Any]) -> str | None:
    """The template of a folder, looked for where transformers looks: the processor's file, then those of older versions.

    Raises ValueError where there are several, and none is the default.
    """
    if (folder / "chat_template.jinja").is_file():
        return (folder / "chat_template.jinja").read_text(errors="replace")
    older = [read_json(path) for name in ("chat_template.json", "processor_config.json") if (path := folder / name).is_file()]
    for value in (*older, settings):
        template = value.get("chat_template")
        if isinstance(template, list):  # [{"name": "default", "template": ...}, ...]
            template = {entry["name"]: entry["template"] for entry in template if isinstance(entry, dict) and "name" in entry}
        if isinstance(template, dict) and "default" not in template:
            raise ValueError(f"{folder} has chat templates {', '.join(template)}, and none named default; {PUT}")
        if template:
            return str(template["default"] if isinstance(template, dict) else template)
    return None


def _content(token: Any) -> str:
    """The text of a token, which files give as a string or as an object."""
    return str(token["content"] if isinstance(token, dict) else token)


def _added_token(token: Any) -> AddedToken:
    if not isinstance(token, dict):
        return AddedToken(str(token), special=True, normalized=False)
    flags = {name: bool(token[name]) for name in ("single_word", "lstrip", "rstrip", "normalized", "special") if name in token}
    return AddedToken(token["content"], **flags)


def _extra_tokens(settings: Mapping[str, Any]) -> list[Any]:
    """Special tokens without a name of their own; "additional_special_tokens" is the older key."""
    extra = settings.get("extra_special_tokens") or settings.get("additional_special_tokens") or []
    return list(extra.values()) if isinstance(extra, dict) else list(extra)
