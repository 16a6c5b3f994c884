"""Pins that a request never outlasts the patience, and that at ingest one object that never answers costs its own clip alone."""

import logging
import re
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from builders import LIMITS, a_clip
from engine.decode.decoder import ChildDecoder
from engine.ingest.listing import SILENT_AFTER, Listing
from engine.rows import Failure
from engine.store import awaited, filesystems, pace
from engine.store.filesystems import Storage
from engine.store.troubles import StorageError
from models.base import Evenly, FrameSpec, Square
from web_server import WebServer

pytestmark = pytest.mark.timeout(60)
PATIENCE_S = 1.0
SPEC = FrameSpec(choose=Evenly(4), size=Square(32))


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(filesystems, "SHORTEST_SILENCE_S", PATIENCE_S)


@pytest.fixture
def web(tmp_path: Path) -> Iterator[WebServer]:
    (tmp_path / "a.mp4").write_bytes(b"0123456789" * 300)
    with WebServer(tmp_path) as server:
        yield server


@pytest.mark.parametrize(
    ("way", "words"), [("hangs", "no answer within 1 s"), ("drips", "no answer within 1 s"), ("stalls", "Timeout on reading data")]
)
def test_a_request_ends_with_the_patience_in_words(web: WebServer, way: str, words: str) -> None:
    began = time.monotonic()
    with pytest.raises(StorageError) as caught, Storage(patience_s=PATIENCE_S).opened(web.url(f"{way}/a.mp4")) as source:
        source.read(0, 100)
    assert time.monotonic() - began < 4 * PATIENCE_S
    assert (caught.value.trouble, f"{way}/a.mp4: {words}" in str(caught.value)) == ("unavailable", True)


@pytest.mark.parametrize("way", ["trickles", "trickles_ranges"])
def test_a_body_that_trickles_ends_with_the_patience_in_words(web: WebServer, way: str) -> None:
    began = time.monotonic()
    with pytest.raises(StorageError) as caught, Storage(patience_s=PATIENCE_S).opened(web.url(f"{way}/a.mp4")) as source:
        source.read(0, 1000)
    assert time.monotonic() - began < 5 * PATIENCE_S
    words = (
        rf"{way}/a.mp4: too slow: \d\d bytes came in 2 s, and an object may take limits.storage_patience_s = 1 s and a second for"
    )
    assert (caught.value.trouble, bool(re.search(words, str(caught.value)))) == ("unavailable", True)


def test_many_small_ranges_share_one_patience(web: WebServer) -> None:
    with Storage(patience_s=PATIENCE_S).opened(web.url("trickles_ranges/a.mp4")) as source:
        began, parts = time.monotonic(), list[bytes]()
        with pytest.raises(StorageError, match="too slow"):
            parts.extend(source.read(at, 5) for at in range(0, 100, 5))  # each takes half a second, and no patience alone
    assert 0 < len(parts) < 10
    assert time.monotonic() - began < 6 * PATIENCE_S


def test_a_body_at_the_pace_takes_as_long_as_it_takes(web: WebServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pace, "BYTES_PER_S", 5)
    with Storage(patience_s=PATIENCE_S).opened(web.url("trickles_ranges/a.mp4")) as source:
        assert source.read(0, 30) == b"0123456789" * 3


def test_a_clip_whose_object_trickles_is_a_row_in_words(web: WebServer) -> None:
    with ChildDecoder(Storage(patience_s=PATIENCE_S), LIMITS) as decoder:
        failure = decoder.decode(a_clip(video=web.url("trickles/a.mp4")), SPEC)
    assert isinstance(failure, Failure)
    assert (failure.kind, "trickles/a.mp4: too slow: " in failure.detail) == ("unreadable", True)


def test_a_request_to_s3_ends_with_the_patience() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        options = {"endpoint_url": f"http://127.0.0.1:{server.getsockname()[1]}", "key": "k", "secret": "s"}
        began = time.monotonic()
        with pytest.raises(StorageError, match="Read timeout"), Storage({"s3": options}, PATIENCE_S).opened("s3://b/a.mp4"):
            pass
        assert time.monotonic() - began < 4 * PATIENCE_S


def test_a_clip_whose_object_hangs_fails_in_words_and_its_server_is_not_blamed(web: WebServer) -> None:
    with ChildDecoder(Storage(patience_s=PATIENCE_S), LIMITS) as decoder:
        clips = [a_clip(video=web.url(f"{way}/a.mp4")) for way in ("hangs", "ranges")]
        decoder.expect(clips)
        hung, answered = (decoder.decode(clip, SPEC) for clip in clips)
    assert isinstance(hung, Failure)
    assert (hung.kind, "no answer within 1 s" in hung.detail) == ("unreadable", True)
    assert isinstance(answered, Failure)
    assert answered.kind == "not_video", "it was read"


def test_a_setting_of_s3_does_not_undo_what_bounds_its_requests() -> None:
    options = {"key": "k", "secret": "s", "config_kwargs": {"signature_version": "s3v4"}}
    filesystem, _ = Storage({"s3": options}, patience_s=7.0).filesystem("s3://b/a")
    config = filesystem.config_kwargs
    assert (config["signature_version"], config["retries"]["total_max_attempts"], config["read_timeout"]) == ("s3v4", 1, 7.0)


def test_at_ingest_an_object_that_never_answers_is_one_clip(
    web: WebServer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(awaited, "TOLD_AFTER_S", 0.3)
    monkeypatch.setattr(awaited, "LOOK_S", 0.1)
    paths = ["hangs/a.mp4", *(f"ranges/a.mp4?{number}" for number in range(20)), "ranges/none.mp4"]
    listing, began = Listing(Storage(patience_s=PATIENCE_S)), time.monotonic()
    with caplog.at_level(logging.WARNING):
        assert len(list(listing.counted(a_clip(path, video=web.url(path)) for path in paths))) == 22
    assert time.monotonic() - began < 5 * PATIENCE_S
    assert (listing.unanswered.first, listing.missing.first) == (["hangs/a.mp4"], ["ranges/none.mp4"])
    assert [f"no answer yet from {web.url('hangs/a.mp4')}; waiting for at most 1 s" in line for line in caplog.messages].count(
        True
    ) == 1


def test_a_server_that_never_answers_is_asked_a_few_times_at_once(web: WebServer) -> None:
    paths = [f"hangs/a.mp4?{number}" for number in range(300)]
    listing, began = Listing(Storage(patience_s=PATIENCE_S)), time.monotonic()
    assert len(list(listing.counted(a_clip(path, video=web.url(path)) for path in paths))) == 300
    assert time.monotonic() - began < 5 * PATIENCE_S
    assert (listing.unanswered.count, web.requests.total()) == (300, SILENT_AFTER)
