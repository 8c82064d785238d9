"""An attribute by its name, and what is put into a data set for it."""

from __future__ import annotations

import pytest
from pydicom import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset

from dicomover.attributes.attribute import NoKey, attribute_of, put_value


def written(name: str, value: str, *, implicit: bool = False) -> bytes:
    """Return what goes onto the wire for one key."""
    dataset = Dataset()
    put_value(dataset, attribute_of(name), value)
    buffer = DicomBytesIO()
    buffer.is_little_endian, buffer.is_implicit_VR = True, implicit
    write_dataset(buffer, dataset)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("name", "canonical", "vr"),
    [
        ("AccessionNumber", "AccessionNumber", "SH"),
        ("0008,0050", "AccessionNumber", "SH"),
        ("(0008,0050)", "AccessionNumber", "SH"),
        ("00080050:SH", "AccessionNumber", "SH"),
        ("0x00091001", "0009,1001", "UN"),
        ("0009,1001:lo", "0009,1001:LO", "LO"),
        ("0009,0010", "0009,0010:LO", "LO"),
        ("0008,9999:DS", "0008,9999:DS", "DS"),
        ("RequestAttributesSequence.0040,0009", "RequestAttributesSequence.ScheduledProcedureStepID", "SH"),
        ("0009,1002:SQ.0009,1003:UI", "0009,1002:SQ.0009,1003:UI", "UI"),
        ("SmallestImagePixelValue", "SmallestImagePixelValue", "US"),
    ],
)
def test_one_name_for_each(name: str, canonical: str, vr: str) -> None:
    """However an attribute is written, it has one name, which names it again."""
    assert (attribute_of(name).name, attribute_of(name).vr) == (canonical, vr)
    assert attribute_of(canonical) == attribute_of(name)


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("", "is no DICOM keyword"),
        ("Accession", "is no DICOM keyword"),
        ("0009,0001", "is no tag of DICOM's dictionary"),
        ("0009,0000", "is no tag of DICOM's dictionary"),
        ("FFFE,E001", "is no tag of DICOM's dictionary"),
        ("FFFE,E000", "is no attribute to ask by"),
        ("Item", "is no attribute to ask by"),
        ("0009,1001:XX", "has a VR that DICOM does not know, 'XX'"),
        ("0008,0050:LO", "has VR SH in DICOM's dictionary, not LO"),
        ("AccessionNumber.PatientID", "leads through what is no sequence"),
        ("RequestAttributesSequence.", "is no DICOM keyword"),
        ("RequestAttributesSequence..PatientID", "is no DICOM keyword"),
    ],
)
def test_names_that_none_has(name: str, why: str) -> None:
    """What cannot be an attribute is refused with the reason and a mend."""
    with pytest.raises(NoKey) as error:
        attribute_of(name)
    assert error.value.why == why
    assert error.value.mend


@pytest.mark.parametrize(
    ("name", "value", "raw"),
    [
        ("AccessionNumber", "A1", b"\x08\x00\x50\x00SH\x02\x00A1"),
        ("AccessionNumber", "", b"\x08\x00\x50\x00SH\x00\x00"),
        ("0009,1001:LO", "x", b"\x09\x00\x01\x10LO\x02\x00x "),
        ("0009,1001", "x", b"\x09\x00\x01\x10UN\x00\x00\x02\x00\x00\x00x "),
        ("0009,1001:US", "513", b"\x09\x00\x01\x10US\x02\x00\x01\x02"),
        ("Rows", "", b"\x28\x00\x10\x00US\x00\x00"),
        ("SeriesNumber", "1\\2", b"\x20\x00\x11\x00IS\x04\x001\\2 "),
        ("RequestAttributesSequence", "", b"\x40\x00\x75\x02SQ\x00\x00\x00\x00\x00\x00"),
        (
            "RequestAttributesSequence.ScheduledProcedureStepID",
            "",
            b"\x40\x00\x75\x02SQ\x00\x00\x10\x00\x00\x00\xfe\xff\x00\xe0\x08\x00\x00\x00\x40\x00\x09\x00SH\x00\x00",
        ),
    ],
)
def test_what_is_put_goes_onto_the_wire(name: str, value: str, raw: bytes) -> None:
    """Values of every kind of VR are written as the Standard has them, empty ones and those in sequences too."""
    assert written(name, value) == raw


def test_keys_of_one_sequence_share_its_item() -> None:
    """Two keys in one sequence are asked for in one item (PS3.4 section C.2.2.2.6)."""
    dataset = Dataset()
    for name in ("ScheduledProcedureStepID", "RequestedProcedureID"):
        put_value(dataset, attribute_of(f"RequestAttributesSequence.{name}"), "7")
    (item,) = dataset.RequestAttributesSequence
    assert (item.ScheduledProcedureStepID, item.RequestedProcedureID) == ("7", "7")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("Rows", "many"),
        ("Rows", "70000"),
        ("Rows", "-1"),
        ("SeriesNumber", "1_0"),
        ("SeriesNumber", "x"),
        ("PatientSize", "nan"),
        ("PatientSize", "tall"),
        ("0009,1001:FD", "inf"),
        ("RequestAttributesSequence", "7"),
    ],
)
def test_values_that_their_vr_cannot_hold(name: str, value: str) -> None:
    """Nothing that is no value of its VR goes out."""
    with pytest.raises(ValueError, match=r"^(no [A-Z]{2}|a sequence has no value of its own)$"):
        put_value(Dataset(), attribute_of(name), value)
