"""Pins `starloop audit` on a run: a sample out, words back, sealed files untouched, and only the next select follows them."""

import csv
import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from builders import a_clip, an_attempt, seal_attempts
from command import starloop
from engine.audit.audit import draw, sample_of, take_back
from engine.audit.reviews import FOLDER, add, answer_id, read, records_of
from engine.audit.sheet import to_csv
from engine.config import RunConfig
from engine.presets import load_config
from engine.rows import Review
from engine.run.collected import note_collected
from engine.run.lease import Lease
from engine.run.logs import RunLogs
from engine.run.loop import Driver
from engine.run.plan import INGEST, Step
from engine.run.seals import Seal
from engine.run.trackers import TrackedRun, tracked
from engine.run.work import pieces_of, read_seals
from engine.store.files import Store
from kept_runs import a_run as kept_run
from kept_runs import answers_to, clips_of

GENERATE = "cycle-000/generate"
SELECT = Step(name="cycle-000/select", kind="select", cycle=0, inputs=(INGEST, GENERATE))
ACCOUNTS = {"clips": 40, "direct_kept": 30, "rationalized_kept": 5, "dropped": {"label_missing": 5}, "failed": {}}
NO = {"outcome": "rejected", "reason": "label_missing", "score": 0.0}


def a_run(folder: Path) -> tuple[Store, RunConfig]:
    """Forty clips: thirty kept directly, five after the hint, five dropped."""
    store = Store(str(folder))
    clips = [a_clip(f"c{number:02d}", start_s=2.0, end_s=9.0) for number in range(40)]
    attempts = [an_attempt(clip.clip_id, text=f"Clip {clip.clip_id} is rising.") for clip in clips[:30]]
    for clip in clips[30:]:
        attempts.append(an_attempt(clip.clip_id, text="It floats up.", **NO))
        hinted = {} if clip.clip_id < "c35" else NO
        attempts.append(an_attempt(clip.clip_id, mode="rationalized", text="It goes up, so it is rising.", **hinted))
    seal_attempts(store, clips, attempts, 8, ACCOUNTS)
    config = load_config(None, ["model.allow_tiny=true", f"run.uri={folder}", "data.manifest=none.csv"])
    store.write("config.json", config.model_dump_json().encode())
    return store, config


def do_select(store: Store, config: RunConfig) -> Seal:
    with (
        Lease(store) as lease,
        RunLogs(store, lease.epoch, config, "") as logs,
        tracked([], TrackedRun.of(config, store), lambda progress: None) as trackers,
        Driver(config, store, lease, logs, trackers) as driver,
    ):
        return driver.do(SELECT, read_seals(store))


def contents(folder: Path) -> dict[str, str]:
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.rglob("*") if path.is_file()}


