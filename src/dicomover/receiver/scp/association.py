"""One connection of a peer, from its first byte to its last, on a thread of its own that sleeps in the kernel.

P-DATA is parsed where it was received and written from there. How long a peer may keep us waiting is
watched from outside: `deadline` says when the connection is to be cut.
"""

from __future__ import annotations

import contextlib
import logging
import math
import socket
import ssl
import struct
import time
from typing import NoReturn, Protocol

from dicomover.receiver.scp.contexts import accept_contexts
from dicomover.receiver.scp.store import CANNOT_UNDERSTAND, IncomingInstance, Storage, clean_ae_title
from dicomover.wire import command_set
from dicomover.wire.command_set import C_CANCEL_RQ, C_ECHO_RQ, C_STORE_RQ, NO_DATA_SET, RESPONSE, Command
from dicomover.wire.dump import log_contexts, log_message
from dicomover.wire.negotiation import encode_accept, encode_reject, parse_request
from dicomover.wire.pdus import ABORT, ASSOCIATE_RQ, P_DATA, PDU_HEAD, RELEASE_RP, RELEASE_RQ

__all__ = ["Host", "IncomingAssociation"]

_UNRECOGNISED_OPERATION = 0x0211
_ASSOCIATION_PDU_CAP = 1 << 20
_COMMAND_CAP = 1 << 16
_BUFFER = 1 << 18  # larger ones were slower: they do not stay in the processor's cache
_ROOM = 1 << 17  # what a read must be able to take
_PDV_HEAD = struct.Struct(">LBB")
_QUICKACK = getattr(socket, "TCP_QUICKACK", None)
# Reasons of an A-ABORT by the service provider, PS3.8 section 9.3.8
_UNRECOGNISED_PDU, _UNEXPECTED_PDU, _INVALID_PARAMETER = 1, 2, 6
_LONGEST_UID_ECHOED = 128

logger = logging.getLogger("dicomover.receiver")


class _Over(Exception):
    """The association has ended; how was said already."""


class _Broken(Exception):
    """The peer sent what the Standard does not allow."""

    def __init__(self, why: str, reason: int) -> None:
        super().__init__(why)
        self.reason = reason


class Host(Protocol):
    """What an association asks of the receiver that it belongs to."""

    storage: Storage
    last_activity: float

    def may_begin(self, association: IncomingAssociation) -> bool:
        """Count the association, or say that there are too many."""

    def turned_away(self, association: IncomingAssociation, why: str) -> None:
        """Report an association that was rejected."""


