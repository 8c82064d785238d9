"""TLS on the connections that others make to us: the handshake, who is let in, and why somebody is not."""

from __future__ import annotations

import contextlib
import os
import socket
import ssl
import time
from dataclasses import replace
from pathlib import Path

from dicomover.errors import ConfigurationError
from dicomover.security.failures import Certificate, Peer, explain_failure, names_in, read_certificate
from dicomover.security.tls import TLS, TLSLike, server_context
from dicomover.text.face import setting

__all__ = ["SecureDoor", "Unsecured", "see_own_certificate"]

_HANDSHAKE, _ASSOCIATE_RQ = b"\x16", b"\x01"  # what TLS and DICOM begin with


def see_own_certificate(tls: TLS) -> Certificate:
    """Return our certificate as callers see it: hands are shaken in memory, with whoever trusts that certificate.

    Raises ConfigurationError if it cannot be shown, or is not valid now.
    """
    server = server_context(replace(tls, ca=None, peers=()))
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname = False
    client.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    client.load_verify_locations(Path(tls.cert or "").expanduser())
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ours = server.wrap_bio(to_server, to_client, server_side=True)
    caller = client.wrap_bio(to_client, to_server)
    try:
        for side in (caller, ours, caller):
            with contextlib.suppress(ssl.SSLWantReadError):
                side.do_handshake()
    except ssl.SSLCertVerificationError as error:
        raise ConfigurationError(
            f"our certificate in {os.fspath(tls.cert or '')!r} is not accepted by anybody: {error.verify_message}",
            "have another one made",
        ) from error
    return caller.getpeercert() or {}


_COST, _FORGETS, _DEAREST = 0.005, 0.98, 0.05  # seconds before the first, what is left after each, and at most


class Unsecured(Exception):
    """A connection does not become a secure one; why, and what to do."""

    def __init__(self, why: str, mend: str) -> None:
        super().__init__(why, mend)
        self.why, self.mend = f"no TLS connection ({why})", mend


class SecureDoor:
    """Makes the connections of callers secure; raises ConfigurationError if a file for it is not what it should be.

    One for all connections, each of which is used by one thread. The socket that `wrap` returns is the connection from
    then on, also for whoever wants to cut it.
    """

    def __init__(self, tls: TLSLike) -> None:
        self._tls = tls
        self._context = server_context(tls)
        # Seconds of the processor that a handshake takes, by the latest ones: more with a long key, or a slow machine.
        self.cost = _COST
        self._names = frozenset(name.casefold() for name in tls.peers) if isinstance(tls, TLS) else frozenset()

    def look_at(self, first: bytes) -> None:
        """Look at the first byte that somebody sends, before anything is answered; raises Unsecured."""
        if first == _ASSOCIATE_RQ:
            mend = "let the archive send to us by TLS, or listen without"
            raise Unsecured("it speaks DICOM without TLS, and we listen with TLS", mend)
        if first != _HANDSHAKE:
            raise Unsecured("it speaks neither TLS nor DICOM", "see who else has been told of this port")

    def wrap(self, sock: socket.socket) -> ssl.SSLSocket:
        """Return the connection on which hands are to be shaken; the one that was given is none any more."""
        return self._context.wrap_socket(sock, server_side=True, do_handshake_on_connect=False)

    def shake_hands(self, secured: ssl.SSLSocket) -> None:
        """Shake hands, and see that it is somebody who may come; raises Unsecured."""
        begun = time.thread_time()
        try:
            secured.do_handshake()
        except OSError as error:
            why, mend, _ = explain_failure(error, Peer(self._tls, read_certificate(secured)))
            raise Unsecured(why, mend) from error
        finally:  # of two threads at once one is lost, which changes nothing
            self.cost = min(max(self.cost * _FORGETS, time.thread_time() - begun), _DEAREST)
        if not self._names:
            return
        names = names_in(secured.getpeercert() or {})
        if self._names.isdisjoint(name.casefold() for name in names):
            shown = ", ".join(repr(name[:100]) for name in names[:5]) or "nobody"
            raise Unsecured(
                f"its certificate names {shown}, and none of those that may send",
                f"add a name of it to {setting('peers')}, if it is the archive's",
            )
