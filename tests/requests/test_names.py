"""What keys are called: every notation of a name, and what was probably meant by another."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dicomover.requests.names import find_nearest, is_public, keyword_of
from requests_kit import parsed, refused


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
    assert says in str(refused({name: "1", "AccessionNumber": "1"}))


@settings(max_examples=30)
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


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("00080050", True),
        ("0009,1001:LO", True),
        ("(0008,0050)", True),
        ("12345678", False),
        ("20240131 Miller^Anna", False),
    ],
)
def test_what_begins_like_a_tag_may_be_a_patient(name: str, shown: bool) -> None:
    """Eight digits are shown only if they are a tag of the dictionary; what follows them is never shown for them."""
    assert is_public(name) is shown
