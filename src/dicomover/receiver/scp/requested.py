"""The connection of an association that we have requested, for C-GET: what is stored comes between the responses.

The peer's C-STOREs go the way of all others, from the receive buffer to the dialogue and to their files, and are
answered on the spot, while `read_message` waits for the next response.
"""

from __future__ import annotations

import math
import socket
import ssl
import time
from collections import deque
from collections.abc import Callable
from selectors import EVENT_READ, EVENT_WRITE
from typing import Any

from dicomover.errors import LostBy, NodeError
from dicomover.receiver.scp.dialogue import Dialogue
from dicomover.receiver.scp.intake import INVALID_PARAMETER, Broken, Intake
from dicomover.receiver.scp.store import Caller, Storage
from dicomover.wire.command_set import RESPONSE, Command
from dicomover.wire.connection import SOON, Connection, Until, Waker, no_later_than, wait_forever
from dicomover.wire.messages import Due, Message, expect_announced

__all__ = ["RequestedConnection"]

_LONGEST = 1 << 24  # bytes of the data set of a response: 250,000 failed UIDs
_LOOK = 0.05  # seconds between two looks whether to go on, while bytes come without a pause
_QUICKACK = getattr(socket, "TCP_QUICKACK", None)


class _Response:
    """A response, with its data set as far as it has come."""

    __slots__ = ("command", "context_id", "data", "is_whole")

    def __init__(self, context_id: int, command: Command) -> None:
        self.context_id, self.command = context_id, command
        self.data = bytearray()
        self.is_whole = False  # a data set has come, to its end


class _Dialogue(Dialogue):
    """The messages of such an association.

    A response is one as soon as its command is here. What comes behind it without a command of its own is its data set,
    whether it was announced or not.
    """

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.responses: deque[_Response] = deque()  # that nobody has read yet
        self.latest: _Response | None = None  # whose data set may still come

    def check_turn(self, context_id: int, flags: int) -> None:
        """Let the data set of a response come, too."""
        latest = self.latest
        if flags & 1 or self._command is not None or latest is None:
            super().check_turn(context_id, flags)
        elif context_id != latest.context_id:
            raise Broken("a data set in another presentation context than its command", INVALID_PARAMETER)

    def take(self, piece: memoryview, flags: int, whole: bool) -> None:
        """Take a part of a fragment, of what is stored or of a response."""
        latest = self.latest
        if flags & 1 or self._command is not None or latest is None:
            super().take(piece, flags, whole)
            return
        latest.data += piece
        if len(latest.data) > _LONGEST:
            raise Broken(f"a response of more than {_LONGEST >> 20} MB", INVALID_PARAMETER)
        if whole and flags & 2:
            latest.is_whole, self.latest = True, None

    def _take_command(self, command: Command) -> None:
        self.latest = None
        kind = command.get("CommandField", 0)
        if isinstance(kind, int) and kind & RESPONSE:
            self.latest = _Response(self._context_id, command)
            self.responses.append(self.latest)
            self.busy = False
        else:
            super()._take_command(command)


