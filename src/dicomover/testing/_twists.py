"""Details that a peer gets wrong, each as a function that changes bytes which were right before. Pure."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from dataclasses import replace

from pydicom.uid import ImplicitVRLittleEndian

from dicomover.testing._elements import file_head
from dicomover.testing._raw import (
    BytesTwist,
    MessageTwist,
    RawMessage,
    encode_element,
    encode_item,
    join_items,
    put_element,
    split_data_set,
    split_items,
)

__all__ = [
    "add_file_meta",
    "add_noise",
    "add_unknown_items",
    "add_unknown_sub_items",
    "announce_data",
    "call_in_lower_case",
    "change_counters",
    "change_protocol_version",
    "change_when_repeated",
    "claim_data_at_the_end",
    "cut_pixels",
    "deflate",
    "double_study",
    "drop_user_information",
    "encapsulate_pixels",
    "end_with_a_match",
    "lengthen",
    "lengthen_maximum",
    "lengthen_version",
    "name_contexts_badly",
    "pad_titles",
    "put_answer",
    "put_command",
    "put_file_around",
    "put_into_data",
    "put_title",
    "rename_application_context",
    "renumber_contexts",
    "retype_failed_list",
    "send_unannounced_data",
    "spoil_refused_contexts",
    "swap_bytes",
]

_CALLED, _CALLING = slice(10, 26), slice(26, 42)
_APPLICATION, _PRESENTATION_RQ, _PRESENTATION_AC, _ABSTRACT, _TRANSFER, _USER = 0x10, 0x20, 0x21, 0x30, 0x40, 0x50
_MAXIMUM, _CLASS, _VERSION = 0x51, 0x52, 0x55
_WITH_DATA, _WITHOUT_DATA = b"\x02\x01", b"\x01\x01"
_DATA_SET_TYPE, _COUNTERS = 0x0800, range(0x1020, 0x1024)
_LEVEL, _STUDY, _FAILED_LIST, _PIXELS, _PADDING = 0x00080052, 0x0020000D, 0x00080058, 0x7FE00010, 0xFFFCFFFC
_NO_UID = b"\xff\xfe\0"

# --- association PDUs


def _change_items(change: Callable[[int, bytes], list[tuple[int, bytes]]]) -> BytesTwist:
    def twist(raw: bytes) -> bytes:
        return join_items(raw, [new for kind, value in split_items(raw) for new in change(kind, value)])

    return twist


def _change_user(change: Callable[[int, bytes], list[tuple[int, bytes]]]) -> BytesTwist:
    def change_item(kind: int, value: bytes) -> list[tuple[int, bytes]]:
        if kind != _USER:
            return [(kind, value)]
        parts = [new for sub_kind, part in split_items(value, 0) for new in change(sub_kind, part)]
        return [(kind, b"".join(encode_item(*part) for part in parts))]

    return _change_items(change_item)


def add_unknown_items(raw: bytes) -> bytes:
    """Put items of a type that nobody knows before and after the others."""
    return join_items(raw, [(0x60, b"x" * 8), *split_items(raw), (0x7F, b"")])


add_unknown_sub_items = _change_user(
    lambda kind, value: [(kind, value), (0x5A, b"vendor")] if kind == _MAXIMUM else [(kind, value)]
)
drop_user_information = _change_items(lambda kind, value: [] if kind == _USER else [(kind, value)])
lengthen_maximum = _change_user(
    lambda kind, value: [(kind, value + b"\0\0\0\0") if kind == _MAXIMUM else (kind, value)]
)
lengthen_version = _change_user(
    lambda kind, value: [(kind, "Hersteller-Größe 1.2.3 – ".encode() * 2) if kind == _VERSION else (kind, value)]
)


def rename_application_context(raw: bytes) -> bytes:
    """Name another application context than DICOM's."""
    return join_items(raw, [(kind, b"1.2.3.4" if kind == _APPLICATION else value) for kind, value in split_items(raw)])


def change_protocol_version(raw: bytes) -> bytes:
    """Offer version 2 of the upper layer protocol alone."""
    return raw[:6] + b"\0\2" + raw[8:]


def put_title(calling: bytes, pad: bytes = b" ") -> BytesTwist:
    """Use another calling AE title, of any bytes."""

    def twist(raw: bytes) -> bytes:
        return raw[: _CALLING.start] + calling.ljust(16, pad)[:16] + raw[_CALLING.stop :]

    return twist


