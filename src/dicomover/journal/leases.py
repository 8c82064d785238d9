"""Who works on which request: claims with an owner and an end, so that two kernels do not both move one."""

from __future__ import annotations

import os
import secrets
import socket
import sqlite3
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Self
from weakref import WeakValueDictionary

from dicomover.journal.database import select

__all__ = ["BELOW", "LONGEST", "NOBODY", "Leases", "Owner", "list_above", "read_steady_clock"]

LONGEST = 4 * 3600.0
"""Seconds that a claim may last without being renewed."""

BELOW = "\\"
"""Stands between what is claimed and a part of it; neither a UID nor a PatientID has it."""

_AFTER = chr(ord(BELOW) + 1)
_SKEW = 3600.0  # seconds that the clock of another machine may be ahead of ours

_open: WeakValueDictionary[str, Leases] = WeakValueDictionary()
"""The journals that this process has open, by the token of their owner."""


@dataclass(frozen=True, slots=True)
class Owner:
    """One open journal."""

    token: str  # random; tells it from every other
    host: str  # the name of the machine, for people
    place: str  # where its process id means something: the machine since it was booted, and the container
    pid: int  # its process id
    began: str  # when that process began, as its kernel counts; empty where it does not say

    @classmethod
    def current(cls) -> Self:
        """Name this process."""
        host, pid = socket.gethostname(), os.getpid()
        return cls(secrets.token_hex(16), host, _place(host), pid, _state_of(pid)[1])

    def is_dead(self) -> bool:
        """Tell whether its process is provably gone; False if that cannot be seen from here."""
        if os.name != "posix" or self.place != _place(socket.gethostname()):
            return False
        state, began = _state_of(self.pid)
        if state:
            # A zombie moves nothing any more, and a process that began later only has the same number.
            return state in "ZX" or (bool(self.began) and began != self.began)
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return True
        except PermissionError:
            return False
        return False

    def __str__(self) -> str:
        if self.pid == os.getpid() and self.place == _place(socket.gethostname()):
            return "another job of this process"
        return f"process {self.pid} on {self.host}"


NOBODY = Owner("", "", "", 0, "")
"""Holds nothing."""


