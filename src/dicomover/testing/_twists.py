"""Details that a peer gets wrong, each as a function that changes bytes which were right before. Pure."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from dataclasses import replace

from pydicom.uid import ImplicitVRLittleEndian

from dicomover.dicomfile import encode_file_meta
from dicomover.testing._elements import encode_elements, split_data_set, walk
from dicomover.testing._raw import FIXED, BytesTwist, MessageTwist, RawMessage, join_items
from dicomover.wire.pdus import encode_item, split_items

_CALLED, _CALLING = slice(10, 26), slice(26, 42)
_APPLICATION, _PRESENTATION_RQ, _PRESENTATION_AC, _ABSTRACT, _TRANSFER, _USER = 0x10, 0x20, 0x21, 0x30, 0x40, 0x50
_MAXIMUM, _CLASS, _ROLE, _VERSION = 0x51, 0x52, 0x54, 0x55
_WITH_DATA, _WITHOUT_DATA = b"\x02\x01", b"\x01\x01"
_DATA_SET_TYPE, _STATUS, _COUNTERS = 0x0800, 0x0900, range(0x1020, 0x1024)
_LEVEL, _STUDY, _FAILED_LIST, _PIXELS, _PADDING = 0x00080052, 0x0020000D, 0x00080058, 0x7FE00010, 0xFFFCFFFC
_NO_UID = b"\xff\xfe\0"

# --- association PDUs


def _change_items(change: Callable[[int, bytes], list[tuple[int, bytes]]]) -> BytesTwist:
    def twist(raw: bytes) -> bytes:
        return join_items(raw, [new for kind, value in split_items(raw, FIXED) for new in change(kind, value)])

    return twist


def _change_user(change: Callable[[int, bytes], list[tuple[int, bytes]]]) -> BytesTwist:
    def change_item(kind: int, value: bytes) -> list[tuple[int, bytes]]:
        if kind != _USER:
            return [(kind, value)]
        parts = [new for sub_kind, part in split_items(value) for new in change(sub_kind, part)]
        return [(kind, b"".join(encode_item(*part) for part in parts))]

    return _change_items(change_item)


def add_unknown_items(raw: bytes) -> bytes:
    """Put items of a type that nobody knows before and after the others."""
    return join_items(raw, [(0x60, b"x" * 8), *split_items(raw, FIXED), (0x7F, b"")])


def _put_item(place: int, change: Callable[[bytes], bytes]) -> Callable[[int, bytes], list[tuple[int, bytes]]]:
    return lambda kind, value: [(kind, change(value) if kind == place else value)]


add_unknown_sub_items = _change_user(
    lambda kind, value: [(kind, value), (0x5A, b"vendor")] if kind == _MAXIMUM else [(kind, value)]
)
drop_roles = _change_user(lambda kind, value: [] if kind == _ROLE else [(kind, value)])
drop_user_information = _change_items(lambda kind, value: [] if kind == _USER else [(kind, value)])
lengthen_maximum = _change_user(_put_item(_MAXIMUM, lambda value: value + b"\0\0\0\0"))
lengthen_version = _change_user(_put_item(_VERSION, lambda _: "Hersteller-Größe 1.2.3 – ".encode() * 2))
rename_application_context = _change_items(_put_item(_APPLICATION, lambda _: b"1.2.3.4"))


def change_protocol_version(raw: bytes) -> bytes:
    """Offer version 2 of the upper layer protocol alone."""
    return raw[:6] + b"\0\2" + raw[8:]


def put_title(calling: bytes) -> BytesTwist:
    """Use another calling AE title, of any bytes."""

    def twist(raw: bytes) -> bytes:
        return raw[: _CALLING.start] + calling.ljust(16)[:16] + raw[_CALLING.stop :]

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


def accept_more(raw: bytes) -> bytes:
    """Accept two contexts that were not proposed: one under an odd id, and one under an even one."""
    more = [
        (_PRESENTATION_AC, bytes((id_, 0, 0, 0)) + encode_item(_TRANSFER, b"1.2.840.10008.1.2")) for id_ in (253, 2)
    ]
    return join_items(raw, [*more, *split_items(raw, FIXED)])


def name_contexts_badly(raw: bytes) -> bytes:
    """Propose one context more whose abstract syntax is no UID, and one with a transfer syntax that is none."""
    good = next(value for kind, value in split_items(raw, FIXED) if kind == _PRESENTATION_RQ)
    abstract = encode_item(_ABSTRACT, b"1.2.840.10008.5.1.4.1.1.4")
    odd = [
        (_PRESENTATION_RQ, b"\xf1" + good[1:4] + encode_item(_ABSTRACT, _NO_UID) + encode_item(_TRANSFER, b"1.2")),
        (_PRESENTATION_RQ, b"\xf3" + good[1:4] + abstract + encode_item(_TRANSFER, _NO_UID)),
    ]
    return join_items(raw, [*split_items(raw, FIXED), *odd])


def renumber_contexts(raw: bytes) -> bytes:
    """Propose one context more under an even id."""
    good = next(value for kind, value in split_items(raw, FIXED) if kind == _PRESENTATION_RQ)
    return join_items(raw, [*split_items(raw, FIXED), (_PRESENTATION_RQ, b"\xf0" + good[1:])])


# --- responses


def put_command(element: int, value: bytes, *, pending: bool = False) -> MessageTwist:
    """Put an element into the command set of each final response, or of each pending one."""

    def twist(message: RawMessage) -> RawMessage:
        if message.is_pending is not pending:
            return message
        return replace(message, command={**message.command, element: value})

    return twist


announce_data = put_command(_DATA_SET_TYPE, _WITH_DATA, pending=True)
claim_data_at_the_end = put_command(_DATA_SET_TYPE, _WITH_DATA)
end_with_a_match = put_command(_STATUS, b"\0\0", pending=True)


def send_unannounced_data(message: RawMessage) -> RawMessage:
    """Say that no identifier follows each pending response; one does."""
    if not message.is_pending:
        return message
    data = message.data or encode_elements([(_LEVEL, "CS", b"STUDY")])
    return replace(put_command(_DATA_SET_TYPE, _WITHOUT_DATA, pending=True)(message), data=data)


def change_counters(change: Callable[[bytes], bytes]) -> MessageTwist:
    """Write the counters of sub-operations in another way."""

    def twist(message: RawMessage) -> RawMessage:
        counters = {place: change(value) for place, value in message.command.items() if place in _COUNTERS}
        return replace(message, command=message.command | counters)

    return twist


# --- data sets


def change_data(change: Callable[[bytes], bytes]) -> MessageTwist:
    """Change each data set as a whole."""
    return lambda message: replace(message, data=change(message.data))


def put_into_data(tag: int, vr: str, change: Callable[[bytes], bytes | None], *, anew: bool = True) -> MessageTwist:
    """Change a value of each data set, or of those alone that have it; None takes the element out."""

    def twist(data: bytes) -> bytes:
        elements = dict(split_data_set(data))
        if tag not in elements and not anew:
            return data
        value = change(elements.pop(tag, b"")[8:].rstrip(b"\0 "))
        if value is not None:
            elements[tag] = encode_elements([(tag, vr, value)])
        return b"".join(raw for _, raw in sorted(elements.items()))

    return change_data(twist)


double_study = put_into_data(_STUDY, "UI", lambda uid: uid + b"\\" + uid + b".9", anew=False)


def retype_failed_list(vr: str, more: int = 0) -> MessageTwist:
    """Send the Failed SOP Instance UID List under another VR, with so many made-up UIDs behind the true ones."""

    def lengthen_list(true: bytes) -> bytes:
        return b"\\".join([true, *(true + b".9%05d" % n for n in range(more))])

    return put_into_data(_FAILED_LIST, vr, lengthen_list, anew=False)


def put_answer(level: str, tag: int, vr: str, value: bytes) -> MessageTwist:
    """Put an element into each match at a level, whatever stood there."""
    put = put_into_data(tag, vr, lambda _: value)

    def twist(message: RawMessage) -> RawMessage:
        said = dict(split_data_set(message.data)).get(_LEVEL, b"")
        return put(message) if said[8:].strip() == level.encode() else message

    return twist


def add_file_meta(transfer_syntax: str) -> MessageTwist:
    """Begin each data set with the Transfer Syntax UID of a file meta information."""
    syntax = encode_elements([(0x00020010, "UI", transfer_syntax.encode())])
    meta = encode_elements([(0x00020000, "UL", struct.pack("<L", len(syntax)))]) + syntax
    return change_data(lambda data: meta + data)


def put_file_around(message: RawMessage) -> RawMessage:
    """Send a whole file, preamble and all, as the data set."""
    sop_class, sop_instance = (message.command[place].rstrip(b"\0").decode() for place in (0x0002, 0x1000))
    return replace(message, data=encode_file_meta(sop_class, sop_instance, ImplicitVRLittleEndian) + message.data)


lengthen = change_data(lambda data: data + encode_elements([(_PADDING, "OB", bytes(1 << 19))]))
cut_pixels = change_data(lambda data: data[:-512])
add_noise = change_data(lambda data: data + b"this is no element at all, just noise!")


@change_data
def encapsulate_pixels(data: bytes) -> bytes:
    """Put the pixel data into one fragment behind an empty offset table, as compressed ones are."""
    at, start = next((at, start) for tag, _, at, start, _ in walk(data) if tag == _PIXELS)
    head = struct.pack("<HH2s2xL", _PIXELS >> 16, _PIXELS & 0xFFFF, b"OB", 0xFFFFFFFF)
    items = ((0xE000, b""), (0xE000, data[start:]), (0xE0DD, b""))
    return data[:at] + head + b"".join(struct.pack("<HHL", 0xFFFE, kind, len(value)) + value for kind, value in items)


def change_when_repeated(message: RawMessage) -> RawMessage:
    """Change the last pixel of what is sent a second time."""
    return replace(message, data=message.data[:-1] + b"\x7f") if message.is_repeated else message


# --- transfer syntaxes


def deflate(data: bytes) -> bytes:
    """Encode a data set of Explicit VR Little Endian as Deflated Explicit VR Little Endian."""
    packed = zlib.compress(data, wbits=-zlib.MAX_WBITS)
    return packed + b"\0" * (len(packed) % 2)


def swap_bytes(data: bytes) -> bytes:
    """Encode a flat data set of Explicit VR Little Endian as Explicit VR Big Endian."""
    swapped = bytearray()
    for tag, vr, at, start, end in walk(data):
        value = data[start:end]
        size = {"US": 2, "SS": 2, "OW": 2, "AT": 2, "UL": 4, "SL": 4, "FL": 4, "FD": 8}.get(vr, 1)
        head = ">HH2s2xL" if start - at == 12 else ">HH2sH"
        swapped += struct.pack(head, tag >> 16, tag & 0xFFFF, vr.encode(), len(value))
        swapped += b"".join(value[n : n + size][::-1] for n in range(0, len(value), size)) if size > 1 else value
    return bytes(swapped)
