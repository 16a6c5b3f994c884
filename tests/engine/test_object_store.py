"""Pins the store on a real S3 server: publication, what is waited for and what is not, and videos read by ranges."""

import contextlib
import pickle
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from builders import LIMITS, a_clip
from command import options, starloop
from engine.config import Data, RunConfig
from engine.decode.decoder import ChildDecoder, ClipRead
from engine.ingest.manifest import read_manifest
from engine.presets import load_config
from engine.rows import Failure
from engine.run import loop
from engine.run.catalog import runs_below
from engine.run.doctor import examine
from engine.run.lease import Fenced, Lease
from engine.run.reports import inputs_of
from engine.run.seals import read_seal
from engine.store.files import Store
from engine.store.filesystems import Storage
from engine.store.troubles import StorageError
from loops import Finished, attempts_of, examples_of, settings
from models.base import Evenly, FrameSpec, Square
from object_store import BUCKET, READER_KEY, READER_SECRET, Swift
from reported import a_run
from videos import remux, write_noisy

pytestmark = pytest.mark.timeout(400)
NUM_FRAMES, SIZE_PX = 8, 64
SPEC = FrameSpec(choose=Evenly(NUM_FRAMES), size=Square(SIZE_PX))


def test_publication(s3: Storage) -> None:
    store = Store(f"s3://{BUCKET}/publication", s3)
    assert (store.read("a"), store.names("")) == (None, [])
    assert store.create("a", b"1")
    assert not store.create("a", b"2")
    assert store.create("a", b"1")  # the same again: as when an answer was lost and the call repeated
    store.write("f/b", b"3")
    assert (store.read("a"), store.names(""), store.names("f")) == (b"1", ["a"], ["b"])
    assert pickle.loads(pickle.dumps(store)).read("f/b") == b"3"
    store.delete("f")
    store.delete("f")
    assert store.names("f") == []


def test_objects_are_listed_by_the_beginning_of_their_names(s3: Storage) -> None:
    store = Store(f"s3://{BUCKET}/listed-by-prefix", s3)
    for name in ("000-a", "001-b", "001-c", "010-d", "001-folder/e"):
        store.write(f"pieces/{name}", b"1")
    assert store.names("pieces", "001") == ["001-b", "001-c"]
    assert store.names("pieces", "02") == store.names("nothing", "0") == []
    assert store.names("pieces") == ["000-a", "001-b", "001-c", "010-d"]


def test_of_many_drivers_at_once_one_goes_on(s3: Storage) -> None:
    """Swift looks first and writes then, so several may be told that they created the lease: all but one find out."""
    leases = [Lease(Store(f"s3://{BUCKET}/race", s3), stale_s=2.0) for _ in range(8)]
    refused: list[Lease] = []
    begin = threading.Barrier(len(leases))

    def enter(lease: Lease) -> None:
        begin.wait(30)
        try:
            lease.__enter__()
        except ValueError:
            refused.append(lease)

    threads = [threading.Thread(target=enter, args=(lease,)) for lease in leases]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    holding = []
    for lease in set(leases) - set(refused):
        with contextlib.suppress(Fenced):
            lease.confirm()
            holding.append(lease)
    assert len(holding) == 1
    for lease in set(leases) - set(refused):
        lease.__exit__(None, None, None)


def test_a_server_that_is_away_is_waited_for(swift: Swift, s3: Storage, caplog: pytest.LogCaptureFixture) -> None:
    store = Store(f"s3://{BUCKET}/away", s3)
    store.write("a", b"1")
    swift.stop("object")
    back = threading.Timer(5, lambda: swift.start("object"))
    back.start()
    try:
        began = time.monotonic()
        store.write("b", b"2")
        assert time.monotonic() - began > 2
        assert (store.read("a"), store.read("b")) == (b"1", b"2")
    finally:
        back.join(60)
    assert "trying again" in caplog.text
    assert "testing" not in caplog.text  # the secret