class IncomingAssociation:
    """One connection.

    Attributes
    ----------
    deadline
        The `time.monotonic()` at which the peer has kept us waiting for too long.
    established
        True once it counts as an association.
    busy
        True while a message is being received or answered.
    ending
        Set from outside: end as soon as the message in progress, if any, has been answered.
    cut
        Set from outside: end at once.
    """

    def __init__(self, sock: socket.socket, peer: str, host: Host, tls: ssl.SSLContext | None = None) -> None:
        self.peer = peer
        self.begun = time.monotonic()
        self._limits = host.storage.settings.limits
        self.deadline = self.begun + self._limits.opening
        self.established = False
        self.busy = False
        self.ending = False
        self.cut = False
        self.calling_ae_title = ""
        self._sock = sock
        self._host = host
        self._tls = tls
        self._syntaxes: dict[int, str] = {}
        self._instance: IncomingInstance | None = None
        self._command: Command | None = None
        self._command_bytes = bytearray()
        self._context_id = 0

    # --- from outside

    def end(self, hard: bool = False) -> None:
        """Cut the connection; `hard` also ends a write that hangs."""
        self.cut = True
        self.deadline = time.monotonic() + self._limits.closing
        self.wake(hard)

    def wake(self, hard: bool = False) -> None:
        """Let the thread look around, as if the connection had ended."""
        with contextlib.suppress(OSError):
            self._shut(socket.SHUT_RDWR if hard else socket.SHUT_RD)

    def _shut(self, how: int) -> None:
        """Shut the connection down below the TLS layer, which does not like two threads."""
        socket.socket.shutdown(self._sock, how)

    # --- the thread

    def run(self) -> None:
        """Serve the peer until the end, and leave nothing behind."""
        try:
            with contextlib.suppress(OSError):
                self._sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self._tls is not None:
                secured = self._tls.wrap_socket(self._sock, server_side=True, do_handshake_on_connect=False)
                self._sock = secured
                secured.do_handshake()
            self._serve(self._negotiate())
        except _Over:
            pass
        except _Broken as error:
            logger.warning("aborted the association with %s: %s", self.peer, error)
            self._abort(2, error.reason)
        except OSError as error:
            logger.info("the connection with %s broke: %s", self.peer, error.strerror or type(error).__name__)
        except Exception:
            logger.exception("aborted the association with %s after an error of ours", self.peer)
            self._abort(2, 0)
        finally:
            self._abandon()
            with contextlib.suppress(OSError):
                self._sock.close()

    def _negotiate(self) -> bytes:
        """Take the A-ASSOCIATE-RQ and answer it; return what has come after it."""
        received = bytearray()
        wanted = 6
        while len(received) < wanted:
            chunk = self._sock.recv(1 << 16)
            if not chunk or self.cut:
                raise _Over
            received += chunk
            if received[0] != ASSOCIATE_RQ:
                raise _Broken("this is not the beginning of a DICOM association", _UNRECOGNISED_PDU)
            if wanted == 6 and len(received) >= 6:
                length = PDU_HEAD.unpack_from(received)[1]
                if length > _ASSOCIATION_PDU_CAP:
                    raise _Broken(f"an association request of {length} bytes", _INVALID_PARAMETER)
                wanted += length
        self.deadline = math.inf
        try:
            request = parse_request(memoryview(received)[6:wanted])
        except ValueError as error:
            raise _Broken(str(error), _INVALID_PARAMETER) from error
        settings = self._host.storage.settings
        self.calling_ae_title = clean_ae_title(request.calling_ae_title)
        if request.rejection is not None:
            self._reject(*request.rejection, "it asks for another protocol version or application context than DICOM's")
        if request.called_ae_title != settings.ae_title:
            self._reject(1, 1, 7, f"it calls {request.called_ae_title[:16]!r}, we are {settings.ae_title!r}")
        if settings.calling_ae_titles and request.calling_ae_title not in settings.calling_ae_titles:
            self._reject(1, 1, 3, f"its AE title {request.calling_ae_title[:16]!r} is not among those let in")
        if not self._host.may_begin(self):
            self._reject(2, 3, 2, f"there are {settings.max_associations} associations already")
        accepted = accept_contexts(request.contexts)
        self._syntaxes = {id_: syntax for id_, syntax in accepted.items() if syntax}
        log_contexts(logger, f"accepted an association of {self.peer}", request.contexts, accepted)
        self._send(encode_accept(request, accepted, settings.max_pdu))
        return bytes(received[wanted:])

    def _reject(self, result: int, source: int, reason: int, why: str) -> NoReturn:
        self._host.turned_away(self, why)
        self._send(encode_reject(result, source, reason))
        self._linger()
        raise _Over

    def _serve(self, first: bytes) -> None:
        """Take P-DATA until the association ends.

        `end` bytes are in the buffer, and those before `position` have been looked at. Of the PDU that is being
        read `pdu_left` bytes are still to come, of its presentation data value `pdv_left`.
        """
        host, limits = self._host, self._limits
        size = max(_BUFFER, len(first) + _ROOM)
        buffer = bytearray(size)
        view = memoryview(buffer)
        end = len(first)
        buffer[:end] = first
        position = pdu_left = pdv_left = flags = 0
        max_pdu = host.storage.settings.max_pdu
        now = pdu_begun = time.monotonic()
        receive_into, monotonic = self._sock.recv_into, time.monotonic
        unpack_pdu, unpack_pdv = PDU_HEAD.unpack_from, _PDV_HEAD.unpack_from
        while True:
            while position < end:
                if pdv_left:
                    taken = min(pdv_left, end - position)
                    pdv_left -= taken
                    pdu_left -= taken
                    self._take(view[position : position + taken], flags, not pdv_left)
                    position += taken
                elif end - position < 6:
                    break
                elif pdu_left:
                    length, context_id, flags = unpack_pdv(buffer, position)
                    if length < 2 or length + 4 > pdu_left:
                        raise _Broken(f"a PDV of {length} bytes with {pdu_left} left in its PDU", _INVALID_PARAMETER)
                    position += 6
                    pdu_left -= 6
                    pdv_left = length - 2
                    self._check_turn(context_id, flags)
                    if not pdv_left:
                        self._take(view[position:position], flags, True)
                else:
                    kind, length = unpack_pdu(buffer, position)
                    if kind != P_DATA:
                        if end - position < 6 + self._length_of_other(kind, length):
                            break
                        self._leave(kind)
                    if not 6 <= length <= max_pdu:
                        raise _Broken(f"a P-DATA-TF PDU of {length} bytes (allowed: {max_pdu})", _INVALID_PARAMETER)
                    position += 6
                    pdu_left = length
                    pdu_begun = host.last_activity = now
            # All that came has been looked at, but for the beginning of a header.
            instance = self._instance
            if instance is None or size - end < _ROOM:
                if instance is not None:
                    instance.flush()
                rest = end - position
                if rest:
                    buffer[:rest] = buffer[position:end]
                position, end = 0, rest
            between = not pdu_left and position == end
            if not between:
                self.deadline = pdu_begun + limits.pdu
            elif self.busy:
                self.deadline = now + limits.pdu
            elif self.ending:
                self._abort(2, 0)
                return
            else:
                self.deadline = now + limits.idle
            if _QUICKACK is not None:
                # A sender that has Nagle's algorithm on holds the rest of a message back until this.
                self._sock.setsockopt(socket.IPPROTO_TCP, _QUICKACK, 1)
            received = receive_into(view[end:])
            self.deadline = math.inf
            if not received or self.cut:
                self._cut_off()
                return
            now = monotonic()
            end += received
            if between:
                pdu_begun = now
            else:
                host.last_activity = now

    # --- PDUs

    def _length_of_other(self, kind: int, length: int) -> int:
        """Return the length of a PDU other than P-DATA-TF, or say why it may not come now."""
        if kind not in (RELEASE_RQ, ABORT):
            known = ASSOCIATE_RQ <= kind <= ABORT
            raise _Broken(f"a PDU of type {kind} in an association", _UNEXPECTED_PDU if known else _UNRECOGNISED_PDU)
        if length > 1024:
            raise _Broken(f"a PDU of type {kind} and {length} bytes", _INVALID_PARAMETER)
        return length

    def _leave(self, kind: int) -> NoReturn:
        """End the association as the peer wishes: after A-RELEASE-RQ or A-ABORT."""
        if kind == RELEASE_RQ:
            self._send(struct.pack(">BxLxxxx", RELEASE_RP, 4))
            self._linger()
        elif self.busy:
            logger.info("%s aborted in the middle of a message", self.peer)
        raise _Over

    def _cut_off(self) -> None:
        """Say why the connection ends without the peer's farewell."""
        if self.ending or self.cut:
            if not self.ending:
                logger.warning("%s kept us waiting for too long; the association was aborted", self.peer)
            self._abort(2, 0)
        else:
            logger.info("%s closed the connection without releasing the association", self.peer)

    def _abandon(self) -> None:
        if self._instance is not None:
            self._instance.abandon()
            self._instance = None

    def _abort(self, source: int, reason: int) -> None:
        self._abandon()
        with contextlib.suppress(OSError):
            self._send(struct.pack(">BxLxxBB", ABORT, 4, source, reason))
            self._linger()

    def _linger(self) -> None:
        """Let the peer read our last PDU before the connection goes: unread bytes would reset it."""
        with contextlib.suppress(OSError):
            self.deadline = time.monotonic() + self._limits.closing
            self._shut(socket.SHUT_WR)
            while not (self.cut or self.ending) and self._sock.recv(1 << 16):
                pass

    def _send(self, raw: bytes) -> None:
        self.deadline = time.monotonic() + self._limits.pdu
        self._sock.sendall(raw)

    # --- messages

    def _check_turn(self, context_id: int, flags: int) -> None:
        """Check that a fragment belongs to the message in progress, or begins one."""
        if context_id not in self._syntaxes:
            raise _Broken(f"presentation context {context_id}, which was not accepted", _INVALID_PARAMETER)
        if bool(flags & 1) == (self._command is not None):
            raise _Broken("a command or a data set where the other one was due", _UNEXPECTED_PDU)
        if self.busy and context_id != self._context_id:
            raise _Broken("a message that goes on in another presentation context", _INVALID_PARAMETER)
        self._context_id = context_id
        self.busy = True

    def _take(self, piece: memoryview, flags: int, whole: bool) -> None:
        """Take a part of a fragment; `whole` if it is the last one of it."""
        last = whole and bool(flags & 2)
        if not flags & 1:
            if self._instance is not None:
                self._instance.take(piece, last)
            if last:
                self._end_message()
            return
        raw = self._command_bytes
        raw += piece
        if len(raw) > _COMMAND_CAP:
            raise _Broken(f"a command set of more than {_COMMAND_CAP >> 10} KiB", _INVALID_PARAMETER)
        if not last:
            return
        try:
            command = command_set.decode(raw)
        except ValueError as error:
            raise _Broken(str(error), _INVALID_PARAMETER) from error
        raw.clear()
        self._command = command
        log_message(logger, "received from", self.peer, self._context_id, command)
        if command.get("CommandDataSetType", NO_DATA_SET) == NO_DATA_SET:
            self._end_message()
        elif command.get("CommandField") == C_STORE_RQ:
            syntax = self._syntaxes[self._context_id]
            self._instance = IncomingInstance(self._host.storage, command, syntax, self.calling_ae_title)

    def _end_message(self) -> None:
        """Answer the message that is complete now."""
        command, instance = self._command, self._instance
        assert command is not None
        self._command = None
        kind = command.get("CommandField", 0)
        if instance is not None:
            status = instance.finish()
            self._instance = None
        elif kind == C_ECHO_RQ:
            status = 0
        elif kind == C_STORE_RQ:
            status = CANNOT_UNDERSTAND
        else:
            status = _UNRECOGNISED_OPERATION
        if isinstance(kind, int) and not kind & RESPONSE and kind != C_CANCEL_RQ:
            self._answer(command, kind, status)
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
        log_message(logger, "sent to", self.peer, self._context_id, response)
        raw = command_set.encode(response)
        head = PDU_HEAD.pack(P_DATA, len(raw) + 6) + _PDV_HEAD.pack(len(raw) + 2, self._context_id, 3)
        self._send(head + raw)
