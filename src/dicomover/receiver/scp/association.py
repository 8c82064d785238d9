"""One connection of a peer, from its first byte to its last, on a thread of its own that sleeps in the kernel.

P-DATA is parsed where it was received and written from there. How long a peer may keep us waiting is
watched from outside: `deadline` says when the connection is to be cut.
"""

from __future__ import annotations

import contextlib
import logging
import math
import socket
import struct
import time
from collections.abc import Iterable
from typing import NoReturn, Protocol

from dicomover.errors import ConfigurationError
from dicomover.events import Refused
from dicomover.node import check_ae_title
from dicomover.receiver.scp.contexts import accept_contexts, explain_refused
from dicomover.receiver.scp.dialogue import Dialogue
from dicomover.receiver.scp.intake import INVALID_PARAMETER, UNRECOGNISED_PDU, Broken, Intake
from dicomover.receiver.scp.opening import Rejection, explain_beginning, judge_request, reject_for_now
from dicomover.receiver.scp.store import Caller, Storage
from dicomover.security.door import SecureDoor, Unsecured
from dicomover.text.traces import tell_trace
from dicomover.wire.dump import log_contexts
from dicomover.wire.messages import Context
from dicomover.wire.negotiation import encode_accept, encode_reject, parse_request
from dicomover.wire.pdus import ABORT, ASSOCIATE_RQ, PDU_HEAD, RELEASE_RP, RELEASE_RQ
from dicomover.wire.transport import keep_alive

__all__ = ["Host", "IncomingAssociation"]

_ASSOCIATION_PDU_CAP = 1 << 16
_SLICE = 0.2  # seconds of sleep between two looks whether it is to end
_STRANGERS_READ = 1 << 13  # bytes that it is read at a time, so that what it may do between two reads is bounded
_QUICKACK = getattr(socket, "TCP_QUICKACK", None)

_DISPLACED = "it had brought nothing that was asked for when its place was needed"
_MORE_ROOM = "if it was the archive's, let it open fewer at a time, or raise max_associations"
_NETWORK = "look at the network in between"
_SHORTER = f"let it propose fewer presentation contexts; {_ASSOCIATION_PDU_CAP:,} bytes are read at most"
_OTHER_SYNTAX = "accept='as-stored' takes all that can be filed; else let the archive offer another transfer syntax"

logger = logging.getLogger("dicomover.receiver")


class _Over(Exception):
    """The association has ended; how was said already."""


class Host(Protocol):
    """What an association asks of the receiver that it belongs to."""

    storage: Storage
    last_activity: float
    last_call: float

    def may_begin(self, association: IncomingAssociation) -> bool:
        """Count the association, or say that there are too many."""

    def keep(self, association: IncomingAssociation) -> None:
        """Let it keep its place: it has brought something that was asked for."""

    def charge(self, association: IncomingAssociation, seconds: float) -> float:
        """Take note of so much work for somebody who has brought nothing, and say when to go on with it."""

    def note_offers(self, caller: Caller, contexts: Iterable[Context]) -> None:
        """Take note of what it offers."""

    def tell_refusal(self, what: Refused, caller: Caller, why: str, mend: str) -> None:
        """Tell that something was refused which is no instance."""


