"""A web server for tests, on a loopback port of its own: a path begins with the way in which a real server may answer."""

import gzip
import hashlib
import threading
from collections import Counter
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


class WebServer:
    """with WebServer(folder) as web: web.url("ranges/a.mp4"); web.is_away = True: from then on it answers 503 to everything.

    web.denies = True: 403 to everything.
    """

    def __init__(self, folder: Path) -> None:
        self.is_away = self.denies = False
        self.denied: set[str] = set()
        """Names of files to which it answers 403, whatever the way."""
        self.is_over = threading.Event()
        self.requests: Counter[str] = Counter()
        """By path."""
        web = self

        class Handler(_Handler):
            server_of_tests, files = web, folder

        self._server = _Server(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)

    def __enter__(self) -> "WebServer":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.is_over.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(10)

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self._server.server_port}/{path}"


class _Server(ThreadingHTTPServer):
    request_queue_size = 100  # with the default of 5, some of many connections at once wait for a second


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_of_tests: WebServer
    files: Path

    def handle(self) -> None:
        with suppress(ConnectionError):  # whoever waited has gone
            super().handle()

    def log_message(self, *_: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self._send(405, b"")  # an address that is signed for GET alone

    def do_GET(self) -> None:
        self.server_of_tests.requests[self.path] += 1
        way, _, name = self.path.partition("?")[0].lstrip("/").partition("/")
        file = self.files / name
        if self.server_of_tests.is_away:
            self._send(503, b"")
        elif self.server_of_tests.denies:
            self._send(403, b"no")
        elif not file.is_file():
            self._send(404, b"no such file")
        elif name in self.server_of_tests.denied:
            self._send(403, b"")
        elif way.isdecimal():
            self._send(int(way), b"an error page")
        elif hasattr(self, f"_{way}"):
            getattr(self, f"_{way}")(file.read_bytes())
        else:
            self._send(404, b"no such way")

    def _send(self, status: int, body: bytes, **headers: str) -> None:
        self.send_response(status)
        for key, value in ({"Content_Length": str(len(body))} | headers).items():
            if value:
                self.send_header(key.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def _asked(self, size: int) -> tuple[int, int]:
        first, _, last = self.headers.get("Range", "bytes=0-").removeprefix("bytes=").partition("-")
        return int(first), min(size, int(last or size - 1) + 1)

    def _ranges(self, body: bytes, shift: int = 0, **headers: str) -> None:
        if "Range" not in self.headers:
            return self._send(200, body, **headers)
        start, end = self._asked(len(body))
        if start >= len(body):
            return self._send(416, b"", Content_Range=f"bytes */{len(body)}")
        whole = f"bytes {start + shift}-{end + shift - 1}/{len(body)}"
        return self._send(206, body[start:end], Content_Range=whole, **headers)

    def _late(self, body: bytes) -> None:
        self.server_of_tests.is_over.wait(1.0)
        self._ranges(body)

    def _capped(self, body: bytes) -> None:
        """At most 300,000 bytes of a range, as RFC 9110 allows (15.3.7)."""
        start, end = self._asked(len(body))
        end = min(end, start + 300_000)
        self._send(206, body[start:end], Content_Range=f"bytes {start}-{end - 1}/{len(body)}")

    def _versioned(self, body: bytes) -> None:
        self._send(200, body, ETag=f'"{hashlib.sha256(body).hexdigest()}"')

    def _dated(self, body: bytes) -> None:
        """An ETag of time and size, as nginx writes it."""
        self._ranges(body, ETag=f'"65f1a2b3-{len(body):x}"')

    def _whole(self, body: bytes) -> None:
        self._send(200, body)

    def _chunks(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for at in range(0, len(body), 50_000):
            part = body[at : at + 50_000]
            self.wfile.write(b"%x\r\n%s\r\n" % (len(part), part))
        self.wfile.write(b"0\r\n\r\n")

    def _until_closed(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)
        self.close_connection = True

    def _gzip(self, body: bytes) -> None:
        self._send(200, gzip.compress(body, 1), Content_Encoding="gzip")

    def _gzip_ranges(self, body: bytes) -> None:
        self._ranges(gzip.compress(body, 1), Content_Encoding="gzip")

    def _ranges_refused(self, body: bytes) -> None:
        self._send(501 if "Range" in self.headers else 200, b"" if "Range" in self.headers else body)

    def _first_range_only(self, body: bytes) -> None:
        self._ranges(body) if self.headers.get("Range") == "bytes=0-0" else self._whole(body)

    def _whole_of_another(self, body: bytes) -> None:
        """Ranges at first; later the whole object, of another version that has as many bytes."""
        if self.headers.get("Range") == "bytes=0-0":
            return self._ranges(body, ETag='"one"')
        return self._send(200, body[::-1], ETag='"two"')

    def _another_range(self, body: bytes) -> None:
        self._ranges(body, shift=0 if self.headers.get("Range") == "bytes=0-0" else 1)

    def _cut(self, body: bytes) -> None:
        self._send(200, body[: len(body) // 2], Content_Length=str(len(body)))
        self.close_connection = True

    def _hangs(self, _: bytes) -> None:
        """It never answers."""
        self.server_of_tests.is_over.wait(60)
        self.close_connection = True

    def _drips(self, body: bytes) -> None:
        """The head of its answer comes byte by byte, and takes a minute."""
        for byte in f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\n\r\n".encode():
            with suppress(OSError):
                self.wfile.write(bytes([byte]))
            if self.server_of_tests.is_over.wait(1):
                break
        self.close_connection = True

    def _stalls(self, body: bytes) -> None:
        """It gives the first byte of all ranges, and then nothing."""
        start, end = self._asked(len(body))
        self._send(
            206, body[start : start + 1], Content_Range=f"bytes {start}-{end - 1}/{len(body)}", Content_Length=str(end - start)
        )
        if end - start > 1:
            self.server_of_tests.is_over.wait(60)
            self.close_connection = True

    def _trickles(self, body: bytes) -> None:
        """The whole object, a byte now and then."""
        self._send(200, b"", Content_Length=str(len(body)))
        self._trickle(body)

    def _trickles_ranges(self, body: bytes) -> None:
        """The first byte of the object, and then ranges, a byte now and then."""
        start, end = self._asked(len(body))
        whole = f"bytes {start}-{end - 1}/{len(body)}"
        self._send(206, b"", Content_Range=whole, Content_Length=str(end - start))
        self._trickle(body[start:end])

    def _trickle(self, body: bytes) -> None:
        for at in range(len(body)):
            self.wfile.write(body[at : at + 1])
            if self.server_of_tests.is_over.wait(0.1):
                break
        self.close_connection = True

    def _moved(self, _: bytes) -> None:
        self._send(302, b"", Location=self.path.replace("/moved/", "/ranges/"))

    def _in_circles(self, _: bytes) -> None:
        self._send(302, b"", Location=self.path)

    def _another_each_time(self, body: bytes) -> None:
        self._ranges(body, ETag=f'"{self.server_of_tests.requests.total()}"')

    def _at_third(self, body: bytes) -> None:
        self._ranges(body) if self.server_of_tests.requests[self.path] >= 3 else self._send(503, b"")