def test_a_storm_of_503_ends_the_wait_with_one_line(swift: Swift) -> None:
    store = Store(f"s3://{BUCKET}/storm", Storage({"s3": {"endpoint_url": swift.endpoint}}, patience_s=3))
    swift.stop("object")
    try:
        for call in (lambda: store.write("a", b"1"), lambda: store.create("a", b"1")):
            with pytest.raises(StorageError) as caught:
                call()
            assert caught.value.trouble == "unavailable"
            assert "run the same command again" in str(caught.value)
    finally:
        swift.start("object")


WRONG: dict[str, tuple[dict[str, str], str, str]] = {
    "wrong key": ({"AWS_SECRET_ACCESS_KEY": "wrong"}, BUCKET, "credentials and the clock"),
    "no such user": ({"AWS_ACCESS_KEY_ID": "test:nobody"}, BUCKET, "credentials and the clock"),
    "no credentials": (
        {"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": "", "AWS_EC2_METADATA_DISABLED": "true"},
        BUCKET,
        "credentials and the clock",
    ),
    "wrong bucket": ({}, "nosuchbucket", "in an object store the bucket"),
    "read-only bucket": (
        {"AWS_ACCESS_KEY_ID": READER_KEY, "AWS_SECRET_ACCESS_KEY": READER_SECRET},
        "readable",
        "credentials and the clock",
    ),
    "quota used up": ({}, "small", "free space or quota"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_said_at_once_and_not_waited_for(swift: Swift, tmp_path: Path, name: str) -> None:
    """As a user: the whole command, with another environment."""
    environment, bucket, remedy = WRONG[name]
    if bucket in ("readable", "small"):
        swift.filesystem().mkdir(bucket)
        headers = {"X_Container_Read": READER_KEY} if bucket == "readable" else {"X_Container_Meta_Quota_Bytes": "10"}
        swift.configure_bucket(bucket, **headers)
    (tmp_path / "m.csv").write_text("video,label\na.mp4,x\n")
    sets = [
        f"data.manifest={tmp_path / 'm.csv'}", f"run.uri=s3://{bucket}/run", f"storage.s3.endpoint_url={swift.endpoint}",
        "model.allow_tiny=true",
    ]  # fmt: skip
    began = time.monotonic()
    done = starloop("generate", *options(sets), environment={"HOME": str(tmp_path)} | environment)
    assert time.monotonic() - began < 30
    assert done.returncode == 1
    assert remedy in done.stderr
    assert done.stderr.count("\n") == 1
    assert "Traceback" not in done.stderr
    assert not any(secret in done.stderr for secret in ("testing", "reading", "wrong"))


def test_a_clock_that_is_wrong_is_denied_and_says_clock(swift: Swift, s3: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    import datetime

    import botocore.auth
    import s3fs

    store = Store(f"s3://{BUCKET}/clock", s3)
    store.write("a", b"1")
    late = datetime.datetime.now(datetime.UTC) - datetime.timedelta(hours=2)
    monkeypatch.setattr(botocore.auth, "get_current_datetime", lambda remove_tzinfo=True: late.replace(tzinfo=None))
    s3fs.S3FileSystem.clear_instance_cache()
    with pytest.raises(StorageError, match="the clock of this machine"):
        Store(f"s3://{BUCKET}/clock", s3).read("a")


def test_credentials_are_neither_pickled_nor_accepted_in_a_config(s3: Storage, tmp_path: Path) -> None:
    store = Store(f"s3://{BUCKET}/pickle", s3)
    store.write("a", b"1")
    assert b"testing" not in pickle.dumps(store)
    for setting in ("storage.s3.secret=x", "storage.s3.client_kwargs.aws_secret_access_key=x", "storage.gs.token=/key.json"):
        with pytest.raises(ValueError, match="looks like a credential"):
            load_config(None, [setting])


ON_S3 = frozenset({"end.mp4", "a.webm"})


@pytest.fixture(scope="module")
def hour(tmp_path_factory: pytest.TempPathFactory, s3: Storage) -> Callable[[str], tuple[Path, str]]:
    """A one-hour 360p video out of a short one, as a file and as an object: hour("end.mp4")."""
    folder = tmp_path_factory.mktemp("hour")
    short = {
        "mp4": write_noisy(folder / "short.mp4", 12, 640, 360, preset="ultrafast", crf="40", bf="2"),
        "webm": write_noisy(folder / "short.webm", 4, 640, 360, "libvpx", deadline="realtime", speed="16", b="400k"),
    }
    made: dict[str, tuple[Path, str]] = {}

    def make(name: str) -> tuple[Path, str]:
        if name not in made:
            source = short["webm" if name.endswith("webm") else "mp4"]
            seconds = 4 if name.endswith("webm") else 12
            options = {"movflags": "faststart"} if name == "front.mp4" else {}
            path = remux(source, folder / name, 3600 // seconds, options)
            if name in ON_S3:
                filesystem, remote = s3.filesystem(f"s3://{BUCKET}/hour/{name}")
                s3.patiently("put", partial(filesystem.put_file, str(path), remote))
            made[name] = (path, f"s3://{BUCKET}/hour/{name}")
        return made[name]

    return make


@pytest.mark.parametrize(
    "name", [pytest.param("end.mp4", marks=pytest.mark.slow), "front.mp4", "a.mkv", pytest.param("a.webm", marks=pytest.mark.slow)]
)
def test_eight_seconds_of_an_hour_cost_two_hundredths_of_its_bytes(
    hour: Callable[[str], tuple[Path, str]], s3: Storage, name: str
) -> None:
    path, uri = hour(name)
    size = path.stat().st_size
    laps = 4 if name.endswith("webm") else 12
    reference = path.parent / ("short.webm" if name.endswith("webm") else "short.mp4")
    with ChildDecoder(s3, LIMITS) as decoder:
        for start_s in (0.0, 1803.0, 3590.0):
            here = decoder.decode(a_clip(video=str(path), start_s=start_s, end_s=start_s + 8), SPEC)
            assert isinstance(here, ClipRead), here
            assert np.array_equal(here.video.frames, full_decode(reference, start_s, laps))
            assert here.bytes_read / size <= 0.02
            told = f"{here.bytes_read / size:.4f} of it on disk"
            if name in ON_S3:
                there = decoder.decode(a_clip(video=uri, start_s=start_s, end_s=start_s + 8), SPEC)
                assert isinstance(there, ClipRead), there
                assert np.array_equal(here.video.frames, there.video.frames)
                assert there.bytes_read / size <= 0.02
                told += f", {there.bytes_read / size:.4f} on S3"
            print(f"{name}, {size >> 20} MiB, from {start_s:g} s: read {told}")


def full_decode(short: Path, start_s: float, lap_s: float) -> np.ndarray:
    """The frames at the window's mid-points, from every frame of the short video decoded in order; the long one is laps of it."""
    import av

    from engine.decode.frames import choose, moments
    from engine.decode.resize import square

    with av.open(str(short)) as container:
        frames = [(float(frame.pts * frame.time_base), square(frame, SIZE_PX)) for frame in container.decode(video=0)]
    times = [time_s - frames[0][0] for time_s, _ in frames]
    lap_times = [lap * lap_s + time_s for lap in range(int(3600 / lap_s)) for time_s in times]
    return np.stack([frames[i % len(frames)][1] for i in choose(lap_times, moments(NUM_FRAMES, start_s, start_s + 8.0))])


def test_objects_that_are_not_there_denied_or_replaced(s3: Storage, swift: Swift, tmp_path: Path) -> None:
    filesystem, _ = s3.filesystem(f"s3://{BUCKET}")
    short = write_noisy(tmp_path / "a.mp4", 2, 64, 64)
    other = write_noisy(tmp_path / "b.mp4", 3, 64, 64)
    uri = f"s3://{BUCKET}/objects/a.mp4"
    filesystem.put_file(str(short), uri)
    with ChildDecoder(s3, LIMITS) as decoder:
        missing = decoder.decode(a_clip(video=f"s3://{BUCKET}/objects/none.mp4"), SPEC)
        seen = decoder.decode(a_clip(video=uri), SPEC)
        filesystem.put_file(str(other), uri)
        replaced = decoder.decode(a_clip(video=uri), SPEC, etag=seen.etag if isinstance(seen, ClipRead) else "")
        filesystem.rm(uri)
        gone = decoder.decode(a_clip(video=uri), SPEC)
    assert [one.kind for one in (missing, replaced, gone) if isinstance(one, Failure)] == ["missing", "replaced", "missing"]
    assert isinstance(seen, ClipRead)
    assert seen.etag


def test_an_object_replaced_while_it_is_read_is_never_mixed(s3: Storage, tmp_path: Path) -> None:
    filesystem, path = s3.filesystem(f"s3://{BUCKET}/mixed/a.bin")
    filesystem.pipe_file(path, b"a" * 1000)
    with s3.opened(f"s3://{BUCKET}/mixed/a.bin") as source:
        assert source.read(0, 10) == b"a" * 10
        filesystem.pipe_file(path, b"b" * 1000)
        with pytest.raises(StorageError) as caught:
            source.read(10, 10)
    assert caught.value.trouble == "replaced"


def test_a_folder_in_a_bucket_is_a_manifest(s3: Storage) -> None:
    filesystem, root = s3.filesystem(f"s3://{BUCKET}/classes")
    for name in ("train/run/a.mp4", "val/run/b.mp4", "notes.txt"):
        filesystem.pipe_file(f"{root}/{name}", b"x")
    filesystem.pipe_file(f"{root}2/x/c.mp4", b"x")  # its name begins as the folder's
    filesystem.pipe_file(f"{root}.jsonl/part-0.json", b'{"video": "a.mp4", "label": "x"}\n')
    filesystem.pipe_file(f"{root}.jsonl/_SUCCESS", b"")
    for uri in (f"s3://{BUCKET}/classes", f"s3://{BUCKET}/classes/"):
        clips = list(read_manifest(Data(manifest=uri), s3))
        assert [(clip.clip_id, clip.label.text, clip.split) for clip in clips] == [
            ("train/run/a", "run", "train"),
            ("val/run/b", "run", "heldout"),
        ]
        assert clips[0].video == f"s3://{BUCKET}/classes/train/run/a.mp4"
    assert [clip.video for clip in read_manifest(Data(manifest=f"s3://{BUCKET}/classes.jsonl"), s3)] == [f"s3://{BUCKET}/a.mp4"]
    with pytest.raises(ValueError, match=r"no such file: s3://.*/none.csv"):
        list(read_manifest(Data(manifest=f"s3://{BUCKET}/none.csv"), s3))


def test_runs_in_a_bucket_are_listed_with_their_sizes(s3: Storage) -> None:
    store = Store(f"s3://{BUCKET}/listed", s3)
    assert (store.folders(""), store.total_bytes(), list(runs_below(store))) == ([], 0, [])
    store.write("a/note.txt", b"12")
    run = Store(f"s3://{BUCKET}/listed/team/run", s3)
    run.write("config.json", config := RunConfig().model_dump_json().encode())
    assert (store.folders(""), store.total_bytes()) == (["a", "team"], 2 + len(config))
    assert [below.url() for below in runs_below(store)] == [run.url()]


def test_a_run_in_a_bucket_has_its_report(s3: Storage, swift: Swift, tmp_path: Path) -> None:
    """As a user: the whole command, into the run and into a file of this machine; the digests of its steps are in the bucket."""
    a_run(tmp_path / "run", train=1_100, heldout=24, piece_clips=550)
    filesystem, root = s3.filesystem(f"s3://{BUCKET}/reported")
    filesystem.put(f"{tmp_path / 'run'}/", root, recursive=True)
    option = options([f"storage.s3.endpoint_url={swift.endpoint}"])
    into_run = starloop("report", f"s3://{BUCKET}/reported", *option)
    assert (into_run.returncode, into_run.stderr) == (0, "")
    assert into_run.stdout.startswith(f"open s3://{BUCKET}/reported/report.html (")
    store = Store(f"s3://{BUCKET}/reported", s3)
    page = store.read("report.html") or b""
    assert b"train-00002" in page
    assert inputs_of(page)
    assert store.names("report") == [f"cycle-00{number}-generate{end}.pq" for number in (0, 1) for end in ("-attempts", "")]
    into_file = starloop("report", f"s3://{BUCKET}/reported/", "--out", str(tmp_path / "page.html"), *option)
    assert into_file.returncode == 0, into_file.stderr
    assert inputs_of((tmp_path / "page.html").read_bytes()) == inputs_of(page)
    assert f"s3://{BUCKET}/reported".encode() in page


def test_a_lease_on_s3(s3: Storage) -> None:
    store = Store(f"s3://{BUCKET}/lease", s3)
    with Lease(store) as first:
        assert first.epoch == 1
        with pytest.raises(ValueError, match="is being worked on by"), Lease(store, stale_s=8):
            pass
    with Lease(store) as second:
        assert second.epoch == 2


def test_the_doctor_on_s3(s3: Storage, swift: Swift, world: Path, ray_cluster: None) -> None:
    sets = [f"data.manifest={world}", f"run.uri=s3://{BUCKET}/doctor", f"storage.s3.endpoint_url={swift.endpoint}"]
    findings = {finding.what: finding for finding in examine(load_config(None, sets), model=False)}
    assert findings["conditional create"].remedy == ""
    assert findings["run folder"].remedy == ""
    assert Store(f"s3://{BUCKET}/doctor", s3).names("") == []


@pytest.mark.ray
def test_a_run_folder_and_videos_on_s3_give_the_same_bytes_as_on_disk(
    s3: Storage, swift: Swift, world: Path, undisturbed: Finished
) -> None:
    """Run folder and videos, up to the first finetune and its checkpoints; evaluate does what generate does."""
    for path in sorted(world.parent.iterdir()):
        filesystem, remote = s3.filesystem(f"s3://{BUCKET}/world/{path.name}")
        filesystem.put_file(str(path), remote)
    store = Store(f"s3://{BUCKET}/runs/a", s3)
    sets = [*settings(f"s3://{BUCKET}/world/manifest.jsonl", store.uri), f"storage.s3.endpoint_url={swift.endpoint}"]
    loop.run(load_config(None, sets), lambda progress: None, until="cycle-000/train")
    for step in ("cycle-000/generate", "cycle-000/select", "cycle-000/train"):
        seal, reference = read_seal(store, step), read_seal(undisturbed.store, step)
        assert seal is not None
        assert reference is not None
        assert (seal.counts, seal.facts) == (reference.counts, reference.facts)
    assert elsewhere(attempts_of(store, "cycle-000/generate")) == elsewhere(attempts_of(undisturbed.store, "cycle-000/generate"))
    assert elsewhere(examples_of(store, 0)) == elsewhere(examples_of(undisturbed.store, 0))
    weights = "cycle-000/train/model/adapter_model.safetensors"
    assert store.read(weights) == undisturbed.store.read(weights)
    assert store.names("cycle-000/train") == undisturbed.store.names("cycle-000/train"), (
        "what only the way to the seal needed is gone"
    )


def elsewhere(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows without what says where their videos lie: a piece's id is a digest of its clips, paths included."""
    return [{key: row[key] for key in row if key not in ("piece_id", "video", "etag", "detail")} for row in rows]
