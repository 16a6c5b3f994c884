"""What the answer of an OpenAI-compatible server means: a completion, trouble that passes, a refusal of one question, or the end.

Pure: status, headers and body in, a value out. What servers say was read off vLLM 0.32, SGLang, OpenAI's and OpenRouter's pages.
"""

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any, Literal

PASSING_STATUSES = frozenset({408, 409, 425, 429})
LASTING_STATUSES = frozenset({501, 505, 508, 510})
"""Statuses from 500 up that are the same tomorrow."""
ACCOUNT_STATUSES = frozenset({401, 402})
REFUSED_STATUSES = frozenset({400, 411, 413, 414, 415, 422, 431, 451})
"""Statuses that are about this request and not about the server."""
OUT_OF_CREDIT = frozenset({"insufficient_quota", "billing_hard_limit_reached", "billing_not_active"})
"""OpenAI's codes for an account without money: they come with status 429, and waiting does not help."""
TOO_LONG = re.compile(
    r"context[_ -]?(length|window|size)|max(imum)?[_ ](model|sequence|prompt|input)[_ ]len|(prompt|input|request) is too long"
    r"|too many (input |prompt )?tokens|longer than the (model|maximum)|exceeds? the (model|maximum)[^.]{0,40}(length|tokens)",
    re.IGNORECASE,
)
CONTENT = re.compile(r"content[_ -]?(policy|filter|management)|moderation|flagged|safety|data_inspection", re.IGNORECASE)
"""Words of a server that refuses what is shown or asked, which some do with status 403."""
REASON_CHARS = 300
BROKEN_OFF = frozenset({"abort", "error"})
"""Reasons to finish by which vLLM and SGLang give up an answer: the engine was shut down or failed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Completion:
    """Completion(text="It rises.", finish_reason="stop", prompt_tokens=812, num_tokens=4, model="Qwen/Qwen3-VL-8B", ...)"""

    text: str
    finish_reason: str
    """stop, length, or another word of the server's; "" where it gives none."""
    prompt_tokens: int
    """As the server counts; 0 where it does not."""
    num_tokens: int
    """Of the answer, its reasoning included; 0 where the server does not count."""
    model: str
    """What the server calls the model that answered: a vendor resolves an alias."""
    fingerprint: str
    """system_fingerprint; "" for none."""


