"""Pins what is waited for and what is not, and that a full disk, a folder without rights and a wrong URI are one line each."""

import errno
import os
import pickle
import random
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp.http_exceptions import BadStatusLine, ContentEncodingError, ContentLengthError, TransferEncodingError
from botocore.exceptions import ClientError, EndpointConnectionError
from fsspec.exceptions import BlocksizeMismatchError, FSTimeoutError
from s3fs.errors import translate_boto_error

from engine.store.files import Store
from engine.store.filesystems import Storage, check_options
from engine.store.troubles import StorageError, Trouble, reason_of, trouble_of

ROOT = Path(__file__).parents[2]


class Answer(Exception):
    """As gcsfs and Azure's client say it."""

    def __init__(self, status: int) -> None:
        super().__init__(f"status {status}")
        self.status_code = status


def of_s3(code: str, status: int) -> Exception:
    """As s3fs raises it: what botocore has raised, translated."""
    response = {"Error": {"Code": code, "Message": "as S3 says"}, "ResponseMetadata": {"HTTPStatusCode": status}}
    error: Exception = translate_boto_error(ClientError(response, "GetObject"))
    return error


def of_this_machine() -> Exception:
    """As botocore raises it where no socket can be opened: its own error, with the system's as its cause."""
    error = EndpointConnectionError(endpoint_url="http://x")
    error.__cause__ = OSError(errno.EMFILE, "Too many open files")
    return error


@pytest.mark.parametrize(
    ("error", "trouble"),
    [
        (FileNotFoundError(), "missing"),
        (IsADirectoryError(), "missing"),
        (PermissionError(), "denied"),
        (OSError(errno.ELOOP, "Too many levels of symbolic links"), "missing"),
        (OSError(errno.ENAMETOOLONG, "File name too long"), "missing"),
        (OSError(errno.EROFS, "Read-only file system"), "denied"),
        (OSError(errno.ENOSPC, "No space left on device"), "full"),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), "full"),
        (OSError(errno.EBUSY, "Slow Down"), "unavailable"),
        (OSError(errno.ESTALE, "Stale file handle"), "unavailable"),
        *((OSError(getattr(errno, name), "of a mount"), "unavailable") for name in "ENOTCONN EHOSTDOWN ENETRESET ENOLINK".split()),
        *((OSError(getattr(errno, name), "of this machine"), "exhausted") for name in "EMFILE ENFILE ENOMEM ENOBUFS".split()),
        (of_this_machine(), "exhausted"),
        (TimeoutError(), "unavailable"),
        (ConnectionResetError(), "unavailable"),
        (Answer(404), "missing"),
        (Answer(403), "denied"),
        (Answer(429), "unavailable"),
        (Answer(503), "unavailable"),
        (Answer(412), "replaced"),
        (Answer(507), "full"),
        (Answer(408), "unavailable"),
        (Answer(410), "missing"),
        *((Answer(status), "denied") for status in (402, 407, 451)),
        *((Answer(status), "refused") for status in (301, 400, 405, 416, 418, 501)),
        (of_s3("400", 400), "refused"),
        (of_s3("KMS.DisabledException", 400), "refused"),
        (of_s3("KMS.ThrottlingException", 400), "unavailable"),
        (of_s3("RequestTimeout", 400), "unavailable"),
        (of_s3("SlowDown", 503), "unavailable"),
        (of_s3("InvalidObjectState", 403), "refused"),
        (of_s3("AccessDenied", 403), "denied"),
        *((of_s3(code, 400), "denied") for code in "ExpiredToken InvalidToken TokenRefreshRequired".split()),
        (type("RefreshError", (Exception,), {})("google's"), "denied"),
        (type("ClientAuthenticationError", (Exception,), {})("azure's"), "denied"),
        (of_s3("PermanentRedirect", 301), "refused"),
        (of_s3("InvalidRange", 416), "refused"),
        (OSError(errno.EINVAL, "Invalid argument"), "refused"),
        (StorageError("full", "x"), "full"),
        (RuntimeError("[enforce fail at inline_container.cc:672] . unexpected pos 576 vs 534"), "full"),
        (RuntimeError("[enforce fail] . PytorchStreamWriter failed writing file data/0: file write failed"), "full"),
        (RuntimeError("[enforce fail] . PytorchStreamReader failed reading zip archive"), None),
        (ValueError("x"), None),
        (KeyError("x"), None),
    ],
)
def test_what_an_error_means(error: Exception, trouble: Trouble | None) -> None:
    assert trouble_of(error) == trouble


