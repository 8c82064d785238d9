"""The DICOM Upper Layer over one TCP connection (PS3.8), for both sides of an association.

Whoever owns a `Connection` reads and writes on its own thread and sleeps in the kernel until bytes come
or a `Waker` wakes it; nothing polls. How an association begins is in `negotiation.py`.
"""

from __future__ import annotations

import contextlib
import selectors
import socket
import ssl
import time
from collections.abc import Callable, Mapping

from dicomover.errors import AssociationLost, LostBy, NodeError, ProtocolError
from dicomover.processes import forks
from dicomover.wire import command_set
from dicomover.wire.command_set import Command
from dicomover.wire.messages import Assembly, Context, Due, Message, Part, encode_message, expect_announced
from dicomover.wire.pdus import (
    ABORT,
    ASSOCIATE_RQ,
    P_DATA,
    PDU_HEAD,
    RELEASE_RP,
    RELEASE_RQ,
    encode_abort,
    encode_release,
)

__all__ = ["MAX_PDU", "SOON", "Connection", "Until", "Waker", "no_later_than", "wait_forever"]

MAX_PDU = 1 << 18
"""Bytes of the largest P-DATA-TF PDU that we accept on an association of ours."""

_ASSOCIATION_PDU_CAP = 1 << 20
_PDU_SECONDS = 60.0  # a PDU that has begun must end within this
_READ = 1 << 18
_OTHER_PROTOCOLS = {
    b"\x15\x03": "; this is TLS: it wants to be spoken to in TLS",
    b"\x16\x03": "; this is TLS: it wants to be spoken to in TLS",
    b"HTTP/": "; this is HTTP",
    b"SSH-": "; this is SSH",
}
"""What else may listen at a port, by its first bytes."""
SOON = 2.0
"""Seconds for a data set that a final response announces: many announce one and send none."""

Until = Callable[[], float | None]
"""Asked whenever a wait begins or is woken: the `time.monotonic()` at which to give up, or None for never."""


def wait_forever() -> float | None:
    """Wait without limit."""
    return None


def no_later_than(limit: float, until: Until) -> Until:
    """Wait until then at most."""

    def whichever_is_first() -> float:
        moment = until()
        return limit if moment is None else min(moment, limit)

    return whichever_is_first


class Waker:
    """Wakes the thread that waits on a connection; setting it is cheap, repeatable and thread-safe."""

    def __init__(self) -> None:
        self.receiving, self._sending = socket.socketpair()
        self.receiving.setblocking(False)
        self._sending.setblocking(False)

    def wake(self) -> None:
        """Let the waiting thread look around."""
        with contextlib.suppress(OSError):  # full: it will wake anyhow; closed: nobody waits
            self._sending.send(b"\0")

    def drain(self) -> None:
        """Forget what has woken us."""
        with contextlib.suppress(OSError):
            while self.receiving.recv(64):
                pass

    def close(self) -> None:
        """Give the descriptors back."""
        self.receiving.close()
        self._sending.close()


