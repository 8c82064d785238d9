"""An association with the archive: C-ECHO, C-FIND, C-MOVE, C-CANCEL, and failures that have names.

One thread owns an `Association`; another may `cancel()` it or `kill()` it. Every wait has a deadline or can be ended.
"""

from __future__ import annotations

import contextlib
import itertools
import logging
import socket
import time
from collections import deque
from collections.abc import Callable, Iterator
from functools import partial

from pydicom import Dataset

from dicomover.errors import AssociationLost, ContextRejected, LostBy, NodeError, ProtocolError, QueryRefused
from dicomover.identifier import Model
from dicomover.node import Node, Timeouts
from dicomover.outcome import CANCELLED, SUCCESS, Counters, Ended, describe
from dicomover.security.failures import is_refusal
from dicomover.text.face import advise, setting
from dicomover.text.sentences import count_of
from dicomover.wire import command_set as cs
from dicomover.wire.connection import Connection, Waker
from dicomover.wire.dump import dump_counters, log_identifier, log_message, log_release, name_message
from dicomover.wire.identifiers import Matches, encode_identifier, is_match, read_failed_uids
from dicomover.wire.messages import Context, Message
from dicomover.wire.negotiation import Roles, request_association
from dicomover.wire.responses import (
    PENDING,
    Deadlines,
    MoveEnd,
    StopSign,
    expect_data_set,
    read_counters,
    read_offending_element,
    read_status,
)
from dicomover.wire.services import ECHO, RETRIEVE, SERVICES, VERIFICATION, propose_contexts
from dicomover.wire.transport import connect, explain_refusal

__all__ = ["RELEASING", "Association"]

RELEASING = 5.0
"""Seconds for the answer to an A-RELEASE request."""

logger = logging.getLogger("dicomover.dimse")

_MEDIUM = 0x0000


