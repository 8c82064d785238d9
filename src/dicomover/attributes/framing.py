"""The elements of an identifier, found in its bytes and left as they are.

Nothing is converted here, so nothing that an archive writes into a value can end the reading. Sequences are passed
over without recursion, however deep.
"""

from __future__ import annotations

import logging
import struct
from collections.abc import Iterator

from pydicom import DataElement, Dataset
from pydicom.dataelem import RawDataElement
from pydicom.tag import BaseTag

from dicomover.attributes.registry import LONG_VRS, SHORT_VRS

__all__ = ["read_elements", "read_items"]

logger = logging.getLogger("dicomover.attributes")

_UNDEFINED = 0xFFFFFFFF
_ITEM, _ITEM_END, _SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD


class _Broken(ValueError):
    """The bytes do not go on as elements."""


def read_elements(data: bytes, *, implicit: bool) -> Dataset:
    """Return the elements of an identifier in Little Endian, each with its bytes; reading ends where they break off.

    Some archives write Implicit VR whatever was negotiated, or the other way round: what the first element looks like
    counts more.

    Examples
    --------
    >>> raw = bytes.fromhex("0800 5000 5348 0200") + b"A1"
    >>> read_elements(raw, implicit=False).get_item("AccessionNumber").value
    b'A1'
    """
    found: dict[BaseTag, DataElement | RawDataElement] = {}
    try:
        for element in _walk(data, _is_implicit(data, implicit)):
            found[element.tag] = element
    except (_Broken, struct.error):
        logger.debug("an identifier of %d bytes breaks off after %d elements", len(data), len(found))
    return Dataset(found)


def read_items(raw: bytes, *, implicit: bool) -> list[Dataset]:
    """Return the items of a sequence's value, none if it is not one."""
    items: list[Dataset] = []
    offset = 0
    try:
        while offset + 8 <= len(raw):
            tag, _, length, start = _read_head(raw, offset, True)
            if tag != _ITEM:
                break
            if length == _UNDEFINED:
                end, offset = _end_of_sequence(raw, start, implicit)
            else:
                end = offset = start + length
            items.append(read_elements(raw[start:end], implicit=implicit))
    except (_Broken, struct.error):
        logger.debug("a sequence of %d bytes breaks off after %d items", len(raw), len(items))
    return items


def _is_implicit(data: bytes, negotiated: bool) -> bool:
    looks_explicit = data[4:6] in SHORT_VRS or data[4:6] in LONG_VRS
    if len(data) < 8 or looks_explicit is not negotiated:
        return negotiated
    length = int.from_bytes(data[4:8], "little")
    fits = length == _UNDEFINED or 8 + length <= len(data)
    return fits if not looks_explicit else negotiated and fits


def _walk(data: bytes, implicit: bool) -> Iterator[RawDataElement]:
    offset = 0
    while offset + 8 <= len(data):
        tag, vr, length, start = _read_head(data, offset, implicit)
        if tag >> 16 == 0xFFFE or (offset == 0 and vr and vr not in SHORT_VRS and vr not in LONG_VRS):
            raise _Broken
        inside = implicit or vr == b"UN"
        if length == _UNDEFINED:
            end, offset = _end_of_sequence(data, start, inside)
        else:
            end = offset = start + length
        if end > len(data):
            raise _Broken
        name = vr.decode("ascii") if vr else None
        yield RawDataElement(BaseTag(tag), name, end - start, data[start:end], start, implicit, True)


def _read_head(data: bytes, offset: int, implicit: bool) -> tuple[int, bytes, int, int]:
    """Return the tag, the VR (empty if implicit) and the length of an element, and where its value begins."""
    group, element, length = struct.unpack_from("<HHL", data, offset)
    tag = group << 16 | element
    if implicit or group == 0xFFFE:
        return tag, b"", length, offset + 8
    vr = data[offset + 4 : offset + 6]
    if vr in SHORT_VRS:
        return tag, vr, length >> 16, offset + 8
    if vr not in LONG_VRS and not (vr.isalpha() and vr.isupper()):  # VRs yet to come have a long length
        raise _Broken
    return tag, vr, struct.unpack_from("<L", data, offset + 8)[0], offset + 12


def _end_of_sequence(data: bytes, offset: int, implicit: bool) -> tuple[int, int]:
    """Return where the content of a sequence or an item of undefined length ends, and where reading goes on."""
    open_ones = [implicit]  # for each sequence and item of undefined length: whether it is implicit
    while True:
        tag, vr, length, start = _read_head(data, offset, open_ones[-1])
        if tag in (_ITEM_END, _SEQUENCE_END):
            open_ones.pop()
            if not open_ones:
                return offset, start
            offset = start
        elif length == _UNDEFINED:
            open_ones.append(open_ones[-1] or vr == b"UN")
            offset = start
        else:
            offset = start + length
