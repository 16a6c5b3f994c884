"""Asks the judge many questions at once. Replies lie in the run's folder, by their contents: nothing is asked twice.

A judge that is away is waited for, and then the step stops with what it has replied kept; the same command goes on. A reply that is
not what was asked for, and a question that its server refuses, are counted and have no mark.
"""

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any

import pyarrow as pa

from engine.evaluate.judge.protocols import WORDINGS, Mark, Question, mark_of
from engine.judging import Wording
from engine.rows import JUDGE_REPLIES, JudgeReply
from engine.store.files import Store, digest
from engine.store.parallel import parallel_map
from engine.verify.asking import client_of
from engine.verify.judging import MILLION, JudgeSpec, chat_body
from models.base import ModelAway, Unanswerable
from models.endpoint.answers import Completion
from models.endpoint.client import ChatClient

REPLIES = "judge"
"""Folder of a run."""
AT_ONCE = 8
"""Batches of a reply file hold so many questions for each that is under way: a batch's last replies leave few idle."""


@dataclass
class Account:
    """What the marks of a step took. Replies that another command has paid for are among `marks`, not among `new`."""

    marks: int = 0
    new: int = 0
    unclear: int = 0
    refused: int = 0
    prompt_tokens: int = 0
    reply_tokens: int = 0
    models: dict[str, None] = field(default_factory=dict)
    example: str = ""
    """An unclear reply."""


class NotAsked(ValueError):
    """A reply is not in the run's folder, and nobody may be asked for it."""


class Asker:
    """Asker(spec, wordings, store).marks([Question(...), ...]); its client is opened by the first question that has no reply."""

    def __init__(
        self, spec: JudgeSpec, wordings: Mapping[str, Wording], store: Store, report: Callable[[int], None], asks: bool = True
    ) -> None:
        """`report`: is told how many marks there are by now; it may raise. `asks`: False: only the replies that are there count."""
        self.spec, self.account, self._asks = spec, Account(), asks
        self._wordings, self._store, self._report = {**WORDINGS, **wordings}, store, report
        self._replies = dict(_read(store))
        self._client: ChatClient | None = None

    def close(self) -> None:
        if self._client is not None:
            self._client.close()

    def marks(self, questions: Sequence[Question]) -> list[Mark | None]:
        """In their order. Raises ModelAway where the judge does not answer within the patience, NotAsked where nobody is asked."""
        size = AT_ONCE * self.spec.endpoint.concurrency
        marks: list[Mark | None] = []
        for start in range(0, len(questions), size):
            marks += self._batch(questions[start : start + size])
            self._report(self.account.marks)
        return marks

    def _batch(self, questions: Sequence[Question]) -> list[Mark | None]:
        bodies = [self._body(question) for question in questions]
        keys = [digest([self.spec.endpoint.model, body]) for body in bodies]
        open_keys = {key: number for number, key in enumerate(keys) if key not in self._replies}
        refused = self._ask({key: (questions[number], bodies[number]) for key, number in open_keys.items()})
        marks = []
        for key, question in zip(keys, questions, strict=True):
            marks.append(None if key in refused else self._mark(question, *self._replies[key]))
            self.account.marks += 1
        self.account.refused += sum(key in refused for key in keys)
        return marks

    def _body(self, question: Question) -> dict[str, Any]:
        wording = self._wordings[question.protocol]
        return chat_body(self.spec, wording.system, question.text(wording.user), self.spec.run_seed)

    def _mark(self, question: Question, text: str, model: str) -> Mark | None:
        self.account.models[model] = None
        mark = mark_of(question.protocol, text)
        if mark is None:
            self.account.unclear += 1
            self.account.example = self.account.example or " ".join(text.split())[:200]
        return mark

    def _ask(self, requests: Mapping[str, tuple[Question, dict[str, Any]]]) -> set[str]:
        """Get and keep the replies; returns the keys of questions that the server refuses."""
        if not requests:
            return set()
        if not self._asks:
            raise NotAsked(f"{self._store.url(REPLIES)} lacks {len(requests)} replies of {self.spec.endpoint}")
        self._client = client = self._client or client_of(self.spec)
        futures = {key: client.start(client.complete(body)) for key, (_, body) in requests.items()}
        replies, refused, away = list[JudgeReply](), set[str](), None
        for key, future in futures.items():
            try:
                replies.append(_reply(key, requests[key][0], _result(future)))
            except Unanswerable:
                refused.add(key)
            except ModelAway as error:
                away = away or error
        self._keep(replies)
        if away:
            raise away
        return refused

    def _keep(self, replies: Sequence[JudgeReply]) -> None:
        if not replies:
            return
        rows = pa.Table.from_pylist([asdict(reply) for reply in replies], schema=JUDGE_REPLIES)
        self._store.write_table(f"{REPLIES}/{digest([reply.key for reply in replies])}.parquet", rows)
        self._replies |= {reply.key: (reply.text, _model_of(reply.model, reply.fingerprint)) for reply in replies}
        self.account.new += len(replies)
        self.account.prompt_tokens += sum(reply.prompt_tokens for reply in replies)
        self.account.reply_tokens += sum(reply.num_tokens for reply in replies)

    def facts(self) -> dict[str, Any]:
        """For the step's seal."""
        account, spec = self.account, self.spec
        cost = (account.prompt_tokens * spec.price_in + account.reply_tokens * spec.price_out) / MILLION
        return {
            "judge": str(spec.endpoint),
            "models": list(account.models),
            "marks": account.marks,
            "new": account.new,
            "unclear": account.unclear,
            "refused": account.refused,
            "prompt_tokens": account.prompt_tokens,
            "reply_tokens": account.reply_tokens,
            "cost": round(cost, 6),
            "example": account.example,
        }


