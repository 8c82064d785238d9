"""DIMSE command sets: group 0000, Implicit VR Little Endian, and nothing nested (PS3.7 section 6.3.1)."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Final

__all__ = [
    "C_CANCEL_RQ",
    "C_ECHO_RQ",
    "C_FIND_RQ",
    "C_GET_RQ",
    "C_MOVE_RQ",
    "C_STORE_RQ",
    "ELEMENTS",
    "NO_DATA_SET",
    "RESPONSE",
    "WITH_DATA_SET",
    "Command",
    "decode",
    "encode",
]

Command = dict[str, int | str]
"""Values by DICOM keyword; numbers and a single tag are int, everything else is text without its padding."""

# CommandField, PS3.7 Table E.1-1; a response is its request with RESPONSE set.
C_STORE_RQ: Final = 0x0001
C_GET_RQ: Final = 0x0010
C_FIND_RQ: Final = 0x0020
C_MOVE_RQ: Final = 0x0021
C_ECHO_RQ: Final = 0x0030
C_CANCEL_RQ: Final = 0x0FFF
RESPONSE: Final = 0x8000

# CommandDataSetType: 0x0101 is "none", anything else is "one follows".
NO_DATA_SET: Final = 0x0101
WITH_DATA_SET: Final = 0x0001

ELEMENTS = {
    "AffectedSOPClassUID": (0x0002, "UI"),
    "RequestedSOPClassUID": (0x0003, "UI"),
    "CommandField": (0x0100, "US"),
    "MessageID": (0x0110, "US"),
    "MessageIDBeingRespondedTo": (0x0120, "US"),
    "MoveDestination": (0x0600, "AE"),
    "Priority": (0x0700, "US"),
    "CommandDataSetType": (0x0800, "US"),
    "Status": (0x0900, "US"),
    "OffendingElement": (0x0901, "AT"),
    "ErrorComment": (0x0902, "LO"),
    "ErrorID": (0x0903, "US"),
    "AffectedSOPInstanceUID": (0x1000, "UI"),
    "RequestedSOPInstanceUID": (0x1001, "UI"),
    "NumberOfRemainingSuboperations": (0x1020, "US"),
    "NumberOfCompletedSuboperations": (0x1021, "US"),
    "NumberOfFailedSuboperations": (0x1022, "US"),
    "NumberOfWarningSuboperations": (0x1023, "US"),
    "MoveOriginatorApplicationEntityTitle": (0x1030, "AE"),
    "MoveOriginatorMessageID": (0x1031, "US"),
}
_BY_ELEMENT = {element: (keyword, vr) for keyword, (element, vr) in ELEMENTS.items()}
_HEAD = struct.Struct("<HHL")
_NUMBER = struct.Struct("<HHLH")
_GROUP_LENGTH = struct.Struct("<HHLL")
_TAG = struct.Struct("<HH")
_MOST = 256  # bytes of a value; the longest has 64 by the Standard
_NOT_USED = "", ""
_PADDING = {"UI": b"\0", "AE": b" ", "LO": b" "}


def encode(command: Mapping[str, int | str]) -> bytes:
    """Encode a command set, with its group length.

    Raises KeyError if a keyword is none of the command elements used here.

    Examples
    --------
    >>> encode({"CommandField": C_ECHO_RQ})[12:].hex(" ", -4)
    '00000001 02000000 3000'
    """
    body = bytearray()
    for keyword in sorted(command, key=ELEMENTS.__getitem__):
        value, (element, vr) = command[keyword], ELEMENTS[keyword]
        if vr == "US":
            body += _NUMBER.pack(0, element, 2, value)
        elif vr == "AT":
            number = int(value)
            body += _HEAD.pack(0, element, 4) + _TAG.pack(number >> 16, number & 0xFFFF)
        else:
            raw = str(value).encode("ascii", "replace")
            if len(raw) % 2:
                raw += _PADDING[vr]
            body += _HEAD.pack(0, element, len(raw)) + raw
    return _GROUP_LENGTH.pack(0, 0, 4, len(body)) + body


def decode(raw: bytes | bytearray | memoryview) -> Command:
    r"""Decode a command set; elements that are not used here, or have no value that can be read, are passed over.

    Several tags in OffendingElement (0000,0901) are a text of eight digits each, joined by `\`. Of a value that is far
    longer than any may be, the beginning stands. Raises ValueError if the bytes are no command set.

    Examples
    --------
    >>> decode(encode({"CommandField": C_ECHO_RQ, "MoveDestination": "ME"}))
    {'CommandField': 48, 'MoveDestination': 'ME'}
    """
    command: Command = {}
    raw = bytes(raw)
    offset, end, unpack, elements = 0, len(raw), _HEAD.unpack_from, _BY_ELEMENT
    while offset < end:
        if end - offset < 8:
            raise ValueError("the command set ends inside an element")
        group, element, length = unpack(raw, offset)
        offset += 8
        if group != 0 or length > end - offset:
            raise ValueError(f"the command set has a bad element ({group:04X},{element:04X}) of {length} bytes")
        keyword, vr = elements.get(element, _NOT_USED)
        if vr == "US":
            if length == 2:
                command[keyword] = raw[offset] | raw[offset + 1] << 8
            elif length:  # some count in four; of several values, which no number of ours has, the first one stands
                size = 4 if length == 4 and keyword.startswith("NumberOf") else min(length, 2)
                command[keyword] = int.from_bytes(raw[offset : offset + size], "little")
        elif vr == "AT":
            value = raw[offset : offset + min(length // 4 * 4, _MOST)]
            tags = [first << 16 | second for first, second in _TAG.iter_unpack(value)]
            if tags:
                command[keyword] = tags[0] if len(tags) == 1 else "\\".join(f"{tag:08X}" for tag in tags)
        elif vr:
            value = raw[offset : offset + min(length, _MOST)]
            command[keyword] = value.decode("ascii", "replace").strip(" \0")
        offset += length
    return command
