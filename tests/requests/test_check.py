"""The hygiene of one request: names, values, levels and models."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dicomover.errors import RequestError, RequestWarning
from dicomover.identifier import Request
from dicomover.requests.names import find_nearest, keyword_of
from dicomover.requests.parse import parse_requests

UID64 = "1." + "2" * 62


def parsed(keys: dict, **how: str) -> Request:
    """Return the one request that a dict is."""
    (request,) = parse_requests(keys, **how).requests
    return request


def refused(keys: dict, **how: str) -> str:
    """Return what is said of a dict that cannot be meant."""
    with pytest.raises(RequestError) as caught:
        parse_requests(keys, **how)
    (problem, *_) = caught.value.problems
    assert problem.why
    assert problem.mend
    return str(caught.value)


# --- names


@pytest.mark.parametrize(
    "name",
    [
        "StudyInstanceUID", " StudyInstanceUID ", "0020,000D", "(0020,000D)", "0020,000d", "( 0020 , 000d )",
        "0020000D", "0x0020000D", 0x0020000D, np.int64(0x0020000D),
    ],
    ids=repr,
)  # fmt: skip
def test_notations_of_a_key(name: object) -> None:
    """A key may be a keyword or a tag in any usual notation."""
    assert keyword_of(name) == "StudyInstanceUID"
    assert dict(parsed({name: "1.2"}).keys) == {"StudyInstanceUID": "1.2"}


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("StudyInstanceUIDs", "did you mean 'StudyInstanceUID'?"),
        ("studyinstanceuid", "did you mean 'StudyInstanceUID'?"),
        ("Accession", "did you mean 'AccessionNumber'?"),
        ("MRN", "did you mean 'PatientID'?"),
        ("PatientsName", "did you mean 'PatientName'?"),
        ("", "write it as in the Standard's dictionary"),
        ("qwertz", "write it as in the Standard's dictionary"),
        ("0009,0001", "is no tag of DICOM's dictionary"),
        (True, "is no DICOM keyword"),
        (None, "is no DICOM keyword"),
        (0x00090001, "is no tag of DICOM's dictionary"),
        (-1, "is no tag of DICOM's dictionary"),
        ("QueryRetrieveLevel", "say level= instead"),
        ("0008,0052", "say level= instead"),
        ("SpecificCharacterSet", "it is set where it is needed"),
        ("MoveDestination", "is no attribute to ask by"),
        ("TransferSyntaxUID", "is no attribute to ask by"),
    ],
)
def test_names_that_cannot_be_meant(name: object, says: str) -> None:
    """A name that is no key is an error with the nearest one, or with what to do; never ignored."""
    assert says in refused({name: "1", "AccessionNumber": "1"})


@settings(deadline=None, max_examples=30)
@given(st.one_of(st.text(), st.integers(), st.floats(), st.none(), st.binary(), st.tuples(st.integers())))
def test_any_name_is_a_keyword_or_a_key_error(name: object) -> None:
    """Whatever a key is called, it is a keyword or a KeyError."""
    try:
        keyword = keyword_of(name)
    except KeyError as error:
        keyword = error.args[0].partition("; ")[2]
    assert keyword


@pytest.mark.parametrize(
    ("name", "near"), [("", None), ("age", None), ("site_id", None), ("label", None), ("split", None)]
)
def test_usual_columns_are_nearly_nothing(name: str, near: str | None) -> None:
    """What people call their own columns is not mistaken for a key."""
    assert find_nearest(name, ["PatientID", "StudyInstanceUID", "AccessionNumber"], cutoff=0.85) == near


def test_a_key_twice() -> None:
    """The same key under two names is an error."""
    assert "is given twice" in refused({"AccessionNumber": "1", "0008,0050": "2"})


# --- values


@pytest.mark.parametrize(
    ("keyword", "value", "says"),
    [
        ("AccessionNumber", 123, "is not text but int"),
        ("AccessionNumber", 123.0, "is not text but float"),
        ("AccessionNumber", np.int64(123), "is not text but int64"),
        ("AccessionNumber", True, "is not text but bool"),
        ("AccessionNumber", b"123", "is not text but bytes"),
        ("AccessionNumber", None, "is missing"),
        ("AccessionNumber", float("nan"), "is missing"),
        ("AccessionNumber", np.nan, "is missing"),
        ("AccessionNumber", pd.NA, "is missing"),
        ("AccessionNumber", pd.NaT, "is missing"),
        ("AccessionNumber", "123.0", "a program has rewritten"),
        ("AccessionNumber", "123.00", "a program has rewritten"),
        ("AccessionNumber", "1e5", "a program has rewritten"),
        ("AccessionNumber", "1.23E+11", "a program has rewritten"),
        ("AccessionNumber", "1,23457E+11", "a program has rewritten"),
        ("PatientID", "4711.0", "a program has rewritten"),
        ("AccessionNumber", "", "is blank"),
        ("AccessionNumber", "   ", "is blank"),
        ("AccessionNumber", " 1", "begins or ends with a space"),
        ("AccessionNumber", "1\u00a0", "begins or ends with a space"),
        ("AccessionNumber", "1\n", "begins or ends with a space"),
        ("AccessionNumber", "1\n2", "control character"),
        ("AccessionNumber", "1\x002", "control character"),
        ("AccessionNumber", "1\x7f2", "control character"),
        ("AccessionNumber", "\u200b12", "invisible character"),
        ("AccessionNumber", "\ufeff12", "invisible character"),
        ("AccessionNumber", "1\u00a02", "invisible character"),
        ("AccessionNumber", "1\\2", "has a backslash"),
        ("AccessionNumber", ["1", "2"], "is a list"),
        ("PatientID", ["1", "2"], "is a list"),
        ("PatientID", "1\\2", "has a backslash"),
        ("PatientID", "47*", "has a wildcard"),
        ("PatientID", "47?1", "has a wildcard"),
        ("PatientID", "x" * 65, "has 65 characters, DICOM allows 64"),
        ("StudyID", "x" * 17, "has 17 characters, DICOM allows 16"),
        ("StudyInstanceUID", "1.2.*", "has a wildcard"),
        ("StudyInstanceUID", "1.2.", "is no valid UID"),
        ("StudyInstanceUID", ".1.2", "is no valid UID"),
        ("StudyInstanceUID", "1..2", "is no valid UID"),
        ("StudyInstanceUID", "1.02", "is no valid UID"),
        ("StudyInstanceUID", "1.2a", "is no valid UID"),
        ("StudyInstanceUID", "..", "is no valid UID"),
        ("StudyInstanceUID", "1.2\\", "is no valid UID"),
        ("StudyInstanceUID", "١.٢", "is no valid UID"),
        ("StudyInstanceUID", UID64 + "2", "is no valid UID"),
        ("StudyInstanceUID", ["1.2", "1.x"], "is no valid UID"),
        ("StudyInstanceUID", ["1.2", None], "is missing"),
        ("StudyInstanceUID", ["1.2", 3], "is not text but int"),
        ("StudyInstanceUID", [], "is an empty list"),
        ("RequestAttributesSequence", "1", "cannot be a key"),
    ],
)  # fmt: skip
def test_values_that_cannot_be_meant(keyword: str, value: object, says: str) -> None:
    """A value that cannot be what the archive knows is an error, and it names the key."""
    message = refused({keyword: value})
    assert says in message
    assert f"row 0, {keyword}: " in message


@pytest.mark.parametrize(
    ("keyword", "value", "text"),
    [
        ("AccessionNumber", "00123", "00123"),
        ("AccessionNumber", "A 12/3-ü", "A 12/3-ü"),
        ("AccessionNumber", "NA", "NA"),
        ("AccessionNumber", "12E34", "12E34"),
        ("AccessionNumber", "1.2", "1.2"),
        ("AccessionNumber", np.str_("00123"), "00123"),
        ("PatientID", "x" * 64, "x" * 64),
        ("StudyInstanceUID", UID64, UID64),
        ("StudyInstanceUID", "1.2.0", "1.2.0"),
        ("StudyInstanceUID", ["1.2", "1.3"], "1.2\\1.3"),
        ("StudyInstanceUID", ("1.2",), "1.2"),
        ("StudyInstanceUID", "1.2\\1.3", "1.2\\1.3"),
        ("StudyDate", "20240101-20241231", "20240101-20241231"),
        ("StudyDescription", "*thorax*", "*thorax*"),
        ("PatientName", "Müller^Jörg", "Müller^Jörg"),
        ("PatientName", "山田　太郎", "山田　太郎"),
    ],
)  # fmt: skip
def test_values_that_can_be_meant(keyword: str, value: object, text: str) -> None:
    """A value that can be meant goes on as it is, as plain text."""
    request = parsed({keyword: value})
    assert dict(request.keys) == {keyword: text}
    assert type(request.keys[keyword]) is str


LEFT_OVER = ["NaN", "nan", "NA", "#N/A", "#NV", "#REF!", "#NAME?", "None", "NULL", "<NA>", "NaT", "1,234", "12,345,678",
             '="00123"', "'00123"]  # fmt: skip


@pytest.mark.parametrize("keyword", ["AccessionNumber", "PatientID"])
@pytest.mark.parametrize("text", LEFT_OVER)
def test_what_programs_leave_in_tables(keyword: str, text: str) -> None:
    """What a spreadsheet or a program leaves in a cell is named with how to ask for it if it is real: by a dict."""
    with pytest.raises(RequestError) as caught:
        parse_requests(pd.DataFrame({keyword: [text, "00123"]}))
    (problem,) = caught.value.problems
    assert (problem.position, problem.column, problem.value) == (0, keyword, text)
    assert f"ask for it in a dict: {{'{keyword}': …}}" in problem.mend
    if "?" not in text:  # a wildcard
        assert dict(parsed({keyword: text}).keys) == {keyword: text}


@pytest.mark.parametrize("text", ["00123", "NA12", "1,23", "12,34,567", "#12", "Nanny", "A'1", "none-such", "1.234"])
def test_what_may_stand_in_tables(text: str) -> None:
    """What only resembles such a leftover goes on."""
    (request,) = parse_requests(pd.DataFrame({"AccessionNumber": [text]})).requests
    assert dict(request.keys) == {"AccessionNumber": text}


def test_a_long_accession_number_is_warned_of() -> None:
    """An AccessionNumber over 16 characters exists in the field: it is sent, with a warning that shows no value."""
    with pytest.warns(RequestWarning, match="17 characters") as caught:
        request = parsed({"AccessionNumber": "SECRET" + "1" * 11})
    assert request.keys["AccessionNumber"] == "SECRET" + "1" * 11
    assert "SECRET" not in str(caught[0].message)


@settings(deadline=None)
@given(
    st.dictionaries(
        st.sampled_from(["PatientID", "StudyInstanceUID", "AccessionNumber", "StudyDate"]), st.text(), min_size=1
    )
)
def test_any_text_is_sent_or_named(keys: dict[str, str]) -> None:
    """Whatever the texts are, they go on unchanged or end in a RequestError, and nothing else."""
    try:
        request = parsed({key: value[:16] for key, value in keys.items()})
    except RequestError:
        pass
    else:
        assert dict(request.keys) == {key: value[:16] for key, value in keys.items()}
        assert all(value and value == value.strip() for value in request.keys.values())


# --- levels and models


@pytest.mark.parametrize(
    ("keys", "how", "level", "model", "resolved"),
    [
        ("StudyInstanceUID", {}, "STUDY", "study", True),
        ("PatientID StudyInstanceUID", {}, "STUDY", "patient", True),
        ("PatientID", {}, "STUDY", "patient", False),
        ("PatientID", {"level": "patient"}, "PATIENT", "patient", True),
        ("PatientID", {"level": "study"}, "STUDY", "patient", False),
        ("PatientID", {"model": "study"}, "STUDY", "study", False),
        ("AccessionNumber", {}, "STUDY", "study", False),
        ("AccessionNumber PatientID", {}, "STUDY", "patient", False),
        ("AccessionNumber StudyInstanceUID", {}, "STUDY", "study", False),
        ("AccessionNumber", {"level": "series"}, "SERIES", "study", False),
        ("AccessionNumber SeriesInstanceUID", {}, "SERIES", "study", False),
        ("StudyInstanceUID SeriesInstanceUID", {}, "SERIES", "study", True),
        ("PatientID StudyInstanceUID SeriesInstanceUID", {}, "SERIES", "patient", True),
        ("PatientID SeriesInstanceUID", {}, "SERIES", "patient", False),
        ("StudyInstanceUID SeriesInstanceUID SOPInstanceUID", {}, "IMAGE", "study", True),
        ("StudyInstanceUID SeriesInstanceUID SOPInstanceUID", {"level": "instance"}, "IMAGE", "study", True),
        ("StudyInstanceUID SeriesInstanceUID SOPInstanceUID", {"level": "Image"}, "IMAGE", "study", True),
        ("StudyInstanceUID SeriesInstanceUID", {"level": "image"}, "IMAGE", "study", False),
        ("StudyInstanceUID Modality", {"level": "series"}, "SERIES", "study", False),
        ("PatientID StudyInstanceUID", {"model": "study"}, "STUDY", "study", False),
        ("StudyInstanceUID", {"model": "Patient Root"}, None, None, None),
        ("PatientName", {}, "STUDY", "study", False),
        ("PatientName PatientID", {}, "STUDY", "study", False),
        ("PatientName", {"level": "patient"}, "PATIENT", "patient", False),
    ],
)
def test_levels_and_models(keys: str, how: dict, level: str | None, model: str | None, resolved: bool | None) -> None:
    """The deepest UID gives the level, a PatientID the Patient Root; what is complete needs no look-up."""
    given_keys = dict.fromkeys(keys.split(), "1.2")
    if level is None:
        assert "PatientID: is missing" in refused(given_keys, **how)
        return
    request = parsed(given_keys, **how)
    assert (str(request.level), request.model.value, request.is_resolved) == (level, model, resolved)


@pytest.mark.parametrize(
    ("keys", "how", "says"),
    [
        ({"SeriesInstanceUID": "1"}, {}, "StudyInstanceUID: is missing"),
        ({"SOPInstanceUID": "1", "StudyInstanceUID": "1"}, {}, "SeriesInstanceUID: is missing"),
        ({"SOPInstanceUID": "1", "SeriesInstanceUID": "1"}, {}, "StudyInstanceUID: is missing"),
        ({"StudyInstanceUID": "1"}, {"model": "patient"}, "PatientID: is missing"),
        ({"PatientID": "1"}, {"level": "patient", "model": "study"}, "does not exist in Study Root"),
        ({"AccessionNumber": "1"}, {"level": "patient"}, "belongs to level STUDY"),
        ({"StudyInstanceUID": "1", "SeriesInstanceUID": "1"}, {"level": "study"}, "belongs to level SERIES"),
        ({"Modality": "CT"}, {}, "or use ModalitiesInStudy"),
        ({"StudyInstanceUID": "1", "InstanceNumber": "1"}, {}, "belongs to level IMAGE"),
        ({"StudyInstanceUID": ["1", "2"], "SeriesInstanceUID": "1"}, {}, "is a list above level SERIES"),
        ({"StudyInstanceUID": "1", "SeriesInstanceUID": ["1", "2"], "SOPInstanceUID": "3"}, {}, "is a list above"),
    ],
)
def test_levels_that_do_not_fit(keys: dict, how: dict, says: str) -> None:
    """One value for the unique key of every level above, and nothing from below (PS3.4 section C.4.2.2.1)."""
    assert says in refused(keys, **how)


def test_a_request_shows_no_keys() -> None:
    """The repr of a request, which ends up in logs, has no values."""
    assert "SECRET" not in repr(parsed({"PatientID": "SECRET"}))