class Connection:
    """One TCP connection that speaks PDUs, owned by one thread."""

    # The buffer holds what has come and is not read yet; between two calls it begins with a PDU or is empty. Whatever
    # raises AssociationLost or ProtocolError has closed the connection before, so an open one is always in step.

    def __init__(
        self,
        sock: socket.socket,  # connected; ours from now on
        waker: Waker | None = None,  # ends a wait early, so that `until` is asked again
        *,
        max_pdu: int = MAX_PDU,  # bytes of the largest P-DATA-TF PDU that we accept; told to the peer
    ) -> None:
        sock.setblocking(False)
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock = sock
        self.max_pdu = max_pdu
        self.peer_max_pdu = 16384
        self.contexts: dict[int, Context] = {}
        self.open = True
        self._waker = waker
        self._buffer = bytearray()
        self._assembly = Assembly()
        self._may_owe_data = False
        self._selector = selectors.DefaultSelector()
        self._selector.register(sock, selectors.EVENT_READ)
        self._events = selectors.EVENT_READ
        if waker is not None:
            self._selector.register(waker.receiving, selectors.EVENT_READ)
        forks.inherit(self)

    def begin_anew(self) -> None:
        """In a forked child: let go, without a word on the wire; the connection is the parent's, and stays."""
        self.open = False
        self._selector.close()
        self.sock.close()  # and no shutdown, which would end it for both
        if self._waker is not None:
            self._waker.close()

    # --- bytes

    def _wait(self, events: int, until: Until) -> None:
        if not self._sleep(events, until):
            raise self.give_up("nothing came in time", LostBy.TIMEOUT)

    def _sleep(self, events: int, until: Until) -> bool:
        """Sleep until the socket is ready, asking `until` at the start and after every wake; tell whether it is."""
        # `until` is asked before each sleep and the waker is drained after it, never the other way round: a wish that
        # comes between the two leaves a byte in the waker, and the sleep ends at once.
        if events != self._events:
            self._selector.modify(self.sock, events)
            self._events = events
        while True:
            limit = until()
            timeout = None if limit is None else limit - time.monotonic()
            if timeout is not None and timeout <= 0:
                return False
            for key, _ in self._selector.select(timeout):
                if key.fileobj is self.sock:
                    return True
                assert self._waker is not None
                self._waker.drain()

    def _receive(self, until: Until) -> None:
        """Take what the socket has, at least one byte; not even that once `until` has passed, however much comes."""
        while True:
            limit = until()
            if limit is not None and limit <= time.monotonic():
                raise self.give_up("no end came in time", LostBy.TIMEOUT)
            try:
                chunk = self.sock.recv(_READ)
            except (BlockingIOError, ssl.SSLWantReadError):
                self._wait(selectors.EVENT_READ, until)
                continue
            except ssl.SSLWantWriteError:
                self._wait(selectors.EVENT_WRITE, until)
                continue
            except OSError as error:
                raise self.give_up("the connection broke", LostBy.CLOSED) from error
            if not chunk:
                raise self.give_up("the connection was closed", LostBy.CLOSED)
            self._buffer += chunk
            return

    def send(
        self, raw: bytes | bytearray | memoryview, seconds: float = _PDU_SECONDS, until: Until = wait_forever
    ) -> None:
        """Write all bytes, or raise AssociationLost if the peer does not take them in time."""
        limit = time.monotonic() + seconds
        until = no_later_than(limit, until)
        view = memoryview(raw)
        while view:
            try:
                view = view[self.sock.send(view) :]
            except (BlockingIOError, ssl.SSLWantWriteError):
                self._wait(selectors.EVENT_WRITE, until)
            except ssl.SSLWantReadError:
                self._wait(selectors.EVENT_READ, until)
            except OSError as error:
                cause = self._hear_alert(error)  # before it is closed
                raise self.give_up("the connection broke", LostBy.CLOSED) from cause

    def _hear_alert(self, error: OSError) -> OSError:
        """Return the alert that a peer has sent before it went; with TLS 1.3 it so refuses us after the handshake."""
        try:
            if isinstance(self.sock, ssl.SSLSocket):
                self.sock.recv(1)
        except ssl.SSLError as alert:
            return alert
        except OSError:
            pass
        return error

    # --- PDUs

    def read_pdu(self, until: Until = wait_forever) -> tuple[int, memoryview]:
        """Return the type and the body of the next PDU; the body is valid until the next read.

        Raises AssociationLost if the connection ends or `until` passes; once a PDU has begun it must end within a
        minute. Raises ProtocolError if it is longer than its type may be.
        """
        while len(self._buffer) < 6:
            self._receive(until)
        kind, length = PDU_HEAD.unpack_from(self._buffer)
        cap = self.max_pdu if kind == P_DATA else _ASSOCIATION_PDU_CAP
        if not ASSOCIATE_RQ <= kind <= ABORT or length > cap:
            also = next((says for begin, says in _OTHER_PROTOCOLS.items() if self._buffer.startswith(begin)), "")
            raise self.refuse(f"a PDU of type {kind} and {length} bytes (allowed: {cap}{also})", reason=1)
        if len(self._buffer) < 6 + length:
            until = no_later_than(time.monotonic() + _PDU_SECONDS, until)
            while len(self._buffer) < 6 + length:
                self._receive(until)
        body = bytes(memoryview(self._buffer)[6 : 6 + length])
        del self._buffer[: 6 + length]
        return kind, memoryview(body)

    def give_up(self, why: str, by: LostBy) -> AssociationLost:
        """Close the connection and return the error that says so."""
        if by in (LostBy.TIMEOUT, LostBy.STOPPED):
            self.abort()
        self.close()
        return AssociationLost(why, by)

    def refuse(self, what: str, reason: int = 0) -> ProtocolError:
        """Abort (PS3.8 section 9.3.8) and return the error that says why."""
        self.abort(source=2, reason=reason)
        return ProtocolError(f"the peer sent {what}; the association was aborted")

    def abort(self, source: int = 0, reason: int = 0) -> None:
        """Send A-ABORT if it can go out at once, and close."""
        if self.open:
            with contextlib.suppress(OSError):
                self.sock.send(encode_abort(source, reason))
        self.close()

    def close(self) -> None:
        """Close the socket; the last thing that happens to a connection."""
        if self.open:
            self.open = False
            self._selector.close()
            with contextlib.suppress(OSError):
                self.sock.shutdown(socket.SHUT_RDWR)
            self.sock.close()

    def release(self, seconds: float, until: Until = wait_forever) -> NodeError | None:
        """Release the association (PS3.8 section 7.2) and close; return what came instead of the answer, if so."""
        if not self.open:
            return None
        until = no_later_than(time.monotonic() + seconds, until)
        trouble: NodeError | None = None
        try:
            self.send(encode_release(RELEASE_RQ), seconds, until)
            while (kind := self.read_pdu(until)[0]) == P_DATA:
                pass
            if kind not in (RELEASE_RP, RELEASE_RQ):  # of two requests that cross each is an answer enough
                trouble = ProtocolError("it aborted" if kind == ABORT else f"it sent a PDU of type {kind}")
        except (AssociationLost, ProtocolError) as error:
            trouble = error
        self.close()
        return trouble

    def answer_release(self) -> None:
        """Answer an A-RELEASE-RQ and close."""
        with contextlib.suppress(AssociationLost):
            self.send(encode_release(RELEASE_RP), 1.0)
        self.close()

    def is_stale(self) -> bool:
        """Tell, without waiting, whether the peer has left an idle association."""
        if not self.open or self._buffer or not self._assembly.is_empty:
            return True
        try:
            chunk = self.sock.recv(_READ)
        except (BlockingIOError, ssl.SSLWantReadError):
            return False
        except OSError:
            chunk = b""
        self._buffer += chunk
        return True

    # --- DIMSE messages

    def send_message(
        self, context_id: int, command: Mapping[str, int | str], data: bytes = b"", until: Until = wait_forever
    ) -> None:
        """Send a command set and, if there is one, its data set, in as few writes as the peer's PDU size allows."""
        for raw in encode_message(context_id, command, data, self.peer_max_pdu):
            self.send(raw, until=until)

    def read_message(self, until: Until = wait_forever, expect: Callable[[Command], Due] = expect_announced) -> Message:
        """Return the next DIMSE message; `expect` says of each command set whether its data set is waited for.

        Raises AssociationLost if the association ends first; `.by` says how. Raises ProtocolError if what comes is not
        a DIMSE message.
        """
        part = self._read_part(until)
        if not part.is_command and self._may_owe_data:  # that of the message before, which was not waited for
            part = self._read_part(until)
        if not part.is_command:
            raise self.refuse("parts of a message out of order", reason=6)
        try:
            command = command_set.decode(part.data)
        except ValueError as error:
            raise self.refuse(f"a command set that cannot be read ({error})", reason=6) from error
        due = expect(command)
        self._may_owe_data = not (due is not Due.NEVER and self._has_data_set(due, until))
        if self._may_owe_data:
            return Message(part.context_id, command)
        data_set = self._assembly.parts.popleft()
        if data_set.context_id != part.context_id:
            raise self.refuse("a data set in another presentation context than its command", reason=6)
        return Message(part.context_id, command, bytes(data_set.data))

    def _has_data_set(self, due: Due, until: Until) -> bool:
        """Wait for the next part as long as it is due; tell whether it is a data set."""
        parts = self._assembly.parts
        if due is Due.NEXT:
            while not parts:
                self._read_fragments(until)
        elif not parts and (self._buffer or due is Due.SOON):
            # The message is whole: a connection that ends here, or goes on with nonsense, has been closed by whoever
            # found out, and the next request does not go over it.
            limit = time.monotonic() + (SOON if due is Due.SOON else 0.0)
            with contextlib.suppress(AssociationLost, ProtocolError):
                while not parts and (self._buffer or self._has_bytes(limit, until)):
                    self._read_fragments(until)
        return bool(parts) and not parts[0].is_command

    def _has_bytes(self, limit: float, until: Until) -> bool:
        return not self._assembly.is_empty or self._sleep(selectors.EVENT_READ, no_later_than(limit, until))

    def _read_part(self, until: Until) -> Part:
        while not self._assembly.parts:
            self._read_fragments(until)
        return self._assembly.parts.popleft()

    def _read_fragments(self, until: Until) -> None:
        kind, body = self.read_pdu(until)
        if kind == P_DATA:
            try:
                self._assembly.add(body)
            except ValueError as error:
                raise self.refuse(str(error), reason=6) from error
        else:
            raise self.end_by(kind)

    def end_by(self, kind: int) -> NodeError:
        """Close as the peer wishes, by a PDU that is no P-DATA, and return the error that says so."""
        if kind == RELEASE_RQ:
            self.answer_release()
            return AssociationLost("the peer released the association", LostBy.RELEASE)
        if kind == ABORT:
            self.close()
            return AssociationLost("the peer aborted the association", LostBy.ABORT)
        return self.refuse(f"a PDU of type {kind} where a message was due", reason=2)
