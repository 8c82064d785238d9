"""The DICOM Upper Layer over one TCP connection (PS3.8), for both sides of an association.

Whoever owns a `Connection` reads and writes on its own thread and sleeps in the kernel until bytes come
or a `Waker` wakes it; nothing polls. How an association begins is in `negotiation.py`.
"""

from __future__ import annotations

import contextlib
import errno
import os
import selectors
import socket
import ssl
import struct
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from dicomover.errors import AssociationLost, LostBy, NodeUnreachable, ProtocolError
from dicomover.node import Node
from dicomover.wire import command_set
from dicomover.wire.command_set import Command

__all__ = [
    "ABORT",
    "ASSOCIATE_AC",
    "ASSOCIATE_RJ",
    "ASSOCIATE_RQ",
    "PDU_HEAD",
    "P_DATA",
    "RELEASE_RP",
    "RELEASE_RQ",
    "Connection",
    "Context",
    "Message",
    "Until",
    "Waker",
    "connect",
    "never",
]

ASSOCIATE_RQ, ASSOCIATE_AC, ASSOCIATE_RJ, P_DATA, RELEASE_RQ, RELEASE_RP, ABORT = range(1, 8)
_ASSOCIATION_PDU_CAP = 1 << 20
_MESSAGE_CAP = 1 << 26  # of one command or one identifier; C-FIND answers are a few KB
_PDU_SECONDS = 60.0  # a PDU that has begun must end within this
_READ = 1 << 18
_IN_PROGRESS = (errno.EINPROGRESS, errno.EWOULDBLOCK, getattr(errno, "WSAEWOULDBLOCK", errno.EWOULDBLOCK))
PDU_HEAD = struct.Struct(">BxL")
_PDV_HEAD = struct.Struct(">LBB")

Until = Callable[[], float | None]
"""Asked whenever a wait begins or is woken: the `time.monotonic()` at which to give up, or None for never."""


def never() -> float | None:
    """Wait without limit."""
    return None


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


