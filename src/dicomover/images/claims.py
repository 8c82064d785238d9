"""How large a compressed frame says that it is: what a decoder would make room for, before it is called. Pure."""

from __future__ import annotations

__all__ = ["claimed_pixels"]

_J2K = b"\xff\x4f\xff\x51"  # where a codestream of JPEG 2000 begins, and its size
_BEGINNING = 1 << 12  # bytes before it, of a file of its own
_NO_FRAME = (0xC4, 0xC8, 0xCC)  # markers among those of frames that are none
_FRAME_OF_LS = 0xF7


def claimed_pixels(frame: bytes) -> int:
    """Return rows times columns, as the frame of JPEG, JPEG-LS or JPEG 2000 says them; 0 if it does not.

    Examples
    --------
    >>> claimed_pixels(bytes.fromhex("ffd8 ffc0 0011 08 0200 0100"))
    131072
    """
    at = frame.find(_J2K, 0, _BEGINNING)
    if at >= 0:
        right, bottom, left, top = (int.from_bytes(frame[at + n : at + n + 4], "big") for n in (8, 12, 16, 20))
        return max(right - left, 0) * max(bottom - top, 0)
    at = 2 if frame[:2] == b"\xff\xd8" else len(frame)
    while at + 9 <= len(frame) and frame[at] == 0xFF:
        marker = frame[at + 1]
        if marker == 0xFF:  # fills up
            at += 1
            continue
        if marker == _FRAME_OF_LS or (0xC0 <= marker <= 0xCF and marker not in _NO_FRAME):
            return int.from_bytes(frame[at + 5 : at + 7], "big") * int.from_bytes(frame[at + 7 : at + 9], "big")
        at += 2 + int.from_bytes(frame[at + 2 : at + 4], "big")
    return 0
