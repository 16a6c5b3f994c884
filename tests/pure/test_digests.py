"""Pins that a checkpoint's digest is of all its bytes, and that a file is read for it once per machine."""

import os
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from models import digests
from models.caches import cache_folder, temporary_folder
from models.folders import digest_of, revision

LARGE = 70 << 20
"""Several blocks: a flipped byte in the middle is in neither the first nor the last."""


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    digests._digest_of_version.cache_clear()
    return tmp_path / "cache" / "starloop" / "digests"


@pytest.fixture
def num_reads(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The files that were read, in order."""
    paths: list[Path] = []
    read = digests._read

    def counted(path: Path) -> str:
        paths.append(path)
        return read(path)

    monkeypatch.setattr(digests, "_read", counted)
    return paths


def a_checkpoint(folder: Path, size: int = 1 << 16) -> Path:
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    with open(folder / "model.safetensors", "wb") as file:
        file.truncate(size)
    return folder


def flip(path: Path, offset: int) -> None:
    status = path.stat()
    with open(path, "r+b") as file:
        file.seek(offset)
        file.write(b"\1")
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns + 1))


@pytest.mark.waits
def test_a_byte_in_the_middle_of_a_large_file_counts(tmp_path: Path) -> None:
    folder = a_checkpoint(tmp_path / "a", LARGE)
    before = digest_of(folder)
    flip(folder / "model.safetensors", LARGE // 2)
    assert digest_of(folder) != before


def test_names_and_sizes_count_and_other_files_do_not(tmp_path: Path) -> None:
    folder = a_checkpoint(tmp_path / "a")
    digest = digest_of(folder)
    (folder / "README.md").write_text("a card")
    assert digest_of(folder) == digest
    (folder / "config.json").rename(folder / "other.json")
    assert digest_of(folder) != digest


def test_the_same_bytes_in_another_folder_are_the_same_checkpoint(tmp_path: Path) -> None:
    assert digest_of(a_checkpoint(tmp_path / "a")) == digest_of(a_checkpoint(tmp_path / "b"))


def test_a_file_is_read_once_and_again_when_its_time_has_changed(tmp_path: Path, num_reads: list[Path]) -> None:
    folder = a_checkpoint(tmp_path / "a")
    weights = folder / "model.safetensors"
    digest = digest_of(folder)
    assert sorted(path.name for path in num_reads) == ["config.json", "model.safetensors"]
    digests._digest_of_version.cache_clear()  # as another process starts
    assert digest_of(folder) == digest
    assert len(num_reads) == 2
    flip(weights, 5)
    assert digest_of(folder) != digest
    assert [path.name for path in num_reads[2:]] == ["model.safetensors"]


def test_links_to_one_blob_are_one_file(tmp_path: Path, num_reads: list[Path]) -> None:
    folder = a_checkpoint(tmp_path / "a")
    (tmp_path / "snapshot").mkdir()
    for path in folder.iterdir():
        (tmp_path / "snapshot" / path.name).symlink_to(path)
    assert digest_of(tmp_path / "snapshot") == digest_of(folder)
    assert len(num_reads) == 2


def test_a_damaged_entry_is_read_over(tmp_path: Path, own_cache: Path, num_reads: list[Path]) -> None:
    folder = a_checkpoint(tmp_path / "a")
    digest = digest_of(folder)
    for entry, damage in zip(sorted(own_cache.glob("*.json")), ("{", "[]"), strict=True):
        entry.write_text(damage)
    digests._digest_of_version.cache_clear()
    assert digest_of(folder) == digest
    assert len(num_reads) == 4


@pytest.mark.waits
def test_many_that_start_together_read_a_file_once(tmp_path: Path, num_reads: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    folder, read = a_checkpoint(tmp_path / "a"), digests._read
    monkeypatch.setattr(digests, "_read", lambda path: time.sleep(0.1) or read(path))  # all have looked before the first is done
    with ThreadPoolExecutor(8) as threads:
        assert len(set(threads.map(lambda _: digest_of(folder), range(8)))) == 1
    assert sorted(path.name for path in num_reads) == ["config.json", "model.safetensors"]


def test_a_cache_that_cannot_be_written_costs_time_and_no_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    folder = a_checkpoint(tmp_path / "a")
    digest = digest_of(folder)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    temporary = set(os.listdir(tempfile.gettempdir()))
    digests._digest_of_version.cache_clear()
    assert digest_of(folder) == digest
    assert not {name for name in set(os.listdir(tempfile.gettempdir())) - temporary if name.startswith("starloop")}


def test_a_folder_that_others_own_or_write_to_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    own = cache_folder("weights")
    assert (own, own.stat().st_mode & 0o777) == (tmp_path / "starloop" / "weights", 0o700)
    own.chmod(0o755)
    assert cache_folder("weights").stat().st_mode & 0o777 == 0o700
    for folder in (own, own.parent):
        folder.chmod(0o770)
        with pytest.raises(ValueError, match=r"weights is not a folder of this user alone \(others can write to it\); remove it"):
            cache_folder("weights")
        folder.chmod(0o700)
    with monkeypatch.context() as patches:
        patches.setattr(os, "getuid", lambda: own.stat().st_uid + 1)
        with pytest.raises(ValueError, match=r"\(it belongs to user \d+\); remove it, or set XDG_CACHE_HOME"):
            cache_folder("weights")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    assert temporary_folder("tables") == tmp_path / f"starloop-tables-{os.getuid()}"
    (tmp_path / f"starloop-rows-{os.getuid()}").write_text("")
    with pytest.raises(ValueError, match=r"is not a folder of this user alone .*; remove it, or set TMPDIR"):
        temporary_folder("rows")


def test_a_hub_id_has_the_revision_that_it_resolved_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cached = tmp_path / "models--owner--name"
    for folder in (cached / "snapshots" / "0123abc", cached / "refs"):
        folder.mkdir(parents=True)
    (cached / "snapshots" / "0123abc" / "config.json").write_text("{}")
    (cached / "refs" / "main").write_text("0123abc")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    assert revision("owner/name") == "0123abc"
    assert revision("tiny") == revision(str(tmp_path)) == revision("s3://bucket/checkpoint") == ""
