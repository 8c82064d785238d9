"""Requests: from dicts, rows, tables and files to checked keys; every problem at once, before any packet."""

from __future__ import annotations

import time
import traceback
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dicomover.cli.types import read_split
from dicomover.errors import ConfigurationError, DicomoverError, RequestError, RequestWarning
from dicomover.node import Node
from dicomover.outcome import Status
from dicomover.policy.retry import Retry
from dicomover.requests.parse import parse_query, parse_requests, parse_returned, read_requests
from dicomover.summary import Result, build
from requests_kit import keys_of, refused, write


def frame(**columns: object) -> pd.DataFrame:
    """Return a table."""
    return pd.DataFrame(columns)


# --- what may be given


@pytest.mark.parametrize(
    "requests",
    [
        {"AccessionNumber": "00123"},
        [{"AccessionNumber": "00123"}],
        ({"AccessionNumber": text} for text in ["00123"]),
        pd.Series({"AccessionNumber": "00123"}),
        [pd.Series({"AccessionNumber": "00123", "age": 5})],
        pd.Series({0x00080050: "00123"}, name="AccessionNumber"),
        frame(AccessionNumber=["00123"]).AccessionNumber,
        pd.Series(["00123"], index=["patient 1"], name="0008,0050", dtype="string"),
        frame(AccessionNumber=["00123"], age=[5]),
        frame(AccessionNumber=pd.array(["00123"], dtype="string")),
        frame(AccessionNumber=pd.Categorical(["00123"])),
        [row for _, row in frame(AccessionNumber=["00123"]).iterrows()],
        pd.DataFrame([["00123"]], columns=["0008,0050"]),
        pd.DataFrame([["00123"]], columns=[0x00080050]),
        {"(0008,0050)": "00123"},
        {0x00080050: "00123"},
    ],
    ids=lambda value: type(value).__name__,
)
def test_every_kind_of_input(requests: object) -> None:
    """A dict, a Series, a table, or an iterable of dicts or Series: the text arrives as it was typed."""
    assert keys_of(requests) == [{"AccessionNumber": "00123"}]


@pytest.mark.parametrize(
    "requests", [[], (), iter([]), pd.DataFrame(), frame(AccessionNumber=[]), frame(PatientID=[]).PatientID]
)
def test_nothing_is_no_error(requests: object) -> None:
    """Zero requests are a batch of zero rows."""
    batch = parse_requests(requests)  # type: ignore[arg-type]
    assert len(batch) == 0
    assert batch.requests == ()
    assert len(build([], batch.given)) == 0


@pytest.mark.parametrize(
    ("requests", "says"),
    [
        ("cohort.csv", "read_requests"),
        (Path("cohort.csv"), "read_requests"),
        (b"x", "read_requests"),
        (5, "give dicts or a DataFrame"),
        (None, "give dicts or a DataFrame"),
        (["00123", {"AccessionNumber": "1"}, 7], "row 2: 'int' is no request"),
        (["00123", "4711"], "name the key of all: pd.Series(numbers, name='AccessionNumber')"),
        ("cohort.csv", "read a CSV or a workbook with read_requests(path)"),
        (Path("cohort.lock.json"), "a lockfile with Cohort.load(path)"),
        (frame(AccessionNumber=["1"]).itertuples(), "'Pandas' is no request"),
        (frame(AccessionNumber=["1"]).iterrows(), "'tuple' is no request"),
        ({0: {"AccessionNumber": "1"}}, "in a list of dicts each dict is a request"),
        ({"AccessionNumber": ["1", "2"]}, "give one request for each value"),
        ([{"AccessionNumber": "1", "ward": "4"}], "in pandas.DataFrame(dicts), a table, it would ride along"),
        ([pd.Series({"AccessionNumber": "1"}), {"AccessionNumber": "2"}], "row 1: 'dict' is no request"),
        ([{"AccessionNumber": "1"}, pd.Series({"AccessionNumber": "2"})], "row 1: 'Series' is no request"),
        (pd.Series(["1", "2"], index=["AccessionNumber"] * 2), "has two values under one name"),
        (pd.Series(["00123"]), "are a column without a name; name the key: series.rename('AccessionNumber')"),
        (pd.Series([], dtype=object), "are a column without a name"),
        (pd.Series(["00123"], name="acc"), "name no key; rename one to AccessionNumber"),
        (pd.Series(["00123"], index=["a"], name="Accession Number"), "rename it to 'AccessionNumber'"),
        (pd.Series(["00123"], index=["age"], name=7), "name no key"),
        (pd.Series([123], name="AccessionNumber"), "leading zeros are lost"),
        ({}, "names no key"),
        ([{"AccessionNumber": "1"}, {}], "row 1: names no key"),
    ],
)
def test_what_is_no_request(requests: object, says: str) -> None:
    """What cannot be a request is named, with what to give instead."""
    assert says in str(refused(requests))


