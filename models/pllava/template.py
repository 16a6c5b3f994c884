"""How a checkpoint's own chat template writes videos, and what ends an answer in it: read off probe chats when it is opened.

Published templates differ in three ways. Some take a video, others only an image, and those of an LLM only text. Some end an answer
with a token, others with a blank or with nothing. Some write the begin token, others leave it to the tokenizer.
"""

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from jinja2 import Environment, TemplateError, nodes
from jinja2.ext import Extension, loopcontrols
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment

from models.base import UnwritableChat

VIDEO_TOKEN, IMAGE_TOKEN = "<video>", "<image>"
Message = Mapping[str, Any]
"""{"role": "user", "content": [{"type": "video"}, {"type": "text", "text": "What happens?"}]}"""
Render = Callable[[Sequence[Message], bool], str]
"""The template itself: messages, and whether the answer's turn is opened at the end, to text."""
Style = Literal["video", "image", "text"]
STYLES: tuple[Style, ...] = ("video", "image", "text")
"""How a video stands in a message: as a video; as an image; as the token in a message of text, as LLaVA's own code writes it."""
QUESTIONS, ANSWER = ("first question", "another thing"), "probe answer"
TURNS = {
    "vicuna": ("", " ", "USER: ", " ASSISTANT:", " ", ""),
    "chatml": (
        "<|im_start|>system\n", "<|im_end|>\n", "<|im_start|>user\n", "<|im_end|>\n<|im_start|>assistant\n", "", "<|im_end|>",
    ),
}  # fmt: skip
"""Text around a system text; text that opens a user's turn, opens the answer's turn, stands before the answer, and closes it ("":
the end token). Vicuna is the chat of LLaVA's 7B and 13B, ChatML that of the 34B (Yi)."""
DEFAULT = (
    "@begin@{% for message in messages %}{% if message.role == 'system' %}@system@{{ message.content[0].text }}@rule@"
    "{% elif message.role == 'user' %}@user@{% for part in message.content %}"
    "{% if part.type == 'text' %}{{ part.text }}{% else %}<{{ part.type }}>\n{% endif %}{% endfor %}"
    "{% else %}@assistant@@gap@{% for part in message.content %}{{ part.text }}{% endfor %}@close@{% endif %}"
    "{% endfor %}{% if add_generation_prompt %}@assistant@{% endif %}"
)


class Unusable(ValueError):
    """Why chats about videos cannot be written with a template; `checks` of them had passed before."""

    def __init__(self, reason: str, checks: int) -> None:
        super().__init__(reason)
        self.checks = checks


class Generation(Extension):
    """{% generation %} ... {% endgeneration %}, with which templates mark what an assistant says, for transformers alone."""

    tags = {"generation"}  # noqa: RUF012  # as Jinja declares it

    def parse(self, parser: Parser) -> nodes.Node | list[nodes.Node]:
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


def _raise(message: str) -> None:
    raise TemplateError(message)


def environment() -> Environment:
    """Jinja as transformers sets it up for chat templates: a template is a file of the checkpoint, and may not run code.

    strftime_now is left out: templates then write a date of their own, and a prompt does not depend on the day.
    """
    jinja = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=[loopcontrols, Generation])
    jinja.filters["tojson"] = lambda value, indent=None: json.dumps(value, ensure_ascii=False, indent=indent)
    jinja.globals["raise_exception"] = _raise
    return jinja


def default_template(name: str, begin: str, end: str) -> str:
    """The template of a checkpoint that brings none. `name`: of TURNS; `begin`, `end`: texts of the tokenizer's tokens."""
    system, rule, user, assistant, gap, close = TURNS[name]
    template = DEFAULT
    places = {
        "@begin@": begin,
        "@system@": system,
        "@rule@": rule,
        "@user@": user,
        "@assistant@": assistant,
        "@gap@": gap,
        "@close@": close or end,
    }
    for place, text in places.items():
        template = template.replace(place, text)
    return template


