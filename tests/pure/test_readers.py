"""Pins that tables are read as they were written: no row is lost, merged or changed, or the error names the line."""

import bz2
import csv
import gzip
import io
import json
import lzma
import re
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.config import Data
from engine.ingest import json_rows, parquet_rows
from engine.ingest.json_rows import json_items, json_lines
from engine.ingest.manifest import read_manifest
from engine.ingest.skipped import Skipped
from engine.ingest.tables import table_records
from engine.rows import Clip
from engine.store.filesystems import Storage

CELLS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12) | st.sampled_from(
    [
        '"',
        '""',
        'a"b',
        '"a" b',
        "a,b",
        "a\tb",
        "a;b",
        "a\nb",
        "a\r\nb",
        "a\rb",
        "\ufeff",
        "nan",
        "NULL",
        " x ",
        '5" pipe',
        "\\",
        "\\n",
    ]
)
NAMES = st.lists(st.sampled_from(["video", "label", "clip_id", "a b", "é"]), min_size=2, max_size=5, unique=True)
DIALECTS = [
    {"delimiter": delimiter, "lineterminator": end, "quoting": quoting}
    for delimiter in ",\t;|"
    for end in ("\n", "\r\n")
    for quoting in (csv.QUOTE_MINIMAL, csv.QUOTE_ALL)
]
quickly = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@st.composite
def tables(draw: st.DrawFn) -> list[dict[str, str]]:
    names = draw(NAMES)
    return draw(st.lists(st.fixed_dictionaries(dict.fromkeys(names, CELLS)), min_size=1, max_size=4))


def rows_of(path: Path) -> list[Any]:
    return [row for _, row in table_records(str(path), Storage())]


@quickly
@given(
    table=tables(),
    dialect=st.sampled_from(DIALECTS),
    suffix=st.sampled_from(["csv", "tsv"]),
    coded=st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]),
)
def test_any_table_that_csv_writes(tmp_path: Path, table: list[dict[str, str]], dialect: Any, suffix: str, coded: str) -> None:
    if (dialect["lineterminator"], dialect["quoting"]) == ("\n", csv.QUOTE_MINIMAL):  # then csv leaves a bare "\r" unquoted
        table = [{name: cell.replace("\r", " ") for name, cell in row.items()} for row in table]
    text = io.StringIO(newline="")
    if suffix == "csv":  # nor what may be a row in a cell
        after = re.compile(r"[\r\n].*", re.DOTALL)
        table = [
            {name: after.sub(lambda rest: rest[0].replace(dialect["delimiter"], " "), cell) for name, cell in row.items()}
            for row in table
        ]
    else:
        table = [{name: re.sub(r"[\r\n]", " ", cell) for name, cell in row.items()} for row in table]
    writer = csv.DictWriter(text, list(table[0]), **dialect)
    writer.writeheader()
    writer.writerows(table)
    (tmp_path / f"t.{suffix}").write_bytes(text.getvalue().encode(coded))
    assert rows_of(tmp_path / f"t.{suffix}") == table


@quickly
@given(table=tables(), as_lines=st.booleans(), is_ascii=st.booleans(), indent=st.sampled_from([None, 1]))
def test_any_table_that_json_writes(
    tmp_path: Path, table: list[dict[str, str]], as_lines: bool, is_ascii: bool, indent: Any
) -> None:
    lines = [json.dumps(row, ensure_ascii=is_ascii) for row in table]
    text = "".join(f"{line}\n" for line in lines) if as_lines else json.dumps(table, ensure_ascii=is_ascii, indent=indent)
    for suffix in ("json", "jsonl"):
        (tmp_path / f"t.{suffix}").write_text(text)
        assert rows_of(tmp_path / f"t.{suffix}") == table


@quickly
@given(table=tables(), kind=st.sampled_from([pa.string(), pa.large_string(), pa.binary(), pa.dictionary(pa.int32(), pa.string())]))
def test_any_table_that_pyarrow_writes(tmp_path: Path, table: list[dict[str, str]], kind: pa.DataType) -> None:
    written = pa.Table.from_pylist(table)
    pq.write_table(written.cast(pa.schema([(name, kind) for name in written.column_names])), tmp_path / "t.parquet")
    assert rows_of(tmp_path / "t.parquet") == table


