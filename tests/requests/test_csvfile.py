"""The text of a CSV: its separator, its lines, and what programs write around it."""

from __future__ import annotations

import csv

import pytest

from dicomover.requests.csvfile import CsvText
from dicomover.requests.header import NoTable


@pytest.mark.parametrize(
    ("text", "separator"),
    [
        ("A,B\n", ","),
        ("A;B,C;D\n", ";"),
        ("A|B\n", "|"),
        ("sep=;\nA,B,C;D\n", ";"),
        ("sep=,\n\nA;B\n", ","),
        ('"A;B;C",D\n', ","),
        ("A\n", ","),
    ],
)
def test_the_separator(text: str, separator: str) -> None:
    """The separator is what the first line tells Excel, or what the header has most of."""
    assert CsvText.of(text, None).separator == separator
    assert CsvText.of(text, "\t").separator == "\t"


def test_lines_are_those_of_the_file() -> None:
    """Rows have the numbers that an editor shows, whatever was left out before them."""
    csv = CsvText.of('sep=;\nA;B\n\n1;"x\ny"\n2;z\n\x1a', None)
    assert list(csv.rows()) == [(2, ["A", "B"]), (4, ["1", "x\ny"]), (6, ["2", "z"])]
    assert csv.read()["B"].tolist() == ["x\ny", "z"]


@pytest.mark.parametrize("text", ["", "\n", "sep=;", "sep=;\n", "\x1a", "\ufeff"])
def test_nothing_is_no_table(text: str) -> None:
    """A file without a header is named, also if it has a line for Excel."""
    with pytest.raises(NoTable) as caught:
        CsvText.of(text, None)
    assert caught.value.why == "has no header line"


def test_a_header_that_looks_like_the_hint() -> None:
    """Only a line that is nothing but `sep=` and one character is for Excel."""
    assert CsvText.of("sep=;,A\n1,2\n", None).read().columns.tolist() == ["sep=;", "A"]
    assert CsvText.of("separator,A\n1,2\n", None).read().columns.tolist() == ["separator", "A"]


def test_a_header_that_names_no_columns() -> None:
    """A first line of a megabyte is no names of columns; it is told before its millions of cells are made."""
    with pytest.raises(NoTable) as caught:
        CsvText.of("a," * (1 << 20), None)
    assert "a header line of 2,097,152 characters" in str(caught.value.why)


def test_a_cell_may_be_longer_than_python_expects() -> None:
    """A row of a summary names every image that has failed; 20,000 UIDs are read, and Python's limit is as before."""
    before, uids = csv.field_size_limit(), "\\".join(f"1.2.826.0.1.3680043.{number}" for number in range(20_000))
    text = CsvText.of(f"AccessionNumber,failed_uids\n1,{uids}\n", None)
    assert [cells[1] for _, cells in text.rows()] == ["failed_uids", uids]
    assert text.read()["failed_uids"].tolist() == [uids]
    assert csv.field_size_limit() == before
