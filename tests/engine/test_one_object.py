"""Pins that one object which storage does not give is one failed row that names it; storage that is away as a whole is no row."""

import os
import socket
import time
from collections.abc import Iterator
from dataclasses import replace
from itertools import count
from pathlib import Path

import fsspec
import pytest

from builders import LIMITS, a_clip
from engine.config import Data
from engine.decode.decoder import ChildDecoder, ClipRead
from engine.ingest.card import Card
from engine.ingest.listing import Listing
from engine.ingest.manifest import read_manifest
from engine.rows import Failure
from engine.store import filesystems, outage
from engine.store.filesystems import Storage
from engine.store.troubles import StorageError
from models.base import Evenly, FrameSpec, Square
from object_store import BUCKET, READER_KEY, READER_SECRET, Swift
from videos import write_noisy
from web_server import WebServer

pytestmark = pytest.mark.timeout(200)
SPEC = FrameSpec(choose=Evenly(4), size=Square(32))
IMPATIENT = Storage(patience_s=0.3)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("web")
    write_noisy(folder / "a.mp4", 8, 640, 360, preset="ultrafast", crf="14")
    assert (folder / "a.mp4").stat().st_size > 3 << 20, "larger than what is read at once"
    (folder / "empty.mp4").write_bytes(b"")
    return folder


@pytest.fixture
def web(folder: Path) -> Iterator[WebServer]:
    with WebServer(folder) as server:
        yield server


def outcome(decoder: ChildDecoder, video: str) -> str:
    """ "clip", or the kind of failure, which names the object and is one line."""
    result = decoder.decode(a_clip(video=video, start_s=6.0, end_s=7.0), SPEC)
    if isinstance(result, ClipRead):
        return "clip"
    assert video in result.detail
    assert "\n" not in result.detail
    return result.kind


@pytest.mark.parametrize(
    "way",
    [
        "ranges",
        "whole",
        "chunks",
        "until_closed",
        "gzip",
        "gzip_ranges",
        "ranges_refused",
        "first_range_only",
        "moved",
        "at_third",
        "capped",
        "versioned",
    ],
)
def test_a_servers_ways_are_read(web: WebServer, way: str) -> None:
    with ChildDecoder(Storage(patience_s=5), LIMITS) as decoder:
        assert outcome(decoder, web.url(f"{way}/a.mp4")) == "clip"
        assert outcome(decoder, web.url(f"{way}/none.mp4")) == "missing"


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("another_range/a.mp4", "unreadable"),
        ("cut/a.mp4", "unreadable"),
        ("in_circles/a.mp4", "unreadable"),
        ("another_each_time/a.mp4", "replaced"),
        ("whole_of_another/a.mp4", "replaced"),
        ("ranges/empty.mp4", "not_video"),
        ("whole/empty.mp4", "not_video"),
        *((f"{status}/a.mp4", "unreadable") for status in (400, 405, 409, 413, 416, 418, 429, 500, 501, 503, 507)),
        *((f"{status}/a.mp4", "denied") for status in (401, 403, 407, 451)),
        ("410/a.mp4", "missing"),
    ],
)
def test_what_a_server_does_with_one_object_is_a_row_and_the_next_is_read(web: WebServer, path: str, kind: str) -> None:
    with ChildDecoder(IMPATIENT, LIMITS) as decoder:
        assert outcome(decoder, web.url(path)) == kind  # the first object of all: nothing is known of the server yet
        assert outcome(decoder, web.url("ranges/a.mp4")) == "clip"
        assert outcome(decoder, web.url(path)) == kind


def test_a_server_without_ranges_gives_no_more_than_the_limit(web: WebServer) -> None:
    with ChildDecoder(IMPATIENT, replace(LIMITS, read_bytes=1 << 20)) as decoder:
        result = decoder.decode(a_clip(video=web.url("chunks/a.mp4")), SPEC)
        assert isinstance(result, Failure)
        assert (result.kind, "gives no ranges" in result.detail, "limits.read_bytes" in result.detail) == ("unreadable", True, True)


def test_an_object_that_comes_whole_comes_once_for_windows_that_follow_each_other(web: WebServer, folder: Path) -> None:
    for path in ("versioned/a.mp4", "whole/a.mp4", "until_closed/a.mp4"):
        with ChildDecoder(IMPATIENT, LIMITS) as decoder:
            results = [decoder.decode(a_clip(video=web.url(path), start_s=s, end_s=s + 1), SPEC) for s in (1.0, 2.0, 5.0)]
        spooled = [result.bytes_read for result in results if isinstance(result, ClipRead)]
        size = (folder / "a.mp4").stat().st_size
        assert spooled == ([size] * 3 if path.startswith("until") else [size, 0, 0]), path