# --- tables


@pytest.mark.parametrize(
    ("column", "meant"),
    [
        ("Accession Number", "AccessionNumber"),
        ("accession_number", "AccessionNumber"),
        ("ACCESSIONNUMBER", "AccessionNumber"),
        ("AccessionNumbr", "AccessionNumber"),
        ("StudyUID", "StudyInstanceUID"),
        ("study_instance_uid", "StudyInstanceUID"),
        ("SeriesUID", "SeriesInstanceUID"),
        ("patient_id", "PatientID"),
        ("MRN", "PatientID"),
        ("SOP Instance UID", "SOPInstanceUID"),
    ],
)
def test_a_column_that_is_nearly_a_key(column: str, meant: str) -> None:
    """A column whose name is nearly a key is an error that says which, even beside a good key."""
    error = refused(
        pd.DataFrame([["1", "1.2.3"]], columns=[column, "StudyInstanceUID" if meant[1] != "t" else "PatientID"])
    )
    assert f"rename it to '{meant}'" in str(error)
    assert f"'{column}'" in str(error)


def test_a_column_keeps_its_index() -> None:
    """A column with the name of a key is a batch: a request for each value, under its label."""
    batch = parse_requests(pd.Series(["00123", "4"], index=["a", "b"], name="AccessionNumber"))
    assert [(request.label, dict(request.keys)) for request in batch.requests] == [
        ("a", {"AccessionNumber": "00123"}),
        ("b", {"AccessionNumber": "4"}),
    ]
    assert batch.given.columns.tolist() == ["AccessionNumber"]
    begun = time.process_time()
    column = pd.Series("1", index=[f"patient {n}" for n in range(20_000)], name="AccessionNumber")
    assert len(parse_requests(column)) == 20_000
    assert time.process_time() - begun < 10, "every label was looked up in the dictionary"


def test_other_columns_ride_along() -> None:
    """Columns that are no keys are neither keys nor errors, and come back untouched."""
    table = frame(
        AccessionNumber=["00123", "4"],
        age=[71, 8],
        split=pd.Categorical(["train", "test"]),
        StudyDate=["whatever", ""],
        PatientAge=[1.5, None],
        label=[None, "x"],
    )
    before = table.copy(deep=True)
    batch = parse_requests(table)
    assert [dict(request.keys) for request in batch.requests] == [
        {"AccessionNumber": "00123"},
        {"AccessionNumber": "4"},
    ]
    pd.testing.assert_frame_equal(batch.given, before)
    summary = build([Result(), Result()], batch.given)
    pd.testing.assert_frame_equal(summary[before.columns], before)
    pd.testing.assert_frame_equal(table, before)


@pytest.mark.parametrize("keys", ["StudyDate", ["StudyDate"], ("StudyDate",)])
def test_named_columns_are_keys(keys: object) -> None:
    """`keys=` makes a key of another column."""
    table = frame(PatientID=["4711"], StudyDate=["20240101-20240131"])
    assert keys_of(table, keys=keys) == [{"PatientID": "4711", "StudyDate": "20240101-20240131"}]


@pytest.mark.parametrize(
    ("requests", "keys", "says"),
    [
        (frame(AccessionNumber=["1"]), ["StudyDate"], "'StudyDate' is no column of the table"),
        (frame(AccessionNumber=["1"], age=["1"]), ["age"], "'age' is no DICOM keyword"),
        ({"AccessionNumber": "1"}, ["StudyDate"], "'StudyDate' is in none of the dicts"),
        (frame(age=[1]), [], "name no key"),
        (frame(age=[]), [], "name no key"),
        (pd.DataFrame([["1", "2"]], columns=["AccessionNumber"] * 2), [], "is there twice"),
        (pd.DataFrame([["1", "2"]], columns=["AccessionNumber", "0008,0050"]), [], "is there twice"),
    ],
    ids=[
        "no such column",
        "no keyword",
        "no such key",
        "no key",
        "no key and no row",
        "a column twice",
        "two columns for one key",
    ],
)  # fmt: skip
def test_tables_that_cannot_be_meant(requests: object, keys: list[str], says: str) -> None:
    """A problem of the whole table is named."""
    assert says in str(refused(requests, keys=keys))


