"""A file of requests: recognised, every cell as it was typed, and the line of the file that a row came from."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pandas as pd
import pytest

from dicomover.errors import ConfigurationError, RequestError, RequestWarning
from dicomover.outcome import Status
from dicomover.requests import files
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
        "comma", "semicolon", "tab", "BOM", "UTF-16", "CRLF", "CR", "quotes", "separators in the header",
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
    ],
    ids=["empty", "blank", "more", "more first", "more always", "fewer", "after a quoted break", "open quote"],
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
    assert "rows 1 to 3 (lines 4, 6, 9 of cohort.csv), AccessionNumber: ' 9' (and the like) begins" in str(error)
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
    with pytest.raises(RequestError, match="is not in the encoding"):
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


TYPED = "AccessionNumber;split\r\n00123;train\r\n"


def zipped(**members: bytes) -> bytes:
    """Return a ZIP file."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name.replace("__", "/"), content)
    return buffer.getvalue()


@pytest.mark.parametrize(
    "content",
    [
        b"sep=;\r\n" + TYPED.encode(),
        b'"sep=;"\r\n' + TYPED.encode(),
        b"\xef\xbb\xbfSEP=;\n" + TYPED.encode(),
        ("sep=\t\r\n" + TYPED.replace(";", "\t")).encode("utf-16"),
        TYPED.encode("utf-16-le"),
        TYPED.encode("utf-16-be"),
        TYPED.encode("utf-32"),
        TYPED.replace(";", "|").encode(),
        gzip.compress(TYPED.encode()),
        bz2.compress(TYPED.encode("utf-16")),
        lzma.compress(TYPED.encode()),
        zipped(cohort=TYPED.encode()),
        zipped(cohort=gzip.compress(TYPED.encode())),
        TYPED.encode() + b"\x1a",
        TYPED.encode() + b"\x1a\r\n",
    ],
    ids=[
        "sep", "quoted sep", "BOM and sep", "UTF-16 and sep", "UTF-16-LE", "UTF-16-BE", "UTF-32", "bar", "gzip",
        "bzip2", "xz", "ZIP", "gzip in ZIP", "Ctrl-Z", "Ctrl-Z and a line",
    ],
)  # fmt: skip
def test_whatever_a_program_wrote_is_read(tmp_path: Path, content: bytes) -> None:
    """What Excel, DOS and databases write around a table is no part of it, and its bytes say how it is packed."""
    table = read_requests(write(tmp_path, content))
    assert table.to_dict("list") == {"AccessionNumber": ["00123"], "split": ["train"]}


def test_lines_are_counted_with_the_hint(tmp_path: Path) -> None:
    """A first line for Excel is a line all the same where a row is named, and where a cell is missing."""
    error = refused(read_requests(write(tmp_path, "sep=;\nAccessionNumber;note\n1;ok\n 2;ok\n")))
    assert error.problems[0].place == "line 4 of cohort.csv"
    with pytest.raises(RequestError, match="line 4: has 1 cells, the header has 2"):
        read_requests(write(tmp_path, "sep=;\nAccessionNumber;note\n1;ok\n2\n"))
    with pytest.raises(RequestError, match="line 2: 'PatientID' names 2 columns"):
        read_requests(write(tmp_path, "sep=;\nPatientID;PatientID\n1;2\n"))


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (TYPED.encode() + bytes(512), "line 3: has NUL bytes, which no text has; it was cut off or damaged"),
        (TYPED.encode("utf-16")[:-1], "is UTF-16 by its first bytes, but not to its end"),
        (gzip.compress(TYPED.encode())[:-9], "is compressed, and cannot be unpacked"),
        (zipped(a=b"1", b=b"2"), "is a ZIP file of 2 files; unpack it first"),
        (zipped(a=TYPED.encode())[:60], "is compressed, and cannot be unpacked"),
        (bytes(40), "has NUL bytes"),
    ],
    ids=["NULs at the end", "half a character", "half a gzip", "two files", "half a ZIP", "NULs alone"],
)
def test_damaged_files_are_named(tmp_path: Path, content: bytes, says: str) -> None:
    """A file that was cut off on its way is named as such; half of it is no table."""
    with pytest.raises(RequestError) as caught:
        read_requests(write(tmp_path, content))
    assert says in str(caught.value)