@dataclass(frozen=True, slots=True)
class Passing:
    """Trouble that may pass: Passing("HTTP 429: slow down", retry_after_s=2.0)."""

    reason: str
    retry_after_s: float | None = None
    """How long the server asks to be left alone."""
    is_limit: bool = False
    """The server limits how much it is asked; it may answer others meanwhile."""
    is_answer: bool = False
    """There is an answer, and it cannot be used: a web page, for one."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """The server refuses this question, and would tomorrow: Refusal("too_long", "HTTP 400: ... maximum context length ...")."""

    kind: Literal["too_long", "refused"]
    reason: str


@dataclass(frozen=True, slots=True)
class End:
    """The server refuses in words that are about every question: End("HTTP 404: no such model", status=404)."""

    reason: str
    status: int
    is_of_account: bool = False
    """It is about the key or its credit, and so about every question. A gateway may refuse one request in the other words."""


Outcome = Completion | Passing | Refusal | End


def completion_of(status: int, headers: Mapping[str, str], body: bytes, now_s: float) -> Outcome:
    """What the answer to a POST of chat/completions means. `now_s`: seconds since 1970, for a Retry-After that is a date."""
    if status != 200:
        return trouble_of(status, headers, body, now_s)
    value = json_object(body)
    try:
        choice, usage = value["choices"][0], value.get("usage") or {}
        message = choice["message"]
        text, reason = message.get("content") or "", str(choice.get("finish_reason") or "")
        counts = int(usage.get("prompt_tokens") or 0), int(usage.get("completion_tokens") or 0)
    except (KeyError, IndexError, TypeError, ValueError, AttributeError):
        return Passing(f"what is no chat completion: {_excerpt(body)}", is_answer=True)
    if not isinstance(text, str) or reason in BROKEN_OFF:
        return Passing(f"a reply that was broken off (finish_reason {reason!r})", is_answer=True)
    if reason == "content_filter" or (not text and message.get("refusal")):
        return Refusal("refused", str(message.get("refusal") or "its content filter ended the answer"))
    return Completion(
        text=text.strip(),
        finish_reason=reason,
        prompt_tokens=counts[0],
        num_tokens=counts[1],
        model=str(value.get("model") or ""),
        fingerprint=str(value.get("system_fingerprint") or ""),
    )


def trouble_of(status: int, headers: Mapping[str, str], body: bytes, now_s: float) -> Passing | Refusal | End:
    """What an answer of another status than 200 means."""
    code, message = _error_of(body)
    reason = f"HTTP {status}: {message}" if message else f"HTTP {status}"
    if code in OUT_OF_CREDIT or status in ACCOUNT_STATUSES:
        return End(reason, status, is_of_account=True)
    if status in PASSING_STATUSES or (status >= 500 and status not in LASTING_STATUSES):
        return Passing(reason, retry_after_s(headers, now_s), is_limit=status == 429)
    if status in REFUSED_STATUSES and (TOO_LONG.search(f"{code} {message}")):
        return Refusal("too_long", reason)
    if status in REFUSED_STATUSES or (status == 403 and CONTENT.search(f"{code} {message}")):
        return Refusal("refused", reason)
    if 300 <= status < 400:
        return End(f"{reason}: it redirects to {headers.get('Location', 'another address')}", status)
    return End(reason, status)


def retry_after_s(headers: Mapping[str, str], now_s: float) -> float | None:
    """The seconds of a Retry-After header, which has seconds or a date (RFC 9110, 10.2.3); None without one that can be read.

    >>> retry_after_s({"Retry-After": "2"}, 0.0), retry_after_s({"Retry-After": "Thu, 01 Jan 1970 00:01:00 GMT"}, 50.0)
    (2.0, 10.0)
    >>> retry_after_s({}, 0.0), retry_after_s({"Retry-After": "soon"}, 0.0), retry_after_s({"Retry-After": "-3"}, 0.0)
    (None, None, 0.0)
    """
    value = headers.get("Retry-After", "").strip()
    try:
        seconds = float(value)
    except ValueError:
        try:
            seconds = parsedate_to_datetime(value).timestamp() - now_s
        except (ValueError, OverflowError):
            return None
    return max(0.0, seconds) if math.isfinite(seconds) else None


def models_of(body: bytes) -> list[dict[str, Any]] | None:
    """The entries of a server's list of models; None where it is none."""
    data = json_object(body).get("data")
    return [entry for entry in data if isinstance(entry, dict)] if isinstance(data, list) else None


def json_object(body: bytes) -> dict[str, Any]:
    """{} where it is no JSON object."""
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _error_of(body: bytes) -> tuple[str, str]:
    """The code and the message of an error in the forms that servers have: OpenAI's, vLLM's, SGLang's, FastAPI's, or any text.

    >>> _error_of(b'{"error": {"code": "context_length_exceeded", "message": "too many tokens"}}')
    ('context_length_exceeded', 'too many tokens')
    >>> _error_of(b'{"object": "error", "message": "no such model", "code": 404}'), _error_of(b'{"detail": "Not Found"}')
    (('404', 'no such model'), ('', 'Not Found'))
    >>> _error_of(b"<html><h1>Bad\\n Gateway</h1></html>")
    ('', 'Bad Gateway')
    """
    value = json_object(body)
    error = value.get("error", value)
    if not isinstance(error, dict):
        return "", one_line(str(error))
    message = error.get("message") or error.get("detail") or ""
    return str(error.get("code") or error.get("type") or ""), one_line(str(message)) if message else _excerpt(body)


def _excerpt(body: bytes) -> str:
    return one_line(re.sub(r"<[^>]*>", " ", body[: 4 * REASON_CHARS].decode(errors="replace")))


def one_line(text: str) -> str:
    """
    >>> one_line(" a\\n  b ")
    'a b'
    """
    line = "".join(letter if letter.isprintable() else " " for letter in text)
    line = " ".join(line.split())
    return line if len(line) <= REASON_CHARS else f"{line[:REASON_CHARS]}..."