class Connection:
    """One TCP connection that speaks PDUs, owned by one thread.

    Parameters
    ----------
    sock
        A connected socket; ours from now on.
    waker
        Ends a wait early, so that `until` is asked again.
    max_pdu
        The largest P-DATA-TF PDU that we accept, in bytes; told to the peer.
    """

    def __init__(self, sock: socket.socket, waker: Waker | None = None, *, max_pdu: int = 1 << 18) -> None:
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
        self._selector = selectors.DefaultSelector()
        self._selector.register(sock, selectors.EVENT_READ)
        self._events = selectors.EVENT_READ
        if waker is not None:
            self._selector.register(waker.receiving, selectors.EVENT_READ)

    # --- bytes

    def _wait(self, events: int, until: Until) -> None:
        """Sleep until the socket is ready, asking `until` at the start and after every wake."""
        if events != self._events:
            self._selector.modify(self.sock, events)
            self._events = events
        while True:
            limit = until()
            timeout = None if limit is None else limit - time.monotonic()
            if timeout is not None and timeout <= 0:
                raise self.lost("nothing came in time", LostBy.TIMEOUT)
            for key, _ in self._selector.select(timeout):
                if key.fileobj is self.sock:
                    return
                assert self._waker is not None
                self._waker.drain()

    def _receive(self, until: Until) -> None:
        """Take what the socket has, at least one byte."""
        while True:
            try:
                chunk = self.sock.recv(_READ)
            except (BlockingIOError, ssl.SSLWantReadError):
                self._wait(selectors.EVENT_READ, until)
                continue
            except ssl.SSLWantWriteError:
                self._wait(selectors.EVENT_WRITE, until)
                continue
            except OSError as error:
                raise self.lost("the connection broke", LostBy.CLOSED) from error
            if not chunk:
                raise self.lost("the connection was closed", LostBy.CLOSED)
            self._buffer += chunk
            return

    def send(self, raw: bytes | bytearray | memoryview, seconds: float = _PDU_SECONDS) -> None:
        """Write all bytes, or raise AssociationLost."""
        limit = time.monotonic() + seconds
        view = memoryview(raw)
        while view:
            try:
                view = view[self.sock.send(view) :]
            except (BlockingIOError, ssl.SSLWantWriteError):
                self._wait(selectors.EVENT_WRITE, lambda: limit)
            except ssl.SSLWantReadError:
                self._wait(selectors.EVENT_READ, lambda: limit)
            except OSError as error:
                raise self.lost("the connection broke", LostBy.CLOSED) from error

    # --- PDUs

    def read_pdu(self, until: Until = never) -> tuple[int, memoryview]:
        """Return the type and the body of the next PDU; the body is valid until the next read.

        Raises
        ------
        AssociationLost
            If the connection ends or `until` passes; once a PDU has begun it must end within a minute.
        ProtocolError
            If it is longer than its type may be.
        """
        while len(self._buffer) < 6:
            self._receive(until)
        kind, length = PDU_HEAD.unpack_from(self._buffer)
        cap = self.max_pdu if kind == P_DATA else _ASSOCIATION_PDU_CAP
        if not ASSOCIATE_RQ <= kind <= ABORT or length > cap:
            raise self.broken(f"a PDU of type {kind} and {length} bytes (allowed: {cap})", reason=1)
        begun = time.monotonic()

        def patient() -> float | None:
            limit = until()
            return begun + _PDU_SECONDS if limit is None else min(limit, begun + _PDU_SECONDS)

        while len(self._buffer) < 6 + length:
            self._receive(patient)
        body = bytes(memoryview(self._buffer)[6 : 6 + length])
        del self._buffer[: 6 + length]
        return kind, memoryview(body)

    def lost(self, why: str, by: LostBy) -> AssociationLost:
        """Close the connection and return the error that says so."""
        if by in (LostBy.TIMEOUT, LostBy.STOPPED):
            self.abort()
        self.close()
        return AssociationLost(why, by)

    def broken(self, what: str, reason: int = 0) -> ProtocolError:
        """Abort (PS3.8 section 9.3.8) and return the error that says why."""
        self.abort(source=2, reason=reason)
        return ProtocolError(f"the peer sent {what}; the association was aborted")

    def abort(self, source: int = 0, reason: int = 0) -> None:
        """Send A-ABORT if it can go out at once, and close."""
        if self.open:
            with contextlib.suppress(OSError):
                self.sock.send(struct.pack(">BxLxxBB", ABORT, 4, source, reason))
        self.close()

    def close(self) -> None:
        """Close the socket; the last thing that happens to a connection."""
        if self.open:
            self.open = False
            self._selector.close()
            with contextlib.suppress(OSError):
                self.sock.shutdown(socket.SHUT_RDWR)
            self.sock.close()

    def release(self, seconds: float) -> None:
        """Release the association (PS3.8 section 7.2) and close; never raises."""
        if not self.open:
            return
        limit = time.monotonic() + seconds
        with contextlib.suppress(AssociationLost, ProtocolError):
            self.send(struct.pack(">BxLxxxx", RELEASE_RQ, 4), seconds)
            while self.read_pdu(lambda: limit)[0] == P_DATA:
                pass
        self.close()

    def answer_release(self) -> None:
        """Answer an A-RELEASE-RQ and close."""
        with contextlib.suppress(AssociationLost):
            self.send(struct.pack(">BxLxxxx", RELEASE_RP, 4), 1.0)
        self.close()

    def is_stale(self) -> bool:
        """Tell, without waiting, whether the peer has left an idle association."""
        if not self.open or self._buffer:
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

    def send_message(self, context_id: int, command: Mapping[str, int | str], data: bytes = b"") -> None:
        """Send a command set and, if there is one, its data set, in as few writes as the peer's PDU size allows."""
        raw = bytearray()
        room = max(self.peer_max_pdu - 6, 1 << 10)
        for is_command, part in ((1, command_set.encode(command)), (0, data)):
            view = memoryview(part)
            while view:
                piece, view = view[:room], view[room:]
                raw += PDU_HEAD.pack(P_DATA, len(piece) + 6)
                raw += _PDV_HEAD.pack(len(piece) + 2, context_id, is_command | (0 if view else 2))
                raw += piece
                if len(raw) > _READ:
                    self.send(raw)
                    raw.clear()
        self.send(raw)

    def read_message(self, until: Until = never) -> Message:
        """Return the next DIMSE message.

        Raises
        ------
        AssociationLost
            If the association ends first; `.by` says how.
        ProtocolError
            If what comes is not a DIMSE message.
        """
        command: Command | None = None
        parts: dict[bool, bytearray] = {True: bytearray(), False: bytearray()}
        context_id = 0
        while True:
            kind, body = self.read_pdu(until)
            if kind == RELEASE_RQ:
                self.answer_release()
                raise AssociationLost("the peer released the association", LostBy.RELEASE)
            if kind == ABORT:
                self.close()
                raise AssociationLost("the peer aborted the association", LostBy.ABORT)
            if kind != P_DATA:
                raise self.broken(f"a PDU of type {kind} where a message was due", reason=2)
            offset = 0
            while offset < len(body):
                if len(body) - offset < 6:
                    raise self.broken("a presentation data value that ends early", reason=6)
                length, context_id, flags = _PDV_HEAD.unpack_from(body, offset)
                if length < 2 or length > len(body) - offset - 4:
                    raise self.broken(f"a presentation data value of {length} bytes in a PDU of {len(body)}", reason=6)
                is_command, last = bool(flags & 1), bool(flags & 2)
                part = parts[is_command]
                part += body[offset + 6 : offset + 4 + length]
                offset += 4 + length
                if len(part) > _MESSAGE_CAP or is_command == (command is not None):
                    raise self.broken("parts of a message out of order, or far too many", reason=6)
                if not last:
                    continue
                if is_command:
                    try:
                        command = command_set.decode(part)
                    except ValueError as error:
                        raise self.broken(f"a command set that cannot be read ({error})", reason=6) from error
                    if command.get("CommandDataSetType", command_set.NO_DATA_SET) != command_set.NO_DATA_SET:
                        continue
                if offset < len(body):
                    raise self.broken("two messages in one PDU", reason=6)
                assert command is not None
                return Message(context_id, command, bytes(parts[False]))


