"""C-GET: an association with the archive on which it sends what we ask for, filed as what a C-MOVE brings."""

from __future__ import annotations

import contextlib
import logging
import socket
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Protocol

from pydicom import Dataset

from dicomover.identifier import Model
from dicomover.node import Node, Timeouts
from dicomover.outcome import Counters
from dicomover.query.classes import Pair
from dicomover.receiver.scp.requested import RequestedConnection
from dicomover.receiver.scp.store import Caller, Storage
from dicomover.wire import command_set as cs
from dicomover.wire.association import Association
from dicomover.wire.connection import Connection
from dicomover.wire.messages import Context
from dicomover.wire.negotiation import Roles
from dicomover.wire.responses import Deadlines, MoveEnd
from dicomover.wire.services import GET, SERVICES, WITHOUT_BULK, propose_contexts

__all__ = ["Retriever"]

logger = logging.getLogger("dicomover.dimse")


class Host(Protocol):
    """What a retriever asks of the receiver that it belongs to."""

    storage: Storage
    last_activity: float

    def enter(self, retriever: Retriever) -> None:
        """Take note that it has a connection."""

    def leave(self, retriever: Retriever) -> None:
        """Take note that it has none any more."""

    def settle(self) -> None:
        """Wait until everything has been told that was filed."""


class Retriever(Association):
    """An association for C-GET. Constructing it does no I/O; `open` does.

    Whose thread calls what is as with every association; what comes is filed on the owner's thread, in `get`. One with
    WITHOUT_BULK among its SOP Classes asks for that alone, by the UIDs of images, and all that comes is without bulk.
    """

    def __init__(
        self,
        host: Host,
        node: Node,
        ae_title: str,
        timeouts: Timeouts,
        contexts: Sequence[Pair],  # each is proposed in a context of its own
    ) -> None:
        self._lacks_bulk = any(uid == WITHOUT_BULK for uid, _ in contexts)
        super().__init__(node, ae_title, timeouts, frozenset({WITHOUT_BULK}) if self._lacks_bulk else GET)
        self.accepted: frozenset[Pair] = frozenset()  # what the archive may send
        self._host = host
        self._pairs = tuple(pair for pair in dict.fromkeys(contexts) if pair[0] != WITHOUT_BULK)
        self.is_busy = False  # while it asks, and something may be on its way to a file
        self._last_arrival = self._last_move = 0.0  # of what shows that it is at work; and that it goes on

    def open(self) -> None:
        """Connect and negotiate; raises a NodeError if the association does not come about."""
        super().open()
        contexts = [each for each in self._wire.contexts.values() if each.abstract_syntax not in SERVICES]
        self.accepted = frozenset((each.abstract_syntax, each.transfer_syntaxes[0]) for each in contexts)

    def _propose(self) -> tuple[tuple[Context, ...], Roles]:
        asked = frozenset({WITHOUT_BULK}) if self._lacks_bulk else GET
        services, roles = propose_contexts(asked), (self.node.quirks.roles == "both", True)
        own = (Context(2 * place + 1, uid, (syntax,)) for place, (uid, syntax) in enumerate(self._pairs, len(services)))
        return (*services, *own), dict.fromkeys((uid for uid, _ in self._pairs), roles)

    def _connect_on(self, sock: socket.socket) -> Connection:
        host = ""
        with contextlib.suppress(OSError):  # it has gone already
            host = str(sock.getpeername()[0]).removeprefix("::ffff:")
        caller = Caller(self.node.ae_title, host, is_asked=True, lacks_bulk=self._lacks_bulk)
        connection = RequestedConnection(
            sock, self._waker, self._host.storage, caller, self._heed, self._stop.give_up_at, self._close
        )
        self._host.enter(self)
        return connection

    def _heed(self, is_news: bool, is_slow: bool) -> None:
        if is_news:
            self._last_arrival = self._host.last_activity = time.monotonic()
            self._last_move = self._last_move if is_slow else self._last_arrival

    def _close(self) -> None:
        self._host.leave(self)

    def get(
        self,
        identifier: Dataset,  # unique keys only
        model: Model,
        message_id: int,
        *,
        on_progress: Callable[[Counters], None] = lambda _: None,  # told the largest counters after each response
        last_arrival: Callable[[], float] | None = None,  # beside that of what comes on this association
    ) -> MoveEnd:
        """Send a C-GET and read to its end (PS3.4 section C.4.3); what the peer does never raises.

        When it returns, what has come has been told. Raises ContextRejected if the peer does not offer C-GET in this
        model; nothing was sent then.
        """
        context = self._context(WITHOUT_BULK if self._lacks_bulk else model.get_sop_class)
        if self._lacks_bulk:  # PS3.4 section Z.4.2.1.3.1: nothing else is in it
            identifier = identifier[0x00080000:0x00080053]
            identifier.pop("SpecificCharacterSet", None)
        level = identifier.get("QueryRetrieveLevel")
        logger.info("initiating C-GET, message %d: %s, level %s", message_id, model.title, level)

        def last() -> float:
            return self._last_arrival if last_arrival is None else max(self._last_arrival, last_arrival())

        self.is_busy = True
        try:
            limit = partial(Deadlines, last_arrival=last, last_move=lambda: self._last_move, between=True)
            end = self._retrieve(context, {"CommandField": cs.C_GET_RQ}, identifier, message_id, on_progress, limit)
        finally:
            self.is_busy = False
        self._host.settle()
        return end