class Association:
    """An association with a node for some services, the SOP Classes. Constructing it does no I/O; `open` does."""

    # Threads: the owner calls everything but `cancel`, `kill`, `hurry` and `is_stopping`, which any thread may call at
    # any time, also while the owner sleeps in `open`. Those set a sign and wake the owner; all that is written to the
    # peer, a C-CANCEL too, is written by the owner, so no two messages are ever mixed.
    #
    # One request at a time: the next one goes out when the final response to the one before has been read. Whoever
    # leaves earlier aborts, since the rest of the answer would be taken for that of the next request.

    def __init__(
        self, node: Node, ae_title: str, timeouts: Timeouts, services: frozenset[str] = ECHO | RETRIEVE
    ) -> None:
        self.node = node
        self.ae_title = ae_title
        self.timeouts = timeouts
        self.services = services
        self.served = 0
        self._answered: deque[int] = deque(maxlen=64)
        self._waker = Waker()
        self._connection: Connection | None = None
        self._by_sop_class: dict[str, Context] = {}
        self._stop = StopSign(is_ignored=node.quirks.cancels is False)
        self._hurried_until: float | None = None

    # --- life

    def open(self) -> None:
        """Connect and negotiate; raises a NodeError if the association does not come about."""
        begun = time.monotonic()
        logger.info("requesting association\n  peer %s, calling AE title %s", self.node, self.ae_title)
        contexts, roles = self._propose()
        sock = connect(self.node, self.timeouts.connect, self._waker, lambda: self._open_until(None))
        connection = self._connect_on(sock)
        limit = None if self.timeouts.acse is None else time.monotonic() + self.timeouts.acse
        try:
            request_association(connection, self.node, self.ae_title, contexts, lambda: self._open_until(limit), roles)
        except BaseException as error:
            connection.close()
            if isinstance(error, AssociationLost) and error.by is LostBy.CLOSED:
                raise _explain_end(error, self.node) from error
            if isinstance(error, AssociationLost) and error.by is LostBy.TIMEOUT and not self.is_stopping:
                message = f"{self.node} did not answer the association request within {self.timeouts.acse:g} s"
                raise AssociationLost(message, LostBy.TIMEOUT) from error
            if isinstance(error, ProtocolError):
                said = f"what listens at {self.node} does not answer in DICOM ({error})"
                raise ProtocolError(said, "check host and port") from error
            raise
        self._connection = connection
        self._by_sop_class = {context.abstract_syntax: context for context in connection.contexts.values()}
        logger.info(
            "association %s -> %s accepted in %.3f s, %d of %d presentation contexts, maximum PDU %d",
            self.ae_title,
            self.node,
            time.monotonic() - begun,
            len(self._by_sop_class),
            len(contexts),
            connection.peer_max_pdu,
        )

    def _propose(self) -> tuple[tuple[Context, ...], Roles]:
        """Return the contexts to propose, and the roles that are not the usual ones."""
        return propose_contexts(self.services), {}

    def _connect_on(self, sock: socket.socket) -> Connection:
        return Connection(sock, self._waker)

    @property
    def is_open(self) -> bool:
        """False once the association has ended."""
        return self._connection is not None and self._connection.open

    @property
    def local_address(self) -> str:
        """The address of this machine as the peer sees it, empty while there is no connection."""
        with contextlib.suppress(OSError):
            return str(self._wire.sock.getsockname()[0]) if self.is_open else ""
        return ""

    @property
    def peer_address(self) -> str:
        """The address that the peer answers on, empty while there is no connection."""
        with contextlib.suppress(OSError):
            return str(self._wire.sock.getpeername()[0]) if self.is_open else ""
        return ""

    @property
    def is_stopping(self) -> bool:
        """True once somebody has asked to cancel or to kill it; it is not used again."""
        return self._stop.is_up

    def is_usable(self) -> bool:
        """Tell, without waiting, whether the next request may go out on it."""
        if self._connection is not None and self._connection.open and self._connection.is_stale():
            logger.info("association with %s was ended by the peer while idle", self.node)
            self._connection.close()
        return self.is_open and not self.is_stopping

    def cancel(self) -> None:
        """Cancel what is going on, from any thread: C-CANCEL, and abort if that has no effect."""
        if self._stop.cancelled_at is None:
            self._stop.cancelled_at = time.monotonic()
        self._waker.wake()

    def hurry(self, seconds: float) -> None:
        """Let it open within so many seconds from now or not at all, from any thread."""
        self._hurried_until = time.monotonic() + seconds
        self._waker.wake()

    def kill(self) -> None:
        """End what is going on at once, from any thread."""
        self._stop.killed = True
        self._waker.wake()

    def release(self, seconds: float = RELEASING) -> None:
        """Release the association, or abort it if the peer does not answer; by its owner, never raises."""
        if self._connection is not None and self._connection.open:
            # A peer that does not answer a release is no reason to keep anybody waiting.
            logger.info("releasing the association with %s", self.node)
            seconds = min(self.timeouts.acse or seconds, seconds)
            log_release(logger, self.node, self._connection.release(seconds, self._stop.give_up_at))
        self._waker.close()

    def _open_until(self, limit: float | None) -> float | None:
        if self.is_stopping:
            return 0.0
        return min((moment for moment in (limit, self._hurried_until) if moment is not None), default=None)

    @property
    def _wire(self) -> Connection:
        assert self._connection is not None, "open() comes first"
        return self._connection

    # --- services

    def echo(self, message_id: int) -> None:
        """Verify that the peer answers (C-ECHO, PS3.4 Annex A); raises as `find` does."""
        context = self._context(VERIFICATION)
        logger.info("C-ECHO, message %d", message_id)
        self._send(context, {"CommandField": cs.C_ECHO_RQ, "MessageID": message_id})
        answer = self._answer(context, cs.C_ECHO_RQ, message_id, Deadlines(self.timeouts, self._stop))
        status = read_status(answer.command)
        if status != SUCCESS:
            raise QueryRefused(f"{self.node} answered C-ECHO with {describe(status)}", status)

    def find(
        self,
        identifier: Dataset,
        model: Model,
        message_id: int,
        *,
        limit: int | None = None,
        on_end: Callable[[int | None, int, float], None] = lambda *_: None,  # told the status, answers, `since_enough`
    ) -> Iterator[Dataset]:
        """Yield the matches of a C-FIND as they come (PS3.4 section C.4.1).

        After `limit` matches the archive is asked to stop (C-CANCEL); what it sends all the same is passed over, and
        cut off after a while. Leaving the iterator early aborts the association. Raises QueryRefused if the final
        status is not Success (an empty answer is never a refused one) or the answers do not end, and any other
        NodeError.
        """
        context = self._context(model.find_sop_class)
        done, late, matches = False, 0.0, Matches()
        logger.info("C-FIND, message %d: %s, level %s", message_id, model.title, identifier.get("QueryRetrieveLevel"))
        log_identifier("the identifier of message %d", message_id, identifier)
        try:
            self._send(
                context,
                {"CommandField": cs.C_FIND_RQ, "MessageID": message_id, "Priority": _MEDIUM},
                encode_identifier(identifier, context.transfer_syntaxes[0]),
            )
            wait = Deadlines(self.timeouts, self._stop, partial(self._send_cancel, context, message_id))
            for seen in itertools.count(1):
                # What is here may have been sent before a C-CANCEL was read; what has to be waited for was made since.
                is_late = wait.since_enough > 0 and not self._wire.is_stale()
                try:
                    answer = self._answer(context, cs.C_FIND_RQ, message_id, wait)
                except AssociationLost as error:
                    if limit is not None and seen > limit and not self.is_stopping:
                        logger.info("C-FIND, message %d, was cut off: %s", message_id, wait.explain(error))
                        on_end(None, seen - 1, late)
                        return
                    raise AssociationLost(wait.explain(error), error.by) from error
                status = read_status(answer.command)
                done = status not in PENDING
                late = wait.since_enough if is_late and not done else late
                if (limit is None or seen <= limit) and (not done or answer.data):
                    match = matches.read(answer.data, context.transfer_syntaxes[0])
                    if not done or is_match(match, identifier):
                        matches.add(match)
                        wait.note_progress()
                        log_identifier("an answer to message %d", message_id, match)
                        yield match
                if done:
                    break
                if seen == limit:
                    wait.note_enough()
                    with contextlib.suppress(AssociationLost):  # all that is wanted has come
                        self._send_cancel(context, message_id)
        finally:
            if not done:
                self._wire.abort()
        on_end(status, seen - 1, late)
        said = count_of(matches.count, "answer")
        logger.info("C-FIND, message %d, ended: %s; %s", message_id, describe(status), said)
        if status == CANCELLED and self.is_stopping:
            raise QueryRefused(f"{self.node}: the C-FIND was cancelled", status)
        if status == CANCELLED and (limit is None or seen <= limit):
            why = "as if somebody had cancelled it: more matches than it answers at once, with some archives"
            raise QueryRefused(f"{self.node} ended the C-FIND {why}", status)
        if status not in (SUCCESS, CANCELLED):
            raise QueryRefused(f"{self.node} refused the C-FIND with {describe(status)}", status)

    def move(
        self,
        identifier: Dataset,  # unique keys only
        model: Model,
        destination: str,
        message_id: int,
        *,
        on_progress: Callable[[Counters], None] = lambda _: None,  # told the largest counters after each response
        last_arrival: Callable[[], float] | None = None,  # the last sign of life on our own receiver, if we receive
    ) -> MoveEnd:
        """Send a C-MOVE and read to its end (PS3.4 section C.4.2); what the peer does never raises.

        Raises ContextRejected if the peer does not offer C-MOVE in this model; nothing was sent then.
        """
        context = self._context(model.move_sop_class)
        level = identifier.get("QueryRetrieveLevel")
        logger.info("initiating C-MOVE, message %d: %s, level %s, to %s", message_id, model.title, level, destination)
        command: cs.Command = {"CommandField": cs.C_MOVE_RQ, "MoveDestination": destination}
        limit = partial(Deadlines, last_arrival=last_arrival)
        return self._retrieve(context, command, identifier, message_id, on_progress, limit)

    def _retrieve(
        self,
        context: Context,
        command: cs.Command,  # with what is its own
        identifier: Dataset,
        message_id: int,
        on_progress: Callable[[Counters], None],
        limit: Callable[..., Deadlines],
    ) -> MoveEnd:
        """Send a request whose responses count sub-operations, and read them to the end."""
        kind, counters = int(command["CommandField"]), Counters()
        verb = name_message(command).removesuffix("-RQ")
        cancel = partial(self._send_cancel, context, message_id)
        wait = limit(self.timeouts, self._stop, cancel)
        log_identifier("the identifier of message %d", message_id, identifier)
        try:
            self._send(
                context,
                {**command, "MessageID": message_id, "Priority": _MEDIUM},
                encode_identifier(identifier, context.transfer_syntaxes[0]),
            )
            while True:
                answer = self._answer(context, kind, message_id, wait)
                counters = counters.merge(read_counters(answer.command))
                wait.note_counters(counters)
                on_progress(counters)
                status = read_status(answer.command)
                if status not in PENDING:
                    said = dump_counters(counters)
                    logger.info("%s, message %d, ended: %s; %s", verb, message_id, describe(status), said)
                    return MoveEnd(
                        Ended.ANSWERED,
                        status,
                        counters,
                        read_failed_uids(answer.data, context.transfer_syntaxes[0]),
                        read_offending_element(answer.command),
                    )
        except (AssociationLost, ProtocolError) as error:
            if isinstance(error, AssociationLost) and self.is_stopping:
                return MoveEnd(Ended.CANCELLED, None, counters, why="cancelled; the archive did not confirm it")
            by = error.by if isinstance(error, AssociationLost) else None
            return MoveEnd(Ended.LOST, None, counters, lost_by=by, why=wait.explain(error))

    # --- messages

    def accepts(self, sop_class: str) -> bool:
        """Tell whether the peer has accepted a presentation context for a SOP Class that was proposed."""
        return sop_class in self._by_sop_class

    def offers(self, sop_class: str) -> None:
        """See that the peer offers a service; raises ContextRejected."""
        self._context(sop_class)

    def _context(self, sop_class: str) -> Context:
        context = self._by_sop_class.get(sop_class)
        if context is None:
            name = SERVICES.get(sop_class, sop_class)
            raise ContextRejected(
                f"{self.node} accepted the association, but does not offer {name} to {self.ae_title!r}",
                f"{advise('try the other model')}, or ask its administrator to allow it",
            )
        return context

    def _send(self, context: Context, command: cs.Command, data: bytes = b"") -> None:
        full: cs.Command = {
            "AffectedSOPClassUID": context.abstract_syntax,
            "CommandDataSetType": cs.WITH_DATA_SET if data else cs.NO_DATA_SET,
            **command,
        }
        log_message(logger, "sent to", self.node, context.id, full, len(data))
        self._wire.send_message(context.id, full, data, self._stop.give_up_at)

    def _send_cancel(self, context: Context, message_id: int) -> None:
        logger.info("C-CANCEL to %s", self.node)
        command: cs.Command = {
            "CommandField": cs.C_CANCEL_RQ,
            "MessageIDBeingRespondedTo": message_id,
            "CommandDataSetType": cs.NO_DATA_SET,
        }
        self._wire.send_message(context.id, command, until=self._stop.give_up_at)

    def _answer(self, context: Context, request: int, message_id: int, wait: Deadlines) -> Message:
        wait.begin()
        self.served += 1
        expect = partial(expect_data_set, is_find=request == cs.C_FIND_RQ)
        while True:
            message = self._wire.read_message(wait, expect)
            command = message.command
            log_message(logger, "received from", self.node, message.context_id, command, len(message.data))
            if command.get("MessageIDBeingRespondedTo") not in self._answered or message_id in self._answered:
                break  # else it belongs to a request that had its final response already
        if command.get("CommandField") != request | cs.RESPONSE or "Status" not in command:
            raise self._wire.refuse("a message that is no answer to our request", reason=2)
        if command.get("MessageIDBeingRespondedTo") != message_id:
            raise self._wire.refuse("the answer to another message than ours", reason=2)
        if message.context_id != context.id:
            raise self._wire.refuse("an answer in another presentation context", reason=2)
        if read_status(message.command) not in PENDING:
            self._answered.append(message_id)
        return message


def _explain_end(error: AssociationLost, node: Node) -> NodeError:
    """Say why a connection has ended before the association began; with TLS 1.3 that may be the handshake's end."""
    if node.tls is None:
        said = f"{node} ended the connection upon our association request ({error.what})"
        mend = f"it may not know us, or want to be spoken to by TLS, {setting('tls')}; see its log"
        return AssociationLost(said, error.by, mend)
    if isinstance(error.__cause__, OSError) and is_refusal(error.__cause__):
        return explain_refusal(error.__cause__, node)
    said = f"{node} ended the TLS connection upon our association request ({error.what})"
    return AssociationLost(said, error.by, "it may not accept our certificate, or not know our AE title; see its log")
