"""The PDUs of the DICOM Upper Layer: their types, their head, their items, and the short ones (PS3.8 section 9.3)."""

from __future__ import annotations

import struct
from collections.abc import Iterator

__all__ = [
    "ABORT",
    "ASSOCIATE_AC",
    "ASSOCIATE_RJ",
    "ASSOCIATE_RQ",
    "PDU_HEAD",
    "P_DATA",
    "RELEASE_RP",
    "RELEASE_RQ",
    "encode_abort",
    "encode_item",
    "encode_pdu",
    "encode_release",
    "split_items",
]

ASSOCIATE_RQ, ASSOCIATE_AC, ASSOCIATE_RJ, P_DATA, RELEASE_RQ, RELEASE_RP, ABORT = range(1, 8)
PDU_HEAD = struct.Struct(">BxL")
_ITEM = struct.Struct(">BxH")


def encode_pdu(kind: int, body: bytes) -> bytes:
    """Encode a PDU."""
    return PDU_HEAD.pack(kind, len(body)) + body


def encode_item(kind: int, value: bytes) -> bytes:
    """Encode an item or sub-item of an association PDU."""
    return _ITEM.pack(kind, len(value)) + value


def split_items(raw: bytes, offset: int = 0) -> Iterator[tuple[int, bytes]]:
    """Yield type and value of each item or sub-item; what is too short for the head of one is padding.

    Raises ValueError if one does not fit in.
    """
    while len(raw) - offset >= _ITEM.size:
        kind, length = _ITEM.unpack_from(raw, offset)
        offset += _ITEM.size
        if length > len(raw) - offset:
            raise ValueError(f"an item of type 0x{kind:02X} and {length} bytes, of which {len(raw) - offset} are there")
        yield kind, raw[offset : offset + length]
        offset += length


def encode_release(kind: int) -> bytes:
    """Encode an A-RELEASE-RQ or an A-RELEASE-RP."""
    return struct.pack(">BxLxxxx", kind, 4)


def encode_abort(source: int, reason: int) -> bytes:
    """Encode an A-ABORT: source 0 is the service user, 2 the provider (PS3.8 section 9.3.8)."""
    return struct.pack(">BxLxxBB", ABORT, 4, source, reason)