def pad_titles(raw: bytes) -> bytes:
    """Pad both AE titles with NUL."""
    titles = [raw[place].strip(b" ").ljust(16, b"\0") for place in (_CALLED, _CALLING)]
    return raw[: _CALLED.start] + b"".join(titles) + raw[_CALLING.stop :]


def call_in_lower_case(raw: bytes) -> bytes:
    """Call the peer by its AE title in lower case."""
    return raw[: _CALLED.start] + raw[_CALLED].lower() + raw[_CALLED.stop :]


def _spoil_context(kind: int, value: bytes) -> list[tuple[int, bytes]]:
    if kind != _PRESENTATION_AC or value[2] == 0:
        return [(kind, value)]
    return [(kind, value[:4] + encode_item(_TRANSFER, _NO_UID))]


spoil_refused_contexts = _change_items(_spoil_context)


def name_contexts_badly(raw: bytes) -> bytes:
    """Propose one context more whose abstract syntax is no UID, and one with a transfer syntax that is none."""
    good = next(value for kind, value in split_items(raw) if kind == _PRESENTATION_RQ)
    abstract = encode_item(_ABSTRACT, b"1.2.840.10008.5.1.4.1.1.4")
    odd = [
        (_PRESENTATION_RQ, b"\xf1" + good[1:4] + encode_item(_ABSTRACT, _NO_UID) + encode_item(_TRANSFER, b"1.2")),
        (_PRESENTATION_RQ, b"\xf3" + good[1:4] + abstract + encode_item(_TRANSFER, _NO_UID)),
    ]
    return join_items(raw, [*split_items(raw), *odd])


def renumber_contexts(raw: bytes) -> bytes:
    """Propose one context more under an even id."""
    good = next(value for kind, value in split_items(raw) if kind == _PRESENTATION_RQ)
    return join_items(raw, [*split_items(raw), (_PRESENTATION_RQ, b"\xf0" + good[1:])])


# --- responses


def announce_data(message: RawMessage) -> RawMessage:
    """Say in each pending response that an identifier follows; none does."""
    return _with_data_set_type(message, _WITH_DATA) if message.is_pending else message


def claim_data_at_the_end(message: RawMessage) -> RawMessage:
    """Say in the final response that an identifier follows; none does."""
    return message if message.is_pending else _with_data_set_type(message, _WITH_DATA)


def send_unannounced_data(message: RawMessage) -> RawMessage:
    """Say that no identifier follows each pending response; one does."""
    if not message.is_pending:
        return message
    data = message.data or encode_element(_LEVEL, "CS", b"STUDY ")
    return replace(_with_data_set_type(message, _WITHOUT_DATA), data=data)


def _with_data_set_type(message: RawMessage, kind: bytes) -> RawMessage:
    return replace(message, command={**message.command, _DATA_SET_TYPE: kind})


def put_command(element: int, value: bytes, *, pending: bool = False) -> MessageTwist:
    """Put an element into the command set of each final response, or of each response."""

    def twist(message: RawMessage) -> RawMessage:
        if message.is_pending and not pending:
            return message
        return replace(message, command={**message.command, element: value})

    return twist


def change_counters(change: Callable[[bytes], bytes]) -> MessageTwist:
    """Write the counters of sub-operations in another way."""

    def twist(message: RawMessage) -> RawMessage:
        counters = {place: change(value) for place, value in message.command.items() if place in _COUNTERS}
        return replace(message, command=message.command | counters)

    return twist


def retype_failed_list(vr: str, more: int = 0) -> MessageTwist:
    """Send the Failed SOP Instance UID List under another VR, with so many made-up UIDs behind the true ones."""

    def twist(message: RawMessage) -> RawMessage:
        elements = dict(split_data_set(message.data))
        if _FAILED_LIST not in elements:
            return message
        true = elements[_FAILED_LIST][8:].rstrip(b"\0")
        value = b"\\".join([true, *(true + b".9%05d" % n for n in range(more))])
        return replace(message, data=encode_element(_FAILED_LIST, vr, value))

    return twist


def put_answer(level: str, tag: int, vr: str, value: bytes) -> MessageTwist:
    """Put an element into each match at a level, whatever stood there."""

    def twist(message: RawMessage) -> RawMessage:
        elements = dict(split_data_set(message.data)) if message.is_pending else {}
        if elements.get(_LEVEL, b"")[8:].strip() != level.encode():
            return message
        return replace(message, data=put_element(message.data, tag, encode_element(tag, vr, value)))

    return twist