def caused(error: Exception, cause: Exception) -> Exception:
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (FSTimeoutError(), "no answer in time"),
        (caused(FSTimeoutError(), TimeoutError("no answer within 15 s")), "no answer within 15 s"),
        (caused(FSTimeoutError(), TimeoutError()), "no answer in time"),
        (aiohttp.SocketTimeoutError(), "no answer in time"),
        (aiohttp.ServerDisconnectedError(), "the server closed the connection without an answer"),
        (aiohttp.ClientOSError(), "the connection broke"),
        (ContentLengthError("x"), "fewer bytes came than the server had announced"),
        (
            caused(aiohttp.ClientPayloadError("<ContentLengthError: 400>"), ContentLengthError("x")),
            "fewer bytes came than the server had",
        ),
        (caused(aiohttp.ClientPayloadError("<TransferEncodingError: 400>"), TransferEncodingError("x")), "the answer broke off"),
        (ContentEncodingError("x"), "the answer cannot be decompressed"),
        (BadStatusLine("SSH-2.0"), "the answer is no HTTP"),
        (ConnectionRefusedError(), "the connection was refused"),
        (ConnectionResetError(), "the connection broke"),
        (FileNotFoundError(), "there is no such file"),
        (BlocksizeMismatchError(), "BlocksizeMismatchError, which says no more"),
    ],
)
def test_an_error_without_a_text_is_said_in_words(error: Exception, reason: str) -> None:
    assert reason_of(error).startswith(reason)


def test_half_an_answer_is_no_refusal() -> None:
    """aiohttp's errors about it have a code, 400, which is no answer's."""
    assert {trouble_of(error) for error in (ContentLengthError("x"), TransferEncodingError("x"))} == {"unavailable"}


def test_an_archived_object_is_told_so() -> None:
    with pytest.raises(StorageError, match="cannot read x: as S3 says; the object is archived: restore it"):
        Storage().patiently("cannot read x", lambda: raise_(of_s3("InvalidObjectState", 403)))


def raise_(error: Exception) -> None:
    raise error


@pytest.mark.waits
def test_only_what_passes_is_tried_again() -> None:
    calls: list[Exception] = []

    def fails(*errors: Exception) -> Storage:
        calls[:] = errors
        return Storage(patience_s=5)

    def call() -> str:
        if calls:
            raise calls.pop(0)
        return "done"

    assert fails(ConnectionResetError(), TimeoutError()).patiently("x", call) == "done"
    for error in (PermissionError("no"), FileNotFoundError("none"), OSError(errno.ENOSPC, "full")):
        with pytest.raises(StorageError):
            fails(error, ConnectionResetError()).patiently("x", call)
        assert len(calls) == 1
    with pytest.raises(KeyError):
        fails(KeyError("ours")).patiently("x", call)


@pytest.mark.waits
def test_patience_ends() -> None:
    def call() -> None:
        raise ConnectionResetError("reset")

    began = time.monotonic()
    with pytest.raises(StorageError, match="cannot read x: reset; check endpoint and network"):
        Storage(patience_s=0.5).patiently("cannot read x", call)
    assert time.monotonic() - began < 3


def test_the_bound_of_the_waits_doubles_up_to_ten_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    bounds: list[float] = []

    def call() -> str:
        if len(bounds) < 9:
            raise ConnectionResetError("reset")
        return "done"

    def longest(low: float, high: float) -> float:
        bounds.append(high)
        return high

    monkeypatch.setattr(random, "uniform", longest)
    monkeypatch.setattr(time, "sleep", lambda seconds: None)
    assert Storage(patience_s=1000).patiently("x", call) == "done"
    assert bounds == [0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 10.0, 10.0, 10.0]


def test_a_storage_error_survives_the_way_from_a_worker() -> None:
    error = pickle.loads(pickle.dumps(StorageError("denied", "cannot write x; check credentials")))
    assert (error.trouble, str(error)) == ("denied", "cannot write x; check credentials")


def test_secrets_are_refused_and_ways_to_find_them_are_not() -> None:
    check_options({"s3": {"endpoint_url": "http://x", "anon": True, "profile": "a"}, "gs": {"token": "anon"}})
    for options in (
        {"s3": {"endpoint_url": "http://user:word@127.0.0.1:1"}},
        {"s3": {"key": "x"}},
        {"s3": {"client_kwargs": {"aws_session_token": "x"}}},
        {"az": {"account_key": "x"}},
    ):
        with pytest.raises(ValueError, match="looks like a credential"):
            check_options(options)  # type: ignore[arg-type]


