"""What the value of a key can be, and what is said of one that cannot."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dicomover.errors import RequestError, RequestWarning
from requests_kit import UID64, parsed, refused


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
    message = str(refused({keyword: value}))
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