@pytest.mark.parametrize(
    "table",
    [
        frame(AccessionNumber=[123, 4]),
        frame(AccessionNumber=[123.0, 4.0]),
        frame(AccessionNumber=pd.array([123, 4], dtype="Int64")),
        frame(AccessionNumber=[True, False]),
        [row for _, row in frame(AccessionNumber=[123, 4], age=[1.5, 2]).iterrows()],
    ],
    ids=["int", "float", "Int64", "bool", "iterrows"],
)
def test_numeric_columns_are_refused_row_by_row(table: object) -> None:
    """A numeric column has lost its leading zeros: every row says so, and how to read it."""
    error = refused(table)
    assert [problem.position for problem in error.problems] == [0, 1]
    assert all("leading zeros are lost" in problem.why for problem in error.problems)
    assert "read_requests" in str(error)


@pytest.mark.parametrize(
    "values", [[123, 4711, None], pd.array([123, 4711, None], dtype="Int64")], ids=["float", "Int64"]
)
def test_a_blank_cell_of_a_numeric_column_is_blank(values: object) -> None:
    """What is not there has lost no zeros."""
    *_, blank = refused(frame(AccessionNumber=values)).problems
    assert str(blank) == "row 2, AccessionNumber: is blank; fill it in, or drop the row"


@pytest.mark.parametrize(
    ("row", "asks"),
    [
        ({"PatientID": "1", "StudyInstanceUID": None}, "patient"),
        ({"PatientID": "1", "AccessionNumber": float("nan")}, "patient"),
        ({"PatientID": "1", "StudyInstanceUID": pd.NA, "AccessionNumber": None}, "patient"),
        ({"StudyInstanceUID": "1.2", "SeriesInstanceUID": None}, "study"),
        ({"StudyInstanceUID": "1.2", "SeriesInstanceUID": "1.3", "SOPInstanceUID": None}, "series"),
    ],
)
def test_a_missing_key_does_not_widen_a_request(row: dict[str, object], asks: str) -> None:
    """A missing key of a table does not turn one study into a patient, nor one series into a study."""
    good = dict.fromkeys(row, "1.2.3")
    error = refused(pd.DataFrame([good, row], dtype=object))
    assert [problem.position for problem in error.problems] == [1]
    assert f"would ask for the whole {asks}" in str(error)


@pytest.mark.parametrize(
    ("row", "how"),
    [
        ({"PatientID": None, "StudyInstanceUID": "1.2"}, {}),
        ({"AccessionNumber": None, "StudyInstanceUID": "1.2"}, {}),
        ({"AccessionNumber": "7", "StudyInstanceUID": None}, {}),
        ({"PatientID": "1", "StudyInstanceUID": None}, {"level": "patient"}),
        ({"StudyInstanceUID": "1.2", "SeriesInstanceUID": pd.NA}, {"level": "study"}),
    ],
)
def test_a_missing_key_that_is_not_needed(row: dict[str, object], how: dict[str, str]) -> None:
    """A missing value of a table is left out where what is left names as little, or the level is said."""
    left = {name: value for name, value in row.items() if isinstance(value, str)}
    assert keys_of(pd.DataFrame([row], dtype=object), **how) == [left]


# --- problems


def test_the_same_mistake_in_many_rows_is_found_at_once() -> None:
    """The nearest keyword is searched for once, not for every row."""
    begun = time.process_time()
    assert len(refused([{"AccessionNumbr": "1"}] * 5_000).problems) == 5_000
    assert time.process_time() - begun < 30  # it took some ten minutes


def test_all_bad_rows_are_named_at_once() -> None:
    """One error names every bad row with its label, column, value, why and mend, in their order."""
    table = pd.DataFrame(
        {
            "AccessionNumber": pd.array(["00123", " 4", "123.0", ""], dtype="string"),
            "StudyInstanceUID": ["1.2", "1.2", "1.2.x", "1.2"],
        },
        index=["a", "b", "c", "d"],
    )
    error = refused(table)
    assert [(p.row, p.column, p.value, p.position) for p in error.problems] == [
        ("b", "AccessionNumber", " 4", 1),
        ("c", "AccessionNumber", "123.0", 2),
        ("c", "StudyInstanceUID", "1.2.x", 2),
        ("d", "AccessionNumber", "", 3),
    ]
    assert str(error).startswith("3 requests cannot be sent; nothing was moved:\n")
    for problem in error.problems:
        assert problem.why
        assert problem.mend
        assert str(problem) in str(error)