def double_study(message: RawMessage) -> RawMessage:
    """Give each match two StudyInstanceUIDs."""
    element = dict(split_data_set(message.data)).get(_STUDY) if message.is_pending else None
    if element is None:
        return message
    uid = element[8:].rstrip(b"\0")
    both = encode_element(_STUDY, "UI", uid + b"\\" + uid + b".9")
    return replace(message, data=put_element(message.data, _STUDY, both))


# --- instances


def put_into_data(tag: int, vr: str, change: Callable[[bytes], bytes | None]) -> MessageTwist:
    """Change a value of each data set; None takes the element out."""

    def twist(message: RawMessage) -> RawMessage:
        element = dict(split_data_set(message.data)).get(tag, b"")
        value = change(element[8:].rstrip(b"\0 "))
        without = b"".join(raw for place, raw in split_data_set(message.data) if place != tag)
        data = without if value is None else put_element(without, tag, encode_element(tag, vr, value))
        return replace(message, data=data)

    return twist


def add_file_meta(transfer_syntax: str) -> MessageTwist:
    """Begin each data set with the Transfer Syntax UID of a file meta information."""
    syntax = encode_element(0x00020010, "UI", transfer_syntax.encode())
    meta = encode_element(0x00020000, "UL", struct.pack("<L", len(syntax))) + syntax

    def twist(message: RawMessage) -> RawMessage:
        return replace(message, data=meta + message.data)

    return twist


def put_file_around(message: RawMessage) -> RawMessage:
    """Send a whole file, preamble and all, as the data set."""
    sop_class, sop_instance = (message.command[place].rstrip(b"\0").decode() for place in (0x0002, 0x1000))
    return replace(message, data=file_head(sop_class, sop_instance, str(ImplicitVRLittleEndian)) + message.data)


def lengthen(message: RawMessage) -> RawMessage:
    """Give each data set 512 KB of Data Set Trailing Padding."""
    return replace(message, data=message.data + encode_element(_PADDING, "OB", bytes(1 << 19)))


def cut_pixels(message: RawMessage) -> RawMessage:
    """End each data set in the middle of its pixel data."""
    return replace(message, data=message.data[:-512])


def encapsulate_pixels(message: RawMessage) -> RawMessage:
    """Put the pixel data into one fragment behind an empty offset table, as compressed ones are."""
    elements = split_data_set(message.data)
    pixels = next(raw for tag, raw in elements if tag == _PIXELS)[12:]
    head = struct.pack("<HH2s2xL", _PIXELS >> 16, _PIXELS & 0xFFFF, b"OB", 0xFFFFFFFF)
    items = struct.pack("<HHL", 0xFFFE, 0xE000, 0) + struct.pack("<HHL", 0xFFFE, 0xE000, len(pixels)) + pixels
    data = b"".join(raw for tag, raw in elements if tag < _PIXELS)
    return replace(message, data=data + head + items + struct.pack("<HHL", 0xFFFE, 0xE0DD, 0))


def add_noise(message: RawMessage) -> RawMessage:
    """Let bytes that are no element follow each data set."""
    return replace(message, data=message.data + b"this is no element at all, just noise!")


def end_with_a_match(message: RawMessage) -> RawMessage:
    """Send each match as if it were the last response: 0x0000."""
    return replace(message, command={**message.command, 0x0900: b"\0\0"}) if message.is_pending else message


def change_when_repeated(message: RawMessage) -> RawMessage:
    """Change the last pixel of what is sent a second time."""
    return replace(message, data=message.data[:-1] + b"\x7f") if message.is_repeated else message


# --- transfer syntaxes


def deflate(data: bytes) -> bytes:
    """Encode a data set of Explicit VR Little Endian as Deflated Explicit VR Little Endian."""
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    packed = packer.compress(data) + packer.flush()
    return packed + b"\0" * (len(packed) % 2)


def swap_bytes(data: bytes) -> bytes:
    """Encode a flat data set of Explicit VR Little Endian as Explicit VR Big Endian."""
    swapped = bytearray()
    for tag, element in split_data_set(data):
        vr = element[4:6]
        is_long = len(element) >= 12 and vr in (b"OB", b"OW", b"UN", b"UT", b"SQ")
        value = element[12 if is_long else 8 :]
        size = {b"US": 2, b"SS": 2, b"OW": 2, b"AT": 2, b"UL": 4, b"SL": 4, b"FL": 4, b"FD": 8}.get(vr, 1)
        turned = b"".join(value[n : n + size][::-1] for n in range(0, len(value), size)) if size > 1 else value
        head = struct.pack(">HH2s2xL" if is_long else ">HH2sH", tag >> 16, tag & 0xFFFF, vr, len(value))
        swapped += head + turned
    return bytes(swapped)
