"""What the processes of one receiver have in common: the port, the places for associations, and a lock for filing.

Processes that listen each on a socket of their own could share a port too (SO_REUSEPORT), but then the kernel deals
connections out by a hash, whatever each has to do, and a stranger's socket may join. So there is one socket, opened
before they start and inherited by all: whoever has the time accepts, and the port can be taken only once.
"""

from __future__ import annotations

import os
import socket
import struct
import threading
import time

__all__ = ["Shared", "Turn", "can_share", "way_to_give"]

_LONGEST_WAY = 5  # milliseconds
_STAMP = struct.Struct("<d")


def can_share() -> bool:
    """Tell whether this platform lets processes inherit a listening socket and locks on a file."""
    return os.name == "posix"


class Shared:
    """One process's hold on what it has in common with the others.

    The places are bytes of a file without a name, and a place is taken by locking its byte: so the bound holds
    exactly, over all processes, and what a killed process had taken is free again at once.
    """

    def __init__(
        self,
        listener: socket.socket | None,  # the socket that all of them accept from, if they listen
        locks: int,  # descriptor of the file
        places: int,  # how many associations there may be
    ) -> None:
        self.listener = listener
        self._locks = locks
        self._places = places
        self._lock = threading.Lock()
        self._taken: set[int] = set()  # a process does not exclude itself by locks on a file
        self._asked = 0.0
        self.filing = Turn(locks, places)

    def take_place(self) -> int | None:
        """Take a place for an association; None if all are taken."""
        with self._lock:
            for place in range(self._places):
                if place not in self._taken and _hold(self._locks, place, wait=False):
                    self._taken.add(place)
                    return place
        return None

    def give_back(self, place: int) -> None:
        """Leave a place to the next one."""
        with self._lock:
            self._taken.discard(place)
            _let_go(self._locks, place)

    def ask_for_room(self) -> float:
        """Ask the other processes to send somebody away who may go; return the `time.monotonic()` that it is."""
        self._asked = time.monotonic()
        os.pwrite(self._locks, _STAMP.pack(self._asked), 0)
        return self._asked

    def is_asked_for_room(self) -> bool:
        """Tell whether another process has asked since the last look."""
        raw = os.pread(self._locks, _STAMP.size, 0)
        asked = _STAMP.unpack(raw)[0] if len(raw) == _STAMP.size else 0.0
        before, self._asked = self._asked, max(self._asked, asked)
        return asked > before


class Turn:
    """A lock that holds between threads and between processes; `with` waits for it."""

    def __init__(self, locks: int, place: int) -> None:
        self._locks = locks
        self._place = place
        self._lock = threading.Lock()

    def __enter__(self) -> None:
        self._lock.acquire()
        _hold(self._locks, self._place, wait=True)

    def __exit__(self, *_: object) -> None:
        _let_go(self._locks, self._place)
        self._lock.release()


def way_to_give(connections: int) -> float:
    """Return for how many seconds one with so many connections lets the others go first to a new one.

    So several that come at once are spread: one that has none takes a connection before one that has.
    """
    return min(connections, _LONGEST_WAY) / 1000


def _hold(fd: int, place: int, *, wait: bool) -> bool:
    import fcntl

    try:
        fcntl.lockf(fd, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB), 1, place)
    except (BlockingIOError, PermissionError):
        return False
    return True


def _let_go(fd: int, place: int) -> None:
    import fcntl

    fcntl.lockf(fd, fcntl.LOCK_UN, 1, place)
