"""The summary: its schema, whatever went in, and what a shell is told."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

import numpy as np
import pandas as pd
import pytest

from dicomover import ConfigurationError, report
from dicomover.outcome import Counters, Status
from dicomover.summary import SCHEMA, SUMMARY_COLUMNS, Result, build, exit_code, failures, missing, short
from generated import summary_columns

DTYPES = {
    "status": "category",
    "status_code": "string",
    "matches": "Int64",
    "expected": "Int64",
    "completed": "Int64",
    "failed": "Int64",
    "warning": "Int64",
    "remaining": "Int64",
    "received": "Int64",
    "bytes": "Int64",
    "attempts": "Int64",
    "started": "datetime64[us, UTC]",
    "seconds": "Float64",
    "error": "string",
    "failed_uids": "string",
}
FULL = Result(
    Status.PARTIAL,
    0xB000,
    matches=1,
    expected=3,
    counters=Counters(2, 1, 0, 0),
    received=2,
    bytes=1024,
    attempts=1,
    started=datetime(2024, 2, 29, 12, 30, 0, 123456, tzinfo=UTC),
    seconds=1.5,
    error="some failed",
    failed_uids=("1.2", "1.3"),
)


def given(rows: int, **columns: object) -> pd.DataFrame:
    """Return an input of so many rows."""
    return pd.DataFrame({"AccessionNumber": pd.Series([f"00{n}" for n in range(rows)], dtype="string"), **columns})


def ours(summary: pd.DataFrame) -> dict[str, str]:
    """Return the dtypes of our columns, by name, in order."""
    return {name: str(summary[name].dtype) for name in summary.columns if name in DTYPES}


def test_a_row_that_is_not_over_has_no_status() -> None:
    """What is unknown of it is shown as <NA> in every column, in text and in HTML."""
    summary = build([Result(), FULL], given(2))
    for shown in (repr(summary), repr(summary["status"]), summary.to_html()):
        assert "nan" not in shown.lower()
    assert summary["status"].isna().tolist() == [True, False]
    assert (summary["status"] != "success").tolist() == [True, True]
    assert summary["status"].max() == "partial"


@pytest.mark.parametrize(
    "results",
    [[], [Result()], [Result(Status.LOST)] * 3, [FULL], [Result(), FULL], [FULL, Result(Status.INVALID)]],
    ids=["zero rows", "nothing known", "only a status", "all known", "mixed", "mixed the other way"],
)
def test_schema_is_always_the_same(results: list[Result]) -> None:
    """All columns of the contract are there, in its order, with its dtypes, whatever is known."""
    summary = build(results, given(len(results)))
    assert list(summary.columns) == ["AccessionNumber", *DTYPES]
    assert ours(summary) == DTYPES
    assert len(summary) == len(results)
    assert summary["AccessionNumber"].dtype == given(1)["AccessionNumber"].dtype


def test_schema_stands_in_one_place() -> None:
    """The schema that the docs print is the schema that is built."""
    assert list(SUMMARY_COLUMNS) == list(DTYPES)
    assert [column.dtype for column in SCHEMA] == list(DTYPES.values())
    lines = summary_columns().splitlines()[2:]
    assert [line.split("`")[1] for line in lines] == list(DTYPES)
    assert "| `status` | ordered category |" in lines[0]


def test_status_is_an_ordered_category() -> None:
    """Statuses compare from best to worst, and all of them are categories though none occurs."""
    summary = build([FULL, Result(Status.SUCCESS)], given(2))
    assert list(summary["status"].cat.categories) == [str(status) for status in Status]
    assert summary["status"].cat.ordered
    assert (summary["status"] > "success").tolist() == [True, False]
    assert list(build([], given(0))["status"].cat.categories) == [str(status) for status in Status]


def test_values_of_a_row() -> None:
    """Every value of a result is in its column, and what is unknown is <NA>, never 0."""
    full, bare = build([FULL, Result(Status.LOST)], given(2)).to_dict("records")
    assert full == {
        "AccessionNumber": "000",
        "status": "partial",
        "status_code": "0xB000",
        "matches": 1,
        "expected": 3,
        "completed": 2,
        "failed": 1,
        "warning": 0,
        "remaining": 0,
        "received": 2,
        "bytes": 1024,
        "attempts": 1,
        "started": pd.Timestamp("2024-02-29 12:30:00.123456", tz="UTC"),
        "seconds": 1.5,
        "error": "some failed",
        "failed_uids": "1.2\\1.3",
    }
    known = {name for name, value in bare.items() if not pd.isna(value)}
    assert known == {"AccessionNumber", "status", "attempts"}


@pytest.mark.parametrize(
    "index",
    [
        pd.Index(["a", "a", "b"], name="who"),
        pd.MultiIndex.from_tuples([("a", 1), ("a", 2), ("a", 1)], names=["who", "when"]),
        pd.Index([7, 3, 5]),
        pd.DatetimeIndex(["2024-01-01", "2024-01-03", "2024-01-02"]),
        pd.Index([None, np.nan, "x"], dtype=object),
    ],
    ids=["duplicated", "several levels", "unsorted", "dates", "missing labels"],
)
def test_index_is_that_of_the_input(index: pd.Index) -> None:
    """One row per row, in its order, under its label."""
    table = given(3).set_axis(index)
    results = [Result(Status.SUCCESS, matches=n) for n in range(3)]
    summary = build(results, table)
    assert summary.index.equals(index)
    assert summary.index.names == index.names
    assert summary["matches"].tolist() == [0, 1, 2]
    assert summary["AccessionNumber"].tolist() == ["000", "001", "002"]


def test_an_earlier_summary_is_replaced() -> None:
    """Fed back, a summary's own columns give way to the new ones; the others stay."""
    first = build([FULL, Result(Status.LOST)], given(2, label=["x", "y"]))
    again = build([Result(Status.SUCCESS), Result(Status.SUCCESS)], first)
    assert list(again.columns) == list(first.columns)
    assert again["status"].tolist() == ["success", "success"]
    assert again["failed"].isna().all()
    assert again["label"].tolist() == ["x", "y"]


