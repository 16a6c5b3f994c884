"""A server of OpenAI's chat protocol for tests, on a loopback port: it sees the pixels that it is sent, and can be in trouble."""

import base64
import io
import json
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

MODEL = "toy/eyes"
KEY_ENV, KEY = "STARLOOP_TEST_CHAT_KEY", "sk-open-sesame-0815"
"""conftest.py sets it before Ray starts, so that Ray's workers have it."""
TROUBLES: dict[str, tuple[int, bytes]] = {
    "busy": (429, b'{"error": {"message": "slow down", "type": "rate_limit", "code": "rate_limit_exceeded"}}'),
    "broke": (429, b'{"error": {"message": "You exceeded your current quota", "code": "insufficient_quota"}}'),
    "broken": (500, b'{"error": {"message": "the engine fell over"}}'),
    "gateway": (502, b"<html><h1>502 Bad\nGateway</h1></html>"),
    "html": (200, b"<html>welcome to our hotel</html>"),
    "empty": (200, b'{"choices": []}'),
    "long": (400, b'{"error": {"message": "This model\'s maximum context length is 2048 tokens.", "type": "BadRequestError"}}'),
    "improper": (403, b'{"error": {"message": "your input was flagged by moderation"}}'),
    "parameter": (400, b'{"error": {"message": "Unsupported parameter: seed"}}'),
    "key": (401, b""),
    "forbidden": (403, b'{"detail": "no"}'),
    "absent": (404, b'{"error": {"message": "The model does not exist."}}'),
    "away": (503, b"no upstream"),
}
"""Way to fail -> status and body; for "key" the body repeats the key. Other ways: "cut", "reset", "aborted", "moved", "slow"."""


class ChatServer:
    """with ChatServer() as server: server.url; server.next("busy", "html"): so its next two answers are."""

    def __init__(self, port: int = 0, key: str = "") -> None:
        self.key = key
        self.model = MODEL
        """What it calls the model that answers."""
        self.always = ""
        """The trouble of each answer."""
        self.trouble_of: Callable[[dict[str, Any]], str] = lambda body: ""
        """The trouble of a request."""
        self.says: Callable[[dict[str, Any]], str] | None = None
        """The text of the answer to a request; None: what is seen."""
        self.retry_after = ""
        self.answer_s = 0.0
        self.list_trouble = ""
        """The trouble of the list of models; "absent" where the server has none."""
        self.asked: list[dict[str, Any]] = []
        """The bodies of all chats, in the order in which they came."""
        self.answered: list[str] = []
        """The questions that were answered."""
        self.at_s: list[float] = []
        self.now = self.most_at_once = 0
        self.lock = threading.Lock()
        self._next: deque[str] = deque()
        chat = self

        class Handler(_Handler):
            server_of_tests = chat

        self._server = _Server(("127.0.0.1", port), Handler)
        self.port = self._server.server_port
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)

    def __enter__(self) -> "ChatServer":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def next(self, *troubles: str) -> None:
        self._next.extend(troubles)

    def stop(self) -> None:
        """Connections are refused from now on, and those that are open break."""
        if self._thread.is_alive():
            self._server.shutdown()
            self._server.server_close()
            self._server.break_connections()
            self._thread.join(10)

    def trouble(self, body: dict[str, Any]) -> str:
        return self._next.popleft() if self._next else self.always or self.trouble_of(body)


