"""DIMSE messages and the fragments that carry them (PS3.8 section 9.3.5, Annex E). No I/O."""

from __future__ import annotations

import struct
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum

from dicomover.wire import command_set
from dicomover.wire.command_set import NO_DATA_SET, Command
from dicomover.wire.pdus import P_DATA, PDU_HEAD

__all__ = ["Assembly", "Context", "Due", "Message", "Part", "encode_message", "expect_announced"]

_PDV_HEAD = struct.Struct(">LBB")
_COMMAND, _LAST = 1, 2  # of the message control header
_LONGEST = {True: 1 << 20, False: 1 << 24}  # bytes of a command set, and of a data set: 250,000 failed UIDs
_AT_ONCE = 1 << 18


@dataclass(frozen=True, slots=True)
class Context:
    """A presentation context: an abstract syntax and the transfer syntaxes offered, or the one accepted."""

    id: int
    abstract_syntax: str
    transfer_syntaxes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Message:
    """One DIMSE message: its command set and the bytes of its data set, empty if it has none."""

    context_id: int
    command: Command
    data: bytes = field(default=b"", repr=False)


@dataclass(frozen=True, slots=True)
class Part:
    """A whole command set or a whole data set."""

    context_id: int
    is_command: bool
    data: bytes | bytearray = field(repr=False)


class Due(Enum):
    """Whether a data set is waited for; peers announce what they do not send, and send what they did not announce."""

    NEVER = "never"  # what comes all the same is passed over
    AT_HAND = "at hand"  # if it has come already
    SOON = "soon"  # for a moment: the message is whole without it
    NEXT = "next"  # whatever comes next decides


def expect_announced(command: Command) -> Due:
    """Believe CommandDataSetType (0000,0800)."""
    return Due.NEVER if command.get("CommandDataSetType", NO_DATA_SET) == NO_DATA_SET else Due.NEXT


class Assembly:
    """Puts the fragments of P-DATA-TF PDUs together; `parts` are whole and wait to be taken, in their order."""

    def __init__(self) -> None:
        self.parts: deque[Part] = deque()
        self._begun = bytearray()
        self._is_command = True

    @property
    def is_empty(self) -> bool:
        """True if nothing is waiting and nothing has begun."""
        return not self.parts and not self._begun

    def add(self, body: memoryview) -> None:
        """Take in the presentation data values of one PDU.

        Raises ValueError if it holds none, or they do not fit together.
        """
        offset, end = 0, len(body)
        while offset < end:
            if end - offset < 6:
                raise ValueError("a presentation data value that ends early")
            length, context_id, flags = _PDV_HEAD.unpack_from(body, offset)
            if length < 2 or length > end - offset - 4:
                raise ValueError(f"a presentation data value of {length} bytes in a PDU of {end}")
            is_command = bool(flags & _COMMAND)
            if self._begun and is_command != self._is_command:
                raise ValueError("parts of a message out of order")
            self._is_command = is_command
            self._begun += body[offset + 6 : offset + 4 + length]
            offset += 4 + length
            if len(self._begun) > _LONGEST[is_command]:
                raise ValueError(f"a message of more than {_LONGEST[is_command] >> 20} MB")
            if flags & _LAST:
                self.parts.append(Part(context_id, is_command, self._begun))
                self._begun = bytearray()


def encode_message(context_id: int, command: Mapping[str, int | str], data: bytes, max_pdu: int) -> Iterator[bytearray]:
    """Yield a command set and, if there is one, its data set as P-DATA-TF PDUs, several in one piece of bytes."""
    raw = bytearray()
    room = max(max_pdu - 6 & ~1, 2)  # a fragment has an even number of bytes (PS3.8 Annex E.2)
    for is_command, part in ((_COMMAND, command_set.encode(command)), (0, data)):
        view = memoryview(part)
        while view:
            piece, view = view[:room], view[room:]
            raw += PDU_HEAD.pack(P_DATA, len(piece) + 6)
            raw += _PDV_HEAD.pack(len(piece) + 2, context_id, is_command | (0 if view else _LAST))
            raw += piece
            if len(raw) > _AT_ONCE:
                yield raw
                raw = bytearray()
    yield raw
