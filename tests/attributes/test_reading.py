"""What answers say, in any VR, number and character set."""

from __future__ import annotations

import struct

import pytest
from pydicom import Dataset

from dicomover.attributes.attribute import attribute_of
from dicomover.attributes.framing import read_elements
from dicomover.attributes.reading import list_readings, read_count, read_text, read_texts, read_uid
from dicomover.attributes.uid import is_named

LONG = ("OB", "OW", "SQ", "UC", "UN", "UR", "UT")


def element(name: str, vr: str, value: bytes) -> bytes:
    """Return an element in Explicit VR, whatever its VR should be."""
    tag = attribute_of(name).path[0]
    size = b"\0\0" + struct.pack("<L", len(value)) if vr in LONG else struct.pack("<H", len(value))
    return struct.pack("<HH", tag >> 16, tag & 0xFFFF) + vr.encode() + size + value


def answer(*elements: tuple[str, str, bytes]) -> Dataset:
    """Return an answer as it comes from the wire."""
    return read_elements(b"".join(element(*each) for each in elements), implicit=False)


@pytest.mark.parametrize(
    ("name", "vr", "raw", "texts"),
    [
        ("AccessionNumber", "SH", b"A1 ", ["A1"]),
        ("AccessionNumber", "UN", b"A1 ", ["A1"]),
        ("AccessionNumber", "OB", b"A1\0", ["A1"]),
        ("AccessionNumber", "LO", b"A1\\A2", ["A1", "A2"]),
        ("AccessionNumber", "US", b"abc", ["abc"]),
        ("AccessionNumber", "US", b"\x01\x02", ["513"]),
        ("AccessionNumber", "SQ", b"A1", []),
        ("AccessionNumber", "SH", b"  ", []),
        ("StudyDescription", "UT", b"a\\b", ["a", "b"]),
        ("StudyComments", "LO", b"a\\b", ["a\\b"]),
        ("StudyDescription", "LO", b"a\\b", ["a", "b"]),
        ("NumberOfStudyRelatedInstances", "US", b"\x03\x00", ["3"]),
        ("NumberOfStudyRelatedInstances", "FD", struct.pack("<d", 3.0), ["3.0"]),
        ("Rows", "UN", b"\x00\x02", ["512"]),
        ("Rows", "US", b"abc", []),
        ("Rows", "IS", b"512 ", ["512"]),
        ("OffendingElement", "AT", b"\x20\x00\x0d\x00", ["0020000D"]),
        ("0009,1001:LO", "UN", b"x ", ["x"]),
    ],
)
def test_values_in_any_vr(name: str, vr: str, raw: bytes, texts: list[str]) -> None:
    """A value is read for what it means, whatever VR it came in; what means nothing is none."""
    if name != "OffendingElement":
        assert read_texts(answer((name, vr, raw)), name) == texts
    else:
        assert read_texts(answer(("0008,9999:AT", vr, raw)), "0008,9999:AT") == texts


@pytest.mark.parametrize(
    ("raw", "count"),
    [
        (b"3 ", 3),
        (b"+3", 3),
        (b"3.0", 3),
        (b"2147483647", 2**31 - 1),
        (b"2147483648", None),
        (b"99999999999999999999", None),
        (b"0 ", None),
        (b"-3", None),
        (b"3\\4", None),
        (b"many", None),
        (b"1_0", None),
        ("٣".encode(), None),
        (b"", None),
    ],
)
def test_counts(raw: bytes, count: int | None) -> None:
    """A count is a number that there can be, else it is unknown."""
    assert read_count(answer(("NumberOfStudyRelatedInstances", "IS", raw)), "NumberOfStudyRelatedInstances") == count


@pytest.mark.parametrize(
    ("vr", "raw", "uid"),
    [
        ("UI", b"1.2.3\0", "1.2.3"),
        ("UI", b"1.2.3 ", "1.2.3"),
        ("UN", b"1.2.3\0", "1.2.3"),
        ("LO", b"1.2.3", "1.2.3"),
        ("UI", b"1.02.3", "1.02.3"),
        ("UI", b"1.2.A4", "1.2.A4"),
        ("UI", b"1." + b"2" * 64, "1." + "2" * 64),
        ("UI", b"1.2\\1.2", "1.2"),
        ("UI", b"1.2\\1.3", ""),
        ("UI", b"*", ""),
        ("UI", b"1.2?", ""),
        ("UI", b"1.2 .3", ""),
        ("UI", "1.٢".encode(), ""),
        ("UI", b"x" * 4, ""),
        ("UI", b"1" * 200, ""),
        ("US", b"\x01\x02\x03", ""),
        ("UI", b"", ""),
    ],
)
def test_uids(vr: str, raw: bytes, uid: str) -> None:
    """What an archive calls a UID is one, if it is one thing and nothing else in an identifier."""
    assert read_uid(answer(("StudyInstanceUID", vr, raw)), "StudyInstanceUID") == uid
    assert is_named(uid) is bool(uid)


@pytest.mark.parametrize("declared", [None, b"ISO_IR 100", b"ISO_IR 192", b"ISO_IR 144", b"nonsense"])
@pytest.mark.parametrize("codec", ["utf-8", "latin-1"])
def test_every_reading_holds_what_was_meant(declared: bytes | None, codec: str) -> None:
    """Whatever a name is labelled as, one of its readings is the name."""
    label = [] if declared is None else [("SpecificCharacterSet", "CS", declared)]
    found = answer(*label, ("PatientName", "PN", "Müller^Jörg".encode(codec)))
    assert ["Müller^Jörg"] in list(list_readings(found, "PatientName"))


def test_a_value_in_every_item_of_a_sequence() -> None:
    """The values of all items are read, in the character set of the item, or of what it lies in."""
    local = element("SpecificCharacterSet", "CS", b"ISO_IR 144")
    items = [
        element("ScheduledProcedureStepID", "SH", b"\xe9"),
        local + element("ScheduledProcedureStepID", "SH", b"\xd0"),
    ]
    raw = b"".join(b"\xfe\xff\x00\xe0" + struct.pack("<L", len(item)) + item for item in items)
    found = answer(("SpecificCharacterSet", "CS", b"ISO_IR 100"), ("RequestAttributesSequence", "SQ", raw))
    assert read_texts(found, "RequestAttributesSequence.ScheduledProcedureStepID") == ["é", "а"]
    assert read_texts(found, "RequestAttributesSequence.RequestedProcedureID") is None


def test_a_data_set_that_pydicom_made() -> None:
    """Values are read from elements that are values already, as from those that are bytes."""
    made = Dataset()
    made.PatientName, made.NumberOfStudyRelatedInstances, made.ModalitiesInStudy = "Müller^Jörg", 3, ["CT", "SR"]
    assert read_text(made, "PatientName") == "Müller^Jörg"
    assert read_count(made, "NumberOfStudyRelatedInstances") == 3
    assert read_text(made, "ModalitiesInStudy") == "CT\\SR"
    assert read_texts(made, "StudyID") is None
