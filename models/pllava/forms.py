"""The chats that PLLaVA's authors publish, by name: what stands around turns, how training writes them, and what ends an answer.

Their code writes one text when it asks and another one when it trains (magic-research/PLLaVA, tasks/eval/eval_utils.py and
dataset/it_dataset.py); a form has both, so that a checkpoint reads what it was trained on and what its scores were measured with.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from models.base import ChatSpec
from models.pllava.template import VIDEO_TOKEN


@dataclass(frozen=True, slots=True, kw_only=True)
class Turns:
    """Text around the turns of a chat: Turns(user="USER: ", user_end=" ", assistant="ASSISTANT:", answer_end="</s>", video="")"""

    user: str
    user_end: str
    assistant: str
    answer_end: str
    video: str
    """A video, and what follows it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedForm:
    """PublishedForm(asking=Turns(...), training=Turns(...), system_end=" ", end="</s>")"""

    asking: Turns
    """Around the turns of a chat that waits for its answer."""
    training: Turns
    """Around the turns of a chat that is trained on. Its parts are tokenized one by one."""
    system_end: str
    """Behind the system text, and behind an instruction."""
    end: str
    """The token that ends an answer."""

    @property
    def user(self) -> str:
        """What opens the user's next turn, as an answer that runs on would write it."""
        return self.asking.user.strip()


VICUNA = Turns(user="USER:", user_end="</s>", assistant="ASSISTANT:", answer_end="</s>", video=f"{VIDEO_TOKEN}\n")
CHATML = Turns(
    user="<|im_start|>user\n",
    user_end="<|im_end|>\n",
    assistant="<|im_start|>assistant\n",
    answer_end="<|im_end|>\n",
    video=f"{VIDEO_TOKEN}\n",
)
FORMS = {
    "pllava-vicuna": PublishedForm(
        asking=Turns(user="USER: ", user_end=" ", assistant="ASSISTANT:", answer_end="</s>", video=f"{VIDEO_TOKEN}\n"),
        training=VICUNA,
        system_end=" ",
        end="</s>",
    ),
    "pllava-vicuna-demo": PublishedForm(
        asking=Turns(user="USER:", user_end=" ", assistant="ASSISTANT:", answer_end="</s>", video=VIDEO_TOKEN),
        training=VICUNA,
        system_end=" ",
        end="</s>",
    ),
    "pllava-chatml": PublishedForm(asking=CHATML, training=CHATML, system_end="<|im_end|>\n", end="<|im_end|>"),
}
"""7B and 13B as the benchmarks ask them, and as the demo does; 34B. A user's turn ends with </s> in training alone."""


class Part(NamedTuple):
    """A stretch of a chat: Part(" It zups.</s>", learned=True)."""

    text: str
    learned: bool


class Exchange(NamedTuple):
    """A question and its answer, as a chat has them: Exchange("What happens?", "The dax zups.")"""

    prompt: str
    answer: str | None
    """None: it is still to be given."""
    shows: bool = True
    """Whether a video or a picture stands before the prompt."""
    learned: bool = True
    """Whether training has a loss on the answer."""
    instruction: str = ""
    """The beginning of the prompt, where that is an instruction."""


def prompt_text(form: PublishedForm, chat: ChatSpec, exchanges: Sequence[Exchange]) -> str:
    """The chat up to the place where its last answer goes on."""
    return "".join(part.text for part in _parts(form, form.asking, chat, exchanges)) + chat.answer_start


def training_parts(form: PublishedForm, chat: ChatSpec, exchanges: Sequence[Exchange]) -> list[Part]:
    """The finished chat in the parts that are tokenized one by one. An answer is learned with all that closes it."""
    return _parts(form, form.training, chat, exchanges)


def _parts(form: PublishedForm, turns: Turns, chat: ChatSpec, exchanges: Sequence[Exchange]) -> list[Part]:
    first = exchanges[0]
    before = [text for text in (chat.system, first.instruction) if text]
    parts = [Part("".join(text + form.system_end for text in before), learned=False)]
    for number, exchange in enumerate(exchanges):
        prompt = exchange.prompt
        if first.instruction and not number:
            prompt = prompt.removeprefix(first.instruction).removeprefix("\n")
        opening = chat.opening.replace("{video}", turns.video) if exchange.shows else ""
        *earlier, last = opening.split("{turn}")
        for text in (*earlier, last + prompt):
            parts += [Part(turns.user, learned=False), Part(text + turns.user_end, learned=False)]
        parts.append(Part(turns.assistant, learned=False))
        if exchange.answer is not None:
            parts.append(Part(exchange.answer + turns.answer_end, exchange.learned))
    return parts
