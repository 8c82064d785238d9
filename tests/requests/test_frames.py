"""Tables of other libraries: taken as they are, or named with the call that makes a table of them."""

from __future__ import annotations

import sqlite3
from collections import namedtuple
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from dicomover.requests.around import requests_around
from dicomover.requests.frames import as_pandas, column_of
from dicomover.requests.parse import parse_requests
from requests_kit import keys_of, needs, refused

DATA: dict[str, list[Any]] = {
    "AccessionNumber": ["00123", None, "NA"],
    "PatientID": ["P1", "P2", "P3"],
    "age": [67, None, 2**53 + 1],
    "seen": [True, None, False],
    "score": [0.5, None, 1.0],
    "born": [date(1957, 1, 2), None, date(1960, 3, 4)],
}


def _polars(data: dict[str, list[Any]]) -> Any:
    return needs("polars").DataFrame(data)


def _arrow(data: dict[str, list[Any]]) -> Any:
    return needs("pyarrow").table(data)


def _duckdb(data: dict[str, list[Any]]) -> Any:
    duckdb = needs("duckdb")
    base = _arrow(data)
    return duckdb.connect().from_arrow(base)


class OnlyArrow:
    """A table of a library that nobody knows, which has an Arrow C stream."""

    def __init__(self, table: Any) -> None:
        self.table = table

    def __arrow_c_stream__(self, requested_schema: object = None) -> Any:
        """Hand out the stream."""
        return self.table.__arrow_c_stream__(requested_schema)


FRAMES = {
    "polars": _polars,
    "pyarrow": _arrow,
    "record batch": lambda data: _arrow(data).combine_chunks().to_batches()[0],
    "duckdb": _duckdb,
    "narwhals of polars": lambda data: needs("narwhals").from_native(_polars(data)),
    "narwhals of pandas": lambda data: needs("narwhals").from_native(pd.DataFrame(data, dtype=object)),
    "Arrow stream": lambda data: OnlyArrow(_arrow(data)),
}


@pytest.mark.parametrize("make", FRAMES.values(), ids=FRAMES)
def test_frames_are_taken(make: Any) -> None:
    """Text stays text, nulls stay nulls, whole numbers beside nulls stay whole to the last digit."""
    given = parse_requests(make(DATA), invalid="record").given
    assert given.columns.tolist() == list(DATA)
    assert given["AccessionNumber"].tolist() == ["00123", pd.NA, "NA"]
    assert given["age"].tolist() == [67, pd.NA, 2**53 + 1]
    assert given["seen"].tolist() == [True, pd.NA, False]
    assert given["born"].tolist() == [date(1957, 1, 2), None, date(1960, 3, 4)]
    assert keys_of(make({"AccessionNumber": ["00123"], "arm": ["a"]})) == [{"AccessionNumber": "00123"}]


@pytest.mark.parametrize("make", FRAMES.values(), ids=FRAMES)
def test_their_faults_are_those_of_a_table(make: Any) -> None:
    """A numeric key, a wildcard and a missing key are named as in a table of pandas."""
    assert "leading zeros are lost" in str(refused(make({"AccessionNumber": [123, None]})))
    assert "'AccessionNumber'" in str(refused(make({"accession_number": ["1"]})))
    missing = refused(make({"PatientID": ["P1", "P2"], "AccessionNumber": ["1", None]}))
    assert [problem.position for problem in missing.problems] == [1]


def test_columns_of_other_libraries() -> None:
    """A column with the name of a key is one; an array has no name."""
    polars, arrow = needs("polars"), needs("pyarrow")
    assert keys_of(polars.Series("AccessionNumber", ["00123"])) == [{"AccessionNumber": "00123"}]
    assert keys_of(needs("narwhals").from_native(polars.Series("PatientID", ["1"]), series_only=True)) == [
        {"PatientID": "1"}
    ]
    error = refused(arrow.chunked_array([["00123"]]))
    assert "pyarrow.ChunkedArray" in str(error)
    assert "name='AccessionNumber'" in str(error)


def test_two_columns_of_one_name() -> None:
    """An Arrow table may name a key twice, which is told and not made one of."""
    arrow = needs("pyarrow")
    table = arrow.Table.from_arrays([arrow.array(["1"]), arrow.array(["2"])], names=["AccessionNumber"] * 2)
    assert "keep one column for AccessionNumber" in str(refused(table))


@pytest.mark.parametrize("kind", ["large_string", "string_view", "dictionary"])
def test_texts_of_arrow(kind: str) -> None:
    """Texts are texts, however Arrow keeps them."""
    arrow = needs("pyarrow")
    plain = arrow.array(["00123", None, "00123"])
    array = plain.dictionary_encode() if kind == "dictionary" else plain.cast(getattr(arrow, kind)())
    given = parse_requests(arrow.table({"AccessionNumber": array}), invalid="record").given
    assert given["AccessionNumber"].tolist() == ["00123", pd.NA, "00123"]


def test_what_has_to_be_computed_first() -> None:
    """A lazy frame is named with the call that computes it."""
    polars, narwhals = needs("polars"), needs("narwhals")
    lazy = polars.DataFrame(DATA).lazy()
    assert "polars.LazyFrame" in str(refused(lazy))
    assert "give what its collect() returns" in str(refused(lazy))
    assert "give what its collect() returns" in str(refused(narwhals.from_native(lazy)))
    connection = needs("duckdb").connect()
    assert "is a cursor, not a table" in str(refused(connection.execute("select '1' as AccessionNumber")))


