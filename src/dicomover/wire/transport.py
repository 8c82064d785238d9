"""How a TCP connection to a node comes about: its name, its addresses, TLS.

Everything waits on the caller's thread, where a `Waker` and `until` reach it; only the look-up of a name, which nothing
can interrupt, runs on a thread of its own, and is left alone if it takes too long.
"""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
import selectors
import socket
import ssl
import threading
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from dicomover.errors import AssociationLost, LostBy, NodeUnreachable
from dicomover.node import Node, Timeouts
from dicomover.security.failures import Peer, explain_failure, is_refusal, read_certificate
from dicomover.security.tls import TLS, client_context
from dicomover.wire.connection import Until, Waker, wait_forever

__all__ = ["connect", "explain_refusal", "keep_alive", "speaks_tls"]

_IN_PROGRESS = (0, errno.EINPROGRESS, errno.EWOULDBLOCK, getattr(errno, "WSAEWOULDBLOCK", errno.EWOULDBLOCK))
_OUR_TROUBLE = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
_HEAD_START = 0.25  # seconds until the next address is tried beside those that have not answered (RFC 8305 section 5)
_MOST_ADDRESSES = 16
_PROBING = 5.0  # seconds for a peer that is only asked whether it speaks TLS
_KEEP_ALIVE = {"TCP_KEEPIDLE": 60, "TCP_KEEPINTVL": 15, "TCP_KEEPCNT": 4}
"""After two minutes without a sign of life the connection counts as broken: firewalls forget idle ones silently."""

_Address = tuple[Any, ...]
_Trouble = tuple[str, int | None]
"""What came in the way of one address: in words, and as the system's error number."""


def connect(
    node: Node, seconds: float | None, waker: Waker | None = None, until: Until = wait_forever
) -> socket.socket:
    """Open a TCP connection (and TLS, if the node has it); of several addresses the first one that answers.

    It may take so many seconds for the name, the connection and TLS together, and not longer than `until` says, which
    the waker lets it ask again. Raises NodeUnreachable if the name is not known, no address answers in time, or TLS
    does not come about, AssociationLost if `until` passes first, and ConfigurationError if a file for TLS is not there.
    """
    limit = None if seconds is None else time.monotonic() + seconds
    context = None if node.tls is None else client_context(node.tls)
    with contextlib.ExitStack() as stack:
        if waker is None:
            waker = Waker()
            stack.callback(waker.close)
        wait = _Wait(waker, until, limit)
        stack.callback(wait.close)
        sock = _race(node, _resolve(node, wait, waker, seconds), wait, seconds)
        try:
            keep_alive(sock)
            return sock if context is None else _secure(sock, node, context, wait, seconds)
        except BaseException:
            sock.close()
            raise


class _Wait:
    """Sleeps until a socket is ready, a moment has come or somebody wakes it."""

    def __init__(self, waker: Waker, until: Until, limit: float | None) -> None:
        self.limit = limit
        self._waker = waker
        self._until = until
        self._selector = selectors.DefaultSelector()
        self._selector.register(waker.receiving, selectors.EVENT_READ)

    def watch(self, sock: socket.socket, events: int) -> None:
        """Look at this socket too."""
        self._selector.register(sock, events)

    def forget(self, sock: socket.socket) -> None:
        """Look at it no more."""
        self._selector.unregister(sock)

    def is_over(self) -> bool:
        """Tell whether the limit has passed."""
        return self.limit is not None and self.limit <= time.monotonic()

    def sleep(self, moment: float | None = None) -> list[socket.socket]:
        """Return the sockets that are ready; none if woken, or if `moment` or the limit has come.

        Raises AssociationLost if whoever asked for the connection has no more use for it.
        """
        stop = self._until()
        if stop is not None and stop <= time.monotonic():
            raise AssociationLost("given up while connecting", LostBy.STOPPED)
        moments = [each for each in (moment, stop, self.limit) if each is not None]
        timeout = max(min(moments) - time.monotonic(), 0.0) if moments else None
        ready = [key.fileobj for key, _ in self._selector.select(timeout)]
        if self._waker.receiving in ready:
            self._waker.drain()
        return [each for each in ready if isinstance(each, socket.socket) and each is not self._waker.receiving]

    def close(self) -> None:
        """Look at nothing any more."""
        self._selector.close()