def test_many_problems_are_counted_not_listed() -> None:
    """Equal problems are one line, a long list of others stays readable, and all of them can be had."""
    error = refused([{"AccessionNumber": " 1"}] * 500)
    assert len(error.problems) == 500
    assert str(error).splitlines()[1:] == [
        "  rows 0 to 499, AccessionNumber: ' 9' begins or ends with a space; take the space away",
        "  (9 is any digit, A any letter: show_keys=True shows what stands there)",
    ]
    values = ["20230199", "2023", "45291", "-", "20240201-20240101", " 1", "1\n2"]
    error = refused([{keyword: value} for keyword in ("StudyDate", "SeriesDate", "ContentDate") for value in values])
    assert len(str(error).splitlines()) < 30
    assert "more, see .problems" in str(error)


@pytest.mark.parametrize(
    "requests",
    [
        {"PatientID": "SECRET*"},
        {"PatientID": " SECRET"},
        {"PatientID": "SECRET\\SECRET"},
        {"PatientID": ["SECRET"]},
        {"PatientID": "SECRET" * 20},
        {"PatientID": "SECRET\x07X"},
        {"PatientName": " SECRET", "AccessionNumber": "1"},
        {"PatientBirthDate": b"SECRET"},
        {"0010,0010": "SECRET\\X", "AccessionNumber": "1"},
        {"PatientId": "SECRET"},
        {"Patient Name": "SECRET"},
        {"PatientID": {"a": "SECRET"}},
        {"PatientID": "SECRET", "0010,0020": "SECRET"},
        pd.DataFrame({"PatientID": [" SECRET"]}),
        pd.DataFrame({"patient_id": ["SECRET"]}),
        pd.DataFrame({"PatientID": ["SECRET"], "SeriesInstanceUID": [None]}),
        ["SECRET"],
    ],
)
def test_patient_data_stay_out_of_messages(requests: object) -> None:
    """No value of group 0010 is in the message, nor in a recorded row."""
    assert "SECRET" not in str(refused(requests))


def test_invalid_rows_can_be_recorded() -> None:
    """With `invalid="record"` bad rows are kept by position, and good ones can be sent."""
    batch = parse_requests(
        [{"AccessionNumber": "1"}, {"AccessionNumber": " 2"}, {"StudyInstanceUID": "x"}], invalid="record"
    )
    assert [request.position for request in batch.requests] == [0]
    assert sorted(batch.problems) == [1, 2]
    assert len(batch) == 3


@pytest.mark.parametrize(
    ("how", "says"), [({"invalid": "skip"}, "invalid="), ({"level": "body"}, "level"), ({"model": "third"}, "model")]
)
def test_settings_that_cannot_be_meant(how: dict[str, str], says: str) -> None:
    """A wrong setting is named as such, not as a bad row."""
    with pytest.raises(ConfigurationError, match=says):
        parse_requests({"AccessionNumber": "1"}, **how)  # type: ignore[arg-type]


def test_neither_labels_nor_values_are_shown_unless_asked_for() -> None:
    """A saved notebook names rows by numbers and values by their shape; `show_keys` shows both."""
    table = pd.DataFrame({"AccessionNumber": ["123.0", "1" * 20]}, index=pd.Index(["MILLER^ANNA", "SMITH^BOB"]))
    assert "row 0, AccessionNumber: '999.9' looks like a number" in str(refused(table))
    assert "row 'MILLER^ANNA', AccessionNumber: '123.0' looks" in str(refused(table, show_keys=True))
    with pytest.warns(RequestWarning) as caught:
        parse_requests(table.iloc[1:])
    assert str(caught[0].message) == "row 0, AccessionNumber: has 20 characters, DICOM allows 16; sent as it is"
    assert caught[0].filename == __file__
    with pytest.warns(RequestWarning, match="row 'SMITH"):
        parse_requests(table.iloc[1:], show_keys=True)
    numbered = table.set_axis(pd.Index([4711, 4712], name="PatientID"))
    assert "row 0, " in str(refused(numbered))
    assert "row 4711, " in str(refused(numbered.rename_axis(None)))