@quickly
@given(
    values=st.lists(
        st.dictionaries(
            CELLS,
            CELLS | st.sampled_from([float("nan"), "NaN", '\\" NaN', "Infinity", "😀", "\\ud83d", "\\ud83d\n", "\\", "a\\"]),
            max_size=3,
        ),
        max_size=4,
    ),
    chunk=st.integers(1, 30),
)
def test_nan_is_null_wherever_a_chunk_ends(values: list[dict[str, Any]], chunk: int) -> None:
    expected = [{key: None if value != value else value for key, value in row.items()} for row in values]
    text, whole = json.dumps(values), json_rows.CHUNK
    json_rows.CHUNK = chunk
    try:
        assert [item for _, item in json_items("t", io.StringIO(text), "item")] == expected
    finally:
        json_rows.CHUNK = whole
    assert [item for _, item in json_lines("t", io.StringIO("".join(f"{json.dumps(row)}\n" for row in values)))] == expected


def clips(path: Path, content: str | bytes = b"", skipped: Skipped | None = None, **data: Any) -> list[Clip]:
    if content:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return list(read_manifest(Data(manifest=str(path), heldout=0.0, **data), Storage(), skipped=skipped))


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("m.tsv", 'video\tlabel\na.mp4\t"open" it\nb.mp4\t"push\nc.mp4\tx\nd.mp4\tis "y"\n', "line 3: a quote opens a cell"),
        ("m.csv", 'video,label\na.mp4,x\nb.mp4,"y\n', "line 3: a quote opens a cell and is not closed"),
        ("m.csv", 'video,label\na.mp4,"x\nb.mp4,y\nc.mp4,z"\n', "cell 2 goes over 3 lines, and 'b.mp4,y' in it may be a row"),
        ("m.csv", 'video,label\na.mp4,"so "they" said"\n', 'line 2: "so "they" said" has quotes within quotes; double them'),
        ("m.csv", 'video,label,description\na.mp4,x,"two\nlines"\nb.mp4,y\n', "line 4 has fewer cells than the header"),
        ("m.csv", "video,label,\na.mp4,x,\nb.mp4,y,z\n", "line 3 has more cells than the header"),
        ("m.csv", "# made by a tool\nvideo,label\na.mp4,x\n", "line 1 begins with '# made by a tool', which is no header"),
        ("m.csv", "video,label\n# b.mp4,y\n", "line 2: video '# b.mp4' looks like a comment"),
        ("m.csv", "video,label\na.mp4,x\nvideo,label\nb.mp4,y\n", "line 3: this repeats the header"),
        ("m.csv", "video,label\na.mp4,x\0y\n", "line 2: label 'x\\x00y' is not a text"),
        ("m.csv", "video;label;start_s\na.mp4;x;1,5\n", "line 2: start_s '1,5' is not a number of seconds; write 1.5"),
        ("m.csv", "video,label,start_s\na.mp4,x,1_0\n", "line 2: start_s '1_0' is not a number of seconds"),
        ("m.csv", "video,label\na.mp4,None\n", "line 2: label 'None' is how an empty cell may be written"),
        ("m.csv", "video,label\na.mp4,nan\n", "line 2 has no label"),
        ("m.jsonl", '{"video": "a.mp4", "label": "x", "label": "y"}', "line 1 cannot be read: 'label' stands twice in one object"),
        ("m.json", '[{"video": "a.mp4", "label": "x", "label": "y"}]', "item 0: 'label' stands twice in one object"),
        ("m.json", '{\n "video": {"0": "a.mp4"}\n}', 'line 1 is not a whole JSON object: write an array'),
        ("m.json", '[{"video": "a.mp4", "label": "x", "clip_id": 123456789012345678901}]', "holds a number of more than 64 bits"),
        ("m.jsonl", '{"video": "a.mp4", "label": "x", "clip_id": 1.2345678901234567e+18}', "clip_id 1.2345678901234568e+18 is a"),
        ("m.json", '[{"video": "a.mp4", "label": "\\ude00"}]', "item 0: label '\\ude00' is not a text: it holds"),
        ("m.json", '[{"video": "a.mp4", "label": "x \\ud83d"}]', "item 0: label 'x \\ud83d' is not a text: it holds"),
        ("m.jsonl", '{"video": "a.mp4", "label": "x \\ud83d"}', "line 1: label 'x \\ud83d' is not a text"),
        ("m.jsonl", '{"video": "a.mp4", "label": true}', "label 'True' is not a text"),
        ("m.xlsx", "PK\3\4", "save the sheet as CSV (UTF-8)"),
        ("m.csv", "PK\3\4", "m.csv is a ZIP archive or an Excel file; save the sheet as CSV (UTF-8)"),
        ("m.csv", "video,label\n".encode("utf-16-le").decode("latin-1"), "is not UTF-8 text: it holds NULs"),
        ("m.json", "", "has no rows"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_right_is_one_line(tmp_path: Path, name: str, text: str, message: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(ValueError, match=r".+") as caught:
        clips(tmp_path / name)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


SWALLOWED = [
    ("m.csv", 'video,label\na.mp4,"x\nb.mp4,y\nc.mp4,5"\nb.mp4,w\n', "line 2: cell 2 goes over 3 lines, and 'b.mp4,y' in"),
    ("m.csv", 'video,label,description\na.mp4,x,"he said\nb.mp4,y,fine\nc.mp4,z,measures 5"\n', "line 2: cell 3 goes over 3 lines"),
    ("m.csv", 'video,label,description\na.mp4,x,"so\nb.mp4,y,5"\n', "line 2: cell 3 goes over 2 lines, and 'b.mp4,y,5' at its"),
    ("m.csv", 'video,question,label\na.mp4,"so\nb.mp4,5",x\n', "cell 2 goes over 2 lines, and 'b.mp4,5' at its end may be"),
    ("m.csv", 'video;label;note\na.mp4;x;"so\nb.mp4;y;;;\nc.mp4;5"\n', "line 2: cell 3 goes over 3 lines, and 'b.mp4;y;;;' in"),
    ("m.tsv", 'video\tlabel\tquestion\na.mp4\tx\t"what is this\nb.mp4\ty\twhy?\nc.mp4\tz\tis it 5"\n', "and TSV has none; is a"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "text", "message"), SWALLOWED)
@pytest.mark.parametrize("skipped", [None, Skipped()], ids=["all", "skip_bad"])
def test_rows_that_a_quote_swallowed_end_the_file(
    tmp_path: Path, name: str, text: str, message: str, skipped: Skipped | None
) -> None:
    with pytest.raises(ValueError, match=r".+") as caught:
        clips(tmp_path / name, text, skipped)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_description_of_several_lines_is_a_cell(tmp_path: Path) -> None:
    text = 'description,video,label\n"first, he runs,\nthen he stops.\nAnd so, on",a.mp4,x\n'
    [clip] = clips(tmp_path / "m.csv", text)
    assert clip.description.splitlines() == ["first, he runs,", "then he stops.", "And so, on"]


@pytest.mark.parametrize("chunk", [1, 7, 1 << 16])
@pytest.mark.parametrize("label", ['"x \\ud83d"', '{"kind": "keywords", "text": "\\ud83d x"}', '{"kind": "\\ud83d"}'])
def test_half_a_character_is_one_bad_row(tmp_path: Path, label: str, chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_rows, "CHUNK", chunk)
    rows = [f'{{"video": "a.mp4", "label": {label}}}', '{"video": "b.mp4", "label": "\\ud83d\\ude00 y \\\\ud83d"}']
    for name, text in (("m.json", f"[{', '.join(rows)}]"), ("m.jsonl", "\n".join(rows))):
        skipped = Skipped()
        [clip] = clips(tmp_path / name, text, skipped)
        assert (clip.label.text, skipped.count) == ("\U0001f600 y \\ud83d", 1)
        assert "half a character" in skipped.first[0] or "label kind" in skipped.first[0]


def test_the_line_that_is_not_utf8(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"m.csv is not UTF-8 text \(.* in line 3\); save it as UTF-8"):
        clips(tmp_path / "m.csv", "video,label\na.mp4,x\nb.mp4,caf\xe9\n".encode("latin-1"))


@pytest.mark.parametrize(
    ("name", "text", "labels"),
    [
        ("m.csv", "video;label\na.mp4;x, y\n", ["x, y"]),
        ("m.csv", "video\tlabel\na.mp4\tx, y\n", ["x, y"]),
        ("m.csv", "video|label\na.mp4|x, y\n", ["x, y"]),
        ("m.tsv", "video,label\na.mp4,x\n", ["x"]),
        ("m.csv", '"video";"label"\r\n"a.mp4";"x; y"\r\n', ["x; y"]),
        ("m.csv", "sep=;\nvideo;label\na.mp4;x\n", ["x"]),
        ("m.csv", ",video,label\n0,a.mp4,x\n1,b.mp4,y\n", ["x", "y"]),
        ("m.csv", "video,label,\na.mp4,x,\nb.mp4,y,,\n", ["x", "y"]),
        ("m.csv", "video,label\ra.mp4,x\r", ["x"]),
        ("m.tsv", 'video\tlabel\na.mp4\t5" pipe\nb.mp4\tsays "hi"\nc.mp4\t"open" it\n', ['5" pipe', 'says "hi"', '"open" it']),
        ("m.csv", "video,label\na.mp4,Nan bread\nb.mp4,none of them\n", ["Nan bread", "none of them"]),
        ("m.csv", 'video,label\na.mp4,"{""kind"": ""keywords"", ""text"": ""None""}"\n', ["None"]),
        ("m.csv", f"video,label,description\na.mp4,x,{'w ' * 200_000}\n", ["x"]),
        ("m.json", '\ufeff[{"video": "a.mp4", "label": "x", "end_s": NaN}]', ["x"]),
        ("m.json", '{"video": "a.mp4", "label": "x"}\n\n{"video": "b.mp4", "label": 5}\n', ["x", "5"]),
    ],
)  # fmt: skip
def test_what_people_write_is_read(tmp_path: Path, name: str, text: str, labels: list[str]) -> None:
    assert [clip.label.text for clip in clips(tmp_path / name, text)] == labels


def test_packed_files(tmp_path: Path) -> None:
    text = b"video,label\n" + b"".join(b"%d.mp4,x\n" % number for number in range(300))
    for name, packed in (("m.csv.gz", gzip.compress(text)), ("m.csv.bz2", bz2.compress(text)), ("m.csv.xz", lzma.compress(text))):
        assert len(clips(tmp_path / name, packed)) == 300
        with pytest.raises(ValueError, match=rf"{name} cannot be unpacked \(.*\): it is cut off or damaged; get it again"):
            clips(tmp_path / name, packed[:-20])
    assert len(clips(tmp_path / "m.csv", gzip.compress(text))) == 300, "by its content, whatever its name"


EMPTY = {"question": "What?", "noun": "", "start_s": None, "description": "", "clip_id": "a"}


@pytest.mark.parametrize("value", [float("nan"), None, "nan", "NaN", "NaT", "<NA>", "None", "null", "NA", " "])
def test_what_pandas_writes_for_nothing_is_empty_in_every_column(tmp_path: Path, value: Any) -> None:
    row = {"video": "a.mp4", "label": "x", **dict.fromkeys(EMPTY, value)}
    (tmp_path / "m.jsonl").write_text(json.dumps(row))
    (tmp_path / "m.json").write_text(json.dumps([row]))
    pq.write_table(pa.Table.from_pylist([row]), tmp_path / "m.parquet")
    with (tmp_path / "m.csv").open("w", newline="") as file:
        csv.writer(file).writerows([row, row.values()])
    for name in ("m.jsonl", "m.json", "m.parquet", "m.csv"):
        [clip] = clips(tmp_path / name, question="What?")
        assert {column: getattr(clip, column) for column in EMPTY} == EMPTY, name


def test_parquet_columns_that_are_no_texts(tmp_path: Path) -> None:
    label = pa.array([{"kind": "choice", "option": "A", "options": {"A": "x", "B": "y"}}, {"kind": "keywords", "text": "z"}])
    columns = {
        "video": pa.array([4010069381.0, 7.0]),  # ids of which one is missing elsewhere
        "label": label,
        "start_s": pa.array([0.1, None], pa.float32()),
        "end_s": pa.array([2_500_000_000, None], pa.duration("ns")),
        "question": pa.array(["Which?", None]),
        "seen": pa.array([1, None], pa.timestamp("ns")),
    }
    pq.write_table(pa.table(columns), tmp_path / "m.parquet")
    first, second = clips(tmp_path / "m.parquet")
    assert (first.clip_id, first.start_s, first.end_s) == ("4010069381@0.1-2.5", 0.1, 2.5)
    assert (first.label.text, second.label.text, second.clip_id) == ("A. x", "z", "7")
    doubled = pa.Table.from_arrays([pa.array(["a.mp4"]), pa.array(["x"]), pa.array(["y"])], names=["video", "label", "label"])
    pq.write_table(doubled, tmp_path / "m.parquet")
    with pytest.raises(ValueError, match="has two columns 'label'; rename one"):
        clips(tmp_path / "m.parquet")


def test_short_floats_within_lists_and_objects_have_the_digits_that_were_written(tmp_path: Path) -> None:
    """`datasets` writes float32: a label of 0.10000000149011612 s would be asked about so."""
    kinds = {"label": pa.struct({"time_s": pa.float32()}), "box": pa.list_(pa.float32()), "half": pa.float16()}
    kinds["map"] = pa.map_(pa.string(), pa.struct({"x": pa.float32()}))
    row = {"label": {"time_s": 0.1}, "box": [0.3, None, float("nan")], "half": 0.1, "map": [("a", {"x": 0.7})]}
    pq.write_table(pa.Table.from_pylist([row], schema=pa.schema(kinds)), tmp_path / "t.parquet")
    expected = {"label": {"time_s": 0.1}, "box": [0.3, None, None], "half": 0.1, "map": {"a": {"x": 0.7}}}
    assert rows_of(tmp_path / "t.parquet") == [expected]


def test_a_first_row_without_a_label_is_one_bad_row(tmp_path: Path) -> None:
    path = tmp_path / "m.jsonl"
    path.write_text('{"video": "a.mp4"}\n{"video": "b.mp4", "label": "x"}\n')
    skipped = Skipped()
    [clip] = read_manifest(Data(manifest=str(path)), Storage(), skipped=skipped)
    assert (clip.clip_id, skipped.count, "line 1 has no column 'label'" in skipped.first[0]) == ("b", 1, True)


def test_a_part_file_whose_name_says_what_a_cell_says_as_an_object(tmp_path: Path) -> None:
    (tmp_path / "label=x").mkdir()
    (tmp_path / "label=x" / "part-0.jsonl").write_text('{"video": "a", "label": {"kind": "number", "value": 1}}\n{"video": "b"}\n')
    labels = [row["label"] for _, row in table_records(str(tmp_path), Storage()) if isinstance(row, dict)]
    assert labels == [{"kind": "number", "value": 1}, "x"]


def test_videos_within_a_parquet_table_are_not_read(tmp_path: Path) -> None:
    blob = b"\xff" * 20_000
    columns: dict[str, Any] = {
        "video": ["a.mp4", "b.mp4"], "label": [b"x", b"y"], "frames": [blob, blob], "clip": [{"bytes": blob, "path": "a"}] * 2,
    }  # fmt: skip
    pq.write_table(pa.table(columns), tmp_path / "m.parquet")
    assert [clip.label.text for clip in clips(tmp_path / "m.parquet")] == ["x", "y"]
    assert [row["frames"] == row["clip"] == parquet_rows.EMBEDDED for row in rows_of(tmp_path / "m.parquet")] == [True, True]
    pq.write_table(pa.table({"video": columns["clip"], "label": ["x", "y"]}), tmp_path / "m.parquet")
    with pytest.raises(ValueError, match=r"row 0: video \"b'bytes within the table, which are not read'\" is not a text"):
        clips(tmp_path / "m.parquet")


def test_long_rows_of_parquet_are_read_a_few_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pq.write_table(
        pa.table({"video": [f"{i}.mp4" for i in range(30)], "label": [f"{i} " * 500 for i in range(30)]}), tmp_path / "m.parquet"
    )
    monkeypatch.setattr(parquet_rows, "BATCH_BYTES", 3000)
    sizes = []
    values = parquet_rows._values
    monkeypatch.setattr(parquet_rows, "_values", lambda column: sizes.append(len(column)) or values(column))
    assert len(rows_of(tmp_path / "m.parquet")) == 30
    assert max(sizes) < 10


def test_a_first_line_that_is_long_is_a_row(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_rows, "HEAD", 20)
    row = json.dumps({"a": "x" * 100, "video": "a.mp4"})
    assert json_rows.shape_of(io.StringIO(f"{row}\n{row}\n"), ("video",)) == "lines"
    assert json_rows.shape_of(io.StringIO(json.dumps({"database": {"x" * 100: row}})), ("video",)) == "object"
    monkeypatch.setattr(json_rows, "LINE", 50)
    assert json_rows.shape_of(io.StringIO(f"{row}\n{row}\n"), ("video",)) == "object", "no row is as long"


def test_ids_are_exact(tmp_path: Path) -> None:
    windows = ("10000.11,10000.14", "10000.12,10000.14", "1.00000001,2", "1.00000002,2")
    text = "video,label,start_s,end_s\n" + "".join(f"a.mp4,x,{window}\n" for window in windows)
    assert [clip.clip_id for clip in clips(tmp_path / "m.csv", text)] == [
        "a@10000.11-10000.14", "a@10000.12-10000.14", "a@1.00000001-2", "a@1.00000002-2",
    ]  # fmt: skip
    rows = [
        {"video": f"{i}.mp4", "label": "x", "clip_id": clip_id} for i, clip_id in enumerate((7.0, 9007199254740993, "007", 0.5))
    ]
    assert [clip.clip_id for clip in clips(tmp_path / "m.json", json.dumps(rows))] == ["7", "9007199254740993", "007", "0.5"]


def test_a_file_of_bad_rows_says_so(tmp_path: Path) -> None:
    with pytest.raises(
        ValueError, match=r"m.csv: all 2 rows are bad; the first: .*m.csv line 2: start_s 3.0 is not before end_s 3.0"
    ):
        clips(tmp_path / "m.csv", "video,label,start_s,end_s\na.mp4,x,3,3\nb.mp4,y,9,2\n", Skipped())
