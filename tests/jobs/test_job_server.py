"""Pins what a user is told, in one line and within ten seconds, if a run cannot be sent to a Ray cluster."""

import base64
import contextlib
import hashlib
import http.server
import json
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from jobs import job_server
from jobs.job_server import JobServer, checked_address
from jobs.submit import package_bytes

WEBSOCKET = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
"""What RFC 6455 adds to a key."""


@contextlib.contextmanager
def a_server(status: int, body: str = "") -> Iterator[str]:
    """An HTTP server that answers every request with one status."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, *_: object) -> None: ...

    with serving(Handler) as address:
        yield address


@contextlib.contextmanager
def serving(handler: type[http.server.BaseHTTPRequestHandler]) -> Iterator[str]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize(
    ("status", "body", "line"),
    [
        (401, "Unauthorized", "the job server wants a token, and none was sent; set RAY_AUTH_MODE=token"),
        (403, "Forbidden", "the job server refuses this token; correct RAY_AUTH_TOKEN"),
        (404, "<html>nginx</html>", "is no Ray job server; check the port, which is 8265 by default"),
        (200, "<html>a page</html>", "no Ray job server answers at"),
        (200, "{}", "no Ray job server answers at"),
        (502, "Bad Gateway", "no Ray job server answers at"),
    ],
)
def test_a_server_that_refuses_is_one_line(status: int, body: str, line: str) -> None:
    with a_server(status, body) as address, pytest.raises(ValueError, match=line) as caught:
        JobServer(address)
    assert "\n" not in str(caught.value)
    assert address in str(caught.value)


def test_a_token_file_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAY_AUTH_TOKEN", raising=False)
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", "/nowhere/token")
    with pytest.raises(ValueError, match=r"^RAY_AUTH_TOKEN_PATH names /nowhere/token, which is no file; correct it"):
        JobServer("http://127.0.0.1:8265")


def test_a_head_that_does_not_answer_is_one_line_within_ten_seconds() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        began = time.monotonic()
        with pytest.raises(ValueError, match=r"^no Ray job server answers at http://127.0.0.1:\d+ \(.*\); check the address"):
            JobServer(f"http://127.0.0.1:{listener.getsockname()[1]}")  # nobody listens
        listener.listen()
        with pytest.raises(ValueError, match=r"^no Ray job server answers at .*; check the address, and that the head is up$"):
            JobServer(f"http://127.0.0.1:{listener.getsockname()[1]}")  # somebody listens, and says nothing
    assert time.monotonic() - began < 10


@pytest.mark.parametrize(
    ("address", "line"),
    [
        ("127.0.0.1:8265", r"has no scheme; did you mean http://127.0.0.1:8265\?"),
        ("ray://head:10001", "is an address for Ray Client; the job server is at http://head:8265 by default"),
        ("auto", r"has no scheme; did you mean http://auto\?"),
        ("ftp://head", "is not the address of a job server"),
        ("http://", "is not the address of a job server"),
    ],
)
def test_what_is_no_address_of_a_job_server(address: str, line: str) -> None:
    with pytest.raises(ValueError, match=line):
        checked_address(address)


def test_a_package_over_the_limit_names_its_largest_files(tmp_path: Path) -> None:
    for name, megabytes in (("a.csv", 1), ("b.dat", 110), ("FILM.MP4", 300), ("model.safetensors", 300)):
        with (tmp_path / name).open("wb") as file:
            file.truncate(megabytes * 10**6)
    with pytest.raises(
        ValueError, match=r"has 111 MB to send, and a job server takes 105 MB; the largest: b.dat 110 MB, a.csv 1 MB"
    ):
        package_bytes(tmp_path)
    (tmp_path / ".rayignore").write_text("*.dat\n")
    assert 10**6 <= package_bytes(tmp_path) < 1.1 * 10**6
    tiny = tmp_path / "models" / "tiny" / "weights" / "model.safetensors"
    tiny.parent.mkdir(parents=True)
    tiny.write_bytes(b"0" * 10**6)
    assert 2 * 10**6 <= package_bytes(tmp_path) < 2.1 * 10**6


class Jobs(http.server.BaseHTTPRequestHandler):
    """A job server whose job has ended, and whose log is gone with its node."""

    status, log_status, known = "SUCCEEDED", 500, True

    def do_GET(self) -> None:
        answers: dict[str, tuple[int, object]] = {
            "/api/version": (200, {"version": "4", "ray_version": "2.60.0", "ray_commit": "x", "session_name": "x"}),
            "/api/jobs/j": (
                200,
                {"type": "SUBMISSION", "submission_id": "j", "status": self.status, "entrypoint": "x", "metadata": {}},
            )
            if self.known
            else (404, {}),
            "/api/jobs/j/logs": (self.log_status, {"logs": "all of it\n"}),
        }
        status, body = answers.get(self.path, (404, {}))
        self.send_response(status)
        self.end_headers()
        self.wfile.write(json.dumps(body).encode())

    def log_message(self, *_: object) -> None: ...


@pytest.mark.parametrize(
    ("fields", "status", "out", "err"),
    [
        ({}, 0, "j succeeded\n", "the log of j cannot be read (Request failed with status code 500"),
        ({"log_status": 200}, 0, "all of it\nj succeeded\n", ""),
        ({"status": "FAILED"}, 1, "", "j ended as FAILED: see its log"),
        ({"status": "STOPPED"}, 1, "", "j ended as STOPPED: see its log"),
    ],
)
def test_the_exit_status_is_the_jobs_even_without_its_log(
    fields: dict[str, object], status: int, out: str, err: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with serving(type("Handler", (Jobs,), fields)) as address, pytest.raises(SystemExit) as ended:
        JobServer(address).follow("j")
    assert ended.value.code == status
    printed = capsys.readouterr()
    assert printed.out == out
    assert err in printed.err


def test_a_job_that_the_head_has_forgotten_is_one_line() -> None:
    with (
        serving(type("Handler", (Jobs,), {"known": False})) as address,
        pytest.raises(ValueError, match="no longer knows this job"),
    ):
        JobServer(address).follow("j")


class Silent(Jobs):
    """Its job ends without a word in the stream of the log, which stays open."""

    log_status, status = 200, "RUNNING"

    def do_GET(self) -> None:
        if not self.path.endswith("/logs/tail"):
            super().do_GET()
            return
        key = base64.b64encode(hashlib.sha1(f"{self.headers['Sec-WebSocket-Key']}{WEBSOCKET}".encode()).digest()).decode()
        self.send_response(101)
        for name, value in (("Upgrade", "websocket"), ("Connection", "Upgrade"), ("Sec-WebSocket-Accept", key)):
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(b"\x81\x04all ")  # a text of four bytes
        type(self).status = "SUCCEEDED"
        self.rfile.read()  # until the follower leaves


def test_a_job_that_ended_while_its_log_was_silent_is_seen(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job_server, "LOOK_S", 0.2)
    began = time.monotonic()
    with serving(type("Handler", (Silent,), {})) as address, pytest.raises(SystemExit) as ended:
        JobServer(address).follow("j")
    assert time.monotonic() - began < job_server.LOST_S / 4
    assert (ended.value.code, capsys.readouterr().out) == (0, "all of it\nj succeeded\n")
