"""Asks an OpenAI-compatible server: so many questions at once, with patience, and with a key that stays in the environment.

Nothing here is about videos: a judge asks with it too.
"""

import asyncio
import json
import os
import random
import threading
import time
from collections.abc import Callable, Coroutine, Mapping
from concurrent.futures import Future
from contextlib import suppress
from types import TracebackType
from typing import Any, TypeVar

import aiohttp

from models.base import ModelAway, Unanswerable
from models.endpoint.address import Endpoint
from models.endpoint.answers import Completion, End, Outcome, Passing, Refusal, completion_of, models_of, one_line, trouble_of

CONNECT_S = 30.0
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 30.0
ANSWER_BYTES = 64 << 20
"""An answer that is longer is broken off."""
NO_LIST = frozenset({403, 404, 405, 501})
"""Statuses of servers that have no list of models, or not for this key; a question then finds out."""
Body = Mapping[str, Any]
"""The JSON of a chat completion's request, without the model's name."""
Answer = TypeVar("Answer")


class ChatClient:
    """with ChatClient(endpoint) as client: client.start(client.complete({"messages": [...]})).result().text

    Its requests run on an event loop in a thread of its own. It cannot be pickled: its key belongs to this process.
    """

    def __init__(self, endpoint: Endpoint, probe: Body) -> None:
        """`probe`: a short question, which decides whether a server is in trouble with all questions or with a single one."""
        self.endpoint, self._probe = endpoint, probe
        self._key = os.environ.get(endpoint.key_env, "").strip()
        self._slots = asyncio.Semaphore(endpoint.concurrency)
        self._session: aiohttp.ClientSession | None = None
        self._quiet_until = self._last_answer = -1.0
        """time.monotonic(): until when the server asks to be left alone, and when it last answered a question."""
        self._end: Exception | None = None
        """Why nothing is asked any more."""
        self.is_refused = False
        """The server has said so: it refuses the key, the model or the address."""
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="endpoint", daemon=True)
        self._thread.start()

    def __enter__(self) -> "ChatClient":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def __reduce__(self) -> Any:
        raise TypeError("a client holds a key and stays in its process")

    def start(self, coroutine: Coroutine[Any, Any, Answer]) -> Future[Answer]:
        """Run a coroutine on the client's loop."""
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop)

    def close(self) -> None:
        if self._thread.is_alive():
            self.start(self._close()).result(CONNECT_S)
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(CONNECT_S)

    async def _close(self) -> None:
        if self._session is not None:
            await self._session.close()

    async def complete(self, body: Body) -> Completion:
        """The answer to a chat.

        Raises Unanswerable where the server refuses this question, ModelAway where it does not answer within the patience, or
        refuses every question.
        """
        async with self._slots:
            return await self._patiently(lambda: self._ask(body))

    async def greeting(self) -> Completion:
        """The answer to the probe. Raises as complete does."""
        async with self._slots:
            return await self._patiently(self._ask_probe, is_probe=True)

    async def served(self) -> dict[str, Any]:
        """The model's entry in the server's list of models; {} for a server without a list.

        Raises ModelAway, also where the list does not have the model.
        """
        try:
            entries = await self._patiently(self._list)
        except Unanswerable:  # it answers questions, but not this one
            return {}
        if entries is None:
            return {}
        name, ids = self.endpoint.model, [str(entry.get("id")) for entry in entries]
        for entry in entries:
            if entry.get("id") in (name, name.partition(":")[0]):  # a vendor's variant, such as model:free, is not listed
                return entry
        known = ", ".join(ids[:5]) + (f" and {len(ids) - 5} more" if len(ids) > 5 else "")
        self.is_refused = True
        raise ModelAway(f"{self.endpoint.url} has no model {name!r}; it has {known or 'none'}")

    async def _patiently(
        self, request: Callable[[], Coroutine[Any, Any, Answer | Passing | Refusal | End]], is_probe: bool = False
    ) -> Answer:
        """Repeat a request while its trouble may pass and patience lasts."""
        endpoint, failed_since, tries = self.endpoint, 0.0, 0
        while True:
            await self._left_alone()
            outcome = await request()
            if isinstance(outcome, Refusal):
                raise Unanswerable(outcome.kind, f"{endpoint} refuses it: {outcome.reason}")
            if isinstance(outcome, End):
                raise await self._at_end(outcome, is_probe)
            if not isinstance(outcome, Passing):
                return outcome
            now, tries = time.monotonic(), tries + 1
            failed_since = max(failed_since or now, self._last_answer if outcome.is_limit else 0.0)  # a limit lets others through
            left_s = failed_since + endpoint.patience_s - now
            if left_s <= 0 or (outcome.retry_after_s or 0.0) > left_s:
                raise await self._out_of_patience(outcome, failed_since)
            if outcome.retry_after_s is not None:
                self._quiet_until = max(self._quiet_until, now + outcome.retry_after_s)
            await asyncio.sleep(min(left_s, _pause_s(tries)))

    async def _left_alone(self) -> None:
        """Wait while the server asks to be left alone. Raises the error by which the client has ended."""
        while (left_s := self._quiet_until - time.monotonic()) > 0 and self._end is None:
            await asyncio.sleep(min(left_s + random.uniform(0.0, FIRST_PAUSE_S), LONGEST_PAUSE_S))
        if self._end is not None:
            raise self._end

    async def _at_end(self, end: End, is_probe: bool) -> Exception:
        """The error of a request that would be refused tomorrow: of it alone where the server then answers the probe.

        Raises as complete does where the probe is not answered either.
        """
        if not (is_probe or end.is_of_account):
            with suppress(Unanswerable):
                await self._patiently(self._ask_probe, is_probe=True)
                return self._of_it_alone(end.reason)
        self.is_refused = True
        return self._ended(ModelAway(f"{self.endpoint} answers {end.reason}; {self._remedy(end.status)}"))

    def _of_it_alone(self, reason: str) -> Unanswerable:
        return Unanswerable("refused", f"{self.endpoint} answers other questions, and to this one: {reason}")

    async def _out_of_patience(self, trouble: Passing, since: float) -> Exception:
        """The error of a question that got no answer: of it alone where the server has answered others, or answers the probe.

        A limit that says how long it lasts is everybody's, and longer than patience: a small probe may still pass it.
        """
        is_lasting = trouble.is_limit and (trouble.retry_after_s or 0.0) > self.endpoint.patience_s
        if is_lasting or (self._last_answer <= since and not isinstance(await self._ask_probe(), Completion)):
            waited = f"{self.endpoint.patience_s:g} s ({self.endpoint.section}.patience_s, at the start of a run less)"
            more = f", and it wants {trouble.retry_after_s:g} s more" if trouble.retry_after_s else ""
            verb = "answers with" if trouble.is_answer else "does not answer:"
            reason = f"{self.endpoint} {verb} {trouble.reason}; that is waited for {waited}{more}"
            return self._ended(
                ModelAway(f"{reason}; start it, or check {self.endpoint.section}.url, then run the same command again")
            )
        return self._of_it_alone(trouble.reason)

    def _ended(self, error: ModelAway) -> ModelAway:
        """Nothing more is asked: a thousand waiting questions would each wait as long."""
        self._end = error
        return error

    def _remedy(self, status: int) -> str:
        name, section = self.endpoint.key_env, self.endpoint.section
        if status == 401 and not self._key:
            return f"the environment variable {name} ({section}.key_env) is empty where Ray's workers run: set it there"
        if status in (401, 403, 407):
            return f"check the key in the environment variable {name} ({section}.key_env)"
        if status in (402, 429):
            return "check the account's credit"
        if 300 <= status < 400:
            return f"name that address in {section}.url"
        return f"check {section}.url, which most often ends with /v1, and {section}.model"

    async def _ask_probe(self) -> Outcome:
        return await self._ask(self._probe)

    async def _ask(self, body: Body) -> Outcome:
        data = json.dumps({"model": self.endpoint.model, **body}).encode()
        outcome: Outcome = await self._request("POST", "chat/completions", data, completion_of)
        if not isinstance(outcome, Passing):
            self._last_answer = time.monotonic()
        return outcome

    async def _list(self) -> list[dict[str, Any]] | Passing | Refusal | End | None:
        def listed(status: int, headers: Mapping[str, str], body: bytes, now_s: float) -> Any:
            if status in NO_LIST:
                return None
            return models_of(body) if status == 200 else trouble_of(status, headers, body, now_s)

        entries: list[dict[str, Any]] | Passing | Refusal | End | None = await self._request("GET", "models", None, listed)
        return entries

    async def _request(
        self, method: str, path: str, data: bytes | None, meaning: Callable[[int, Mapping[str, str], bytes, float], Any]
    ) -> Any:
        """What the answer means; Passing where there is none. A key that the server repeats is taken out."""
        url, headers = f"{self.endpoint.url}/{path}", {"Content-Type": "application/json"}
        if self._key:
            headers["Authorization"] = f"Bearer {self._key}"
        try:
            # a redirect is not followed: it would take the key to another host, and turn a POST into a GET
            async with self._opened().request(method, url, data=data, headers=headers, allow_redirects=False) as response:
                body = await _read(response)
                body = body.replace(self._key.encode(), b"***") if self._key else body
                return meaning(response.status, response.headers, body, time.time())
        except (aiohttp.ClientError, OSError) as error:
            if isinstance(error, TimeoutError) and not isinstance(error, aiohttp.ClientError):
                return Passing(f"no answer within {self.endpoint.timeout_s:g} s ({self.endpoint.section}.timeout_s)")
            return Passing(one_line(str(error) or type(error).__name__))

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            limit = aiohttp.TCPConnector(limit=self.endpoint.concurrency + 1)  # and one for the probe
            timeout = aiohttp.ClientTimeout(total=self.endpoint.timeout_s, sock_connect=CONNECT_S)
            self._session = aiohttp.ClientSession(connector=limit, timeout=timeout, trust_env=True)  # proxies, as others do
        return self._session


async def _read(response: aiohttp.ClientResponse) -> bytes:
    parts, size = list[bytes](), 0
    async for chunk in response.content.iter_chunked(1 << 16):
        parts.append(chunk)
        size += len(chunk)
        if size > ANSWER_BYTES:
            raise OSError(f"the answer has more than {ANSWER_BYTES} bytes")
    return b"".join(parts)


def _pause_s(tries: int) -> float:
    """Longer after each try, and random: questions that failed together are not asked together again.

    >>> all(0.25 <= _pause_s(1) <= 0.5 and 15 <= _pause_s(40) <= 30 for _ in range(20))
    True
    """
    return random.uniform(0.5, 1.0) * min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2.0 ** min(tries - 1, 10))