@pytest.mark.parametrize("at", [0, 1])
def test_columns_of_one_name_ride_along_once_each(at: int) -> None:
    """An input with two columns of one name comes back with two, not with four."""
    table = pd.DataFrame([["1", "a", "b"]], columns=["AccessionNumber", "label", "label"])
    table.insert(at, "status", "mine")
    summary = build([FULL], table)
    assert list(summary.columns) == ["AccessionNumber", "label", "label", *DTYPES]
    assert summary.iloc[0, 1:3].tolist() == ["a", "b"]


def test_input_stays_as_it_was() -> None:
    """Neither building nor changing the summary changes the input."""
    table = given(2, label=["x", "y"], status=["mine", "mine"])
    before = table.copy(deep=True)
    summary = build([FULL, FULL], table)
    summary["label"] = "z"
    summary.loc[0, "AccessionNumber"] = "changed"
    pd.testing.assert_frame_equal(table, before)


def test_nothing_hangs_on_attrs() -> None:
    """The summary needs no `attrs`, which concat and CSV lose."""
    assert build([FULL], given(1)).attrs == {}


def test_summary_survives_csv(tmp_path) -> None:
    """Written as CSV and read as text, the leading zeros and the words are still there."""
    build([FULL], given(1)).to_csv(tmp_path / "summary.csv", index=False)
    row = pd.read_csv(tmp_path / "summary.csv", dtype=str).loc[0]
    assert (row["AccessionNumber"], row["status"], row["status_code"]) == ("000", "partial", "0xB000")


