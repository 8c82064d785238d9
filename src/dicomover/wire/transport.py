"""How a TCP connection to a node comes about: its name, its addresses, TLS."""

from __future__ import annotations

import errno
import os
import selectors
import socket
import time

from dicomover.errors import AssociationLost, LostBy, NodeUnreachable
from dicomover.node import Node
from dicomover.wire.connection import Until, Waker, wait_forever

__all__ = ["connect"]

_IN_PROGRESS = (errno.EINPROGRESS, errno.EWOULDBLOCK, getattr(errno, "WSAEWOULDBLOCK", errno.EWOULDBLOCK))


def connect(
    node: Node, seconds: float | None, waker: Waker | None = None, until: Until = wait_forever
) -> socket.socket:
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
        raise NodeUnreachable(f"{node}: the name {node.host!r} cannot be resolved ({why})", mend) from error
    why, code = "no address", 0
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
    mend = "check host and port, and whether a firewall lets this machine through"
    raise NodeUnreachable(f"{node}: no TCP connection ({why})", mend, code or None)


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
        raise NodeUnreachable(f"{node}: no TLS connection ({error})", "check the certificates on both sides") from error
