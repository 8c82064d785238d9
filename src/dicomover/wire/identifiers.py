"""Identifiers as bytes: what a request asks for, what an answer says, which instances failed."""

from __future__ import annotations

import struct

from pydicom import DataElement, Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset
from pydicom.uid import ImplicitVRLittleEndian

from dicomover.attributes.framing import read_elements
from dicomover.attributes.reading import read_text, read_texts
from dicomover.attributes.uid import is_named
from dicomover.errors import ProtocolError, QueryRefused
from dicomover.identifier import Level

__all__ = ["Matches", "decode_identifier", "encode_identifier", "is_match", "read_failed_uids"]

_LONGEST = 1 << 20  # bytes of one answer to C-FIND; they have a few hundred
_LONGEST_SHORT = 0xFFFE  # bytes of a value in Explicit VR whose length is two bytes (PS3.5 section 7.1.2)
_PLAIN = frozenset("AE AS CS DA DS DT IS LO LT SH ST TM UI".split())  # noqa: SIM905
_MOST_MEMORY = 2 << 30  # bytes that the answers to one C-FIND take here: half a million of the usual ones


class Matches:
    """The answers to one C-FIND: each of a size that can be, and all of them together in what memory there may be."""

    def __init__(self) -> None:
        self.count = 0
        self._memory = 0
        self._bytes = 0

    def read(self, data: bytes, transfer_syntax: str) -> Dataset:
        """Decode one; raises ProtocolError as `decode_identifier` does, or if it is far too long."""
        if len(data) > _LONGEST:
            raise ProtocolError(f"the peer sent an answer to C-FIND of {len(data):,} bytes (allowed: {_LONGEST:,})")
        self._bytes = len(data)
        return decode_identifier(data, transfer_syntax)

    def add(self, answer: Dataset) -> None:
        """Count the last one in; raises QueryRefused where they become too many."""
        self.count += 1
        self._memory += 1000 + self._bytes + 300 * len(answer)  # as measured
        if self._memory > _MOST_MEMORY:
            said = f"the peer sent {self.count:,} answers to one C-FIND, more than the {_MOST_MEMORY >> 20:,} MB that"
            mend = "ask for less at once, by a StudyDate range or further keys"
            raise QueryRefused(f"{said} they may take here", mend=mend)


def encode_identifier(identifier: Dataset, transfer_syntax: str) -> bytes:
    """Return the bytes of an identifier, which stays as it is."""
    is_implicit = transfer_syntax == ImplicitVRLittleEndian
    try:
        # As nearly all are, and a tenth of the time: short text in ASCII.
        return b"".join([_encode_plainly(element, implicit=is_implicit) for _, element in sorted(identifier.items())])
    except ValueError:
        buffer = DicomBytesIO()
        buffer.is_little_endian = True
        buffer.is_implicit_VR = is_implicit
        write_dataset(buffer, identifier)
        return buffer.getvalue()


def _encode_plainly(element: object, *, implicit: bool) -> bytes:
    """Return the bytes of an element of text; raises ValueError where they may not be the letters alone."""
    if not isinstance(element, DataElement) or element.VR not in _PLAIN or not element.tag & 0xFFFF:
        raise ValueError
    value = element.value
    if not isinstance(value, str):
        parts = [] if value is None else list(value)
        if not all(isinstance(part, str) for part in parts):
            raise ValueError
        value = "\\".join(parts)
    data = value.encode("ascii")
    data += (b"\0" if element.VR == "UI" else b" ") * (len(data) % 2)
    group, number = element.tag >> 16, element.tag & 0xFFFF
    if implicit:
        return struct.pack("<HHL", group, number, len(data)) + data
    if len(data) > _LONGEST_SHORT:
        raise ValueError
    return struct.pack("<HH2sH", group, number, element.VR.encode(), len(data)) + data


def decode_identifier(data: bytes, transfer_syntax: str) -> Dataset:
    """Return the elements of an identifier, as far as they can be found; `dicomover.attributes` reads their values.

    Raises ProtocolError if it begins with none.
    """
    dataset = read_elements(data, implicit=transfer_syntax == ImplicitVRLittleEndian)
    if data and not dataset:
        raise ProtocolError("the peer sent an identifier that cannot be read")
    return dataset


def read_failed_uids(data: bytes, transfer_syntax: str) -> tuple[str, ...]:
    """Return what the Failed SOP Instance UID List (0008,0058) of a final response names; it may be anything."""
    if not data:
        return ()
    dataset = read_elements(data, implicit=transfer_syntax == ImplicitVRLittleEndian)
    named = read_texts(dataset, "FailedSOPInstanceUIDList")
    return tuple(filter(is_named, named or ()))


def is_match(answer: Dataset, asked: Dataset) -> bool:
    """Tell whether the data set of a final response is one more match rather than something that it has no use for."""
    return bool(read_text(answer, Level.parse(asked.QueryRetrieveLevel).unique_key))
