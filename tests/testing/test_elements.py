"""Flat data sets there and back, as pydicom reads them."""

from __future__ import annotations

from io import BytesIO

import pytest
from pydicom import Dataset

from dicomover.testing import made_study
from dicomover.testing._elements import IMPLICIT, decode, encode, encode_elements, split_data_set
from testing_kit import EXPLICIT


@pytest.mark.parametrize("syntax", [EXPLICIT, IMPLICIT])
def test_elements_there_and_back(syntax: str) -> None:
    """Text, lists, numbers and other scripts survive; a nested data set reads as pydicom reads it."""
    values = {
        "SpecificCharacterSet": "ISO_IR 192",
        "StudyDate": "",
        "ModalitiesInStudy": "CT\\MR",
        "PatientName": "Müller^Jörg",
        "Rows": "512",
    }
    assert decode(encode(values, syntax), syntax) == values
    nested = Dataset()
    nested.QueryRetrieveLevel, nested.StudyDate = "STUDY", "20240101"
    nested.RequestAttributesSequence = [Dataset()]
    nested.RequestAttributesSequence[0].RequestedProcedureID = "1"
    for undefined in (False, True):
        nested["RequestAttributesSequence"].is_undefined_length = undefined
        buffer = BytesIO()
        nested.save_as(buffer, implicit_vr=syntax == IMPLICIT, little_endian=True)
        expected = {"QueryRetrieveLevel": "STUDY", "StudyDate": "20240101", "RequestAttributesSequence": ""}
        assert decode(buffer.getvalue(), syntax) == expected
    for broken in (b"\x08", b"\x08\x00\x52\x00CS\xff\x7fSTUDY"):
        with pytest.raises(ValueError, match=r"element|claims"):
            decode(broken, syntax)


def test_data_set_there_and_back() -> None:
    """A made image is its elements, put together; one by hand has the VR and the value that it is given."""
    data = made_study("A").instances()[0].data_set_bytes()
    assert b"".join(raw for _, raw in split_data_set(data)) == data
    assert encode_elements([(0x00080050, "UN", b"odd")]) == b"\x08\0\x50\0UN\0\0\x04\0\0\0odd\0"
    endless = data + b"\x0b\0\0\0SQ\0\0\xff\xff\xff\xff and what is in it"
    assert b"".join(raw for _, raw in split_data_set(endless)) == endless