def test_an_object_that_comes_whole_and_was_replaced_is_fetched_anew(tmp_path: Path) -> None:
    with WebServer(tmp_path) as web:
        for data in (b"0123", b"4567", b"89"):
            (tmp_path / "a").write_bytes(data)
            for _ in range(2):
                with IMPATIENT.opened(web.url("versioned/a")) as source:
                    assert source.read(1, 9) == data[1:]


def test_no_room_for_an_object_that_comes_whole_is_its_own_trouble(web: WebServer, monkeypatch: pytest.MonkeyPatch) -> None:
    with ChildDecoder(IMPATIENT, LIMITS) as decoder, open("/dev/full", "r+b", buffering=0) as full:
        with monkeypatch.context() as patched:
            patched.setattr("tempfile.TemporaryFile", lambda: os.fdopen(os.dup(full.fileno()), "r+b", buffering=0))
            result = decoder.decode(a_clip(video=web.url("chunks/a.mp4")), SPEC)
        assert isinstance(result, Failure)
        assert result.kind == "unreadable"
        assert "no room for an object that comes whole (No space left on device): set TMPDIR" in result.detail
        assert outcome(decoder, web.url("chunks/a.mp4")) == "clip"


def test_storage_that_denies_what_it_gave_before_ends_the_step(web: WebServer, folder: Path) -> None:
    """Credentials have expired: the clips that are left are no failed rows. A denied object beside others is one."""
    with ChildDecoder(IMPATIENT, LIMITS) as decoder:
        assert outcome(decoder, web.url("403/a.mp4")) == "denied"
        assert outcome(decoder, web.url("ranges/a.mp4")) == "clip"
        assert outcome(decoder, web.url("403/a.mp4")) == "denied"
        web.denies = True
        with pytest.raises(
            StorageError, match=r"ranges/a.mp4 was read before and is denied by now too, .*; check permissions"
        ) as at:
            outcome(decoder, web.url("capped/a.mp4"))
        assert (at.value.trouble, "capped/a.mp4: HTTP status 403" in str(at.value)) == ("denied", True)
        web.denies = False
        assert outcome(decoder, web.url("capped/a.mp4")) == "clip"
        assert outcome(decoder, str(folder / "a.mp4")) == "clip"
        web.denies = True
        assert outcome(decoder, web.url("dated/a.mp4")) == "denied", "one web server of several places may ban a machine"


def test_a_server_that_gave_objects_and_is_away_ends_the_step(web: WebServer) -> None:
    with ChildDecoder(IMPATIENT, LIMITS) as decoder:
        assert outcome(decoder, web.url("ranges/a.mp4")) == "clip"
        web.is_away = True
        with pytest.raises(StorageError, match="run the same command again") as caught:
            decoder.decode(a_clip(video=web.url("ranges/a.mp4")), SPEC)
        assert caught.value.trouble == "unavailable"


