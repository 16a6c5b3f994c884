"""Pins that copies on a web server are found by the digests that it gives, and that one without digests is told of in one line."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.config import Data
from engine.ingest.card import Card
from engine.ingest.listing import SILENT_AFTER, Listing
from engine.ingest.manifest import read_manifest
from engine.store.filesystems import Storage
from web_server import WebServer

pytestmark = pytest.mark.timeout(60)
NUM_PAIRS = 12


@pytest.fixture
def web(tmp_path: Path) -> Iterator[WebServer]:
    for number in range(NUM_PAIRS):
        for letter in "ab":
            (tmp_path / f"{letter}{number}.mp4").write_bytes(bytes([number]) * 2000)
    with WebServer(tmp_path) as server:
        yield server


def read(web: WebServer, folder: Path, way: str) -> tuple[dict[str, str], Card]:
    """The split of each video by its name, half of them held out, and the card."""
    urls = [web.url(f"{way}/{letter}{number}.mp4") for number in range(NUM_PAIRS) for letter in "ab"]
    (folder / "m.csv").write_text("video,label\n" + "".join(f"{url},x\n" for url in urls))
    storage = Storage(patience_s=1.0)
    card = Card(Listing(storage))
    clips = read_manifest(Data(manifest=str(folder / "m.csv"), heldout=0.5), storage, card)
    return {clip.video.rsplit("/", 1)[1]: clip.split for clip in clips}, card


def test_copies_are_found_by_the_digests_of_a_web_server(web: WebServer, tmp_path: Path) -> None:
    splits, card = read(web, tmp_path, "versioned")
    assert all(splits[f"a{number}.mp4"] == splits[f"b{number}.mp4"] for number in range(NUM_PAIRS))
    assert {*splits.values()} == {"train", "heldout"}
    assert any("videos are there under several names" in note for note in card.notes())
    assert not any("not looked for" in note for note in card.notes())
    assert web.requests.total() == 2 * NUM_PAIRS, "a request for each object, at all"


@pytest.mark.parametrize("way", ["ranges", "whole", "404", "dated"])
def test_a_web_server_without_digests_is_asked_a_few_times_and_told_of(web: WebServer, tmp_path: Path, way: str) -> None:
    _, card = read(web, tmp_path, way)
    [note] = [note for note in card.notes() if "not looked for" in note]
    assert note.startswith(
        f"copies were not looked for among {2 * NUM_PAIRS} videos of web servers ({web.url(f'{way}/a0.mp4')} ...)"
    )
    assert "\n" not in note
    assert web.requests.total() == SILENT_AFTER
