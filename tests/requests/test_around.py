"""From patients and dates to requests: ranges of days, columns that are keys by name, and every bad row at once."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from dicomover import ConfigurationError, Mover, RequestError, read_requests, requests_around
from dicomover.requests.parse import parse_requests
from dicomover.testing import DemoPacs, made_study

RANGE = "key:StudyDate"


def table(*dates: object, **columns: object) -> pd.DataFrame:
    """Return a table of patients and dates."""
    patients = [f"P{n}" for n in range(len(dates))]
    return pd.DataFrame({"PatientID": patients, "seen": list(dates), **columns})


def refused(patients: object, **how: object) -> RequestError:
    """Return the error that a table ends in."""
    with pytest.raises(RequestError) as caught:
        requests_around(patients, **{"date": "seen", **how})  # type: ignore[arg-type]
    return caught.value


@pytest.mark.parametrize(
    "value",
    [
        "2024-01-31",
        "20240131",
        " 2024-01-31 ",
        "2024-01-31 23:59:59",
        "2024-01-31T08:00:00+01:00",
        20240131,
        np.int64(20240131),
        date(2024, 1, 31),
        datetime(2024, 1, 31, 23, 59),
        datetime(2024, 1, 31, 23, 59, tzinfo=UTC),
        pd.Timestamp("2024-01-31 23:59", tz="Europe/Berlin"),
    ],
    ids=repr,
)
def test_dates_that_can_be_read(value: object) -> None:
    """A date is read in every form that has one meaning; the time of the day plays no part."""
    assert requests_around(table(value), date="seen", after="1D")[RANGE].tolist() == ["20240131-20240201"]


@pytest.mark.parametrize("dtype", ["datetime64[ns]", "datetime64[s]", "string", "object", "category"])
def test_columns_of_dates(dtype: str) -> None:
    """A column of dates may have any dtype that holds them."""
    column = pd.Series(["2024-01-31", "2023-12-31"]).astype(dtype)
    requests = requests_around(table(*"ab").assign(seen=column), date="seen")
    assert requests[RANGE].tolist() == ["20240131-20240131", "20231231-20231231"]


@pytest.mark.parametrize(
    ("before", "after", "days"),
    [
        ("0D", "0D", "20240310-20240310"),
        ("7D", "30D", "20240303-20240409"),
        ("1 day", "2 days", "20240309-20240312"),
        (timedelta(days=10), pd.Timedelta("1W"), "20240229-20240317"),
        ("-1D", "2D", "20240311-20240312"),
        ("2D", "-1D", "20240308-20240309"),
        (pd.DateOffset(months=6), pd.DateOffset(years=1), "20230910-20250310"),
    ],
)
def test_how_far_before_and_after(before: object, after: object, days: str) -> None:
    """Both ends are included, and may lie on one side of the date."""
    requests = requests_around(table("2024-03-10"), date="seen", before=before, after=after)  # type: ignore[arg-type]
    assert requests[RANGE].tolist() == [days]


@pytest.mark.parametrize(
    "reach", [7, 7.0, None, "7", "12h", "1.5D", "6m", "6M", "soon", "NaT", timedelta(hours=1), True]
)
def test_reaches_that_cannot_be_meant(reach: object) -> None:
    """A reach that is no number of whole days is named, so that nobody gets nanoseconds or minutes."""
    for how in ({"before": reach}, {"after": reach}):
        with pytest.raises(ConfigurationError, match="whole days"):
            requests_around(table("2024-03-10"), date="seen", **how)  # type: ignore[arg-type]


@pytest.mark.parametrize("reach", [7, 7.0, "7"])
def test_a_reach_without_a_unit(reach: object) -> None:
    """A bare number is told that its unit is missing."""
    with pytest.raises(ConfigurationError, match="its unit is missing; write '7D'"):
        requests_around(table("2024-03-10"), date="seen", before=reach)  # type: ignore[arg-type]


def test_a_reach_that_leaves_no_day() -> None:
    """An end before the beginning is named."""
    with pytest.raises(ConfigurationError, match="leave no day between them"):
        requests_around(table("2024-03-10"), date="seen", before="-5D", after="3D")


def test_all_bad_rows_are_named_at_once(tmp_path: Path) -> None:
    """Missing and unreadable dates and patients are named in one error, by label, and by line if read from a file."""
    path = tmp_path / "patients.csv"
    path.write_text(
        "PatientID,seen\nP0,2024-01-31\nP1,\n,2024-01-31\nP3,31.01.2024\nP4,2024-02-31\nP5,9999-12-31\nP6,45322\n"
    )
    error = refused(read_requests(path), after="30D")
    assert [(problem.row, problem.column, problem.why, problem.place) for problem in error.problems] == [
        (1, "seen", "is missing", "line 3 of patients.csv"),
        (2, "PatientID", "is missing", "line 4 of patients.csv"),
        (3, "seen", "is no date in a form that has one meaning", "line 5 of patients.csv"),
        (4, "seen", "is no day of the calendar", "line 6 of patients.csv"),
        (5, "seen", "is beyond the calendar", "line 7 of patients.csv"),
        (6, "seen", "is no date in a form that has one meaning", "line 8 of patients.csv"),
    ]
    assert "pandas.to_datetime(table['seen'], dayfirst=…)" in str(error)


@pytest.mark.parametrize("value", [None, pd.NaT, pd.NA, float("nan"), "", 20240131.0, True, 123, b"20240131", [1]])
def test_values_that_are_no_dates(value: object) -> None:
    """What is no date is a row of the error, under its label, whatever it is."""
    patients = table("2024-01-31", "2024-01-31").astype(object)
    patients.index = pd.Index(["a", "b"])
    patients.at["b", "seen"] = value
    (problem,) = refused(patients).problems
    assert (problem.row, problem.position, problem.column) == ("b", 1, "seen")


def test_columns_and_index_stay() -> None:
    """Index and columns of the table stay as they are, the keys come after them, and the table is not touched."""
    patients = table("2024-01-31", "2024-02-01", arm=["a", "b"], age=[71, 8]).rename(columns={"PatientID": "MRN"})
    patients.index = pd.Index(["x", "x"])
    before = patients.copy(deep=True)
    requests = requests_around(patients, patient="MRN", date="seen", ModalitiesInStudy="CT")
    pd.testing.assert_frame_equal(patients, before)
    columns = ["PatientID", "seen", "arm", "age"]
    pd.testing.assert_frame_equal(requests[columns], before.set_axis(columns, axis="columns"))
    added = [RANGE, "key:ModalitiesInStudy"]
    assert requests.columns.tolist() == [*columns, *added]
    keys = [dict(request.keys) for request in parse_requests(requests).requests]
    assert keys[1] == {"PatientID": "P1", "StudyDate": "20240201-20240201", "ModalitiesInStudy": "CT"}
    assert requests_around(patients[:0], patient="MRN", date="seen").columns.tolist() == [*columns, RANGE]


@pytest.mark.parametrize(
    "change",
    [
        lambda requests: requests[requests.index > 0],
        lambda requests: pd.concat([requests, requests])[2:],
        lambda requests: requests.sort_values("seen").reset_index(drop=True)[1:],
        lambda requests: requests.merge(pd.DataFrame({"PatientID": ["P1"], "site": ["here"]}), on="PatientID"),
        lambda requests: pd.DataFrame(requests.to_dict("records"))[1:],
    ],
    ids=["filter", "concat", "sort", "merge", "records"],
)
def test_keys_survive_pandas(change: object, tmp_path: Path) -> None:
    """A column that is a key by its name is one after any operation, and after a way through a CSV file."""
    requests = change(requests_around(table("2024-01-31", "2024-02-01"), date="seen"))  # type: ignore[operator]
    wanted = {"PatientID": "P1", "StudyDate": "20240201-20240201"}
    assert dict(parse_requests(requests).requests[-1].keys) == wanted
    requests.to_csv(tmp_path / "requests.csv", index=False)
    assert dict(parse_requests(read_requests(tmp_path / "requests.csv")).requests[-1].keys) == wanted


@pytest.mark.parametrize(
    ("patients", "how", "says"),
    [
        ([{"PatientID": "1"}], {}, "'list' is no table"),
        (table("2024-01-31").drop(columns="PatientID"), {}, "patient: there is no column 'PatientID'; say which"),
        (table("2024-01-31").set_index("PatientID"), {}, "no column 'PatientID'; make the index one first"),
        (table("2024-01-31"), {"date": "when"}, "date: there is no column 'when'; say which with date=..."),
        (table("2024-01-31"), {"patient": "MRN"}, "there is no column 'MRN'"),
        (table("2024-01-31", AccessionNumber=["1"]), {}, "'AccessionNumber' would be a key too"),
        (table("2024-01-31", **{"Accession No": ["1"]}), {}, "'Accession No' would be a key too"),
        (table("2024-01-31", **{"0020,000D": ["1"]}), {}, "'0020,000D' would be a key too"),
        (table("2024-01-31", x=["1"]), {"patient": "x"}, "'PatientID' would be a key too"),
        (table("2024-01-31", **{RANGE: "1"}), {}, "'key:StudyDate' would be a key too"),
        (table("2024-01-31"), {"Modalities": "CT"}, "'Modalities' is no DICOM keyword"),
        (table("2024-01-31"), {"StudyDate": "2024"}, "StudyDate: comes from the table"),
        (table("2024-01-31"), {"ModalitiesInStudy": ["CT"]}, "is no text"),
        (table("2024-01-31"), {"ModalitiesInStudy": ""}, "is no text"),
    ],
)  # fmt: skip
def test_tables_and_keys_that_cannot_be_meant(patients: object, how: dict[str, object], says: str) -> None:
    """A column that is not there, one too many, or a key that is none is named before anything is made."""
    assert says in str(refused(patients, **how))


@pytest.mark.parametrize(
    ("column", "says"),
    [
        ("key:StudyDat", "did you mean 'StudyDate'?"),
        ("key:QueryRetrieveLevel", "say level= instead"),
        ("key:", "is no DICOM keyword"),
        ("key:PatientID", "'key:PatientID' is there twice; keep one column for PatientID"),
    ],
)
def test_columns_that_are_no_keys_by_their_name(column: str, says: str) -> None:
    """A column that says it is a key has to be one, and only once."""
    with pytest.raises(RequestError) as caught:
        parse_requests(pd.DataFrame({"PatientID": ["1"], column: ["1"]}))
    assert says in str(caught.value)


def test_it_moves_what_lies_around_the_dates() -> None:
    """A plan and a move take the requests as they are, and the summary can be moved again."""
    studies = [
        made_study("IN", patient="P0", date="20240128"),
        made_study("EDGE", patient="P0", date="20240202", number=2),
        made_study("LATE", patient="P0", date="20240203", number=3),
        made_study("MR", patient="P0", date="20240131", modality="MR"),
        made_study("OTHER", patient="P9", date="20240131"),
    ]
    requests = requests_around(
        table("2024-01-31", "2024-01-31"), date="seen", before="3D", after="2D", ModalitiesInStudy="CT"
    )
    with DemoPacs(studies) as pacs, Mover(pacs.node, destination="WORKSTATION", progress="none") as mover:
        plan = mover.plan(requests)
        assert plan.decision.tolist() == ["several", "not-found"]
        summary = mover.move(requests)
        assert summary.status.astype(str).tolist() == ["success", "not-found"]
        assert summary.matches.tolist() == [2, 0]
        assert summary[RANGE].tolist() == ["20240128-20240202"] * 2
        moved = {store.study_instance_uid for store in pacs.stores}
        assert moved == {pacs.study(name).study_instance_uid for name in ("IN", "EDGE")}
        again = mover.move(summary)
        assert again.matches.tolist() == [2, 0]
        assert mover.move(plan[plan.decision == "several"]).status.tolist() == ["success"]
