"""Pins that all spellings of one object are one object: for the split that a name decides, and for a video in two splits."""

import os
from pathlib import Path

import pytest

from engine.config import Data
from engine.ingest import manifest
from engine.rows import Clip
from engine.store.files import Store
from engine.store.filesystems import Storage
from engine.store.locations import canonical, local_path, name_below, object_key, place_of


def read(path: Path, text: str, heldout: float = 0.0) -> list[Clip]:
    path.write_text(text)
    return list(manifest.read_manifest(Data(manifest=str(path), heldout=heldout), Storage()))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """a.mp4 and a link of each kind to it; the folder itself has a second name."""
    videos = tmp_path / "videos"
    videos.mkdir()
    (videos / "a.mp4").write_bytes(b"x")
    (videos / "b.mp4").write_bytes(b"y")
    (videos / "soft.mp4").symlink_to("a.mp4")
    (tmp_path / "again").symlink_to(videos)
    return videos


SPELLINGS = ("./a.mp4", "x/../a.mp4", "{folder}/a.mp4", "file://{folder}/a.mp4", "file://localhost{folder}/a.mp4", "soft.mp4")


@pytest.mark.parametrize("spelling", [*SPELLINGS, "{folder}/../again/soft.mp4", "hard.mp4"])
def test_a_video_in_both_splits_is_refused_however_it_is_spelt(folder: Path, spelling: str) -> None:
    os.link(folder / "a.mp4", folder / "hard.mp4")
    name = spelling.format(folder=folder)
    refusal = (
        "is a copy of .*a.mp4, train at .*; put copies"
        if spelling == "hard.mp4"
        else "is in heldout here and in train at .*; split by"
    )
    with pytest.raises(ValueError, match=refusal):
        read(folder / "m.csv", f"video,label,split,clip_id\na.mp4,x,train,1\nb.mp4,x,train,3\n{name},y,heldout,2\n")


def test_a_copy_in_the_other_split_is_refused_by_its_bytes(folder: Path) -> None:
    for name, data in (("a", b"1" * 2000), ("copy", b"1" * 2000), ("other", b"2" * 2000)):
        (folder / f"{name}.mp4").write_bytes(data)
    with pytest.raises(ValueError, match=r"copy.mp4, heldout here, is a copy of .*a.mp4, train at .*; put copies into one split"):
        read(folder / "m.csv", "video,label,split\na.mp4,x,train\nother.mp4,x,heldout\ncopy.mp4,y,heldout\n")
    both_train = "video,label,split\na.mp4,x,train\ncopy.mp4,x,train\nother.mp4,x,heldout\nb.mp4,y,heldout\n"
    assert len(read(folder / "m.csv", both_train)) == 4


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_the_split_that_a_name_decides_is_that_of_the_object(folder: Path, spelling: str) -> None:
    """Whatever the share: one of them would else be apart."""
    name = spelling.format(folder=folder)
    for share in (0.1, 0.3, 0.5, 0.7, 0.9):
        clips = read(folder / "m.csv", f"video,label,clip_id\na.mp4,x,1\n{name},y,2\n", share)
        assert len({clip.split for clip in clips}) == 1


def test_a_name_decides_the_same_split_as_before(tmp_path: Path) -> None:
    """A run that begins again must not find other clips held out."""
    clips = read(tmp_path / "m.csv", "video,label\n" + "".join(f"v{i}.mp4,x\n" for i in range(12)), 0.3)
    assert [clip.clip_id for clip in clips if clip.split == "heldout"] == ["v1", "v4", "v5", "v6", "v7", "v11"]


