"""How large a compressed frame says that it is: what a decoder would make room for, before it is called. Pure."""

from __future__ import annotations

__all__ = ["claimed_samples"]

_J2K = b"\xff\x4f\xff\x51"  # where a codestream of JPEG 2000 begins, and its size
_NO_FRAME = (0xC4, 0xC8, 0xCC)  # markers among those of frames that are none
_FRAMES = frozenset({*range(0xC0, 0xD0), 0xDE, 0xF7}.difference(_NO_FRAME))  # also of a hierarchy, and of JPEG-LS
_ALONE = (0x00, 0x01, *range(0xD0, 0xD9))  # markers without a length
_SCAN = 0xDA
_LARGEST = 0xFFFF  # rows or columns, where JPEG says them later


def claimed_samples(frame: bytes) -> int:
    """Return rows times columns times components, as a frame of JPEG, JPEG-LS or JPEG 2000 says them; 0 if it does not.

    Examples
    --------
    >>> claimed_samples(bytes.fromhex("ffd8 ffc0 0011 08 0200 0100 01"))
    131072
    """
    if frame.startswith(b"\xff\xd8"):
        return _claimed_by_jpeg(frame)
    largest, at = 0, frame.find(_J2K)
    while at >= 0:
        right, bottom, left, top = (int.from_bytes(frame[at + n : at + n + 4], "big") for n in (8, 12, 16, 20))
        components = int.from_bytes(frame[at + 40 : at + 42], "big")
        largest = max(largest, max(right - left, 0) * max(bottom - top, 0) * components)
        at = frame.find(_J2K, at + 1) if at else -1  # a file of its own (JP2) may hold several, and a decoy
    return largest


def _claimed_by_jpeg(frame: bytes) -> int:
    at = 2
    while 0 <= (at := frame.find(b"\xff", at)) < len(frame) - 9:  # a decoder passes over what is no marker
        marker = frame[at + 1]
        if marker == 0xFF:  # fills up
            at += 1
        elif marker in _ALONE:
            at += 2
        elif marker in _FRAMES:
            rows, columns = (int.from_bytes(frame[at + n : at + n + 2], "big") or _LARGEST for n in (5, 7))
            return rows * columns * frame[at + 9]
        elif marker == _SCAN:
            break
        else:
            at += 2 + int.from_bytes(frame[at + 2 : at + 4], "big")
    return 0
