"""Query keys as they are typed, or written in a file."""

from __future__ import annotations

from pathlib import Path

import pytest

from cli_kit import Shell, peer
from dicomover.cli.keys import keys_of, read_query_file
from dicomover.testing import DemoPacs, made_study


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Shell:
    """Run a command in this process."""
    return Shell(capsys)


@pytest.mark.parametrize(
    "text", ["AccessionNumber=00123", "0008,0050=00123", "(0008,0050)=00123", "(0008, 0050)=00123", "00080050=00123"]
)
def test_a_key_has_three_notations(text: str) -> None:
    """A keyword, a tag, a tag in brackets; the value is kept as it is."""
    assert keys_of([text], None) == {"AccessionNumber": "00123"}


def test_a_value_may_hold_an_equals_sign() -> None:
    """Only the first one separates."""
    assert keys_of(["StudyDescription=a=b"], None) == {"StudyDescription": "a=b"}


def test_a_bare_keyword_asks_for_an_attribute_in_a_find() -> None:
    """`-k Modality` is `-k Modality=`."""
    assert keys_of(["Modality", "(0008,0020)"], None, bare=True) == {"Modality": "", "StudyDate": ""}


QUERY_FILES = [
    (b"PatientID=1\nStudyDate=2024\n", {"PatientID": "1", "StudyDate": "2024"}),
    (b"PatientID=1\r\nStudyDate=2024\r\n", {"PatientID": "1", "StudyDate": "2024"}),
    (b"# a comment\n\n   \n\t# another\n   PatientID=1   \n", {"PatientID": "1"}),
    (b"(0010,0020) = 1\n0008,0020=2024", {"PatientID": "1", "StudyDate": "2024"}),
    (b"\xef\xbb\xbfPatientID=1\n", {"PatientID": "1"}),
    ("PatientName=Müller^J".encode(), {"PatientName": "Müller^J"}),
    ("PatientName=Müller^J".encode("cp1252"), {"PatientName": "Müller^J"}),
    (b"StudyDescription=# 1\n", {"StudyDescription": "# 1"}),
    (b"", {}),
]


@pytest.mark.parametrize(("content", "keys"), QUERY_FILES)
def test_a_query_file_is_read(tmp_path: Path, content: bytes, keys: dict[str, str]) -> None:
    """One key a line; comments, blank and indented lines, CRLF, a byte order mark."""
    path = tmp_path / "keys.txt"
    path.write_bytes(content)
    assert keys_of([], path) == keys


def test_a_typed_key_wins_over_the_file(tmp_path: Path) -> None:
    """-k replaces what -f says, however each is written."""
    path = tmp_path / "keys.txt"
    path.write_text("AccessionNumber=1\nStudyDate=2024\n")
    assert keys_of(["0008,0050=2"], path) == {"AccessionNumber": "2", "StudyDate": "2024"}
    assert len(read_query_file(path)) == 2


BAD_FILES = [
    (b"PatientID=1\n\nnonsense SECRET\n", "line 3 has no '='"),
    (b"PatientId=SECRET\n", "line 1: 'PatientId' is no DICOM keyword"),
    (b"# x\n=SECRET\n", "line 2 names no attribute"),
    (b"PatientID=SECRET\r\nPatientID=SECRET\r\n", "line 2; keep one"),
    (b"SeriesNumber=SECRET\n", "line 1: the value of SeriesNumber cannot be written as IS"),
    (b"\0" * 128 + b"DICM", "is no text file"),
]


@pytest.mark.parametrize(("content", "words"), BAD_FILES)
def test_a_bad_line_is_named_with_its_number(run: Shell, tmp_path: Path, content: bytes, words: str) -> None:
    """A bad line is exit code 2, with its number and without its value."""
    path = tmp_path / "keys.txt"
    path.write_bytes(content)
    ran = run("move", "-aem", "X", "-f", path, "host", 104)
    assert (ran.code, ran.out) == (2, "")
    assert words in ran.err
    assert "SECRET" not in ran.err


def test_an_unreadable_query_file_is_an_error(run: Shell, tmp_path: Path) -> None:
    """A folder in its place is exit code 2."""
    ran = run("move", "-aem", "X", "-f", tmp_path, "host", 104)
    assert ran.code == 2
    assert "cannot be read: Is a directory" in ran.err


def test_a_query_file_moves(run: Shell, tmp_path: Path) -> None:
    """A query file is as good as keys."""
    path = tmp_path / "keys.txt"
    path.write_text("  # the study\r\n\r\n  AccessionNumber=00123\r\n")
    with DemoPacs([made_study("00123")]) as pacs:
        assert run("move", "-aem", "WORKSTATION", "-f", path, *peer(pacs)).code == 0