class Leases:
    """The claims of one owner, which last for so many seconds unless renewed.

    Every method works in the transaction that is open. It runs in whichever thread calls the journal, which holds its
    lock; what writes is called inside `BEGIN IMMEDIATE`, so that no other process sees or changes anything between the
    first and the last statement of a method.

    A claim ends by the clock that its machine has counted by since it was booted, which nobody sets and which stands
    still while the machine sleeps. Who counts by another one, on another machine, goes by the time of day.
    """

    def __init__(self, owner: Owner, seconds: float) -> None:
        self._owner, self._seconds = owner, seconds
        self._clock = _clock_of(owner.place)
        if owner.token:
            _open[owner.token] = self

    def sign_on(self, connection: sqlite3.Connection) -> None:
        """Say that we are alive."""
        me, steady = self._owner, None
        if self._clock:
            steady = read_steady_clock() + self._seconds
        connection.execute(
            "INSERT OR REPLACE INTO owners (token, host, place, pid, began, expires, steady) VALUES (?,?,?,?,?,?,?)",
            (me.token, me.host, me.place, me.pid, me.began, time.time() + self._seconds, steady),
        )

    def sign_off(self, connection: sqlite3.Connection) -> None:
        """Give everything back."""
        self._remove(connection, self._owner.token)

    def claim(self, connection: sqlite3.Connection, keys: list[str]) -> frozenset[str]:
        """Claim what nobody holds who is alive, and return what is ours."""
        self.sign_on(connection)
        # The dead have to be gone before ours go in: what is inserted beside a lease that is still there is ignored.
        others = connection.execute(
            "SELECT token, host, place, pid, began, expires, steady FROM owners WHERE token != ?", (self._owner.token,)
        )
        is_alone = True
        for token, host, place, pid, began, expires, steady in others.fetchall():
            is_ours = steady is not None and bool(self._clock) and _clock_of(place) == self._clock
            left = steady - read_steady_clock() if is_ours else expires - time.time()
            is_over = not 0 <= left <= LONGEST + (0 if is_ours else _SKEW)  # nobody claims anything for ever
            # Expired means given up, even if it lives: it finds out at its next `renew`, or when it records.
            owner = Owner(token, host, place, pid, began)
            if is_over or self._is_closed(owner) or owner.is_dead():
                self._remove(connection, token)
            else:
                is_alone = False
        held = {} if is_alone else self.find_others(connection, keys)
        pairs = ((key, self._owner.token) for key in keys if key not in held)
        connection.executemany("INSERT OR IGNORE INTO leases (key, owner) VALUES (?, ?)", pairs)
        return self.find_mine(connection, keys)

    def find_mine(self, connection: sqlite3.Connection, keys: Iterable[str]) -> frozenset[str]:
        """Return those that are ours."""
        rows = select(connection, "SELECT key, owner FROM leases WHERE key", keys)
        return frozenset(key for key, owner in rows if owner == self._owner.token)

    def find_others(self, connection: sqlite3.Connection, keys: Iterable[str]) -> dict[str, Owner]:
        """Return who else holds what, or something above or below it."""
        query = "SELECT key, token, host, place, pid, began FROM leases JOIN owners ON owner = token WHERE"
        paths = {key: (key, *list_above(key)) for key in keys}
        rows = select(connection, f"{query} key", {each for path in paths.values() for each in path})
        owners = {key: Owner(*columns) for key, *columns in rows if columns[0] != self._owner.token}
        others: dict[str, Owner] = {}
        for key, path in paths.items():
            bounds = (key + BELOW, key + _AFTER, self._owner.token)
            below = connection.execute(f"{query} key > ? AND key < ? AND token != ? LIMIT 1", bounds).fetchone()
            owner = next((owners[each] for each in path if each in owners), None)
            if owner or below:
                others[key] = owner or Owner(*below[1:])
        return others

    def give_back(self, connection: sqlite3.Connection, keys: Iterable[str]) -> None:
        """Give back what is ours of these."""
        pairs = ((key, self._owner.token) for key in keys)
        connection.executemany("DELETE FROM leases WHERE key = ? AND owner = ?", pairs)

    def _is_closed(self, owner: Owner) -> bool:
        """Tell whether it was a journal of this process that is open no more, though it could not sign off."""
        me = self._owner
        return (owner.place, owner.pid, owner.began) == (me.place, me.pid, me.began) and owner.token not in _open

    @staticmethod
    def _remove(connection: sqlite3.Connection, token: str) -> None:
        connection.execute("DELETE FROM leases WHERE owner = ?", (token,))
        connection.execute("DELETE FROM owners WHERE token = ?", (token,))


def list_above(key: str) -> list[str]:
    """Return what a claim is a part of, from above.

    Examples
    --------
    >>> list_above(BELOW.join(["study", "series", "image"])) == ["study", BELOW.join(["study", "series"])]
    True
    """
    parts = key.split(BELOW)
    return [BELOW.join(parts[:count]) for count in range(1, len(parts))]


def read_steady_clock() -> float:
    """Return the seconds since the machine was booted in which it did not sleep, the same in all of its processes."""
    return time.monotonic()


def _place(host: str) -> str:
    """Return where a process id means something. Two containers of one machine may both have a process 7."""
    if sys.platform != "linux":
        return host
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
        here = Path("/proc/self/ns")
        clock = (here / "time").readlink() if (here / "time").is_symlink() else "time"
        return f"{host} {boot} {(here / 'pid').readlink()} {clock}"
    except OSError:
        return f"{host} {secrets.token_hex(8)}"  # never the same: nothing can be proved


def _clock_of(place: str) -> str:
    """Return by which steady clock is counted at a place: that of a machine since it was booted; empty if unknown."""
    words = place.split(" ")
    return f"{words[1]} {words[3]}" if len(words) == 4 else ""


def _state_of(pid: int) -> tuple[str, str]:
    """Return the state of a process and when it began; empty where that cannot be seen."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text("utf-8", "replace").rpartition(")")[2].split()
        return fields[0], fields[19]
    except (OSError, IndexError):
        return "", ""
