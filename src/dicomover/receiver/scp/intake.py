"""The PDUs of one association, looked at where they were received; P-DATA goes on to the dialogue from there."""

from __future__ import annotations

import math
import struct
from typing import Protocol

from dicomover.events import Refused
from dicomover.receiver.settings import Limits
from dicomover.wire.pdus import ABORT, ASSOCIATE_RQ, P_DATA, PDU_HEAD, RELEASE_RQ

__all__ = ["INVALID_PARAMETER", "PDV_HEAD", "UNEXPECTED_PDU", "UNRECOGNISED_PDU", "Broken", "Intake", "Listener"]

PDV_HEAD = struct.Struct(">LBB")
# Reasons of an A-ABORT by the service provider, PS3.8 section 9.3.8
UNRECOGNISED_PDU, UNEXPECTED_PDU, INVALID_PARAMETER = 1, 2, 6

_BUFFER = 1 << 18  # larger ones were slower: they do not stay in the processor's cache
_ROOM = 1 << 17  # what a read must be able to take


class Broken(Exception):
    """The peer sent what the Standard does not allow; the association is aborted for it."""

    def __init__(self, why: str, reason: int, mend: str = "", what: Refused = Refused.ASSOCIATION) -> None:
        super().__init__(why)
        self.reason = reason
        self.mend = mend
        self.what = what


class Listener(Protocol):
    """Takes the fragments of messages, on the thread of the association."""

    busy: bool  # while a message is being received or answered
    begun: float  # the `time.monotonic()` at which the latest message began
    admitted: bool  # set back when all that came at once has been looked at

    @property
    def holds(self) -> bool:
        """Whether pieces of the buffer are kept until `flush`."""

    def is_endless(self, now: float, limit: float) -> bool:
        """Tell whether the message in progress has taken more than its time."""

    def check_turn(self, context_id: int, flags: int) -> None:
        """Check that a fragment belongs to the message in progress, or begins one."""

    def take(self, piece: memoryview, flags: int, whole: bool) -> None:
        """Take a part of a fragment; `whole` if it is the last one of it."""

    def flush(self) -> None:
        """Let go of what was taken: its buffer is about to be used again."""


class Intake:
    """Takes what is received, whoever has asked for the association; on its thread.

    `_end` bytes are in the buffer, and those before `_position` have been looked at. Of the PDU that is being read
    `_pdu_left` bytes are still to come, of its presentation data value `_pdv_left`.
    """

    def __init__(self, dialogue: Listener, max_pdu: int, limits: Limits, now: float) -> None:
        self.is_between = True  # two PDUs
        self._dialogue = dialogue
        self._max_pdu = max_pdu
        self._limits = limits
        self._buffer = bytearray(_BUFFER)
        self._view = memoryview(self._buffer)
        self._end = self._position = self._pdu_left = self._pdv_left = self._flags = 0
        self._pdu_begun = now

    def room(self, most: int = _BUFFER) -> memoryview:
        """Return where the next bytes are to be received, so many at most."""
        return self._view[self._end : self._end + most]

    def due(self, now: float) -> float:
        """Return until when more has to come: of a PDU, or of a message; infinity between two messages."""
        if not self.is_between:
            return self._pdu_begun + self._limits.pdu
        return now + self._limits.pdu if self._dialogue.busy else math.inf

    def take(self, received: int, now: float) -> int:
        """Look at the next bytes; return the type of a PDU that ends the association, 0 if there is none.

        Raises Broken if they are none that may come.
        """
        dialogue, buffer, view = self._dialogue, self._buffer, self._view
        if now - dialogue.begun > self._limits.message and dialogue.is_endless(now, self._limits.message):
            why = f"a message that has not ended after {self._limits.message:g} s"
            raise Broken(why, UNEXPECTED_PDU, "let the archive send it again, or look at the network in between")
        position, end, pdu_left = self._position, self._end + received, self._pdu_left
        pdv_left, flags = self._pdv_left, self._flags
        if self.is_between:
            self._pdu_begun = now
        unpack_pdu, unpack_pdv = PDU_HEAD.unpack_from, PDV_HEAD.unpack_from
        while position < end:
            if pdv_left:
                taken = min(pdv_left, end - position)
                pdv_left -= taken
                pdu_left -= taken
                dialogue.take(view[position : position + taken], flags, not pdv_left)
                position += taken
            elif end - position < 6:
                break
            elif pdu_left:
                length, context_id, flags = unpack_pdv(buffer, position)
                if length < 2 or length + 4 > pdu_left:
                    raise Broken(f"a PDV of {length} bytes with {pdu_left} left in its PDU", INVALID_PARAMETER)
                position += 6
                pdu_left -= 6
                pdv_left = length - 2
                dialogue.check_turn(context_id, flags)
                if not pdv_left:
                    dialogue.take(view[position:position], flags, True)
            else:
                kind, length = unpack_pdu(buffer, position)
                if kind != P_DATA:
                    if end - position < 6 + _length_of_other(kind, length):
                        break
                    return int(kind)
                if not 6 <= length <= self._max_pdu:
                    why = f"a P-DATA-TF PDU of {length:,} bytes, where {self._max_pdu:,} at most were agreed on"
                    mend = f"let the archive send PDUs of {self._max_pdu:,} bytes at most"
                    raise Broken(why, INVALID_PARAMETER, mend)
                position += 6
                pdu_left = length
                self._pdu_begun = now
        dialogue.admitted = False
        # All that came has been looked at, but for the beginning of a header.
        if not dialogue.holds or _BUFFER - end < _ROOM:
            dialogue.flush()
            rest = end - position
            if rest:
                buffer[:rest] = buffer[position:end]
            position, end = 0, rest
        self._position, self._end, self._pdu_left = position, end, pdu_left
        self._pdv_left, self._flags = pdv_left, flags
        self.is_between = not pdu_left and position == end
        return 0


def _length_of_other(kind: int, length: int) -> int:
    """Return the length of a PDU other than P-DATA-TF, or say why it may not come now."""
    if kind not in (RELEASE_RQ, ABORT):
        known = ASSOCIATE_RQ <= kind <= ABORT
        raise Broken(f"a PDU of type {kind} in an association", UNEXPECTED_PDU if known else UNRECOGNISED_PDU)
    if length > 1024:
        raise Broken(f"a PDU of type {kind} and {length} bytes", INVALID_PARAMETER)
    return length