def test_a_relative_name_is_of_the_folder_that_the_process_is_in_now(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        monkeypatch.chdir(tmp_path / name)
        assert canonical("a.mp4") == object_key("a.mp4") == str(tmp_path / name / "a.mp4")
        assert name_below(str(tmp_path / name / "a.mp4"), "") == "a.mp4"


SIGNED = (
    "sv=2022-11-02&st=1&se=2&sr=b&sp=r&sig=AAA",
    "sv=1&skoid=1&sktid=2&skt=3&ske=4&sks=b&skv=5&spr=https&sip=1&rsct=video%2Fmp4&sig=Q",
    "Expires=1&Signature=2&Key-Pair-Id=3&Policy=4",
    "AWSAccessKeyId=1&Expires=2&Signature=3",
    "GoogleAccessId=1&Expires=2&Signature=3",
    "X-Goog-Algorithm=1&X-Goog-Signature=2",
)
MEANINGFUL = ("se", "sp", "sr", "st", "sv", "si", "ss", "Policy", "Expires")
"""Names that mean something else on a server that signs nothing."""


@pytest.mark.parametrize(
    ("first", "second", "is_same"),
    [
        ("s3://b/a.mp4", "s3a://b/a.mp4", True),
        ("gs://b/a.mp4", "gcs://b/a.mp4", True),
        ("az://b/a.mp4", "abfs://b@account.dfs.core.windows.net/a.mp4", True),
        ("s3://b/a.mp4", "s3://b/a.mp4?versionId=7", True),
        ("http://h/a.mp4", "https://H:443/a.mp4#t=1,2", True),
        ("https://h/a.mp4?id=1", "https://h/a.mp4?id=1&X-Amz-Signature=f&X-Amz-Expires=9", True),
        ("https://h/a.mp4?id=1", "https://h/a.mp4?id=2", False),
        *((f"https://h/a.mp4?id=1&{signed}", "https://h/a.mp4?id=1", True) for signed in SIGNED),
        ("https://h/ok/yoga.mp4", "https://h/ok/./yoga.mp4", True),
        ("https://h/ok/yoga.mp4", "http://h/x/../ok/%2E/yoga.mp4", True),
        ("https://h/a b/é~.mp4", "https://h/a%20b/%c3%a9%7E.mp4", True),
        ("https://h/ok/yoga.mp4", "https://h/ok//yoga.mp4", False),
        ("https://h/ok/yoga.mp4", "https://h/ok%2Fyoga.mp4", False),
        ("https://h/ok/yoga.mp4", "https://h/OK/yoga.mp4", False),
        *((f"https://h/watch?{name}=3", f"https://h/watch?{name}=4", False) for name in MEANINGFUL),
        ("s3://b/v/a.mp4", "s3://b/v//a.mp4", False),
        ("s3://b/a.mp4", "s3://b/./a.mp4", False),
        ("s3://b/a.mp4", "s3://b/A.mp4", False),
        ("s3://b/a.mp4", "gs://b/a.mp4", False),
        ("s3://b/x::a.mp4", "s3://b/a.mp4", False),
    ],
)
def test_which_uris_are_one_object(first: str, second: str, is_same: bool) -> None:
    assert (object_key(first) == object_key(second)) is is_same


@pytest.mark.parametrize("spelling", ["/ok/./yoga.mp4", "/x/../ok/yoga.mp4", "/ok/%79oga.mp4"])
def test_two_spellings_of_a_url_are_one_video(tmp_path: Path, spelling: str) -> None:
    for share in (0.1, 0.3, 0.5, 0.7, 0.9):
        text = f"video,label,clip_id\nhttp://h/ok/yoga.mp4,x,1\nhttp://h{spelling},y,2\n"
        clips = read(tmp_path / "m.csv", text, share)
        assert len({clip.split for clip in clips}) == 1
        assert clips[1].video == f"http://h{spelling}", "what is opened stays as it is written"


def test_a_file_uri_may_be_percent_encoded(tmp_path: Path) -> None:
    """As Path.as_uri() writes it; a file whose name holds the percent sign comes first."""
    spaced, literal = tmp_path / "a b.mp4", tmp_path / "a%20b.mp4"
    spaced.write_bytes(b"spaced")
    uri = spaced.as_uri()
    assert "a%20b.mp4" in uri
    with Storage().opened(uri) as source:
        assert source.read(0, 9) == b"spaced"
    assert (local_path(uri), object_key(uri)) == (str(spaced), object_key(str(spaced)))
    assert local_path(str(literal)) == str(literal), "a path is no URI"
    assert local_path(f"file://{tmp_path}/none%20%00") == f"{tmp_path}/none%20%00"
    literal.write_bytes(b"literal")
    assert local_path(uri) == str(literal)


def test_a_path_is_no_uri(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/home/me")
    for path in ("a::b", "file:a", "data:a", "local:a", "~a", "#a?b%20"):
        assert local_path(path) == f"{tmp_path}/{path}"
    assert local_path("~/a") == "/home/me/a"
    assert {Store(uri).url() for uri in (".", "", "./", str(tmp_path), f"file://{tmp_path}/")} == {str(tmp_path)}
    assert Store("./x/").url("a") == f"{tmp_path}/x/a"
    assert canonical("http://h:x/a") == "http://h:x/a"
    assert place_of("https://h:81?x") == "https://h:81"
