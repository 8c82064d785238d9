"""What stands under a UID of the Standard, whatever else was imported."""

from __future__ import annotations

import pytest
from pydicom._uid_dict import UID_dictionary

from dicomover.attributes.registry import REGISTERED


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