@pytest.mark.parametrize("call", ["toPandas", "to_pandas", "compute", "collect", "to_dataframe"])
def test_other_libraries_are_named_by_their_call(call: str) -> None:
    """Tables of Spark, Dask, Ibis, cuDF and others are named with what makes a table of pandas of them."""
    plain = type("Table", (), {call: lambda self: None, "__module__": "other.tables"})
    assert f"'other.Table' is not in memory as rows; give what its {call}() returns" in str(refused(plain()))
    spark = type("DataFrame", (), {"toPandas": print, "collect": print, "__module__": "pyspark.sql"})
    assert "give what its toPandas() returns" in str(refused(spark()))


def test_a_structured_array() -> None:
    """An array with names is a table; one without is not."""
    array = np.array([("00123", 67), ("00124", 5)], dtype=[("AccessionNumber", "U16"), ("age", "i8")])
    assert keys_of(array) == [{"AccessionNumber": "00123"}, {"AccessionNumber": "00124"}]
    assert keys_of(array.view(np.recarray)) == keys_of(array)
    as_bytes = np.array([(b"00123",)], dtype=[("AccessionNumber", "S16")])
    assert "is not text but bytes" in str(refused(as_bytes))
    for plain in (np.array([["00123", "x"]]), [("00123", "x")], [["00123"]], np.array([["1"]], dtype=object)):
        assert "name the columns: pd.DataFrame(rows, columns=[" in str(refused(plain))
    assert "name the key of all" in str(refused(np.array(["00123", "00124"])))


Row = namedtuple("Row", ["AccessionNumber"])


@dataclass
class Case:
    """A row as a dataclass."""

    AccessionNumber: str


def sqlite_rows() -> list[sqlite3.Row]:
    """Return rows of SQLite that know their names."""
    connection = sqlite3.connect(":memory:")
    connection.row_factory = sqlite3.Row
    rows = connection.execute("select '00123' as AccessionNumber").fetchall()
    connection.close()
    return rows


@pytest.mark.parametrize(
    ("rows", "says", "mended"),
    [
        ([Row("00123")], "give [row._asdict() for row in rows]", lambda rows: [row._asdict() for row in rows]),
        ([Case("00123")], "give [dataclasses.asdict(row) for row", lambda rows: [vars(row) for row in rows]),
        (sqlite_rows(), "give [dict(row) for row in rows]", lambda rows: [dict(row) for row in rows]),
        (
            [("00123",)],
            "name the columns: pd.DataFrame(rows, columns=['AccessionNumber', …], dtype=object)",
            lambda rows: pd.DataFrame(rows, columns=["AccessionNumber"], dtype=object),
        ),
        (["00123"], "pd.Series(numbers, name='AccessionNumber')", lambda rows: pd.Series(rows, name="AccessionNumber")),
        (
            pd.Index(["00123"], name="AccessionNumber"),
            "give index.to_frame(index=False)",
            lambda index: index.to_frame(index=False),
        ),
        (
            pd.MultiIndex.from_tuples([("P1", "00123")], names=["ward", "AccessionNumber"]),
            "give index.to_frame(index=False)",
            lambda index: index.to_frame(index=False),
        ),
    ],
    ids=["namedtuples", "dataclasses", "SQLite", "tuples", "texts", "index", "levels of an index"],
)
def test_rows_that_are_no_dicts(rows: Any, says: str, mended: Any) -> None:
    """One sentence for all rows says what makes requests of them, and following it does."""
    error = refused(rows)
    assert len(error.problems) == 1
    assert says in str(error)
    assert keys_of(mended(rows)) == [{"AccessionNumber": "00123"}]


def test_many_rows_are_one_problem() -> None:
    """A thousand accession numbers without a name are one sentence, without any of them."""
    error = refused([f"{number:05d}" for number in range(1000)])
    assert len(error.problems) == 1
    assert "00001" not in str(error)


def test_columns_keep_what_they_hold() -> None:
    """A column of one kind has pandas' dtype for it, with room for nulls; of several it keeps each as it is."""
    assert column_of([2**63 + 1, None]).tolist() == [2**63 + 1, None]
    assert column_of([1, "a", None]).tolist() == [1, "a", None]
    assert column_of([datetime(9999, 1, 1), None]).tolist() == [pd.Timestamp(9999, 1, 1), pd.NaT]
    assert column_of([None]).dtype == "string"
    assert column_of([]).dtype == "string"


@pytest.mark.parametrize("given", [{"AccessionNumber": "1"}, [{"AccessionNumber": "1"}], pd.DataFrame(), "x", 5, None])
def test_what_is_ours_already_is_left_alone(given: object) -> None:
    """Dicts, lists and tables of pandas are handed on as they are."""
    assert as_pandas(given) is given


def test_a_frame_of_patients_and_dates() -> None:
    """`requests_around` takes frames of other libraries too."""
    frame = _polars({"PatientID": ["P1"], "operated": [date(2024, 3, 10)]})
    requests = requests_around(frame, date="operated", before="1D")
    assert requests["key:StudyDate"].tolist() == ["20240309-20240310"]


def test_parquet_as_polars_reads_it(tmp_path: Path) -> None:
    """The way from a Parquet file over another library keeps what was typed."""
    frame = _polars({"AccessionNumber": ["00123"]})
    frame.write_parquet(tmp_path / "cohort.parquet")
    assert keys_of(needs("polars").read_parquet(tmp_path / "cohort.parquet")) == [{"AccessionNumber": "00123"}]
