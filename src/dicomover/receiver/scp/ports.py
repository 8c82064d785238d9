"""The port that we listen on, and why it cannot be had."""

from __future__ import annotations

import errno
import logging
import os
import socket

from dicomover.errors import ReceiverError

__all__ = ["STANDARD_PORT", "listen"]

STANDARD_PORT = 11112
"""Registered with IANA as "dicom"."""

logger = logging.getLogger("dicomover.receiver")


def listen(bind: str | None, port: int | None) -> socket.socket:
    """Return a listening socket; port None is the standard one if it is free, else any."""
    if port is not None:
        return _listen(bind, port)
    try:
        return _listen(bind, STANDARD_PORT)
    except ReceiverError as error:
        if not isinstance(error.__cause__, OSError) or error.__cause__.errno not in (errno.EADDRINUSE, errno.EACCES):
            raise
    listener = _listen(bind, 0)
    logger.warning(
        "port %d is taken, so the receiver listens on port %d; the archive must know this port for our AE title",
        STANDARD_PORT,
        listener.getsockname()[1],
    )
    return listener


def _listen(bind: str | None, port: int) -> socket.socket:
    try:
        if bind is None:
            return _listen_everywhere(port)
        family, _, _, _, address = socket.getaddrinfo(bind, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        return socket.create_server(address[:2], family=family, backlog=128)
    except OSError as error:
        where = f"port {port}" if bind is None else f"address {bind!r} with port {port}"
        mend = {
            errno.EADDRINUSE: "another program listens there; stop it, or give another port (0 is any free one)",
            errno.EACCES: "ports below 1024 are for administrators; give a higher one",
            errno.EADDRNOTAVAIL: "this machine has no such address; leave bind out to listen on every one",
        }.get(error.errno or 0, "check the address and the port")
        # Python's own text for bind() repeats the address; the system's does not.
        why = error.strerror if isinstance(error, socket.gaierror) else os.strerror(error.errno or 0)
        raise ReceiverError(f"{where} cannot be listened on ({why})", mend) from error


def _listen_everywhere(port: int) -> socket.socket:
    if socket.has_dualstack_ipv6():
        try:
            return socket.create_server(("", port), family=socket.AF_INET6, backlog=128, dualstack_ipv6=True)
        except OSError as error:
            if error.errno in (errno.EADDRINUSE, errno.EACCES):
                raise
    return socket.create_server(("", port), backlog=128)