def test_what_no_store_knows_is_one_line() -> None:
    with pytest.raises(ValueError, match=r"\[storage.s4\] is not a protocol; did you mean \[storage.s3"):
        check_options({"s4": {"endpoint_url": "http://x"}})
    with pytest.raises(ValueError, match=r"\[storage.s3\] has no option 'endpont_url'; did you mean 'endpoint_url'"):
        Store("s3://bucket/x", Storage({"s3": {"endpont_url": "http://x"}})).read("a")
    with pytest.raises(ValueError, match=r"^http://...@host/a holds a password"):
        Store("http://me:word@host/a").read("a")
    with pytest.raises(StorageError, match="cannot read x: odd; storage answers, and calling again does not help") as caught:
        Storage().patiently("cannot read x", fails_oddly)
    assert caught.value.trouble == "refused"


def fails_oddly() -> None:
    raise OSError(errno.EOPNOTSUPP, "odd")


def test_a_wrong_protocol_is_one_line() -> None:
    with pytest.raises(ValueError, match="foo://x: Protocol not known: foo; use a path, s3://, gs:// or az://"):
        Store("foo://x").read("a")


@pytest.mark.waits
@pytest.mark.parametrize("call", ["pread", "fstat"])
@pytest.mark.parametrize("code", [errno.EIO, errno.ESTALE, errno.ETIMEDOUT])
def test_a_local_file_that_cannot_be_read_for_a_while_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, code: int
) -> None:
    """As on a network mount: each of the calls fails once, then for good."""
    (tmp_path / "a").write_bytes(b"0123")
    system, errors = getattr(os, call), [OSError(code, os.strerror(code))]

    def fails(*arguments: Any) -> Any:
        if errors:
            raise errors.pop()
        return system(*arguments)

    with Storage(patience_s=5).opened(str(tmp_path / "a")) as source:
        monkeypatch.setattr(os, call, fails)
        assert (source.read(1, 2), source.bytes_read, errors) == (b"12", 2, [])
    impatient, what = Storage(patience_s=0), rf"cannot .*a: {os.strerror(code)}; check endpoint and network"
    with impatient.opened(str(tmp_path / "a")) as source:
        errors += [OSError(code, os.strerror(code))]
        with pytest.raises(StorageError, match=what) as caught:
            source.read(0, 4)
        assert caught.value.trouble == "unavailable"
    errors += [OSError(code, os.strerror(code))]
    with pytest.raises(StorageError, match=what):
        Store(str(tmp_path), impatient).describe(["a"])
    errors += [OSError(code, os.strerror(code))]
    with pytest.raises(StorageError, match=what), impatient.file(str(tmp_path / "a")) as file:
        file.read()


def test_a_file_written_to_while_it_is_read_is_never_mixed(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"a" * 100)
    with Storage().opened(str(path)) as source:
        assert source.read(0, 10) == b"a" * 10
        path.write_bytes(b"b" * 101)
        with pytest.raises(StorageError) as caught:
            source.read(10, 10)
    assert caught.value.trouble == "replaced"


FILL = """
import os, subprocess, sys
import pyarrow as pa, pyarrow.parquet as pq
from engine.store.troubles import StorageError
from engine.store.files import Store
subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "none", sys.argv[1]], check=True)
store = Store(sys.argv[1])
store.write("a", b"1" * 1000)
try:
    store.write("b", b"2" * 1_000_000)
except StorageError as error:
    print(error.trouble, error, store.names(""), store.read("b"))
try:
    with store.writing("c") as file, pq.ParquetWriter(file, pa.schema([("x", pa.binary())]), compression="none") as writer:
        writer.write_table(pa.table({"x": [os.urandom(1_000_000)]}))
except StorageError as error:
    print(error.trouble, error, os.listdir(sys.argv[1]))
"""


@pytest.mark.waits
def test_a_full_disk_is_said_so_and_leaves_no_half_file(tmp_path: Path) -> None:
    if subprocess.run(["unshare", "-rm", "true"], capture_output=True, check=False).returncode:
        pytest.skip("no user namespaces here: no small disk can be made")
    done = subprocess.run(
        ["unshare", "-rm", sys.executable, "-c", FILL, str(tmp_path)],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    whole, part_by_part = done.stdout.splitlines()
    for line, name in ((whole, "b"), (part_by_part, "c")):
        assert line.startswith("full cannot write")
        assert f"/{name}: No space left on device; free space or quota" in line
    assert whole.endswith("['a'] None")
    assert part_by_part.endswith("['a']")
