"""The DIMSE messages of one association: taken fragment by fragment, answered when they are complete."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from dicomover.receiver.scp.filing import Part
from dicomover.receiver.scp.intake import INVALID_PARAMETER, PDV_HEAD, UNEXPECTED_PDU, Broken
from dicomover.receiver.scp.statuses import CANNOT_UNDERSTAND
from dicomover.receiver.scp.store import Caller, IncomingInstance, Storage
from dicomover.wire import command_set
from dicomover.wire.command_set import C_CANCEL_RQ, C_ECHO_RQ, C_STORE_RQ, NO_DATA_SET, RESPONSE, Command
from dicomover.wire.dump import log_message
from dicomover.wire.pdus import P_DATA, PDU_HEAD

__all__ = ["Dialogue"]

_UNRECOGNISED_OPERATION = 0x0211
_COMMAND_CAP = 1 << 16
_LONGEST_UID_ECHOED = 128
_SLOWEST = 4096  # bytes a second
_SLOW = 1 << 18  # bytes a second: with fewer, an instance does not move what it belongs to
_PATIENCE = 7200.0  # seconds until an instance that slow is one without end


logger = logging.getLogger("dicomover.receiver")


class Dialogue:
    """Takes the fragments of messages, on the thread of the association."""

    def __init__(
        self,
        storage: Storage,
        caller: Caller,
        syntaxes: dict[int, str],  # the transfer syntax of each accepted presentation context
        send: Callable[[bytes], None],  # a PDU
        # called when something comes that was asked for, with whether it is news, and whether it comes very slowly; not
        # again while `admitted` is set
        heed: Callable[[bool, bool], None],
        peer: str = "",  # how the log names it
    ) -> None:
        self.busy = False  # while a message is being received or answered; looked at from other threads
        self.begun = 0.0  # the `time.monotonic()` at which the latest message began
        self.admitted = False  # set when `heed` was called with news; set back from outside, to be called again
        self._storage = storage
        self._caller = caller
        self._syntaxes = syntaxes
        self._send = send
        self._heed = heed
        self._peer = peer
        self._instance: IncomingInstance | None = None
        self._ready: Part | None = None  # a file for the next one
        self._filed = 0
        self._command: Command | None = None
        self._command_bytes = bytearray()
        self._context_id = 0

    @property
    def holds(self) -> bool:
        """Whether pieces of the buffer are kept until `flush`."""
        return self._instance is not None

    def is_endless(self, now: float, limit: float) -> bool:
        """Tell whether the message in progress has taken more than its time.

        An instance that was asked for has the time that it needs, as long as it comes and can be filed.
        """
        over, instance = now - self.begun - limit, self._instance
        if not self.busy or over <= 0:
            return False
        if instance is None or not instance.admitted or instance.status:
            return True
        return instance.size < max(_SLOWEST * over, _SLOW * (over - _PATIENCE))

    def flush(self) -> None:
        """Let go of what was taken: its buffer is about to be used again."""
        if self._instance is not None:
            self._instance.flush()

    def abandon(self) -> None:
        """Leave nothing behind, of a message that is not complete, or for one that does not come."""
        if self._instance is not None:
            self._instance.abandon()
            self._ready = self._instance.settle(False)
            self._instance = None
        if self._ready is not None:
            self._ready.abandon()
            self._ready = None

    def check_turn(self, context_id: int, flags: int) -> None:
        """Check that a fragment belongs to the message in progress, or begins one."""
        if context_id not in self._syntaxes:
            raise Broken(f"presentation context {context_id}, which was not accepted", INVALID_PARAMETER)
        if bool(flags & 1) == (self._command is not None):
            raise Broken("a command or a data set where the other one was due", UNEXPECTED_PDU)
        if not self.busy:
            self.begun = time.monotonic()
        elif context_id != self._context_id:
            raise Broken("a message that goes on in another presentation context", INVALID_PARAMETER)
        self._context_id = context_id
        self.busy = True

    def take(self, piece: memoryview, flags: int, whole: bool) -> None:
        """Take a part of a fragment; `whole` if it is the last one of it."""
        last = whole and bool(flags & 2)
        if not flags & 1:
            if self._instance is not None:
                self._instance.take(piece, last)
                if self._instance.admitted and not self.admitted:
                    self.admitted = self._instance.is_news and not self._instance.status
                    self._heed(self.admitted, self._instance.size < _SLOW * (time.monotonic() - self.begun))
            if last:
                self._end_message()
            return
        raw = self._command_bytes
        raw += piece
        if len(raw) > _COMMAND_CAP:
            raise Broken(f"a command set of more than {_COMMAND_CAP >> 10} KiB", INVALID_PARAMETER)
        if not last:
            return
        try:
            command = command_set.decode(raw)
        except ValueError as error:
            raise Broken(str(error), INVALID_PARAMETER) from error
        raw.clear()
        log_message(logger, "received from", self._peer, self._context_id, command)
        self._take_command(command)

    def _take_command(self, command: Command) -> None:
        """Begin the message, or end it if it has no data set."""
        self._command = command
        if command.get("CommandDataSetType", NO_DATA_SET) == NO_DATA_SET:
            self._end_message()
        elif command.get("CommandField") == C_STORE_RQ:
            syntax = self._syntaxes[self._context_id]
            self._instance = IncomingInstance(self._storage, command, syntax, self._caller, self._ready)
            self._ready = None

    def _end_message(self) -> None:
        """Answer the message that is complete now."""
        command, instance = self._command, self._instance
        assert command is not None
        self._command = None
        kind = command.get("CommandField", 0)
        if instance is not None:
            status = instance.finish()
            self._instance = None
            self._filed += not status
        elif kind == C_ECHO_RQ:
            status = 0
        elif kind == C_STORE_RQ:
            status = CANNOT_UNDERSTAND
        else:
            status = _UNRECOGNISED_OPERATION
        if isinstance(kind, int) and not kind & RESPONSE and kind != C_CANCEL_RQ:
            self._answer(command, kind, status)
        if instance is not None:
            self._ready = instance.settle(self._filed > 1)
        self.busy = False

    def _answer(self, command: Command, kind: int, status: int) -> None:
        response: dict[str, int | str] = {
            "CommandField": kind | RESPONSE,
            "MessageIDBeingRespondedTo": command.get("MessageID", 0),
            "CommandDataSetType": NO_DATA_SET,
            "Status": status,
        }
        for keyword in ("AffectedSOPClassUID", "AffectedSOPInstanceUID"):
            uid = command.get(keyword)
            if isinstance(uid, str) and 0 < len(uid) <= _LONGEST_UID_ECHOED:
                response[keyword] = uid
        log_message(logger, "sent to", self._peer, self._context_id, response)
        raw = command_set.encode(response)
        head = PDU_HEAD.pack(P_DATA, len(raw) + 6) + PDV_HEAD.pack(len(raw) + 2, self._context_id, 3)
        self._send(head + raw)