class _Server(ThreadingHTTPServer):
    request_queue_size = 100
    daemon_threads = True

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._open: set[Any] = set()

    def process_request(self, request: Any, client_address: Any) -> None:
        self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self._open.discard(request)
        super().shutdown_request(request)

    def break_connections(self) -> None:
        for request in list(self._open):
            with suppress(OSError):
                request.shutdown(2)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Whoever waited has gone."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_of_tests: ChatServer

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        chat = self.server_of_tests
        if self.path != "/v1/models":
            self._send(404, b'{"detail": "Not Found"}')
        elif chat.list_trouble:
            self._send(*TROUBLES[chat.list_trouble])
        elif self._is_let_in():
            card = {"id": MODEL, "object": "model", "created": time.time(), "owned_by": "tests", "root": "/weights/eyes"}
            self._send(200, json.dumps({"object": "list", "data": [card]}).encode())

    def do_POST(self) -> None:
        chat, body = self.server_of_tests, json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.path != "/v1/chat/completions":
            self._send(404, b'{"detail": "Not Found"}')
            return
        if not self._is_let_in():
            return
        with chat.lock:
            chat.asked.append(body)
            chat.at_s.append(time.monotonic())
            chat.now += 1
            chat.most_at_once = max(chat.most_at_once, chat.now)
            trouble = chat.trouble(body)
        try:
            time.sleep(chat.answer_s)
            self._answer(body, trouble)
        finally:
            with chat.lock:
                chat.now -= 1

    def _is_let_in(self) -> bool:
        """Whether the key is right; else the answer repeats what was sent, as some servers do."""
        sent, key = self.headers.get("Authorization", ""), self.server_of_tests.key
        if key and sent != f"Bearer {key}":
            self._send(401, json.dumps({"error": {"message": f"Incorrect API key provided: {sent}"}}).encode())
            return False
        return True

    def _answer(self, body: dict[str, Any], trouble: str) -> None:
        chat = self.server_of_tests
        if trouble in TROUBLES:
            status, content = TROUBLES[trouble]
            retry = {"Retry-After": chat.retry_after} if chat.retry_after and status in (429, 503) else {}
            self._send(status, content or f"wrong key: {self.headers.get('Authorization')}".encode(), **retry)
            return
        if trouble == "moved":
            self._send(302, b"", Location="http://127.0.0.1:9/v1/chat/completions")
            return
        if trouble == "slow":
            time.sleep(1.5)
        text = chat.says(body) if chat.says else ""
        reply = reply_to(body, "abort" if trouble == "aborted" else "", text) | {"model": chat.model}
        content = json.dumps(reply).encode()
        if trouble in ("cut", "reset"):
            if trouble == "cut":
                self._send(200, content[: len(content) // 2], **{"Content-Length": str(len(content))})
            self.close_connection = True
            return
        with chat.lock:
            chat.answered.append(question_in(body))
        self._send(200, content)

    def _send(self, status: int, body: bytes, **headers: str) -> None:
        self.send_response(status)
        for key, value in ({"Content-Length": str(len(body)), "Content-Type": "application/json"} | headers).items():
            self.send_header(key, value)
        self.end_headers()
        self.wfile.write(body)


def question_in(body: dict[str, Any]) -> str:
    content = body["messages"][-1]["content"]
    return content if isinstance(content, str) else str(content[-1]["text"])


def reply_to(body: dict[str, Any], finish_reason: str = "", text: str = "") -> dict[str, Any]:
    """By default an answer that names what is seen: how many pictures, and how bright; and the hint where there is one."""
    pictures, question = pictures_in(body), question_in(body)
    hint = question.partition("Hint: the answer is ")[2].partition(".")[0]
    brightness = ", ".join(f"{picture.mean():.0f}" for picture in pictures)
    text = text or f"I see {len(pictures)} pictures of brightness {brightness}, so the action is {hint or 'unknown'}."
    words = text.split()
    limit = body.get("max_tokens", body.get("max_completion_tokens", 1000))
    reason = finish_reason or ("length" if len(words) > limit else "stop")
    return {
        "id": "chat-1",
        "object": "chat.completion",
        "model": MODEL,
        "system_fingerprint": "toy-1",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": " ".join(words[:limit])}, "finish_reason": reason}],
        "usage": {
            "prompt_tokens": 10 * len(pictures) + len(question.split()),
            "completion_tokens": min(limit, len(words)),
            "total_tokens": 0,
        },
    }


def pictures_in(body: dict[str, Any]) -> list[NDArray[np.uint8]]:
    """The pictures of all messages, uint8[H,W,3] each, in their order."""
    parts = [part for message in body["messages"] if isinstance(message["content"], list) for part in message["content"]]
    return [picture for part in parts if part["type"] != "text" for picture in _pictures(part)]


def _pictures(part: dict[str, Any]) -> list[NDArray[np.uint8]]:
    url = part[part["type"]]["url"]
    head, _, data = url.partition(",")
    assert head in ("data:image/jpeg;base64", "data:image/png;base64", "data:video/jpeg;base64"), head
    return [_decoded(base64.b64decode(picture, validate=True)) for picture in data.split(",")]


def _decoded(data: bytes) -> NDArray[np.uint8]:
    with av.open(io.BytesIO(data)) as container:
        [frame] = container.decode(video=0)
        pixels: NDArray[np.uint8] = frame.to_ndarray(format="rgb24")
        return pixels
