"""What stands under a UID of the Standard, whatever else was imported."""

from __future__ import annotations

import sys

import pytest
from pydicom._dicom_dict import DicomDictionary
from pydicom._uid_dict import UID_dictionary

from dicomover.attributes import registry
from dicomover.attributes.registry import DATA_ELEMENTS, REGISTERED


@pytest.mark.parametrize(
    ("uid", "keyword"),
    [
        ("1.2.840.10008.1.2.4.110", "JPEGXLLossless"),
        ("1.2.840.10008.1.2.4.112", "JPEGXL"),
        ("1.2.840.10008.1.2.8.1", "DeflatedImageFrameCompression"),
        ("1.2.840.10008.1.2.1", "ExplicitVRLittleEndian"),
    ],
)
def test_what_is_newer_than_pydicom_is_known(uid: str, keyword: str) -> None:
    """A transfer syntax has its kind and its keyword."""
    assert (REGISTERED[uid][1], REGISTERED[uid][4]) == ("Transfer Syntax", keyword)


def test_what_pydicom_knows_stays() -> None:
    """Every UID of pydicom is there."""
    assert UID_dictionary.keys() <= REGISTERED.keys()


def test_data_elements_are_those_of_pydicom() -> None:
    """Its table is read without its package, and is the same."""
    assert DicomDictionary == DATA_ELEMENTS


@pytest.mark.parametrize("is_imported", [True, False])
def test_a_program_in_one_file_has_the_tables_too(monkeypatch: pytest.MonkeyPatch, is_imported: bool) -> None:
    """Where pydicom lies in no folder, the tables come with its package, whether that was imported before or not."""
    if not is_imported:
        monkeypatch.delitem(sys.modules, "pydicom._uid_dict")
    monkeypatch.setattr(registry, "find_spec", lambda _: None)
    known = registry._read_tables("_uid_dict").UID_dictionary
    assert known.keys() <= UID_dictionary.keys()  # to which whatever else was imported may have added
    assert known["1.2.840.10008.1.2"][4] == "ImplicitVRLittleEndian"
