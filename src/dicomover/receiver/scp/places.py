"""Who has a place among the associations, and who has to make room for somebody else.

Anybody may call this port, and an archive sends from addresses and under names that nobody can know beforehand. So
a place belongs for good only to an association that has brought something that was asked for. All others sit on call:
when there is no place left, the one that is the least likely to be the archive's goes, and the newcomer gets its place.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Container, Iterable
from typing import Protocol

from dicomover.receiver.scp.store import Caller
from dicomover.receiver.shared import Shared

__all__ = ["Guest", "Places", "choose_to_go"]

_KNOWN = 256  # addresses remembered that something came from which was asked for
_ASKING = 2.0  # seconds for another process to make room
_LOOK = 0.05  # between two looks whether it has


class Guest(Protocol):
    """An association, as far as its place is concerned."""

    caller: Caller
    begun: float  # the `time.monotonic()` at which it came
    proven: bool  # whether it has brought something that was asked for
    cut: bool  # whether it has been told to end
    displaced: bool  # and that to make room

    def end(self, hard: bool = False) -> None:
        """Cut the connection."""


def choose_to_go(guests: Iterable[Guest], known: Container[str], newcomer: str | None = None) -> Guest | None:
    """Return who has to make room: never one that has brought something, and one from a known address last.

    Of the others, it is one of the address that holds the most of them, so that a flood from one machine takes places
    from itself; of those the one that has been here for longest. The archive's sends its first image at once.

    Parameters
    ----------
    guests
        Those who are here.
    known
        The addresses that something has come from which was asked for.
    newcomer
        The address of whoever wants in; an unknown one takes no place from a known one. None asks for room in any case.
    """
    may_go = [guest for guest in guests if not guest.proven and not guest.cut]
    if newcomer is not None and newcomer not in known:
        may_go = [guest for guest in may_go if guest.caller.host not in known]
    crowd = Counter(guest.caller.host for guest in may_go)
    return min(
        may_go, key=lambda guest: (guest.caller.host in known, -crowd[guest.caller.host], guest.begun), default=None
    )


class Places:
    """The places for associations. Methods may be called from any thread."""

    def __init__(self, most: int, shared: Shared | None = None) -> None:
        self._most = most  # over all processes, if they share them
        self._shared = shared
        self._lock = threading.Lock()
        self._taken: dict[Guest, int] = {}  # with the number of the place; those who have lost theirs are not here
        self.known: dict[str, None] = {}  # where the archive answers, and where something asked for has come from

    def take(self, guest: Guest) -> bool:
        """Give a guest a place, if need be that of another; False if all belong to others for good."""
        with self._lock:
            number = self._free()
            if number is not None:
                self._taken[guest] = number
                return True
            going = choose_to_go(self._taken, self.known, guest.caller.host)
            if going is not None:
                # In this order: from here on the place is the newcomer's, whatever the other's thread still does.
                self._taken[guest] = self._taken.pop(going)
                going.displaced = True
        if going is not None:
            going.end()
            return True
        return self._shared is not None and self._await_room(guest, self._shared)

    def _free(self) -> int | None:
        if self._shared is not None:
            return self._shared.take_place()
        return len(self._taken) if len(self._taken) < self._most else None

    def _await_room(self, guest: Guest, shared: Shared) -> bool:
        """Ask the other processes to send somebody away, and wait until one has; on the guest's own thread."""
        limit = shared.ask_for_room() + _ASKING
        while time.monotonic() < limit and not guest.cut:
            time.sleep(_LOOK)
            with self._lock:
                number = self._free()
                if number is not None:
                    self._taken[guest] = number
                    return True
        return False

    def know(self, host: str) -> None:
        """Take an address for the archive's: strangers take no place from it."""
        with self._lock:
            self._know(host)

    def _know(self, host: str) -> None:
        self.known.pop(host, None)
        self.known[host] = None
        if len(self.known) > _KNOWN:
            del self.known[next(iter(self.known))]

    def make_room(self) -> None:
        """Send somebody away if another process has asked for it."""
        if self._shared is None or not self._shared.is_asked_for_room():
            return
        with self._lock:
            going = choose_to_go(self._taken, self.known)
            if going is None or going.caller.host in self.known:
                return
            going.displaced = True
        going.end()

    def keep(self, guest: Guest) -> None:
        """Let a guest keep its place: it has brought something that was asked for."""
        with self._lock:
            guest.proven = True
            self._know(guest.caller.host)

    def leave(self, guest: Guest) -> None:
        """Take back the place of a guest who has gone."""
        with self._lock:
            number = self._taken.pop(guest, None)
            if number is not None and self._shared is not None:
                self._shared.give_back(number)