@dataclass(frozen=True)
class Form:
    """How chats are written with a template: Form(style="image", begin="<s>", end="</s>", adds_end=True, several_turns=True)."""

    style: Style
    begin: str
    """Text of the begin token, where the tokenizer wants one before a text; else ""."""
    end: str
    """Text of the token that ends an answer."""
    adds_end: bool
    """Whether the token is put behind an answer here, because the template writes none."""
    several_turns: bool
    """Whether the template writes the beginning of a chat in the same way whatever follows. Where it does not, each chat of several
    turns is looked at: one may be right that shows less than the probes."""
    user: str = ""
    """What opens the user's next turn, such as "USER:"; "" where the template writes no next turn."""
    openings: tuple[str, str] = ("", "")
    """What stands between a question and its answer in a finished chat, and at the end of a prompt, where the two differ in white
    space: LLaVA-OneVision's "<|im_start|>assistant \\n" and "<|im_start|>assistant\\n". Answers are written behind the latter."""
    video: str = VIDEO_TOKEN
    """Text of the token that stands for a video."""

    def write(self, render: Render, messages: Sequence[Message], add_generation_prompt: bool) -> str:
        """The messages as text. A finished chat ends with the token that ends its answer: what follows belongs to the next turn.

        Blanks at the end of a prompt are left to the answer: a tokenizer joins them with its first word. Raises UnwritableChat.
        """
        text = self._written(render, messages, add_generation_prompt)
        answers = [number for number, message in enumerate(messages) if message["role"] == "assistant"]
        has_turns = sum(message["role"] == "user" for message in messages) > 1
        for answered in answers if has_turns and not self.several_turns else ():
            beginnings = [self._written(render, messages[:answered], True), self._written(render, messages[: answered + 1], False)]
            if not all(map(text.startswith, beginnings)):
                raise UnwritableChat(
                    "the chat template writes the beginning of a chat otherwise where turns follow; it serves single questions"
                )
        return text

    def _written(self, render: Render, messages: Sequence[Message], add_generation_prompt: bool) -> str:
        try:
            text = render(
                [_taken(message, self.style, self.end if self.adds_end else "") for message in messages], add_generation_prompt
            )
        except Exception as error:  # a template may do anything that its language allows
            raise UnwritableChat(_one_line(error)) from None
        if self.openings[0]:
            text = text.replace(*self.openings)
        if self.style == "image":
            kinds = [part["type"] for message in messages for part in message["content"] if part["type"] != "text"]
            beginning, *rest = text.split(IMAGE_TOKEN)
            if len(rest) != len(kinds):
                raise UnwritableChat(f"the chat template writes {len(rest)} {IMAGE_TOKEN} for {len(kinds)} videos and pictures")
            text = beginning + "".join(f"<{kind}>{piece}" for kind, piece in zip(kinds, rest, strict=True))
        if not text.startswith(self.begin):
            text = self.begin + text
        if add_generation_prompt:
            return text.rstrip(" ")
        if messages[-1]["role"] != "assistant":
            return text
        if self.end not in text:
            raise UnwritableChat(f"the chat template leaves {self.end} out behind an answer")
        return text[: text.rindex(self.end) + len(self.end)]

    def begun(self, render: Render, messages: Sequence[Message], answer_start: str) -> str:
        """The messages, and an answer that begins so: what the template writes between prompt and answer included.

        Raises UnwritableChat.
        """
        prompt = self.write(render, messages, True)
        if not answer_start:
            return prompt
        answer = {"role": "assistant", "content": [{"type": "text", "text": answer_start}]}
        finished = self.write(render, [*messages, answer], False)
        at = finished.find(answer_start, len(prompt))
        if not finished.startswith(prompt) or at < 0:
            raise UnwritableChat(f"the chat template does not write an answer that begins with {answer_start!r}")
        return finished[: at + len(answer_start)]


def _taken(message: Message, style: Style, end: str = "") -> Message:
    """The message as a template of that style takes it, with `end` behind an answer."""
    parts = list(message["content"])
    if message["role"] == "assistant":
        parts = [*parts[:-1], {"type": "text", "text": parts[-1]["text"] + end}]
    if style == "image":
        parts = [part if part["type"] == "text" else {"type": "image"} for part in parts]
    if style == "text":
        text = "".join(part["text"] if part["type"] == "text" else f"<{part['type']}>\n" for part in parts)
        return {"role": message["role"], "content": text}
    return {"role": message["role"], "content": parts}


