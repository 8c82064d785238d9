"""Bytes below the encoders, which write nothing but what the Standard allows: items, elements and fragments by hand.

A misbehaviour takes what the wire has encoded apart here, changes a detail, and puts it together again.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from dicomover.wire.pdus import encode_item, encode_pdu

FIXED = 74  # bytes of an association PDU before its first item: the PDU's head, version, AE titles, reserved
_ELEMENT = struct.Struct("<HHL")
_FRAGMENT = struct.Struct(">LBB")


@dataclass(frozen=True, slots=True)
class RawMessage:
    """One message on its way out."""

    # the bytes of each element of its command set, by element number; the group length is made anew
    command: dict[int, bytes]
    data: bytes  # its data set
    is_repeated: bool = False  # True if the instance was sent before

    @property
    def status(self) -> int:
        """The status of a response."""
        return int.from_bytes(self.command.get(0x0900, b""), "little")

    @property
    def is_pending(self) -> bool:
        """True if it is a response that another one follows."""
        return self.status in (0xFF00, 0xFF01)


BytesTwist = Callable[[bytes], bytes]
"""Changes an encoded PDU."""

MessageTwist = Callable[[RawMessage], RawMessage]
"""Changes a message."""


def join_items(raw: bytes, items: Iterable[tuple[int, bytes]]) -> bytes:
    """Return an association PDU with other items."""
    return encode_pdu(raw[0], raw[6:FIXED] + b"".join(encode_item(*item) for item in items))


def split_command(raw: bytes | bytearray) -> dict[int, bytes]:
    """Return the elements of a command set, without its group length."""
    command, offset = {}, 0
    while offset < len(raw):
        _, element, length = _ELEMENT.unpack_from(raw, offset)
        command[element] = bytes(raw[offset + 8 : offset + 8 + length])
        offset += 8 + length
    command.pop(0)
    return command


def join_command(command: dict[int, bytes]) -> bytes:
    """Return a command set with its group length."""
    body = b"".join(_ELEMENT.pack(0, element, len(value)) + value for element, value in sorted(command.items()))
    return _ELEMENT.pack(0, 0, 4) + struct.pack("<L", len(body)) + body


def encode_fragments(context_id: int, command: bytes, data: bytes, room: int) -> list[bytes]:
    """Return a message as presentation data values of at most `room` bytes each."""
    fragments = []
    for is_command, part in ((1, command), (0, data)):
        for start in range(0, len(part), room):
            piece = part[start : start + room]
            is_last = 2 if start + room >= len(part) else 0
            fragments.append(_FRAGMENT.pack(len(piece) + 2, context_id, is_command | is_last) + piece)
    return fragments
