"""The PDUs of the DICOM Upper Layer: their types, their head, and the short ones (PS3.8 section 9.3)."""

from __future__ import annotations

import struct

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
    "encode_release",
]

ASSOCIATE_RQ, ASSOCIATE_AC, ASSOCIATE_RJ, P_DATA, RELEASE_RQ, RELEASE_RP, ABORT = range(1, 8)
PDU_HEAD = struct.Struct(">BxL")


def encode_release(kind: int) -> bytes:
    """Encode an A-RELEASE-RQ or an A-RELEASE-RP."""
    return struct.pack(">BxLxxxx", kind, 4)


def encode_abort(source: int, reason: int) -> bytes:
    """Encode an A-ABORT: source 0 is the service user, 2 the provider (PS3.8 section 9.3.8)."""
    return struct.pack(">BxLxxBB", ABORT, 4, source, reason)