@pytest.mark.parametrize(
    "requests",
    [
        [{"CANARY^JANE": "1"}],
        [{"AccessionNumber": "CANARY,77\t"}],
        [{"OtherPatientIDs": ["CANARY"]}],
        [{"StudyDescription": "CANARY" * 20}],
        [{"StudyInstanceUID": "CANARY"}],
        {"StudyDate": "CANARY"},
        {"ModalitiesInStudy": "canary"},
        {"0009,1001:US": "CANARY"},
        "CANARY",
        pd.DataFrame({"key:CANARY^JANE": ["1"]}),
        pd.DataFrame({"AccessionNumber": ["CANARY*"]}, index=["CANARY"]),
        pd.DataFrame({"AccessionNumber": [{"CANARY": 1}]}),
    ],
)
def test_no_key_or_value_is_in_a_traceback(requests: object) -> None:
    """Not in the message, not in its causes, not in the repr of a problem."""
    error = refused(requests)
    said = "".join(traceback.format_exception(error)) + repr(error) + repr(error.problems)
    assert "canary" not in said.lower().replace("test_no_key_or_value", "")


# --- a cell is a value


@pytest.mark.parametrize("cell", ["*12345*", "?", "*", "A/12?4"])
@pytest.mark.parametrize("column", ["AccessionNumber", "key:StudyDescription", "key:PatientName", "key:StudyID"])
def test_a_cell_is_no_pattern(column: str, cell: str) -> None:
    """A * or ? in a cell is named, as it would ask for others too; in a dict, or where that is said, it is meant."""
    table = pd.DataFrame({column: [cell]})
    error = refused(table)
    assert "has a wildcard, which asks for others too; take it away; if it is meant, say wildcards=True" in str(error)
    keyword = column.removeprefix("key:")
    for meant in (True, column, [column], [keyword]):
        assert keys_of(table, wildcards=meant) == [{keyword: cell}]
    assert keys_of({keyword: cell}) == [{keyword: cell}]
    assert keys_of(build([Result(Status.LOST)], table), keys=[column]) == [{keyword: cell}]
    assert "has a wildcard" in str(refused(build([Result(Status.INVALID)], table)))
    edited = build([Result(Status.LOST)], table).astype({"status": str}).assign(status="")
    assert "has a wildcard" in str(refused(edited))


def test_columns_with_wildcards_are_columns() -> None:
    """Wildcards are meant in the columns that are named, and in no others; a unique key never has any."""
    table = frame(AccessionNumber=["1*"], **{"key:StudyDescription": ["CT*"]})
    (problem,) = refused(table, wildcards=["key:StudyDescription"]).problems
    assert problem.column == "AccessionNumber"
    assert "'AccessionNumbr' is no column of the table that is a key" in str(refused(table, wildcards="AccessionNumbr"))
    assert "a C-MOVE must not have" in str(refused(frame(PatientID=["1*"]), wildcards=True))


def test_what_cannot_ask_for_others_may_be_any_text() -> None:
    """What find() returns has the accession number that the archive has; the UID beside it says what is meant."""
    table = frame(StudyInstanceUID=["1.2"], AccessionNumber=["A/12?4"])
    assert keys_of(table) == [{"StudyInstanceUID": "1.2", "AccessionNumber": "A/12?4"}]
    assert "has a wildcard" in str(refused(table.assign(StudyInstanceUID=[None])))


@pytest.mark.parametrize("cell", [["1.2", "1.3"], ("1.2",), {"1.2"}, []])
def test_a_list_in_a_cell_is_named(cell: object) -> None:
    """A cell has one value; what was joined by a backslash, as dicomover itself writes UIDs, is such a one."""
    assert "is a list in one cell; give each value a row of its own" in str(refused(frame(StudyInstanceUID=[cell])))
    assert keys_of(frame(StudyInstanceUID=["1.2\\1.3"])) == [{"StudyInstanceUID": "1.2\\1.3"}]


@pytest.mark.parametrize("of", ["AccessionNumber", "key:StudyDate"])
def test_a_header_that_stands_twice_is_called_by_its_name(of: str) -> None:
    """Pandas numbers a column that is there twice; it is told as what it is."""
    table = pd.DataFrame([["20240101", "1", "20240101"]], columns=[of, "PatientID", f"{of}.1"])
    assert f"column: '{of}' stands in the header twice; keep one" in str(refused(table))


