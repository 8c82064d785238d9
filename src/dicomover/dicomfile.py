"""What a DICOM file is made of: the file meta information, and the head of a data set.

A head is read from its first bytes and no further than needed. Nothing is decoded but the few values that are asked
for. Sequences are passed over without recursion, however deep; what is read is bounded by the caller, who stops
feeding.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping
from functools import lru_cache

from dicomover.attributes.registry import LONG_VRS, SHORT_VRS, is_known_otherwise

__all__ = [
    "BIG_ENDIAN",
    "DEFLATED",
    "EXPLICIT_BIG_ENDIAN",
    "EXPLICIT_LITTLE_ENDIAN",
    "HEADERS_ONLY",
    "IMPLEMENTATION_CLASS_UID",
    "IMPLEMENTATION_VERSION_NAME",
    "IMPLICIT_LITTLE_ENDIAN",
    "LITTLE_ENDIAN",
    "NATIVE",
    "WHOLE",
    "Encoding",
    "Head",
    "HeadError",
    "decode_text",
    "encode_file_meta",
    "has_plain_elements",
    "is_headers_only",
    "measure_file_meta",
    "read_file_meta",
]

IMPLICIT_LITTLE_ENDIAN = "1.2.840.10008.1.2"
EXPLICIT_LITTLE_ENDIAN = "1.2.840.10008.1.2.1"
DEFLATED = "1.2.840.10008.1.2.1.99"
EXPLICIT_BIG_ENDIAN = "1.2.840.10008.1.2.2"
NATIVE = {
    IMPLICIT_LITTLE_ENDIAN: "Implicit VR Little Endian",
    EXPLICIT_LITTLE_ENDIAN: "Explicit VR Little Endian",
    DEFLATED: "Deflated Explicit VR Little Endian",
    EXPLICIT_BIG_ENDIAN: "Explicit VR Big Endian",
}
"""The transfer syntaxes in which pixel data are never encapsulated, with their names."""

IMPLEMENTATION_CLASS_UID = "2.25.164720317393152830247930412345672193408"
IMPLEMENTATION_VERSION_NAME = "DICOMOVER_0_1"

# What a file says of itself that was asked for without its pixels, and one of those that has lost nothing.
HEADERS_ONLY, WHOLE = b"headers only", b"all is here "
_PREAMBLE, _PREAMBLE_SIZE = bytes(128) + b"DICM", 132
_GROUP_LENGTH = struct.Struct("<HH2sHL")
_GROUP_LENGTH_HEAD = b"\x02\x00\x00\x00UL\x04\x00"
_META_VERSION = b"\x02\x00\x01\x00OB\x00\x00\x02\x00\x00\x00\x00\x01"
_EXPLICIT = struct.Struct("<HH2sH")
_UNDEFINED = 0xFFFFFFFF
_ITEM, _ITEM_END, _SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
_LONGEST_META = 1 << 16
_LONGEST_VALUE = 1024  # of a value that is asked for; none of them may be longer
_CHARACTER_SET = 0x00080005


class Encoding:
    """How the headers of elements are written, in one byte order; a VR counts as a number, looked up faster."""

    def __init__(self, order: str) -> None:
        self.explicit, self.implicit = struct.Struct(f"{order}HHHH"), struct.Struct(f"{order}HHL")
        self.tag, self.vr_and_length = struct.Struct(f"{order}HH"), struct.Struct(f"{order}4xHH")
        self.length = struct.Struct(f"{order}L")
        number = struct.Struct(f"{order}H").unpack
        # Those whose length has two bytes behind them, and those whose length has four, after two more.
        self.short_vrs, self.long_vrs = (frozenset(number(vr)[0] for vr in vrs) for vrs in (SHORT_VRS, LONG_VRS))
        self.sequence, self.unknown = number(b"SQ")[0], number(b"UN")[0]  # those that may have no length


LITTLE_ENDIAN, BIG_ENDIAN = Encoding("<"), Encoding(">")


def has_plain_elements(
    data: bytes | bytearray | memoryview, offset: int, end: int, implicit: bool, encoding: Encoding
) -> bool:
    """Tell whether an item holds nothing but elements of known VR and length, and ends where its last one does.

    Of such an item it makes no difference whether it is passed over by its own length or by theirs.
    """
    while end - offset >= 8:
        group, _, length = encoding.implicit.unpack_from(data, offset)
        start = 8
        if not implicit:
            vr, length = encoding.vr_and_length.unpack_from(data, offset)
            if vr in encoding.long_vrs and end - offset >= 12:
                length, start = encoding.length.unpack_from(data, offset + 8)[0], 12
            elif vr not in encoding.short_vrs:
                return False
        if group == 0xFFFE or length == _UNDEFINED:
            return False
        offset += start + length
    return offset == end


def _encode_element(element: int, vr: bytes, value: str) -> bytes:
    raw = value.encode("ascii", "replace")
    raw += (b"\0" if vr == b"UI" else b" ") * (len(raw) % 2)
    return _EXPLICIT.pack(0x0002, element, vr, len(raw)) + raw


_IMPLEMENTATION = _encode_element(0x0012, b"UI", IMPLEMENTATION_CLASS_UID) + _encode_element(
    0x0013, b"SH", IMPLEMENTATION_VERSION_NAME
)

# Private Information (PS3.10 section 7.1), the last of the file meta information.
_CREATOR = _encode_element(0x0100, b"UI", IMPLEMENTATION_CLASS_UID)
_MARK = _CREATOR + _EXPLICIT.pack(0x0002, 0x0102, b"OB", 0) + struct.pack("<L", len(HEADERS_ONLY)) + HEADERS_ONLY


def encode_file_meta(
    sop_class: str, sop_instance: str, transfer_syntax: str, source_ae_title: str = "", *, headers_only: bool = False
) -> bytes:
    """Return everything that stands before the data set in a file of ours (PS3.10 section 7.1).

    `source_ae_title` is left out where it is empty. A file that is `headers_only` says so in its last bytes.
    """
    before, behind = _encode_around(sop_class, transfer_syntax, source_ae_title)
    behind += _MARK * headers_only
    instance = _encode_element(0x0003, b"UI", sop_instance)
    length = len(before) + len(instance) + len(behind)
    return b"".join((_PREAMBLE, _GROUP_LENGTH.pack(0x0002, 0, b"UL", 4, length), before, instance, behind))


@lru_cache(maxsize=64)
def _encode_around(sop_class: str, transfer_syntax: str, source_ae_title: str) -> tuple[bytes, bytes]:
    """Return what stands before and behind the SOP Instance UID: the same for all that a sender sends of a series."""
    source = _encode_element(0x0016, b"AE", source_ae_title) if source_ae_title else b""
    return (
        _META_VERSION + _encode_element(0x0002, b"UI", sop_class),
        _encode_element(0x0010, b"UI", transfer_syntax) + _IMPLEMENTATION + source,
    )


def read_file_meta(data: bytes | memoryview) -> tuple[str, int]:
    """Return the transfer syntax of a file, and where its data set begins.

    `data` are the first bytes of the file. An empty text and 0 stand for a file that is no DICOM, or whose file meta
    information is not written in the usual way.

    Examples
    --------
    >>> read_file_meta(encode_file_meta("1.2.840.10008.5.1.4.1.1.2", "1.2.3", "1.2.840.10008.1.2.1"))
    ('1.2.840.10008.1.2.1', 308)
    """
    if data[128:132] != b"DICM" or len(data) < 144 or data[132:140] != _GROUP_LENGTH_HEAD:
        return "", 0
    end, offset, syntax = 144 + LITTLE_ENDIAN.length.unpack_from(data, 140)[0], 144, ""
    while offset + 8 <= min(end, len(data)):
        group, element, vr, length = _EXPLICIT.unpack_from(data, offset)
        offset += 8
        if vr in LONG_VRS:
            if offset + 4 > len(data):
                return "", 0
            length = LITTLE_ENDIAN.length.unpack_from(data, offset)[0]
            offset += 4
        if (group, element) == (0x0002, 0x0010):
            syntax = str(data[offset : offset + length], "ascii", "replace").strip("\0 ")
        offset += length
    return (syntax, end) if offset == end <= len(data) else ("", 0)


def is_headers_only(data: bytes | memoryview, start: int) -> bool:
    """Tell whether a file of ours lacks the pixels; `start` is where its data set begins, see `read_file_meta`."""
    return data[start - len(_MARK) : start] == _MARK


def measure_file_meta(data: bytes | bytearray | memoryview, known: int = 0) -> tuple[int, bool]:
    """Return how many bytes of file meta information a data set begins with, where it has no place (PS3.5 section 7.1).

    Some senders leave in what they have read of a file, and it may name another transfer syntax than was agreed on.
    0 for a proper data set; and say whether that is all, which few bytes do not tell. `known` is what was returned for
    fewer. Raises HeadError if it is a whole file, preamble and all, or there is far more than belongs there.
    """
    size, offset = len(data), known
    if size >= 2 and data[0] != 2 and data[0] != 0:
        return 0, True  # as every data set that begins with group 0008
    if size >= _PREAMBLE_SIZE + 2 and data[128 : _PREAMBLE_SIZE + 2] == b"DICM\x02\x00":
        raise HeadError("it is a whole file, with a preamble")
    while size - offset >= 8 and data[offset : offset + 2] == b"\x02\x00":
        _, _, vr, length = _EXPLICIT.unpack_from(data, offset)
        if vr in SHORT_VRS:
            offset += 8 + length
        elif vr in LONG_VRS:
            if size - offset < 12:
                break
            offset += 12 + LITTLE_ENDIAN.length.unpack_from(data, offset + 8)[0]
        else:  # senders that write it in Implicit VR, like the rest
            offset += 8 + LITTLE_ENDIAN.length.unpack_from(data, offset + 4)[0]
        if offset > _LONGEST_META:
            raise HeadError(f"it begins with more than {_LONGEST_META >> 10} KiB of file meta information")
    is_other = data[offset : offset + 2] != b"\x02\x00"
    return offset, size - offset >= 8 and is_other and bool(offset or size >= _PREAMBLE_SIZE + 2 or data[0])


class HeadError(ValueError):
    """The bytes are no data set in the negotiated transfer syntax."""

    syntax = ""  # that its pixel data are in instead, where that shows


class Head:
    """Reads a data set from its beginning, as far as it has come."""

    __slots__ = ("_encoding", "_last", "_stack", "_wanted", "ambiguous", "done", "due", "implicit", "offset", "values")

    def __init__(
        self,
        implicit: bool,  # False is for Explicit VR and everything encapsulated
        wanted: Iterable[int],  # the tags whose values are kept, at the top level only
        last: int,  # reading ends with the first top-level tag beyond this one
        encoding: Encoding = LITTLE_ENDIAN,
    ) -> None:
        self.implicit = implicit
        self._encoding = encoding
        self._wanted = wanted if isinstance(wanted, frozenset) else frozenset(wanted)
        self._last = last
        # One entry for every open sequence or item of undefined length: whether it is implicit, whether an item. They
        # are constants: eight bytes each, as many as it takes to open one.
        self._stack: list[tuple[bool, bool]] = []
        self.values: dict[int, bytes] = {}  # the raw bytes of the wanted values found so far
        self.offset = 0  # where reading goes on when more bytes have come
        self.due = 0  # where what is passed over ends, if that has not come
        self.done = False  # once `last` has been passed
        self.ambiguous = False  # once something was passed over that other readers pass over in another way

    def feed(self, data: bytes | bytearray | memoryview, size: int, complete: bool = False) -> bool:
        """Read on in the first `size` bytes of `data`, which begins where the data set does; return `done`.

        `complete` says that nothing comes after these bytes: the data set then ends here, or is broken. Raises
        HeadError if the bytes cannot be a data set.
        """
        if self.done:
            return True
        offset, implicit, wanted, last, stack = self.offset, self.implicit, self._wanted, self._last, self._stack
        encoding = self._encoding
        unpack_explicit, unpack_implicit = encoding.explicit.unpack_from, encoding.implicit.unpack_from
        short_vrs = encoding.short_vrs
        while True:
            if stack:
                self.offset = offset
                if not self._pass_over(data, size):
                    break
                offset = self.offset
                continue
            if size - offset < 8:
                break
            if implicit:
                group, element, length = unpack_implicit(data, offset)
                vr, start = 0, offset + 8
            else:
                group, element, vr, length = unpack_explicit(data, offset)
                start = offset + 8
                if vr in short_vrs:
                    # Nine of ten elements, and most of those are not wanted: the shortest way round.
                    tag, end = group << 16 | element, start + length
                    if tag not in wanted and tag <= last and end <= size:
                        offset = end
                        continue
                else:
                    if vr not in encoding.long_vrs:
                        raise HeadError(f"element ({group:04X},{element:04X}) has no valid VR")
                    if size - offset < 12:
                        break
                    length = encoding.length.unpack_from(data, start)[0]
                    start += 4
            tag = group << 16 | element
            if tag > last:
                self.done = True
                break
            if length == _UNDEFINED:
                if group == 0xFFFE or (vr and vr not in (encoding.sequence, encoding.unknown)):
                    raise HeadError(f"element ({group:04X},{element:04X}) has no length")
                if (implicit and is_known_otherwise(tag)) or vr == encoding.unknown:
                    self.ambiguous = True
                # An undefined length of VR UN is a sequence in Implicit VR (PS3.5 section 6.2.2).
                stack.append((True, False) if implicit or vr == encoding.unknown else (False, False))
                offset = start
                continue
            if tag in wanted:
                if length > _LONGEST_VALUE:
                    raise HeadError(f"element ({group:04X},{element:04X}) has {length} bytes")
                if start + length > size:
                    break
                if tag in self.values:  # readers differ in which of them they take
                    raise HeadError(f"element ({group:04X},{element:04X}) stands twice")
                self.values[tag] = bytes(data[start : start + length])
            elif start + length > size:
                self.due = start + length  # passed over as it comes
                break
            offset = start + length
        self.offset = offset
        if complete and not self.done:
            if offset != size or stack:
                raise HeadError("the data set ends inside an element")
            self.done = True
        return self.done

    def _pass_over(self, data: bytes | bytearray | memoryview, size: int) -> bool:
        """Take one step inside a sequence of undefined length; False if more bytes are needed."""
        offset, stack, encoding = self.offset, self._stack, self._encoding
        if size - offset < 8:
            return False
        implicit, is_item = stack[-1]
        group, element, length = encoding.implicit.unpack_from(data, offset)
        tag = group << 16 | element
        if group == 0xFFFE:
            self._delimit(tag, length, is_item, implicit)
            if tag == _ITEM and length != _UNDEFINED:
                end = offset + 8 + length
                if end > size:
                    return False
                if not has_plain_elements(data, offset + 8, end, implicit, encoding):
                    self.ambiguous = True
                offset += length
            self.offset = offset + 8
            return True
        if not is_item:
            raise HeadError(f"element ({group:04X},{element:04X}) stands where an item is due")
        vr, start = encoding.sequence, offset + 8
        if not implicit:
            group, element, vr, length = encoding.explicit.unpack_from(data, offset)
            if vr not in encoding.short_vrs:
                if vr not in encoding.long_vrs:
                    raise HeadError(f"element ({group:04X},{element:04X}) has no valid VR")
                if size - offset < 12:
                    return False
                length = encoding.length.unpack_from(data, start)[0]
                start += 4
        if length == _UNDEFINED:
            if (implicit and is_known_otherwise(tag)) or vr != encoding.sequence:
                self.ambiguous = True
            stack.append((True, False) if implicit or vr == encoding.unknown else (False, False))
            self.offset = start
            return True
        if start + length > size:
            self.due = start + length
            return False
        self.offset = start + length
        return True

    def _delimit(self, tag: int, length: int, is_item: bool, implicit: bool) -> None:
        """Open an item, or close an item or a sequence."""
        stack = self._stack
        if tag == _ITEM and not is_item:
            if length == _UNDEFINED:
                stack.append((True, True) if implicit else (False, True))
        elif (tag == _ITEM_END and is_item) or (tag == _SEQUENCE_END and not is_item):
            if length:
                raise HeadError("a delimiter has a length")
            stack.pop()
        else:
            raise HeadError(f"delimiter ({tag >> 16:04X},{tag & 0xFFFF:04X}) stands where it cannot")

    def text(self, tag: int) -> str:
        """Return a wanted value as text, without padding; empty if it is not there."""
        raw = self.values.get(tag)
        if not raw:
            return ""
        if raw.isascii():
            return raw.decode("ascii").strip(" \0")
        return decode_text(raw, self.values)


def decode_text(raw: bytes, values: Mapping[int, bytes]) -> str:
    """Decode a value that is not plain ASCII by the Specific Character Set (0008,0005).

    The first character set named decides; code extensions (ISO 2022) are left undecoded, which gives a
    stable text all the same.
    """
    name = values.get(_CHARACTER_SET, b"").decode("ascii", "replace").split("\\")[0].strip(" \0")
    from pydicom.charset import python_encoding  # seldom, and pydicom is slow to import

    codec = python_encoding.get(name, "iso8859")
    try:
        text = raw.decode(codec)
    except (UnicodeDecodeError, LookupError):
        text = raw.decode("iso8859")
    return text.strip(" \0")