@pytest.mark.parametrize(
    ("results", "code"),
    [
        ([Result(Status.SUCCESS)], 0),
        ([Result(Status.SUCCESS), Result(Status.WARNING), Result(Status.SKIPPED)], 0),
        ([Result(Status.SUCCESS), Result(Status.NOT_FOUND)], 1),
        ([Result(Status.PARTIAL, counters=Counters(2, 1, 0))], 1),
        ([Result(Status.PARTIAL, counters=Counters(0, 1, 2))], 1),
        ([Result(Status.LOST, counters=Counters(2))], 1),
        ([Result(Status.LOST)], 2),
        ([Result(Status.PARTIAL, counters=Counters(0, 0, 0), received=2)], 1),
        ([Result(Status.EMPTY, counters=Counters(3, 0, 0), received=0)], 2),
        ([Result(Status.EMPTY, counters=Counters(0, 0, 0))], 2),
        ([Result(Status.NOT_FOUND), Result(Status.INVALID)], 2),
        ([Result(Status.CANCELLED, counters=Counters(1))], 1),
        ([Result(Status.FAILURE), Result(Status.SKIPPED)], 1),
        ([Result()], 2),
        ([], 2),
    ],
)
def test_exit_code(results: list[Result], code: int) -> None:
    """0 if all moved, 1 if some did not, 2 if nothing did; whatever the archive claims."""
    assert exit_code(build(results, given(len(results)))) == code


def test_failures_name_each_instance() -> None:
    """One row for each instance that failed, with its request's label; dtypes hold for none too."""
    index = pd.Index(["a", "b", "c"])
    table = failures([FULL, Result(Status.SUCCESS), Result(Status.PARTIAL, failed_uids=("1.9",))], index)
    assert table["request"].tolist() == ["a", "a", "c"]
    assert table["SOPInstanceUID"].tolist() == ["1.2", "1.3", "1.9"]
    assert table["status_code"].tolist()[:2] == ["0xB000", "0xB000"]
    none = failures([], pd.Index([]))
    assert none.dtypes.drop("request").to_dict() == table.dtypes.drop("request").to_dict()
    assert list(none.columns) == list(table.columns)


def test_missing_is_what_is_not_complete(tmp_path) -> None:
    """Every verdict short of complete is missing, a row that is not over too; read back from a file as well."""
    results = [*(Result(status) for status in Status), Result()]
    summary = build(results, given(len(results)))
    rows = missing(summary)
    assert set(rows["status"].dropna()) == {str(status) for status in Status if not status.complete}
    assert rows["status"].isna().sum() == 1
    summary.to_csv(tmp_path / "s.csv", index=False)
    assert len(missing(pd.read_csv(tmp_path / "s.csv"))) == len(rows)
    assert missing(summary.iloc[:0]).columns.tolist() == summary.columns.tolist()


def test_half_a_character_is_shown() -> None:
    """A key that no text can hold, for which its row is invalid, stands in what is shown all the same."""
    summary = build(
        [Result(Status.INVALID, error="odd")], pd.DataFrame({"PatientID": pd.Series(["a\ud800"], dtype=object)})
    )
    assert short(summary)["key"].tolist() == ["a\\ud800"]
    for show_keys in (False, True):
        assert "invalid" in str(report(summary, show_keys=show_keys))


def test_short_has_the_key_that_tells_most() -> None:
    """The accession number where a row has one, else its lowest UID, else the patient; and who counted what came."""
    keys = pd.DataFrame(
        {"PatientID": ["P", "P", "P"], "StudyInstanceUID": [pd.NA, "1.2", ""], "AccessionNumber": ["7", "", pd.NA]},
        dtype="string",
        index=["a", "b", "c"],
    )
    here = short(build([Result(Status.SUCCESS, received=3, expected=3)] * 3, keys))
    assert here["key"].tolist() == ["7", "1.2", "P"]
    assert here.columns.tolist() == ["key", "status", "expected", "received", "error"]
    assert here.index.tolist() == ["a", "b", "c"]
    third = short(build([Result(Status.SUCCESS, counters=Counters(3, 0, 0))] * 3, keys))
    assert third["completed"].tolist() == [3, 3, 3]


@pytest.mark.parametrize("look", [missing, short])
def test_a_table_that_is_no_summary(look: Callable[[pd.DataFrame], object]) -> None:
    """It is named as such, with what it lacks."""
    with pytest.raises(ConfigurationError, match="no column 'status'"):
        look(pd.DataFrame({"AccessionNumber": ["00123"]}))