def connect(node: Node, seconds: float | None, waker: Waker | None = None, until: Until = never) -> socket.socket:
    """Open a TCP connection (and TLS, if the node has it), one address after the other.

    Raises
    ------
    NodeUnreachable
        If no address answers in time.
    AssociationLost
        If `until` passes first.
    """
    limit = None if seconds is None else time.monotonic() + seconds
    try:
        addresses = socket.getaddrinfo(node.host, node.port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        why = getattr(error, "strerror", None) or "it cannot be a name"
        mend = "check how it is written; some names are known only in the hospital's network or its VPN"
        raise NodeUnreachable(f"{node}: the name {node.host!r} cannot be resolved ({why}); {mend}") from error
    why = "no address"
    for family, kind, protocol, _, address in addresses:
        sock = socket.socket(family, kind, protocol)
        sock.setblocking(False)
        code = sock.connect_ex(address)
        if code in (0, *_IN_PROGRESS) and _wait_connected(sock, limit, waker, until):
            code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if code == 0:
                return _wrap_tls(sock, node, limit)
            why = os.strerror(code)
        else:
            why = os.strerror(code) if code not in (0, *_IN_PROGRESS) else f"no answer within {seconds:g} s"
        sock.close()
    raise NodeUnreachable(
        f"{node}: no TCP connection ({why}); check host and port, and whether a firewall lets this machine through"
    )


def _wait_connected(sock: socket.socket, limit: float | None, waker: Waker | None, until: Until) -> bool:
    with selectors.DefaultSelector() as selector:
        selector.register(sock, selectors.EVENT_WRITE)
        if waker is not None:
            selector.register(waker.receiving, selectors.EVENT_READ)
        while True:
            stop = until()
            if stop is not None and stop <= time.monotonic():
                sock.close()
                raise AssociationLost("given up while connecting", LostBy.STOPPED)
            limits = [moment for moment in (limit, stop) if moment is not None]
            timeout = min(limits) - time.monotonic() if limits else None
            if limit is not None and limit <= time.monotonic():
                return False
            for key, _ in selector.select(timeout):
                if key.fileobj is sock:
                    return True
                assert waker is not None
                waker.drain()


def _wrap_tls(sock: socket.socket, node: Node, limit: float | None) -> socket.socket:
    if node.tls is None:
        return sock
    sock.settimeout(None if limit is None else max(limit - time.monotonic(), 0.1))
    try:
        return node.tls.wrap_socket(sock, server_hostname=node.host)
    except OSError as error:
        sock.close()
        raise NodeUnreachable(f"{node}: no TLS connection ({error}); check the certificates on both sides") from error
