"""With what a C-STORE is answered, and what to do about each that is no success."""

from __future__ import annotations

__all__ = [
    "CANNOT_UNDERSTAND",
    "DOES_NOT_MATCH",
    "DUPLICATE_INSTANCE",
    "MENDS",
    "NOT_AUTHORISED",
    "OUT_OF_RESOURCES",
    "PROCESSING_FAILURE",
    "SUCCESS",
]

# PS3.4 Table B.2-1 and PS3.7 Annex C. None is foreseen for an instance that another one lies in the
# way of (existing="error"); 0x0111 names the reason, and every peer counts an unknown failure as a failure.
SUCCESS = 0x0000
PROCESSING_FAILURE = 0x0110
DUPLICATE_INSTANCE = 0x0111
NOT_AUTHORISED = 0x0124
OUT_OF_RESOURCES = 0xA700
DOES_NOT_MATCH = 0xA900
CANNOT_UNDERSTAND = 0xC000

_BROKEN = "give the archive's administrator its SOP Instance UID; the archive sends it broken"
MENDS = {
    PROCESSING_FAILURE: "look at the disk and the folder that we receive into",
    OUT_OF_RESOURCES: "free some space on the disk that we receive on, then run it again",
    DOES_NOT_MATCH: _BROKEN,
    CANNOT_UNDERSTAND: _BROKEN,
}
"""What the row says where the cause itself names nothing better."""