def test_a_file_that_unpacks_to_too_much(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is unpacked is bounded, however small the file is."""
    monkeypatch.setattr(files, "_MOST", 1 << 20)
    for content in (gzip.compress(b"A\n" * (1 << 20)), zipped(a=b"A\n" * (1 << 20))):
        with pytest.raises(RequestError, match="has more than"):
            read_requests(write(tmp_path, content))


def test_a_guessed_encoding_is_told_once(tmp_path: Path) -> None:
    """A file that is not UTF-8 says how it was read and what a cell looks like now, and shows no letters of it."""
    path = write(tmp_path, "PatientID,ward\nÑ1,x\n2,Müller 4\n 3,x\n".encode("cp1252"))
    with pytest.warns(RequestWarning) as caught:
        table = read_requests(path)
    assert table["PatientID"].tolist() == ["Ñ1", "2", " 3"]
    (warning,) = caught
    assert warning.filename == __file__
    assert str(warning.message) == (
        "cohort.csv is not UTF-8; it was read as Windows-1252, where cell 2 of line 3 is now 'Aüaaaa 9' (a for a "
        "letter, 9 for a digit), and 1 cell of a key has such letters too; if that is wrong, name its encoding, such "
        "as encoding='cp850'"
    )
    assert refused(table).problems[0].place == "line 4 of cohort.csv"  # and nothing more is said
    assert read_requests(path, encoding="cp1252").equals(table)


def test_a_lost_character_in_a_key_is_an_error(tmp_path: Path) -> None:
    """U+FFFD stands for a letter that somebody has lost: no archive has it, and a key with it is refused."""
    error = refused(read_requests(write(tmp_path, "PatientID,ward\nM\ufffdller,\ufffd\n")))
    assert "U+FFFD" in str(error)
    assert len(error.problems) == 1


@pytest.mark.parametrize("how", [{"sep": ";"}, {"encoding": "utf-8"}, {"sheet": "Cohort"}], ids=str)
def test_nothing_that_is_said_is_ignored(tmp_path: Path, how: dict) -> None:
    """A sheet of a CSV and a separator of a workbook cannot be meant."""
    content = TYPED if "sheet" in how else zipped(xl__workbook_xml=b"").replace(b"workbook_xml", b"workbook.xml")
    with pytest.raises(RequestError, match=r"leave .* out"):
        read_requests(write(tmp_path, content), **how)


@pytest.mark.parametrize(
    ("how", "error", "says"),
    [
        ({"encoding": "nonsense"}, ConfigurationError, "encoding='nonsense' is no encoding"),
        ({"encoding": "base64"}, ConfigurationError, "encoding='base64' is no encoding"),
        ({"encoding": "utf\0"}, ConfigurationError, "is no encoding"),
        ({"encoding": "ascii"}, RequestError, "is not in the encoding 'ascii'; leave encoding= out"),
        ({"encoding": "utf-32"}, RequestError, "is not in the encoding 'utf-32'"),
        ({"sep": ";;"}, ConfigurationError, "sep=';;' is not one character"),
        ({"sep": ""}, ConfigurationError, "sep='' is not one character"),
        ({"sep": "\n"}, ConfigurationError, "is not one character that can separate"),
        ({"sep": '"'}, ConfigurationError, "is not one character that can separate"),
    ],
    ids=str,
)
def test_what_is_said_of_a_file_and_cannot_be(tmp_path: Path, how: dict, error: type[Exception], says: str) -> None:
    """An encoding or a separator that is none, and an encoding that the file is not in, end in an error of ours."""
    with pytest.raises(error) as caught:
        read_requests(write(tmp_path, "AccessionNumber,ward\n1,Zürich\n"), **how)
    assert says in str(caught.value)


def test_an_encoding_with_a_mark(tmp_path: Path) -> None:
    """Who says that a file is UTF-8 need not know whether it begins with a mark."""
    assert read_requests(write(tmp_path, b"\xef\xbb\xbfA\n1\n"), encoding="utf-8").columns.tolist() == ["A"]