def mark(file: Path, word_for: Callable[[dict[str, str]], str]) -> list[dict[str, str]]:
    with file.open(encoding="utf-8-sig", newline="") as text:
        rows = list(csv.DictReader(text))
    for row in rows:
        row["people"] = word_for(row)
    with file.open("w", encoding="utf-8", newline="") as text:
        writer = csv.DictWriter(text, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return rows


def test_a_sample_goes_out_and_words_come_back_without_a_change_to_what_is_sealed(tmp_path: Path) -> None:
    store, _ = a_run(tmp_path / "run")
    sealed, sheet = contents(tmp_path / "run"), tmp_path / "audit.csv"
    drawn = starloop("audit", store.uri, "--sample", "20", "--seed", "1", "--out", str(sheet))
    assert drawn.returncode == 0, drawn.stderr
    assert (
        "has 20 answers of cycle-000/generate (10 dropped direct, 5 dropped rationalized, 30 kept direct, 5 kept rationalized)"
        in (" ".join(drawn.stdout.split()))
    )
    first = sheet.read_bytes()
    # people find one kept answer in three wrong, and one dropped answer in two right
    rows = mark(
        sheet, lambda row: ("drop" if int(row["clip_id"][1:]) % 3 == 0 else "keep") if row["verdict"] == "kept" else "unsure"
    )
    assert len(rows) == 20
    again = starloop("audit", store.uri, "--sample", "20", "--out", str(sheet))
    assert (again.returncode, "people may have marked it" in " ".join(again.stderr.split())) == (1, True)
    back = starloop("audit", store.uri, "--overrides", str(sheet))
    assert back.returncode == 0, back.stderr
    lines = [" ".join(line.split()) for line in back.stdout.splitlines()]
    assert lines[0].startswith("20 words are taken over; they count from cycle-000/select on")
    assert any(
        line.startswith("cycle-000/generate: people have judged 10 of 20 answers that were drawn of 50, and 10 are")
        for line in lines
    )
    assert any(line.startswith("precision of what the verifiers keep: 0.") for line in lines)
    assert "recall of what people would keep: no dropped answer is judged yet" in " ".join(back.stdout.split())
    assert starloop("audit", store.uri, "--overrides", str(sheet)).stdout.startswith(f"{sheet} says nothing new")
    # the same seed draws the same rows again, and nothing that is sealed has changed
    starloop("audit", store.uri, "--sample", "20", "--seed", "1", "--out", str(tmp_path / "b.csv"))
    assert (tmp_path / "b.csv").read_bytes() == first
    after = contents(tmp_path / "run")
    assert {path: after.get(path) for path in sealed} == sealed
    assert {Path(path).relative_to(tmp_path / "run").parts[0] for path in after.keys() - sealed.keys()} == {
        "audit",
        "README.md",
        "ingest",
        "report.html",
        "summary.json",
    }, "and the cards of the run and of its splits"
    [value] = [
        json.loads(line) for line in starloop("audit", store.uri, "--json", "--out", str(tmp_path / "c.csv")).stdout.splitlines()
    ]
    assert (value["step"], value["judged"], value["unsure"], value["recall"]) == (GENERATE, 10, 10, None)
    page = (Path(__file__).parents[2] / "docs" / "scripts.md").read_text()
    assert [name for name in value if f"`{name}`" not in page] == []
    assert value["precision"]["low"] < value["precision"]["value"] < value["precision"]["high"]


def test_words_apply_to_the_next_select_and_are_part_of_what_it_was_made_from(tmp_path: Path) -> None:
    without = do_select(*a_run(tmp_path / "without"))
    store, config = a_run(tmp_path / "run")
    clips = {clip_id: a_clip(clip_id, start_s=2.0, end_s=9.0) for clip_id in ("c00", "c01", "c30", "c31", "c39")}
    words = [
        ("c00", "Clip c00 is rising.", "drop"), ("c01", "Clip c01 is rising.", "keep"), ("c30", "It floats up.", "keep"),
        ("c31", "It goes up, so it is rising.", "drop"), ("c39", "It goes up, so it is rising.", "keep"),
    ]  # fmt: skip
    reviews = [Review(answer=answer_id(clips[name], text), clip_id=name, people=word, note="") for name, text, word in words]
    add(store, reviews, "audit.csv")
    seal = do_select(store, config)
    assert {name: seal.counts[name] for name in ("people.confirmed", "people.kept", "people.dropped")} == {
        "people.confirmed": 1, "people.kept": 2, "people.dropped": 2,
    }  # fmt: skip
    assert not any(name.startswith("people") for name in without.counts)
    assert seal.identity != without.identity
    assert "cycle-000/select/reviews.json" in [record.path for record in seal.files]
    rows = {row["clip_id"]: row for row in store.read_table("cycle-000/select/examples.parquet").to_pylist()}
    assert {"c00", "c31"} & rows.keys() == set()
    assert [(rows[name]["mode"], rows[name]["people"]) for name in ("c01", "c02", "c30", "c39")] == [
        ("direct", "confirmed"), ("direct", ""), ("direct", "overridden"), ("rationalized", "overridden"),
    ]  # fmt: skip
    assert (seal.counts["examples"], without.counts["examples"]) == (34, 35)
    # a direct answer that people dropped is a rejected one for preference pairs, too
    pairs = store.read_table("cycle-000/select/preferences.parquet").to_pylist()
    assert {pair["reason"] for pair in pairs} == {"label_missing"}
    # what comes later changes nothing that is sealed: it counts in the next select
    later = Review(
        answer=answer_id(a_clip("c02", start_s=2.0, end_s=9.0), "Clip c02 is rising."), clip_id="c02", people="drop", note=""
    )
    add(store, [later], "audit.csv")
    assert read_seals(store)[SELECT.name] == seal
    store.delete(SELECT.name)
    assert do_select(store, config).counts["people.dropped"] == 3
    assert read(store, records_of(store)).keys() == {review.answer for review in [*reviews, later]}


def test_words_come_back_where_gc_has_deleted_the_answers_of_another_step(tmp_path: Path) -> None:
    store = Store(str(tmp_path / "run"))
    clips = clips_of(6)
    kept_run(store, clips, answers_to(clips))
    sealed, sheet = read_seals(store), tmp_path / "audit.csv"
    sheet.write_bytes(to_csv(sample_of(store, sealed, "cycle-001/generate").rows))  # as a report shows it: nobody drew it
    note_collected(store, GENERATE, [pieces_of(GENERATE)])
    store.delete(pieces_of(GENERATE))
    rows = mark(sheet, lambda row: "keep" if row["clip_id"] == "a0" else "")
    blank = "," * (len(rows[0]) - 1)
    sheet.write_text(f"{sheet.read_text()}{blank}\n")
    assert [review.clip_id for review in take_back(store, sealed, str(sheet))] == ["a0"]
    sheet.write_text(sheet.read_text().replace(blank, f"keep{blank}"))
    with pytest.raises(ValueError, match="answer = '' is of no sample of this run"):
        take_back(store, sealed, str(sheet))
    unmarked = tmp_path / "unmarked.csv"
    unmarked.write_text("people,answer\n,a0123\n")
    assert take_back(Store(str(tmp_path / "other")), {}, str(unmarked)) == []
    with pytest.raises(ValueError, match=r"the answers of cycle-000/generate in .* were deleted by `starloop gc`"):
        draw(store, sealed, GENERATE, 5, 1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--cycle", "3"], "no cycle-003/generate is sealed; cycle-000/generate are"),
        (["--out", "x.xlsx"], "--out x.xlsx: name a .csv or a .jsonl file"),
        (["--overrides", "nothing.csv"], "no such file: nothing.csv"),
    ],
)
def test_what_cannot_be_audited_is_a_line(tmp_path: Path, arguments: list[str], message: str) -> None:
    store, _ = a_run(tmp_path / "run")
    ended = starloop("audit", store.uri, *arguments, cwd=tmp_path)
    assert (ended.returncode, "Traceback" in ended.stderr) == (1, False)
    assert message in " ".join(ended.stderr.split())
    assert store.names(FOLDER) == []


def test_a_bad_row_is_a_line_and_the_run_keeps_nothing_of_the_file(tmp_path: Path) -> None:
    store, _ = a_run(tmp_path / "run")
    sheet = tmp_path / "audit.csv"
    starloop("audit", store.uri, "--sample", "6", "--out", str(sheet))
    mark(sheet, lambda row: "keep" if row["verdict"] == "kept" else "perhaps")
    ended = starloop("audit", store.uri, "--overrides", str(sheet))
    assert ended.returncode == 1
    line = " ".join(ended.stderr.split())
    assert "people = 'perhaps'; write keep, drop or unsure" in line
    assert "2 more rows are bad" in line
    assert store.names(FOLDER) == []