# --- round trips


def test_a_summary_is_valid_input() -> None:
    """Our own columns are ignored on the way in, and what an earlier run left open may be left open again."""
    first = parse_requests([{"PatientID": "1"}, {"StudyInstanceUID": "1.2"}, {"AccessionNumber": "00123"}])
    summary = build([Result(Status.LOST)] * 3, first.given)
    again = parse_requests(summary[summary.status != "success"])
    assert [dict(request.keys) for request in again.requests] == [dict(request.keys) for request in first.requests]
    assert [request.level for request in again.requests] == [request.level for request in first.requests]


def test_what_a_dict_has_asked_for_may_be_asked_for_again() -> None:
    """An odd value that a dict has asked for goes on in the summary; the one of an invalid row does not."""
    batch = parse_requests([{"AccessionNumber": "NULL"}, {"AccessionNumber": "1,234"}])
    summary = build([Result(Status.LOST), Result(Status.SUCCESS)], batch.given)
    assert keys_of(summary) == [{"AccessionNumber": "NULL"}, {"AccessionNumber": "1,234"}]
    batch = parse_requests(frame(AccessionNumber=["NULL", "1"]), invalid="record")
    summary = build([Result(Status.INVALID), Result(Status.SUCCESS)], batch.given)
    assert "programs write where a value is missing" in str(refused(summary))


def test_an_invalid_row_stays_invalid() -> None:
    """A row that was too wide to be sent is not sent when the summary is fed back."""
    batch = parse_requests(frame(PatientID=["1", "2"], StudyInstanceUID=[None, "1.2"]), invalid="record")
    summary = build([Result(Status.INVALID), Result(Status.SUCCESS)], batch.given)
    assert "whole patient" in str(refused(summary[summary.status != "success"]))


def test_lists_of_uids_survive() -> None:
    """A list of UIDs is joined in the table of what was given, and means the same when it is fed back."""
    batch = parse_requests([{"StudyInstanceUID": ["1.2", "1.3"]}])
    assert batch.given["StudyInstanceUID"].tolist() == ["1.2\\1.3"]
    assert keys_of(batch.given) == [{"StudyInstanceUID": "1.2\\1.3"}]


def test_a_header_without_a_key_is_refused(tmp_path: Path) -> None:
    """A file that names no key is an error, also if nothing stands below its header."""
    assert "columns: 'A, B' name no key" in str(refused(read_requests(write(tmp_path, "A,B\n"))))


def test_names_of_columns_that_may_be_data_are_not_shown(tmp_path: Path) -> None:
    """A file without a header has a patient where the names should be; of many names the first are shown."""
    shapes = ("4711,Canaria^Serinus", "Canaria,4711", "Canaria Serinus", "Canaria,Serinus", "Canaria", "id,Canaria")
    for first in shapes:
        said = str(refused(read_requests(write(tmp_path, f"{first}\n"))))
        assert "name no key; rename one to AccessionNumber" in said
        assert "Canaria" not in said
    assert "columns: 'acc_no, study_date, Age' name no key" in str(refused(frame(acc_no=[], study_date=[], Age=[])))
    assert "'c0, c1, c2, c3, c4, c5, c6, c7, c8, c9, …'" in str(refused(frame(**{f"c{n}": ["1"] for n in range(12)})))


def test_a_key_in_the_index_is_named() -> None:
    """After set_index the key is no column any more, with or without others beside it."""
    table = frame(AccessionNumber=["00123"], age=[71])
    for indexed in (table.set_index("AccessionNumber"), table[["AccessionNumber"]].set_index("AccessionNumber")):
        assert "index: 'AccessionNumber' is no column; make it one first: table.reset_index()" in str(refused(indexed))
    assert len(parse_requests(table.set_index("AccessionNumber").reset_index())) == 1


# --- find


