"""Cells that a spreadsheet would run: guarded in the file, and as they were when they are read."""

from __future__ import annotations

import csv
import io
import re
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dicomover.cli.output_files import write_table
from dicomover.requests.parse import read_requests
from dicomover.text.formulas import guard, guard_table, unguard

NASTY = st.text(st.sampled_from("=+-@\t\r\n'\",;| ＝＋－＠aé0.5e\\"), max_size=12) | st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12
)
RUN = re.compile("[=+\\-@＝＋－＠\t\r\n]")


@given(NASTY)
@settings(max_examples=500)
def test_what_is_guarded_comes_back_as_it_was(text: str) -> None:
    """Whatever a text holds, with apostrophes of its own, it survives, and no part of it begins like a formula."""
    guarded = guard(text)
    assert unguard(guarded) == text
    number = re.fullmatch(r"-\d+([.,]\d+)?([eE][+-]?\d+)?", text)
    assert number or not any(RUN.match(part) for part in re.split('[,;\t\r\n|"]', guarded) if part)


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("=1+1", "'=1+1"),
        ("+49 30", "'+49 30"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("-2+3+cmd|' /C calc'!A0", "'-2+3+cmd|' /C calc'!A0"),
        ("\t=1", "'\t'=1"),
        ("\r=1", "'\r'=1"),
        ("＝1＋1", "'＝1＋1"),
        ('a";=1', "a\";'=1"),
        ("a,@b", "a,'@b"),
        ("-5", "-5"),
        ("-1.5e-3", "-1.5e-3"),
        ("-20240101", "-20240101"),
        ("'=1", "''=1"),
        ("'mine", "'mine"),
        ("T1 - post", "T1 - post"),
        ("1.2.840\\1.2.841", "1.2.840\\1.2.841"),
    ],
)
def test_what_stands_in_the_file(text: str, written: str) -> None:
    """An apostrophe before each beginning of a formula; numbers, UIDs and usual texts stay as they are."""
    assert guard(text) == written


@given(st.lists(st.tuples(NASTY, NASTY), min_size=1, max_size=4))
@settings(max_examples=150, deadline=None)
def test_a_table_comes_back_from_a_file(tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str]]) -> None:
    """What the writer of tables writes, the reader of tables reads, cell by cell."""
    path = tmp_path_factory.mktemp("csv") / "done.csv"
    table = pd.DataFrame(rows, columns=["AccessionNumber", "note"], dtype="string").assign(n=-1)
    write_table(table, path)
    read = read_requests(path)
    assert read[["AccessionNumber", "note"]].to_numpy().tolist() == [list(row) for row in rows]
    assert read["n"].eq("-1").all()


def test_names_of_columns_and_categories_are_guarded_too(tmp_path: Path) -> None:
    """A formula in the header runs as well; one in a categorical column is text like any other."""
    path = tmp_path / "done.csv"
    table = pd.DataFrame({"AccessionNumber": ["1"], "=A1": pd.Categorical(["@x"]), "n": [-2.5]})
    write_table(table, path)
    assert list(csv.reader(io.StringIO(path.read_text()))) == [
        ["AccessionNumber", "'=A1", "n"],
        ["1", "'@x", "-2.5"],
    ]
    assert read_requests(path).to_dict("list") == {"AccessionNumber": ["1"], "=A1": ["@x"], "n": ["-2.5"]}
    assert guard_table(table)["n"].dtype == "float64"


def test_a_plain_table_is_written_as_it_is(tmp_path: Path) -> None:
    """What no spreadsheet would run is written as ever, and nothing of it is taken for a guard when it is read."""
    table = pd.DataFrame({"AccessionNumber": ["00123", "'4"], "note": ["O'Neill", "a-b"]}, dtype="string")
    assert guard_table(table).equals(table)
    write_table(table, tmp_path / "done.csv")
    assert read_requests(tmp_path / "done.csv").equals(table)