class RequestedConnection(Connection):
    """It is owned by the thread that asks."""

    # What we send is whole before anything else is sent: the answers to C-STOREs go out from `Intake.take`, a C-CANCEL
    # from `until`, which is asked between two reads and never during a write.

    def __init__(
        self,
        sock: socket.socket,
        waker: Waker,
        storage: Storage,
        caller: Caller,
        heed: Callable[[bool, bool], None],  # see `Dialogue`
        give_up: Until,  # until when what must not be left half done may go on
        closed: Callable[[], None],  # called once the connection has ended
    ) -> None:
        super().__init__(sock, waker, max_pdu=storage.settings.max_pdu)
        self._storage = storage
        self._give_up = give_up
        self._closed = closed
        self._lost: NodeError | None = None
        self._look_at = 0.0
        self._over_at = math.inf  # until when the request may go on, as of the latest look
        syntaxes: dict[int, str] = {}  # of the contexts, once they are negotiated
        self._dialogue = _Dialogue(storage, caller, syntaxes, self._reply, heed, caller.host)
        self._syntaxes = syntaxes
        self._intake = Intake(self._dialogue, self.max_pdu, storage.settings.limits, time.monotonic())

    def _reply(self, raw: bytes) -> None:
        left = max(self._over_at - time.monotonic(), _LOOK)  # a peer that reads nothing has no more time than others
        self.send(raw, min(self._storage.settings.limits.pdu, left), self._give_up)

    def read_message(self, until: Until = wait_forever, expect: Callable[[Command], Due] = expect_announced) -> Message:
        """Return the next response; what was stored before it has been filed and answered, or refused.

        A response that has come counts, whatever comes behind it.
        """
        if self._buffer:
            raise self.refuse("something before anything was asked for", reason=2)
        self._syntaxes.update((each.id, each.transfer_syntaxes[0]) for each in self.contexts.values())
        responses, soon = self._dialogue.responses, math.inf
        while True:
            if responses:
                due = expect(responses[0].command)
                if self._lost or time.monotonic() >= soon or self._is_complete(responses[0], due):
                    response = responses.popleft()
                    data = bytes(response.data) if response.is_whole and due is not Due.NEVER else b""
                    return Message(response.context_id, response.command, data)
                if due is not Due.NEXT:
                    soon = min(soon, time.monotonic() + SOON)
            if self._lost is not None:
                raise self._lost
            try:
                self._take_more(until, soon)
            except Broken as error:
                self._lost = self.refuse(str(error), error.reason)
            except NodeError as error:
                self._lost = error
            except BaseException:
                self.abort()
                raise

    def _is_complete(self, response: _Response, due: Due) -> bool:
        """Tell whether nothing more is waited for; all that has come has been looked at."""
        if response.is_whole or due is Due.NEVER or response is not self._dialogue.latest:
            return True
        return due is Due.AT_HAND and not response.data and self._intake.is_between

    def _take_more(self, until: Until, soon: float) -> None:
        """Take what comes next, if something does until `soon`."""
        intake, now = self._intake, time.monotonic()
        limit = min(intake.due(now), soon)
        wait = until if limit == math.inf else no_later_than(limit, until)
        room = intake.room()
        while True:
            try:
                received = self.sock.recv_into(room)
                break
            except (BlockingIOError, ssl.SSLWantReadError):
                events = EVENT_READ
            except ssl.SSLWantWriteError:
                events = EVENT_WRITE
            except OSError as error:
                raise self.give_up("the connection broke", LostBy.CLOSED) from error
            if _QUICKACK is not None:
                # A sender that has Nagle's algorithm on holds the rest of a message back until this.
                self.sock.setsockopt(socket.IPPROTO_TCP, _QUICKACK, 1)
            if not self._sleep(events, wait):
                if soon <= time.monotonic():
                    return
                why = "nothing came in time" if intake.is_between else "a PDU that had begun did not come to its end"
                raise self.give_up(why, LostBy.TIMEOUT)
        if not received:
            raise self.give_up("the connection was closed", LostBy.CLOSED)
        now = time.monotonic()
        if now >= self._look_at:
            self._look_at = now + _LOOK
            moment = until()
            self._over_at = math.inf if moment is None else moment
            if self._over_at <= now:
                raise self.give_up("no end came in time", LostBy.TIMEOUT)
        if kind := intake.take(received, now):
            raise self.end_by(kind)

    def is_stale(self) -> bool:
        """Tell, without waiting, whether the peer has left an idle association, or has said what nobody asked for."""
        return not self._intake.is_between or super().is_stale()

    def release(self, seconds: float, until: Until = wait_forever) -> NodeError | None:
        """Release the association, or abort it in the middle of something."""
        if not self._intake.is_between:
            self.abort()
        return super().release(seconds, until)

    def close(self) -> None:
        """Close, and leave nothing behind of what has not come to its end."""
        if self.open:
            self._dialogue.abandon()
            super().close()
            self._closed()