def _resolve(node: Node, wait: _Wait, waker: Waker, seconds: float | None) -> list[_Address]:
    """Return the addresses of a node, those of both families in turn."""
    found: list[list[_Address] | Exception] = []

    def ask() -> None:  # on a thread of its own, which may outlive us
        try:
            found.append(socket.getaddrinfo(node.host, node.port, type=socket.SOCK_STREAM))
        except Exception as error:  # noqa: BLE001 - raised again below, on the thread that asked
            found.append(error)
        waker.wake()

    try:
        return socket.getaddrinfo(node.host, node.port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
    except (OSError, UnicodeError):  # it is a name
        threading.Thread(target=ask, name="dicomover resolver", daemon=True).start()
    while not found and not wait.is_over():
        wait.sleep()
    answer = found[0] if found else TimeoutError(0, f"no answer within {seconds:g} s")
    if isinstance(answer, OSError | UnicodeError):
        why = getattr(answer, "strerror", None) or "it cannot be a name"
        mend = "check how it is written; some names are known only in the hospital's network or its VPN"
        raise NodeUnreachable(f"{node}: the name {node.host!r} cannot be resolved ({why})", mend) from answer
    if isinstance(answer, Exception):
        raise answer
    first = [each for each in answer if each[0] == answer[0][0]]
    others = [each for each in answer if each[0] != answer[0][0]]
    turns = itertools.chain.from_iterable(itertools.zip_longest(first, others))
    return [each for each in turns if each is not None][:_MOST_ADDRESSES]


def _race(node: Node, addresses: list[_Address], wait: _Wait, seconds: float | None) -> socket.socket:
    """Return a connection to the first address that answers; each one has the time that is left, beside the others."""
    waiting, running = deque(addresses), dict[socket.socket, str]()
    troubles: dict[str, _Trouble] = {}
    next_at = 0.0
    try:
        while waiting or running:
            if wait.is_over():
                left = [*running.values(), *(each[4][0] for each in waiting)]
                troubles |= dict.fromkeys(left, (f"no answer within {seconds:g} s", None))
                break
            if waiting and (not running or next_at <= time.monotonic()):
                _begin(waiting.popleft(), wait, running, troubles)
                next_at = time.monotonic() + _HEAD_START
                continue
            for sock in wait.sleep(next_at if waiting else None):
                code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
                wait.forget(sock)
                address = running.pop(sock)
                if code == 0:
                    return sock
                sock.close()
                troubles[address] = os.strerror(code), code
                next_at = 0.0
    finally:
        for sock in running:
            wait.forget(sock)
            sock.close()
    whys = set(troubles.values())
    said = ", ".join(why for why, _ in whys) if len(whys) < 2 else _list_troubles(troubles)
    number = next(iter(whys))[1] if len(whys) == 1 else None
    mend = "check host and port, and whether a firewall lets this machine through"
    raise NodeUnreachable(f"{node}: no TCP connection ({said or 'no address'})", mend, number)


def _list_troubles(troubles: Mapping[str, _Trouble]) -> str:
    return ", ".join(f"{address}: {why}" for address, (why, _) in troubles.items())


def _begin(address: _Address, wait: _Wait, running: dict[socket.socket, str], troubles: dict[str, _Trouble]) -> None:
    """Begin to connect to an address; its trouble is its own, unless this machine can open nothing any more."""
    family, kind, protocol, _, where = address
    try:
        sock = socket.socket(family, kind, protocol)
    except OSError as error:
        if error.errno in _OUR_TROUBLE:
            raise
        troubles[where[0]] = error.strerror or str(error), error.errno
        return
    try:
        sock.setblocking(False)
        code = sock.connect_ex(where)
        if code in _IN_PROGRESS:
            wait.watch(sock, selectors.EVENT_WRITE)
            running[sock] = where[0]
            return
        troubles[where[0]] = os.strerror(code), code
    except OSError as error:
        troubles[where[0]] = error.strerror or str(error), error.errno
    sock.close()


def keep_alive(sock: socket.socket) -> None:
    """Let the system see within minutes that a peer is gone that has said no farewell."""
    with contextlib.suppress(OSError):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name, value in _KEEP_ALIVE.items():
            if hasattr(socket, name):
                sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


def _secure(
    sock: socket.socket, node: Node, context: ssl.SSLContext, wait: _Wait, seconds: float | None
) -> socket.socket:
    """Return the connection with TLS on it; the plain one is given up, whatever comes of it."""
    name = (isinstance(node.tls, TLS) and node.tls.name) or node.host
    try:
        name.encode("idna")  # or the socket would be lost over it, half wrapped
        secured = context.wrap_socket(sock, server_hostname=name, do_handshake_on_connect=False)
    except ValueError as error:  # a name that no certificate can have
        raise NodeUnreachable(
            f"{node}: no TLS connection ({error})", "check how the host is written", hopeless=True
        ) from error
    except OSError as error:  # it has gone already
        raise explain_refusal(error, node) from error
    try:
        while (events := _shake_hands(secured)) is not None:
            if wait.is_over():
                why = f"no handshake within {seconds:g} s"
                mend = "check that this port speaks TLS: one that speaks plain DICOM may wait for more"
                raise NodeUnreachable(f"{node}: no TLS connection ({why})", mend)
            wait.watch(secured, events)
            try:
                wait.sleep()
            finally:
                wait.forget(secured)
    except OSError as error:
        failure = explain_refusal(error, node, secured)
        secured.close()
        raise failure from error
    except BaseException:
        secured.close()
        raise
    return secured


def explain_refusal(error: OSError, node: Node, secured: ssl.SSLSocket | None = None) -> NodeUnreachable:
    """Return the error that says why TLS does not come about; with TLS 1.3 some of it is heard after the handshake."""
    assert node.tls is not None
    certificate = read_certificate(secured) if secured is not None else {}
    why, mend, hopeless = explain_failure(error, Peer(node.tls, certificate, node.host))
    return NodeUnreachable(f"{node}: no TLS connection ({why})", mend, hopeless=hopeless)


def speaks_tls(node: Node, timeouts: Timeouts) -> bool:
    """Tell whether a peer answers in TLS: hands are shaken with it, whoever it is, and nothing is said."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        connect(replace(node, tls=context), min(timeouts.connect or _PROBING, _PROBING)).close()
    except NodeUnreachable as error:
        return is_refusal(error.__cause__)
    return True


def _shake_hands(secured: ssl.SSLSocket) -> int | None:
    """Go on with the handshake; return what it waits for, None if it is done."""
    try:
        secured.do_handshake()
    except ssl.SSLWantReadError:
        return selectors.EVENT_READ
    except ssl.SSLWantWriteError:
        return selectors.EVENT_WRITE
    return None