def line_of(facts: Mapping[str, Any]) -> str:
    """What the judge of an evaluation was asked, for a terminal.

    >>> facts = {"judge": "m at u", "marks": 40, "new": 30, "unclear": 3, "refused": 0, "prompt_tokens": 9000, "reply_tokens": 400}
    >>> print(line_of(facts | {"cost": 0.25}))
    m at u was asked for 40 marks: 30 new replies, 3 unclear; 9,000 prompt and 400 reply tokens cost 0.25
    """
    counts = [f"{facts['new']:,} new replies", *(f"{facts[name]:,} {name}" for name in ("unclear", "refused") if facts[name])]
    text = f"{facts['judge']} was asked for {facts['marks']:,} marks: {', '.join(counts)}"
    cost = f" cost {facts['cost']:,.4g}" if facts["cost"] else ""
    return f"{text}; {facts['prompt_tokens']:,} prompt and {facts['reply_tokens']:,} reply tokens{cost}"


def warning_of(facts: Mapping[str, Any]) -> str:
    """What to do about replies without a mark; "" where all have one.

    >>> print(warning_of({"judge": "m at u", "marks": 40, "unclear": 3, "refused": 0, "example": "Both are right."})[:99])
    3 of 40 replies of m at u are not in the form that was asked for, such as 'Both are right.', and co
    """
    parts = []
    if facts["unclear"]:
        parts.append(
            f"{facts['unclear']} of {facts['marks']} replies of {facts['judge']} are not in the form that was asked for, such as "
            f"{facts['example']!r}, and count in no figure; name a judge that keeps to the form, or let its server force it: "
            'evaluate.judge.body = {response_format = {type = "json_object"}}'
        )
    if facts["refused"]:
        parts.append(f"{facts['judge']} refused {facts['refused']} of {facts['marks']} questions, which count in no figure")
    return "; ".join(parts)


def _result(future: "Future[Completion]") -> Completion:
    return future.result()


def _reply(key: str, question: Question, completion: Completion) -> JudgeReply:
    return JudgeReply(
        key=key,
        protocol=question.protocol,
        clip_id=question.clip_id,
        text=completion.text,
        model=completion.model,
        fingerprint=completion.fingerprint,
        prompt_tokens=completion.prompt_tokens,
        num_tokens=completion.num_tokens,
    )


def _model_of(model: str, fingerprint: str) -> str:
    """One text for all replies of a model: a run may have a million of them."""
    return sys.intern(f"{model} ({fingerprint})" if fingerprint else model)


def _read(store: Store) -> Iterator[tuple[str, tuple[str, str]]]:
    """The key, text and model of each reply that is kept."""
    names = (f"{REPLIES}/{name}" for name in store.names(REPLIES) if name.endswith(".parquet"))
    for table in parallel_map(
        partial(store.read_table, columns=["key", "text", "model", "fingerprint"]), names, store.calls_at_once
    ):
        for row in table.to_pylist():
            yield row["key"], (row["text"], _model_of(row["model"], row["fingerprint"]))
