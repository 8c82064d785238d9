"""A CSV of requests: every cell as it was typed, and the line of the file that a row came from."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest

from dicomover.errors import RequestError
from dicomover.outcome import Status
from dicomover.requests.parse import parse_requests, read_requests
from dicomover.summary import Result, build
from requests_kit import keys_of, refused, write


def test_leading_zeros_survive(tmp_path: Path) -> None:
    """00123 is 00123 in the file, the table, the request and the summary."""
    path = tmp_path / "cohort.csv"
    path.write_text("AccessionNumber,split\n00123,train\n")
    batch = parse_requests(read_requests(path))
    assert dict(batch.requests[0].keys) == {"AccessionNumber": "00123"}
    assert batch.given["AccessionNumber"].tolist() == ["00123"]
    build([Result(Status.SUCCESS)], batch.given).to_csv(path, index=False)
    assert keys_of(read_requests(path)) == [{"AccessionNumber": "00123"}]


@pytest.mark.parametrize(
    ("content", "rows"),
    [
        ("A,B\n00123,x\n", [["00123", "x"]]),
        ("A;B\n00123;x,y\n", [["00123", "x,y"]]),
        ("A\tB\n00123\tx,y;z\n", [["00123", "x,y;z"]]),
        ("\ufeffA,B\n00123,x\n", [["00123", "x"]]),
        ("A,B\n1,Müller\n".encode("cp1252"), [["1", "Müller"]]),
        ("A\tB\n1\tMüller\n".encode("utf-16"), [["1", "Müller"]]),
        ("A,B\r\n1,x\r\n2,y\r\n", [["1", "x"], ["2", "y"]]),
        ("A,B\r1,x\r2,y\r", [["1", "x"], ["2", "y"]]),
        ('A,B\n1,"x,y"\n2,"x""y"\n3,"x\ny"\n', [["1", "x,y"], ["2", 'x"y'], ["3", "x\ny"]]),
        ('"A","B;C;D"\n1,x\n', [["1", "x"]]),
        ("A,B\n1,x\n\n2,y\n\n\n", [["1", "x"], ["2", "y"]]),
        ("A,B\n1,x\n   \n", [["1", "x"]]),
        ("A,B\nNA,NaN\nnull,None\n,<NA>\n", [["NA", "NaN"], ["null", "None"], ["", "<NA>"]]),
        ("A,B\n 1 ,1e5\n", [[" 1 ", "1e5"]]),
        ("A,B\n1,2", [["1", "2"]]),
        ("A,B\n", []),
        ("A,B", []),
        ("A,B\n1,x\u2028y\x0cz\n", [["1", "x\u2028y\x0cz"]]),
    ],
    ids=[
        "comma", "semicolon", "tab", "BOM", "cp1252", "UTF-16", "CRLF", "CR", "quotes", "separators in the header",
        "blank lines", "line of spaces", "NA", "spaces", "no last newline", "header only", "bare header",
        "other breaks",
    ],
)  # fmt: skip
def test_files_are_read_as_typed(tmp_path: Path, content: str | bytes, rows: list[list[str]]) -> None:
    """Every cell is the text that was typed, whatever separates the cells and however it is encoded."""
    table = read_requests(write(tmp_path, content))
    assert table.columns[0] == "A"
    assert table.to_numpy().tolist() == rows
    assert {str(dtype) for dtype in table.dtypes} == {"string"}


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("", "has no header line"),
        ("\n\n", "has no header line"),
        ("A,B\n1,2\n1,2,3\n", "line 3: has 3 cells, the header has 2"),
        ("A,B\n1,2,3\n", "line 2: has 3 cells, the header has 2"),
        ("A,B\n1,2,\n1,2,\n", "line 2: has 3 cells, the header has 2"),
        ("A,B\n1,2\n\n1\n", "line 4: has 1 cells, the header has 2"),
        ('A,B\n1,"2\n3"\n1\n', "line 4: has 1 cells"),
        ('A,B\n1,"2\n3,4\n', "cannot be read"),
        ("A,B\n1," + "x" * 200_000 + "\n", "cannot be read"),
    ],
    ids=["empty", "blank", "more", "more first", "more always", "fewer", "after a quoted break", "open quote", "huge"],
)
def test_files_that_cannot_be_meant(tmp_path: Path, content: str, says: str) -> None:
    """A file that is no table is refused with its name and the number of the line; nothing is cut or filled."""
    with pytest.raises(RequestError) as caught:
        read_requests(write(tmp_path, content))
    assert says in str(caught.value)
    assert "cohort.csv" in str(caught.value)


@pytest.mark.parametrize("name", ["AccessionNumber", "00080050", "accession_number"])
def test_header_names_a_key_twice(tmp_path: Path, name: str) -> None:
    """Two columns of one key are named as they stand in the file; other columns may have one name."""
    with pytest.raises(RequestError) as caught:
        read_requests(write(tmp_path, f"{name},{name},note\n1,2,3\n"))
    assert f"line 1: '{name}' names 2 columns; keep one of them" in str(caught.value)
    table = read_requests(write(tmp_path, f"{name},note,note,,\n1,2,3,4,5\n"))
    assert table.to_numpy().tolist() == [["1", "2", "3", "4", "5"]]


@pytest.mark.parametrize("start", [b"PK\x03\x04", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"], ids=["xlsx", "xls"])
def test_a_spreadsheet_is_no_csv(tmp_path: Path, start: bytes) -> None:
    """A spreadsheet is named as such, with the two ways out."""
    with pytest.raises(
        RequestError,
        match=r"is a spreadsheet, not a CSV; save it as CSV, or .*dtype=str\); its .*zeros may be lost already",
    ):
        read_requests(write(tmp_path, start + bytes(100)))


LINES = 'AccessionNumber,note\n\n00123,ok\n 4,"two\nlines"\n5 ,\n\n\n6 ,last\n'


def test_a_problem_names_the_line_of_the_file(tmp_path: Path) -> None:
    """A bad row is named by its label and by its line, whatever blank lines and quoted breaks stand before it."""
    table = read_requests(write(tmp_path, LINES))
    error = refused(table)
    assert [(problem.row, problem.place) for problem in error.problems] == [
        (1, "line 4 of cohort.csv"),
        (2, "line 6 of cohort.csv"),
        (3, "line 9 of cohort.csv"),
    ]
    assert "row 1 (line 4 of cohort.csv), AccessionNumber: ' 4' begins" in str(error)
    recorded = parse_requests(table, invalid="record")
    assert [problem.place for row in recorded.problems.values() for problem in row] == [
        problem.place for problem in error.problems
    ]


@pytest.mark.parametrize(
    ("change", "lines"),
    [
        (lambda table: table[table.note == "last"], [9]),
        (lambda table: table.iloc[::-1], [9, 6, 4]),
        (lambda table: table.assign(split="train").mask(table == ""), [4, 6, 9]),
        (lambda table: table[["AccessionNumber"]], [4, 6, 9]),
        (lambda table: table["AccessionNumber"], [4, 6, 9]),
        (lambda table: table.iloc[::-1].reset_index(drop=True), [None, None, None]),
        (lambda table: table.set_index("note", drop=False), [None, None, None]),
        (lambda table: table.assign(AccessionNumber=" 4"), [None, 4, None, None]),
        (lambda table: pd.DataFrame(table.to_dict("list")), [None, None, None]),
    ],
    ids=[
        "filtered",
        "reversed",
        "column added",
        "column taken",
        "one column",
        "renumbered",
        "other index",
        "changed",
        "made anew",
    ],
)
def test_a_line_is_named_only_where_it_is_the_row(tmp_path: Path, change: object, lines: list[int | None]) -> None:
    """A table that was filtered, sorted or renumbered never names a line where something else stands."""
    error = refused(change(read_requests(write(tmp_path, LINES))))  # type: ignore[operator]
    assert [problem.place for problem in error.problems] == [f"line {n} of cohort.csv" if n else "" for n in lines]


@pytest.mark.parametrize("content", [None, b"", b"\xff\xfe", b"A\n1\n", b"PK\x03\x04"], ids=repr)
def test_the_file_has_changed_since(tmp_path: Path, content: bytes | None) -> None:
    """A file that was taken away, emptied or overwritten names no line, and the rows are named all the same."""
    table = read_requests(write(tmp_path, LINES))
    (tmp_path / "cohort.csv").unlink()
    if content is not None:
        write(tmp_path, content)
    assert [problem.place for problem in refused(table).problems] == ["", "", ""]


def test_many_lines_are_found_at_once(tmp_path: Path) -> None:
    """The file is read again once, however many of its rows are bad."""
    table = read_requests(write(tmp_path, "AccessionNumber\n" + " 1\n" * 20_000))
    begun = time.process_time()
    error = refused(table)
    assert error.problems[-1].place == "line 20001 of cohort.csv"
    assert time.process_time() - begun < 10


def test_spaces_of_a_file_are_named(tmp_path: Path) -> None:
    """The reader keeps spaces, and the hygiene names them."""
    error = refused(read_requests(write(tmp_path, "AccessionNumber\n 1\n2\n3 \n")))
    assert [problem.position for problem in error.problems] == [0, 2]


def test_separator_and_encoding_can_be_said(tmp_path: Path) -> None:
    """What cannot be found out can be said."""
    path = write(tmp_path, "A|B\n1|Œ\n".encode("iso-8859-15"))
    assert read_requests(path, sep="|", encoding="iso-8859-15").to_numpy().tolist() == [["1", "Œ"]]
    with pytest.raises(UnicodeDecodeError):
        read_requests(path, sep="|", encoding="utf-8")


def test_no_such_file(tmp_path: Path) -> None:
    """A file that is not there is a FileNotFoundError that says where it was looked for."""
    with pytest.raises(FileNotFoundError, match=r"there is no 'nope.csv' in .*; check how it is written"):
        read_requests("nope.csv")
    with pytest.raises(FileNotFoundError):
        read_requests(tmp_path / "none.csv")


_LARGE = """
import resource, sys
from dicomover.requests.parse import parse_requests, read_requests
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
batch = parse_requests(read_requests(sys.argv[1]))
print(len(batch.requests), batch.requests[-1].keys["AccessionNumber"])
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="measured in the units of Linux")
def test_a_large_file_fits(tmp_path: Path) -> None:
    """A hundred thousand rows are read and checked in less than 400 MB."""
    lines = (f"{number:08d},1.2.840.{number},train" for number in range(100_000))
    path = write(tmp_path, "AccessionNumber,StudyInstanceUID,split\n" + "\n".join(lines))
    done = subprocess.run([sys.executable, "-c", _LARGE, path], check=True, capture_output=True, text=True)
    rows, last, kilobytes = done.stdout.split()
    assert (rows, last) == ("100000", "00099999")
    assert int(kilobytes) < 400_000