class IncomingAssociation:
    """One connection."""

    def __init__(self, sock: socket.socket, peer: str, host: Host, door: SecureDoor | None = None) -> None:
        self.peer = peer
        self.begun = time.monotonic()
        self._limits = host.storage.settings.limits
        # The `time.monotonic()` at which the peer has kept us waiting for too long.
        self.deadline = self.begun + self._limits.opening
        self.established = False  # once it counts as an association
        self.proven = False  # once it has brought something that was asked for
        self.used = 0.0  # seconds of the processor, while it has brought nothing
        # From outside: to end once the message in progress is answered; to end at once; and that to make room.
        self.ending = self.cut = self.displaced = False
        self.caller = Caller("", peer.rpartition(":")[0])
        self._sock = sock
        self._host = host
        self._log = host.storage.notices.log
        self._door = door
        self._began_at = 0.0  # by the clock of its thread
        self._ahead = 0.0  # seconds on the account that have not been used yet
        self._dialogue = Dialogue(host.storage, self.caller, {}, self._send, self._heed, peer)

    @property
    def busy(self) -> bool:
        """True while a message is being received or answered."""
        return self._dialogue.busy

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
        self._began_at = time.thread_time()
        try:
            with contextlib.suppress(OSError):
                self._sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                keep_alive(self._sock)
            # Ahead, where hands are to be shaken: who waits for a turn would all begin at once, and end much later.
            self._give_way(0.0 if self._door is None else self._door.cost)
            if self._door is not None:
                if (
                    self.cut
                ):  # sent away while it waited for its turn: what it has said is there, and not worth a signature
                    raise _Over
                self._secure(self._door)
            self._serve(self._negotiate())
        except _Over:
            pass
        except Broken as error:
            self._log(logging.WARNING, "aborted the association with %s: %s", self.peer, error)
            # Told before the abort: who sees the abort may ask for the reason at once.
            self._host.tell_refusal(error.what, self.caller, str(error), error.mend)
            self._abort(2, error.reason)
        except OSError as error:
            why = error.strerror or type(error).__name__
            self._log(logging.INFO, "the connection with %s broke: %s", self.peer, why)
        except Exception as error:  # noqa: BLE001 - told without what it says
            logger.error("aborted the association with %s after an error of ours\n%s", self.peer, tell_trace(error))
            self._abort(2, 0)
        finally:
            self._settle()
            self._dialogue.abandon()
            with contextlib.suppress(OSError):
                self._sock.close()

    def _secure(self, door: SecureDoor) -> None:
        """Shake hands; why that fails is told, unless the peer said nothing."""
        if not (first := self._sock.recv(1, socket.MSG_PEEK)):
            raise _Over
        try:
            door.look_at(first)
            self._sock = secured = door.wrap(self._sock)
            door.shake_hands(secured)
        except Unsecured as error:
            why, mend, seconds = error.why, error.mend, self._limits.opening
            if self.cut:
                if self.ending or time.monotonic() - self.begun < seconds:
                    raise _Over from error
                why, mend = f"no TLS connection (the handshake has not ended within {seconds:g} s)", _NETWORK
            self._log(logging.WARNING, "turned %s away: %s", self.peer, why)
            self._host.tell_refusal(Refused.CONNECTION, self.caller, why, mend)
            raise _Over from error

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
                why, mend = explain_beginning(received)
                raise Broken(why, UNRECOGNISED_PDU, mend, Refused.CONNECTION)
            if wanted == 6 and len(received) >= 6:
                length = PDU_HEAD.unpack_from(received)[1]
                if length > _ASSOCIATION_PDU_CAP:
                    raise Broken(f"an association request of {length:,} bytes", INVALID_PARAMETER, _SHORTER)
                wanted += length
        self.deadline = math.inf
        try:
            request = parse_request(memoryview(received)[6:wanted])
        except ValueError as error:
            raise Broken(f"an association request that cannot be read: {error}", INVALID_PARAMETER) from error
        settings = self._host.storage.settings
        self.caller = self.caller._replace(ae_title=_clean_ae_title(request.calling_ae_title))
        rejection = judge_request(request, settings)
        if rejection is None and not self._host.may_begin(self):
            rejection = reject_for_now(settings)
        if rejection is not None:
            self._reject(rejection)
        storage = self._host.storage
        accepted = accept_contexts(request.contexts, storage.accept, other_kind=storage.admissions.other_kind)
        self._host.note_offers(self.caller, request.contexts)
        syntaxes = {id_: syntax for id_, syntax in accepted.items() if syntax}
        self._dialogue = Dialogue(self._host.storage, self.caller, syntaxes, self._send, self._heed, self.peer)
        log_contexts(logger, f"accepted an association of {self.peer}", request.contexts, accepted)
        if len(syntaxes) < len(request.contexts) and (why := explain_refused(request.contexts, accepted)):
            self._log(logging.WARNING, "refused presentation contexts of %s: %s", self.peer, why)
            self._host.tell_refusal(Refused.CONTEXT, self.caller, why, _OTHER_SYNTAX)
        self._send(encode_accept(request, accepted, settings.max_pdu))
        return bytes(received[wanted:])

    def _reject(self, rejection: Rejection) -> NoReturn:
        self._log(logging.WARNING, "rejected an association of %s: %s", self.peer, rejection.why)
        self._host.tell_refusal(Refused.ASSOCIATION, self.caller, rejection.why, rejection.mend)
        self._send(encode_reject(*rejection[:3]))
        self._linger()
        raise _Over

    def _serve(self, first: bytes) -> None:
        """Take P-DATA until the association ends."""
        host, limits, dialogue = self._host, self._limits, self._dialogue
        now = host.last_call = time.monotonic()
        intake = Intake(dialogue, host.storage.settings.max_pdu, limits, now)
        intake.room(len(first))[:] = first
        received = len(first)
        receive_into, monotonic = self._sock.recv_into, time.monotonic
        while True:
            if kind := intake.take(received, now):
                self._leave(kind)
            if not self.proven:
                self._give_way()
            self.deadline = intake.due(now)
            if self.deadline == math.inf:
                if self.ending:
                    self._abort(2, 0)
                    return
                self.deadline = now + limits.idle
            if _QUICKACK is not None:
                # A sender that has Nagle's algorithm on holds the rest of a message back until this.
                self._sock.setsockopt(socket.IPPROTO_TCP, _QUICKACK, 1)
            received = receive_into(intake.room() if self.proven else intake.room(_STRANGERS_READ))
            self.deadline = math.inf
            if not received or self.cut:
                self._cut_off()
                return
            now = host.last_call = monotonic()

    def _give_way(self, ahead: float = 0.0) -> None:
        """Sleep, if those who bring nothing have had more of the processor than is theirs.

        It reads little at a time, so that it sleeps often and not for long.
        """
        until = self._charge(ahead)
        while not (self.cut or self.ending) and (left := until - time.monotonic()) > 0:
            time.sleep(min(left, _SLICE))

    def _charge(self, ahead: float = 0.0) -> float:
        """Put what was used to the account, less what was put there ahead, and what is about to be used."""
        before, self.used = self.used, time.thread_time() - self._began_at
        spent = self.used - before
        covered = min(spent, self._ahead)
        self._ahead += ahead - covered
        return self._host.charge(self, spent - covered + ahead)

    def _settle(self) -> None:
        """Put to the account what is left to be; what was put there ahead and was not used goes back."""
        if not self.proven:
            self._charge()
        self._host.charge(self, -self._ahead)

    def _heed(self, is_news: bool, _is_slow: bool) -> None:
        """Take note that something has come which was asked for; the peer is not answered before."""
        if is_news:
            self._host.last_activity = time.monotonic()
        if not self.proven:
            self._host.keep(self)

    # --- PDUs

    def _leave(self, kind: int) -> NoReturn:
        """End the association as the peer wishes: after A-RELEASE-RQ or A-ABORT."""
        if kind == RELEASE_RQ:
            self._send(struct.pack(">BxLxxxx", RELEASE_RP, 4))
            self._linger()
        elif self.busy:
            self._log(logging.INFO, "%s aborted in the middle of a message", self.peer)
        raise _Over

    def _cut_off(self) -> None:
        """Say why the connection ends without the peer's farewell."""
        if self.displaced:
            self._log(logging.INFO, "ended the association with %s to make room: it had brought nothing", self.peer)
            self._host.tell_refusal(Refused.ASSOCIATION, self.caller, _DISPLACED, _MORE_ROOM)
            self._abort(2, 0)
        elif self.ending or self.cut:
            if not self.ending:
                self._log(logging.WARNING, "%s kept us waiting for too long; the association was aborted", self.peer)
                if self.busy:
                    why = f"nothing came for {self._limits.pdu:g} s in the middle of a message"
                    self._host.tell_refusal(Refused.ASSOCIATION, self.caller, why, _NETWORK)
            self._abort(2, 0)
        else:
            self._log(logging.INFO, "%s closed the connection without releasing the association", self.peer)

    def _abort(self, source: int, reason: int) -> None:
        self._dialogue.abandon()
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


def _clean_ae_title(text: str) -> str:
    """Return the AE title if it is a proper one, else nothing."""
    try:
        return check_ae_title(text)
    except ConfigurationError:
        return ""