def form_of(
    render: Render, begin: str, tokens: Collection[str], eos: str, video: str = VIDEO_TOKEN, styles: Sequence[Style] = STYLES
) -> Form:
    """How chats about videos are written with the template.

    `tokens`: texts of the tokens that may end an answer; `eos` is put behind it where the template writes none of them. Raises
    Unusable with the reason why the template cannot be used.
    """
    problems: list[Unusable] = []
    for style in styles:
        try:
            return _probed(render, Form(style, begin, eos, adds_end=True, several_turns=True, video=video), tokens)
        except Unusable as problem:
            problems.append(problem)
    raise max(problems, key=lambda problem: problem.checks)


def _probed(render: Render, form: Form, tokens: Collection[str]) -> Form:
    """The form, and what ends an answer in it, if the template's probe chats are right. Raises Unusable."""
    passed = 0

    def check(holds: bool, reason: str) -> None:
        nonlocal passed
        if not holds:
            raise Unusable(reason, passed)
        passed += 1

    def tried(call: Callable[[], str]) -> str:
        try:
            return call()
        except Exception as error:  # as above
            raise Unusable(_one_line(error), passed) from None

    question, second_question = ([_question_message(text)] for text in QUESTIONS)
    prompt = tried(lambda: form.write(render, question, True))
    other = tried(lambda: form.write(render, second_question, True))
    check(prompt.count(form.video) == 1, "it does not write a video once")
    before, _, behind = prompt.partition(form.video)
    check(prompt.count(QUESTIONS[0]) == 1 and "'type'" not in prompt, "it does not write the question")
    check(QUESTIONS[0] in behind and other.partition(form.video)[0] == before, "it writes the question before the video")
    answered = [*question, {"role": "assistant", "content": [{"type": "text", "text": ANSWER}]}]
    closing = tried(lambda: render([_taken(message, form.style) for message in answered], False)).partition(ANSWER)[2]
    if ends := [(closing.index(token), -len(token), token) for token in tokens if token and token in closing]:
        form = replace(form, end=min(ends)[2], adds_end=False)
    finished = tried(lambda: form.write(render, answered, False))
    if not finished.startswith(prompt):
        form = replace(form, openings=_openings(prompt, finished))
        finished = tried(lambda: form.write(render, answered, False))
    check(finished.startswith(prompt), "a prompt is not the beginning of prompt and answer together")
    check(finished[len(prompt) :].count(ANSWER) == 1, "it does not write the answer once")
    opens = prompt != tried(lambda: form.write(render, question, False)).rstrip(" ")
    is_open = opens or not finished[len(prompt) :].partition(ANSWER)[0].strip()
    check(is_open, "it does not open the answer's turn at the end of a prompt (add_generation_prompt)")
    following = _following(form, render, [*answered, *second_question], finished)
    if following is None:
        return replace(form, several_turns=False)
    return replace(form, user=following.partition(form.video)[0].strip().removeprefix(form.begin))


def _openings(prompt: str, finished: str) -> tuple[str, str]:
    """See Form.openings; ("", "") where more than white space differs.

    >>> _openings("first question<|im_start|>assistant\\n", "first question<|im_start|>assistant \\nprobe answer")
    ('<|im_start|>assistant \\n', '<|im_start|>assistant\\n')
    """
    in_finished, in_prompt = (text.partition(ANSWER)[0].rpartition(QUESTIONS[0])[2] for text in (finished, prompt))
    return (in_finished, in_prompt) if in_finished and in_finished.split() == in_prompt.split() else ("", "")


def _following(form: Form, render: Render, messages: Sequence[Message], finished: str) -> str | None:
    """What the template writes behind a finished chat that goes on; None where that is not its beginning."""
    try:
        texts = [form.write(render, messages, ask) for ask in (True, False)]
    except Exception:  # it refuses a second question
        return None
    return texts[0][len(finished) :] if all(text.startswith(finished) for text in texts) else None


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:160] or type(error).__name__


def _question_message(question: str) -> Message:
    return {"role": "user", "content": [{"type": "video"}, {"type": "text", "text": question}]}
