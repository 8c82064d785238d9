"""Listening on loopback: one thread for each association, and an end that is prompt."""

from __future__ import annotations

import contextlib
import selectors
import socket
import threading
import time
from collections.abc import Callable
from typing import NoReturn

from dicomover.errors import AssociationLost, LostBy, NodeError
from dicomover.security.door import SecureDoor, Unsecured
from dicomover.security.tls import TLSLike
from dicomover.wire.connection import Connection, Waker
from dicomover.wire.pdus import ABORT

_SHAKING = 5.0  # seconds for a handshake


class LoopbackServer:
    """A TCP server on 127.0.0.1 that serves each connection on a thread of its own; a NodeError ends that alone."""

    def __init__(self, serve: Callable[[Connection], None], name: str, tls: TLSLike | None = None) -> None:
        self.stopping = threading.Event()
        self._serve = serve
        self._door = None if tls is None else SecureDoor(tls)
        self._name = name
        self._lock = threading.Lock()
        self._connections: set[Connection] = set()
        self._threads: set[threading.Thread] = set()
        self._down_for: float | None = None
        self._waker = Waker()
        self._listener = _listen(0)
        self.port: int = self._listener.getsockname()[1]
        self._acceptor = threading.Thread(target=self._accept, name=f"{name}-accept", daemon=True)
        self._acceptor.start()

    def _accept(self) -> None:
        while not self.stopping.is_set():
            with selectors.DefaultSelector() as selector:
                selector.register(self._listener, selectors.EVENT_READ)
                selector.register(self._waker.receiving, selectors.EVENT_READ)
                while not self.stopping.is_set() and self._down_for is None:
                    selector.select()
                    self._waker.drain()
                    self._take_all()
            self._listener.close()
            if self._down_for is not None:
                self._disconnect()
                self.stopping.wait(self._down_for)
                self._down_for = None
                if not self.stopping.is_set():
                    self._listener = _listen(self.port)

    def _take_all(self) -> None:
        with contextlib.suppress(BlockingIOError, ConnectionError):
            while True:
                sock = self._listener.accept()[0]
                self.spawn(lambda sock=sock: self._run(sock))  # type: ignore[misc]

    def _run(self, sock: socket.socket) -> None:
        if self._door is not None:
            sock.settimeout(_SHAKING)
            sock = secured = self._door.wrap(sock)
            try:
                self._door.shake_hands(secured)
            except Unsecured:
                return sock.close()
        connection = Connection(sock)
        try:
            with contextlib.suppress(NodeError):
                self.adopt(connection)
                self._serve(connection)
        finally:
            connection.close()
            self.forget(connection)

    def spawn(self, work: Callable[[], None]) -> threading.Thread:
        """Run something on a thread that `close` waits for."""

        def run() -> None:
            try:
                work()
            finally:
                with self._lock:
                    self._threads.discard(threading.current_thread())

        thread = threading.Thread(target=run, name=self._name, daemon=True)
        with self._lock:
            self._threads.add(thread)
        thread.start()
        return thread

    def adopt(self, connection: Connection) -> None:
        """Let `close` break this connection too; raises AssociationLost if the server is being closed."""
        with self._lock:
            self._connections.add(connection)
        if self.stopping.is_set():
            connection.close()
            raise AssociationLost("the archive is being closed", LostBy.STOPPED)

    def forget(self, connection: Connection) -> None:
        """Take back `adopt`."""
        with self._lock:
            self._connections.discard(connection)

    def restart(self, seconds: float) -> None:
        """Drop every connection and refuse new ones for a while; returns at once."""
        self._down_for = seconds
        self._waker.wake()

    def _disconnect(self) -> None:
        with self._lock:
            connections = list(self._connections)
        for connection in connections:
            with contextlib.suppress(OSError):
                socket.socket.shutdown(connection.sock, socket.SHUT_RDWR)  # wakes its thread, which closes it

    def close(self, seconds: float = 10.0) -> None:
        """Stop listening, break every connection, wait for every thread."""
        self.stopping.set()
        self._waker.wake()
        self._acceptor.join(seconds)
        limit = time.monotonic() + seconds
        while True:
            self._disconnect()
            with self._lock:
                threads = list(self._threads)
            if not threads or time.monotonic() > limit:
                break
            threads[0].join(0.2)
        self._waker.close()
        assert not threads, f"{len(threads)} threads of {self._name} did not end"


def _listen(port: int) -> socket.socket:
    listener = socket.create_server(("127.0.0.1", port), backlog=512)
    listener.setblocking(False)
    return listener


def pause(connection: Connection, seconds: float) -> None:
    """Wait, but not longer than until the peer says something or leaves."""
    limit = time.monotonic() + seconds
    with selectors.DefaultSelector() as selector:
        if not connection.is_stale():
            selector.register(connection.sock, selectors.EVENT_READ)
            selector.select(max(limit - time.monotonic(), 0))


def silence(connection: Connection) -> NoReturn:
    """Take whatever comes and answer nothing, until the peer leaves or the server is closed.

    Raises AssociationLost or ProtocolError always; that is the only way out.
    """
    while True:
        if connection.read_pdu()[0] == ABORT:
            connection.close()
            raise AssociationLost("the peer aborted the association", LostBy.ABORT)