@pytest.fixture(params=["closed", "silent"])
def gone(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A web server that refuses connections, or accepts them and never answers."""
    monkeypatch.setattr(filesystems, "SHORTEST_SILENCE_S", 1.0)
    monkeypatch.setattr(outage, "ASKING_S", 0.0)
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        if request.param == "silent":
            server.listen(100)
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


@pytest.mark.parametrize("witness", ["disk", "another server", "none"])
def test_a_web_server_that_is_gone_is_its_own_clips_trouble(web: WebServer, folder: Path, gone: str, witness: str) -> None:
    """Also where all clips of a worker's first piece lie on it: the share of failed clips then stops the step."""
    good = {"disk": str(folder / "a.mp4"), "another server": web.url("ranges/a.mp4")}
    dead = [f"{gone}/{name}.mp4" for name in "abc"]
    with ChildDecoder(IMPATIENT, LIMITS) as decoder:
        decoder.expect([a_clip(video=video) for video in dead])
        assert [outcome(decoder, video) for video in dead] == ["unreadable"] * 3
    if witness in good:
        with ChildDecoder(IMPATIENT, LIMITS) as decoder:
            decoder.expect([a_clip(video=video) for video in (*dead, good[witness])])
            videos = [dead[0], good[witness], dead[1], dead[2], good[witness]]
            assert [outcome(decoder, video) for video in videos] == ["unreadable", "clip", "unreadable", "unreadable", "clip"]


def test_a_silent_web_server_is_left_alone_for_a_while(web: WebServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """It costs its first clip two connections, and the following ones none."""
    monkeypatch.setattr(filesystems, "SHORTEST_SILENCE_S", 1.0)
    monkeypatch.setattr(outage, "ASKING_S", 0.0)
    with socket.socket() as server, ChildDecoder(Storage(patience_s=0), LIMITS) as decoder:
        server.bind(("127.0.0.1", 0))
        server.listen(100)
        dead = [f"http://127.0.0.1:{server.getsockname()[1]}/{number}.mp4" for number in range(40)]
        decoder.expect([a_clip(video=video) for video in dead])
        assert outcome(decoder, web.url("ranges/a.mp4")) == "clip"
        assert outcome(decoder, dead[0]) == "unreadable"
        began = time.monotonic()
        assert {outcome(decoder, video) for video in dead} == {"unreadable"}
        assert time.monotonic() - began < 1.0, "less than one connection"
        monkeypatch.setattr(time, "monotonic", lambda now=time.monotonic: now() + outage.LONGEST_PAUSE_S)
        assert num_connections(server) == 2
        assert outcome(decoder, dead[1]) == "unreadable"
        assert num_connections(server) == 1, "after the pause it is tried once"


def test_a_web_server_that_refuses_at_once_is_read_soon_after_it_is_back(
    folder: Path, web: WebServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To learn that it refuses costs little, although its first clip was waited for."""
    monkeypatch.setattr(outage, "PAUSE_SHARE", 1)
    with ChildDecoder(Storage(patience_s=6), LIMITS) as decoder:
        assert outcome(decoder, str(folder / "a.mp4")) == "clip"
        web.is_away = True
        assert outcome(decoder, web.url("ranges/a.mp4")) == "unreadable"
        web.is_away = False
        monkeypatch.setattr(time, "monotonic", lambda now=time.monotonic: now() + 3.0)
        assert outcome(decoder, web.url("ranges/a.mp4")) == "clip"


def num_connections(server: socket.socket) -> int:
    """How many wait to be accepted."""
    server.settimeout(0.1)
    for number in count():
        try:
            server.accept()[0].close()
        except TimeoutError:
            return number
    raise AssertionError


@pytest.mark.parametrize(
    "name", ["Show::Ep1.mp4", "zip::a.mp4", "~a.mp4", "a#b?c%20d[1]*.mp4", "file:a.mp4", "simplecache::b", " a"]
)
def test_a_name_is_a_name_on_a_disk_and_in_memory(folder: Path, tmp_path: Path, name: str) -> None:
    data = (folder / "a.mp4").read_bytes()
    (tmp_path / name).write_bytes(data)
    with ChildDecoder(IMPATIENT, LIMITS) as decoder:
        for video in (str(tmp_path / name), f"file://{tmp_path}/{name}"):
            assert outcome(decoder, video) == "clip"
            assert outcome(decoder, f"{video}x") == "missing"
    fsspec.filesystem("memory").pipe_file(f"memory://v/{name}", b"0123")
    with IMPATIENT.opened(f"memory://v/{name}") as source:
        assert source.read(1, 2) == b"12"


@pytest.mark.parametrize("name", ["Show::Ep1.mp4", "a b#c%20d+e.mp4", "/slash.mp4", "./dot.mp4", "a*b[1].mp4"])
def test_a_name_is_a_name_on_s3(swift: Swift, s3: Storage, folder: Path, name: str) -> None:
    uri = f"s3://{BUCKET}/names/{name}"
    swift.filesystem().call_s3("put_object", Bucket=BUCKET, Key=f"names/{name}", Body=(folder / "a.mp4").read_bytes())
    with ChildDecoder(s3, LIMITS) as decoder:
        assert outcome(decoder, uri) == "clip"
        assert outcome(decoder, f"{uri}x") == "missing"


def test_what_s3_says_of_one_object_is_a_row(swift: Swift, s3: Storage, folder: Path) -> None:
    uri = f"s3://{BUCKET}/one/a.mp4"
    swift.filesystem().put_file(str(folder / "a.mp4"), uri)
    impatient = replace(s3, patience_s=0.3)
    with ChildDecoder(impatient, LIMITS) as decoder:
        assert outcome(decoder, f"{uri}?versionId=none") in ("unreadable", "missing")  # a 400
        assert outcome(decoder, f"s3://{BUCKET}/one") == "missing"  # a folder
        assert outcome(decoder, "s3://no_bucket::is/called.this") in ("unreadable", "missing")
        assert outcome(decoder, "gs://no-package/a.mp4") == "unreadable"
        assert outcome(decoder, "foo://x/a.mp4") == "unreadable"
        assert outcome(decoder, uri) == "clip"
        swift.stop("object")
        try:
            with pytest.raises(StorageError, match="run the same command again"):
                decoder.decode(a_clip(video=uri), SPEC)
        finally:
            swift.start("object")


def test_whatever_a_filesystem_raises_is_a_row(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As of a filesystem that has a fault of its own: each kind while opening, and then while reading."""
    memory = fsspec.filesystem("memory")
    memory.pipe_file("memory://odd/a.mp4", (folder / "a.mp4").read_bytes())
    for error in (ValueError("odd"), KeyError("odd"), RuntimeError("two\nlines"), AssertionError(), RecursionError("deep")):

        def fails(*_: object, error: Exception = error, **__: object) -> None:
            raise error

        with monkeypatch.context() as patched, ChildDecoder(IMPATIENT, LIMITS) as decoder:
            patched.setattr(type(memory), "_open", fails)
            assert outcome(decoder, "memory://odd/a.mp4") == "unreadable"
        with monkeypatch.context() as patched, ChildDecoder(IMPATIENT, LIMITS) as decoder:
            patched.setattr("fsspec.implementations.memory.MemoryFile.read", fails)
            assert outcome(decoder, "memory://odd/a.mp4") == "unreadable"


def test_objects_that_may_be_read_and_not_listed_are_not_called_missing(
    swift: Swift, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner = swift.filesystem()
    owner.mkdir("unlisted")
    for name in ("a.mp4", "v/a.mp4"):
        owner.put_file(str(folder / "a.mp4"), f"s3://unlisted/{name}")
    swift.configure_bucket("unlisted", X_Container_Read=".r:*")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", READER_KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", READER_SECRET)
    storage = Storage({"s3": {"endpoint_url": swift.endpoint, "skip_instance_cache": True}}, patience_s=0.3)
    listing = Listing(storage)
    with ChildDecoder(storage, LIMITS) as decoder:
        for name in ("a.mp4", "v/a.mp4"):
            assert outcome(decoder, f"s3://unlisted/{name}") == "clip"
            listing.count(a_clip(name, video=f"s3://unlisted/{name}"))
    assert (listing.missing.count, listing.unanswered.first) == (0, ["a.mp4", "v/a.mp4"])


def test_a_web_server_has_no_listing_so_each_object_is_asked_for(web: WebServer) -> None:
    listing = Listing(IMPATIENT)
    for name in ("ranges/a.mp4", "ranges/none.mp4", "chunks/a.mp4", "403/a.mp4", "400/a.mp4"):
        listing.count(a_clip(name, video=web.url(name)))
    assert listing.missing.first == ["ranges/none.mp4"]
    assert listing.unanswered.first == ["403/a.mp4", "400/a.mp4"]  # the one without ranges is there, and is not read whole


def test_a_store_that_shows_nothing_of_what_may_be_read_is_not_believed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    memory = fsspec.filesystem("memory")
    memory.pipe_file("memory://unshown/a.mp4", b"0123")
    for answer in ([], FileNotFoundError("unshown")):

        def ls(*_: object, answer: object = answer, **__: object) -> object:
            if isinstance(answer, Exception):
                raise answer
            return answer

        monkeypatch.setattr(type(memory), "ls", ls)
        listing = Listing(IMPATIENT)
        for name in ("a.mp4", "b.mp4", "c.mp4"):
            listing.count(a_clip(name, video=f"memory://unshown/{name}"))
        assert (listing.missing.count, listing.unanswered.count) == (0, 3)


def test_a_copy_on_s3_in_the_other_split_is_refused(swift: Swift, s3: Storage, tmp_path: Path) -> None:
    for name, data in (("a", b"1" * 2000), ("copy", b"1" * 2000), ("other", b"2" * 2000)):
        swift.filesystem().pipe_file(f"s3://{BUCKET}/copies/{name}.mp4", data)
    data = Data(manifest=str(tmp_path / "m.csv"), videos=f"s3://{BUCKET}/copies")
    (tmp_path / "m.csv").write_text("video,label,split\na.mp4,x,train\nother.mp4,x,val\n")
    assert len(list(read_manifest(data, s3, Card(Listing(s3))))) == 2
    (tmp_path / "m.csv").write_text("video,label,split\na.mp4,x,train\nother.mp4,x,val\ncopy.mp4,x,val\n")
    with pytest.raises(ValueError, match=r"line 4: video .*copies/copy.mp4, heldout here, is a copy of .*copies/a.mp4, train at"):
        list(read_manifest(data, s3, Card(Listing(s3))))