@pytest.mark.parametrize(
    ("keys", "how", "texts", "level", "model"),
    [
        ({"PatientID": " 4711 ", "StudyDate": None}, {}, {"PatientID": "4711", "StudyDate": ""}, "STUDY", "study"),
        ({"PatientID": "47*"}, {"level": "patient"}, {"PatientID": "47*"}, "PATIENT", "patient"),
        ({"StudyInstanceUID": ["1", "2"]}, {}, {"StudyInstanceUID": "1\\2"}, "STUDY", "study"),
        ({"StudyInstanceUID": "1", "Modality": "CT"}, {"level": "series"}, None, "SERIES", "study"),
        ({"0020,000D": "1", "0008,0020": None}, {}, {"StudyInstanceUID": "1", "StudyDate": ""}, "STUDY", "study"),
        ({"PatientID": "*"}, {}, None, "STUDY", "study"),
        ({"PatientID": "1", "Modality": None}, {}, {"PatientID": "1", "Modality": ""}, "STUDY", "study"),
    ],
)  # fmt: skip
def test_find_keys(keys: dict, how: dict, texts: dict | None, level: str, model: str) -> None:
    """A find takes wildcards, ranges, lists of UIDs and empty values."""
    query = parse_query(keys, **how)
    assert dict(query.keys) == (keys if texts is None else texts)
    assert (query.level, query.model.value) == (level, model)


@pytest.mark.parametrize(
    ("keys", "how", "says"),
    [
        ({"PatientId": "1"}, {}, "did you mean 'PatientID'"),
        ({"AccessionNumber": 5}, {}, "is not text but int"),
        ({"AccessionNumber": ["1"]}, {}, "is not text but list"),
        ({"PatientID": "1", "0010,0020": "2"}, {}, "is given twice"),
        ({"SeriesInstanceUID": "1"}, {}, "StudyInstanceUID: needs one value"),
        ({"StudyInstanceUID": "1*", "Modality": "CT"}, {"level": "series"}, "needs one value"),
        ({"StudyInstanceUID": "1\\2", "Modality": "CT"}, {"level": "series"}, "needs one value"),
        ({"StudyInstanceUID": "1"}, {"level": "series", "model": "patient"}, "PatientID: needs one value"),
        ({"PatientID": "1"}, {"level": "patient", "model": "study"}, "does not exist in Study Root"),
        ({"QueryRetrieveLevel": "SERIES"}, {}, "say level= instead"),
        ([("PatientID", "1")], {}, "is no dict"),
        ({}, {}, "find: names no key; to ask for everything on purpose, write {'PatientID': '*'}"),
        ({"PatientID": pd.NA}, {}, "PatientID: is missing; give a value, or None"),
        ({"StudyInstanceUID": float("nan")}, {}, "is missing"),
        (
            {"StudyDate": "2024-", "Modality": "CT"},
            {},
            "Modality: 'AA' belongs to level SERIES, below level STUDY; ask at level SERIES, or use ModalitiesInStudy",
        ),
        ({"PatientID": "1", "SeriesDescription": "*CT*"}, {}, "belongs to level SERIES"),
        ({"StudyInstanceUID": "1", "SOPClassUID": "1"}, {"level": "series"}, "belongs to level IMAGE"),
        ({"PatientID": "1", "StudyDate": "2024"}, {"level": "patient"}, "belongs to level STUDY"),
        ({"SeriesInstanceUID": ["1"]}, {"level": "study"}, "leave it out, or ask at level SERIES"),
    ],
)
def test_find_keys_that_cannot_be_meant(keys: object, how: dict, says: str) -> None:
    """A find's bad keys are named before any packet."""
    with pytest.raises(RequestError) as caught:
        parse_query(keys, **how)  # type: ignore[arg-type]
    assert says in str(caught.value)


@pytest.mark.parametrize(
    ("names", "keywords"),
    [
        ([], []),
        ("StationName", ["StationName"]),
        (("StationName", "0008,1032", 0x00080080), ["StationName", "ProcedureCodeSequence", "InstitutionName"]),
    ],
)
def test_what_a_find_is_to_return(names: object, keywords: list[str]) -> None:
    """Further attributes are named by keyword or tag; one name need not be in a list."""
    assert parse_returned(names) == keywords  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("StationNam", "returned, key: 'StationNam' is no DICOM keyword; did you mean 'StationName'?"),
        ("0009,1001", "'0009,1001' is no tag of DICOM's dictionary; name it by its keyword"),
        ("TransferSyntaxUID", "is no attribute to ask by"),
        ("QueryRetrieveLevel", "say level= instead"),
        (None, "is no DICOM keyword"),
    ],
)
def test_what_a_find_cannot_return(name: object, says: str) -> None:
    """A private attribute, or a name that is none, is an error before any packet."""
    with pytest.raises(RequestError) as caught:
        parse_returned(["StudyID", name])
    assert says in str(caught.value)


