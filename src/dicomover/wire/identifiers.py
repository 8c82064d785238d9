"""Identifiers as bytes: what a request asks for, what an answer says, which instances failed."""

from __future__ import annotations

import contextlib
import re
from io import BytesIO

from pydicom import DataElement, Dataset
from pydicom.charset import convert_encodings, decode_bytes
from pydicom.datadict import dictionary_has_tag, dictionary_VR
from pydicom.dataelem import RawDataElement
from pydicom.filebase import DicomBytesIO
from pydicom.filereader import read_dataset
from pydicom.filewriter import write_dataset
from pydicom.uid import ImplicitVRLittleEndian

from dicomover.errors import ProtocolError

__all__ = ["decode_identifier", "encode_identifier", "read_failed_uids"]

_ONE_TEXT = ("LT", "ST", "UR", "UT")
_LOCAL_TEXTS = ("LO", "LT", "PN", "SH", "ST", "UC", "UT")  # by the data set's SpecificCharacterSet
_TEXTS = (*_LOCAL_TEXTS, "AE", "AS", "CS", "DA", "DS", "DT", "IS", "TM", "UI", "UR")
_UID = re.compile(r"[0-9.]{1,64}")


def encode_identifier(identifier: Dataset, transfer_syntax: str) -> bytes:
    """Return the bytes of an identifier, which stays as it is."""
    buffer = DicomBytesIO()
    buffer.is_little_endian = True
    buffer.is_implicit_VR = transfer_syntax == ImplicitVRLittleEndian
    write_dataset(buffer, identifier)
    return buffer.getvalue()


def decode_identifier(data: bytes, transfer_syntax: str) -> Dataset:
    """Read an identifier; its texts become `str`, several values a list of them.

    pydicom would check each value when somebody looks at it, and put what it does not like, which may be a
    patient's birth date, into warnings and logs; or raise.
    """
    implicit = transfer_syntax == ImplicitVRLittleEndian
    try:
        dataset = read_dataset(BytesIO(data), implicit, True, bytelength=len(data))
        encodings = _read_encodings(dataset)
        for tag in list(dataset.keys()):
            element = dataset.get_item(tag)
            if not isinstance(element, RawDataElement):
                continue
            vr = element.VR or (dictionary_VR(tag) if dictionary_has_tag(tag) else "UN")
            if vr in _TEXTS:
                text = decode_bytes(element.value or b"", encodings if vr in _LOCAL_TEXTS else ["iso8859"], set())
                values = [part.strip(" \0") for part in (text.split("\\") if vr not in _ONE_TEXT else [text])]
                value = values[0] if len(values) == 1 else values
                dataset[tag] = DataElement(tag, vr, value, already_converted=True)
        return dataset
    except Exception as error:
        raise ProtocolError("the peer sent an identifier that cannot be read") from error


def _read_encodings(dataset: Dataset) -> list[str]:
    element = dataset.get_item("SpecificCharacterSet") if "SpecificCharacterSet" in dataset else None
    names = bytes(element.value or b"").decode("ascii", "replace").split("\\") if element is not None else [""]
    with contextlib.suppress(Exception):  # a character set that nobody knows
        return convert_encodings([name.strip(" \0") for name in names])
    return ["iso8859"]


def read_failed_uids(data: bytes, transfer_syntax: str) -> tuple[str, ...]:
    """Return what the Failed SOP Instance UID List (0008,0058) of a final response names; it may be anything."""
    if not data:
        return ()
    try:
        value = decode_identifier(data, transfer_syntax).get("FailedSOPInstanceUIDList")
    except ProtocolError:
        return ()
    values = [value] if isinstance(value, str) else value or ()
    return tuple(uid for uid in values if _UID.fullmatch(uid))
