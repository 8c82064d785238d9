"""What compressed pixel data are by the first bytes of a frame, and whether they can be what they are called. Pure."""

from __future__ import annotations

from collections.abc import Iterator

__all__ = ["BEGINNING", "find_syntax", "name_other"]

BEGINNING = 16  # bytes from which a codestream is known

_JPEG, _JPEG_LS, _JPEG_2000, _JPEG_XL, _RLE = "JPEG", "JPEG-LS", "JPEG 2000", "JPEG XL", "RLE"
_SYNTAX = "1.2.840.10008.1.2."
_FAMILIES = {
    **{f"{_SYNTAX}4.{end}": _JPEG for end in (*range(50, 67), 70)},
    **{f"{_SYNTAX}4.{end}": _JPEG_LS for end in (80, 81)},
    **{f"{_SYNTAX}4.{end}": _JPEG_2000 for end in (90, 91, 92, 93, 201, 202, 203)},
    **{f"{_SYNTAX}4.{end}": _JPEG_XL for end in (110, 111, 112)},
    f"{_SYNTAX}5": _RLE,
}
_J2K_BEGINS, _JP2_BEGINS = b"\xff\x4f\xff\x51", b"\0\0\0\x0cjP  \r\n\x87\n"
_FRAMES = {0xC0: "4.50", 0xC1: "4.51", 0xC3: "4.57"}  # of JPEG, by process
_FRAME_OF_LS, _SCAN, _HIGH_THROUGHPUT, _CODING_STYLE = 0xF7, 0xDA, 0x50, 0x52
_TABLES = (0xDB, 0xC4, 0xCC)  # that JPEG-LS has none of


def name_other(begin: bytes, transfer_syntax: str) -> str:
    """Say what the beginning of a frame is, if it surely is not what it is called; nothing if it may be, or is unknown.

    Lenient: which process of JPEG, and whether JPEG 2000 lies in a file of its own, is no matter to readers.

    Examples
    --------
    >>> name_other(bytes.fromhex("ff4fff51002f"), "1.2.840.10008.1.2.4.70")
    'JPEG 2000'
    >>> name_other(bytes.fromhex("ff4fff51002f"), "1.2.840.10008.1.2.4.90")
    ''
    """
    wanted, found = _FAMILIES.get(transfer_syntax), _find_family(begin)
    return found if wanted and wanted not in found.split(" or ") else ""


def _find_family(begin: bytes) -> str:
    if begin.startswith((_J2K_BEGINS, _JP2_BEGINS)):
        return _JPEG_2000
    if begin.startswith(b"\0\0\0\x0cJXL "):
        return _JPEG_XL
    if begin[:3] == b"\xff\xd8\xff" and len(begin) > 3:
        marker = begin[3]
        if marker == _FRAME_OF_LS:
            return _JPEG_LS
        is_jpeg = marker in _TABLES or 0xC0 <= marker <= 0xCF
        return _JPEG if is_jpeg else f"{_JPEG} or {_JPEG_LS}"  # which of them, a later marker says
    if 0 < int.from_bytes(begin[:4], "little") < 16 and begin[4:8] == b"\x40\0\0\0":
        return _RLE
    return ""


def find_syntax(begin: bytes) -> str:
    r"""Return the transfer syntax that the beginning of a frame is in, as far as its markers show it; else nothing.

    Examples
    --------
    >>> find_syntax(b"\x01\0\0\0\x40\0\0\0" + bytes(56))
    '1.2.840.10008.1.2.5'
    """
    family = _find_family(begin)
    if family == _RLE:
        return f"{_SYNTAX}5"
    found = ""
    for marker, value in _markers(begin[max(begin.find(_J2K_BEGINS), 0) :]) if family else ():
        if family == _JPEG_2000:
            if marker == _HIGH_THROUGHPUT:
                return f"{_SYNTAX}4.203"
            if marker == _CODING_STYLE:  # what is reversible may have been cut short: only the general one is sure
                return f"{_SYNTAX}4.91"
        elif marker == _FRAME_OF_LS:
            found = "4.81"
        elif marker in _FRAMES:
            found = _FRAMES[marker]
        elif marker == _SCAN and found and len(value) > 3:
            parameter = value[1 + 2 * value[0]]  # the predictor of lossless JPEG, or how much JPEG-LS may lose
            exact = {("4.57", 1): "4.70", ("4.81", 0): "4.80"}.get((found, parameter), found)
            return f"{_SYNTAX}{exact}"
    return ""


def _markers(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield the markers at the beginning of a codestream, each with what it holds."""
    offset = 2
    while offset + 4 <= len(data) and data[offset] == 0xFF:
        length = int.from_bytes(data[offset + 2 : offset + 4], "big")
        end = offset + 2 + length
        if length < 2 or end > len(data):
            return
        yield data[offset + 1], data[offset + 4 : end]
        offset = end