@pytest.mark.parametrize("keyword", ["StudyDate", "StudyTime", "PatientAge", "StudyDescription"])
def test_a_lone_asterisk_in_a_cell_is_a_pattern(keyword: str) -> None:
    """It would ask for everything, whatever the VR, and is refused unless it is said to be meant."""
    table = pd.DataFrame({"AccessionNumber": ["00123"], f"key:{keyword}": ["*"]})
    assert "has a wildcard" in str(refused(table))
    assert parse_requests(table, wildcards=True).requests[0].keys[keyword] == "*"


def test_the_label_of_a_row_is_nobodys() -> None:
    """A row that was taken from a table does not say what its label is: it may be a patient's number."""
    patients = pd.DataFrame({"AccessionNumber": [" 1"]}, index=pd.Index([4711234], name="mrn"))
    error = refused([patients.loc[4711234]])
    assert "4711234" not in str(error)
    assert "row 0" in str(error)


ODD = st.text(st.characters(codec=None), max_size=8) | st.sampled_from(
    ["\ud800", "a\0b", "9" * 1_000_000, "x" * 1_000_000]
)


@settings(max_examples=40)
@given(odd=ODD, shown=st.booleans(), invalid=st.sampled_from(["raise", "record"]))
@pytest.mark.filterwarnings("ignore::dicomover.errors.RequestWarning")
def test_no_text_anywhere_is_more_than_our_error(odd: str, shown: bool, invalid: str) -> None:
    """Half a character, a NUL or a megabyte: as a key, value, column, label, AE title or host; each can be shown."""
    how = {"show_keys": shown, "invalid": invalid}
    columns = pd.Index([odd, "AccessionNumber"], dtype=object)
    table = pd.DataFrame([["1", "00123"]], columns=columns, index=pd.Index([odd], dtype=object), dtype=object)
    for attempt in (
        lambda: parse_requests([{odd: "1", "AccessionNumber": "2"}, {f"key:{odd}": odd}], **how),
        lambda: parse_requests({"PatientID": odd, "StudyInstanceUID": [odd]}, **how),
        lambda: parse_requests(table, **how),
        lambda: parse_requests(table.assign(AccessionNumber="1 ").rename_axis(odd), **how),
        lambda: parse_requests(table, keys=[odd], wildcards=[odd], **how),
        lambda: parse_requests(pd.Series(["1"], name=odd), **how),
        lambda: parse_query({odd: "1", "PatientName": odd}, show_keys=shown),
        lambda: parse_returned([odd]),
        lambda: parse_requests({"AccessionNumber": "1"}, level=odd),
        lambda: Node(odd, 104),
        lambda: Node("pacs.example.org", 104, ae_title=odd),
        lambda: Node.parse(f"ARCHIVE@{odd}:104"),
        lambda: Node.parse(f"ARCHIVE@pacs:{odd}"),
        lambda: Retry.parse(odd),
        lambda: read_split(odd),
    ):
        try:
            told = repr(attempt())
        except DicomoverError as error:
            told = str(error)
            assert len(told) < 50_000
        told.encode()


@pytest.mark.parametrize("odd", ["\ud800", "a\0b"])
def test_no_path_is_no_file(odd: str, tmp_path: Path) -> None:
    """What no system can look for is not there."""
    with pytest.raises(FileNotFoundError, match="there is no"):
        read_requests(tmp_path / odd)


@pytest.mark.parametrize("numbers", [[123, "00124"], [123, 124], [123.0, "00124"]], ids=["cell", "column", "float"])
def test_a_number_that_was_refused_is_no_text_for_having_been_in_a_csv(numbers: list[object], tmp_path: Path) -> None:
    """A summary that is read again asks for none of what its run refused as a number, unless somebody has mended it."""
    table = pd.DataFrame({"AccessionNumber": numbers})
    for _ in range(2):  # what refuses it the second time is known, too
        batch = parse_requests(table, invalid="record")
        results = [Result(Status.LOST)] * len(table)
        for position in batch.problems:
            results[position] = Result(Status.INVALID, error=batch.tell_problems(position))
        assert results[0].status is Status.INVALID
        path = tmp_path / "summary.csv"
        build(results, batch.given).to_csv(path, index=False)
        table = read_requests(path)
    assert 0 in parse_requests(table, invalid="record").problems
    table.loc[0, "AccessionNumber"] = "00123"
    assert parse_requests(table, invalid="record").requests[0].keys["AccessionNumber"] == "00123"
