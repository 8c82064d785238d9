"""Who works on which request: claims with an owner and an end, so that two kernels do not both move one."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable

from dicomover.journal.database import select
from dicomover.journal.owner import Owner

__all__ = ["Leases"]


class Leases:
    """The claims of one owner. Every method works in the transaction that is open.

    Parameters
    ----------
    owner
        Who we are.
    seconds
        How long a claim lasts without being renewed.
    """

    def __init__(self, owner: Owner, seconds: float) -> None:
        self._owner, self._seconds = owner, seconds

    def sign_on(self, connection: sqlite3.Connection, now: float) -> None:
        """Say that we are alive."""
        me = self._owner
        connection.execute(
            "INSERT OR REPLACE INTO owners (token, host, place, pid, began, expires) VALUES (?,?,?,?,?,?)",
            (me.token, me.host, me.place, me.pid, me.began, now + self._seconds),
        )

    def sign_off(self, connection: sqlite3.Connection) -> None:
        """Give everything back."""
        self._remove(connection, self._owner.token)

    def claim(self, connection: sqlite3.Connection, keys: list[str], now: float) -> frozenset[str]:
        """Claim what nobody holds who is alive, and return what is ours."""
        self.sign_on(connection, now)
        others = connection.execute(
            "SELECT token, host, place, pid, began, expires FROM owners WHERE token != ?", (self._owner.token,)
        )
        for token, host, place, pid, began, expires in others.fetchall():
            if expires < now or Owner(token, host, place, pid, began).is_dead():
                self._remove(connection, token)
        pairs = ((key, self._owner.token) for key in keys)
        connection.executemany("INSERT OR IGNORE INTO leases (key, owner) VALUES (?, ?)", pairs)
        return self.mine(connection, keys)

    def mine(self, connection: sqlite3.Connection, keys: Iterable[str]) -> frozenset[str]:
        """Return those that are ours."""
        rows = select(connection, "SELECT key, owner FROM leases WHERE key", keys)
        return frozenset(key for key, owner in rows if owner == self._owner.token)

    def others(self, connection: sqlite3.Connection, keys: Iterable[str]) -> dict[str, Owner]:
        """Return who else holds what."""
        query = "SELECT key, token, host, place, pid, began FROM leases JOIN owners ON owner = token WHERE key"
        owners = {key: Owner(*columns) for key, *columns in select(connection, query, keys)}
        return {key: owner for key, owner in owners.items() if owner.token != self._owner.token}

    def give_back(self, connection: sqlite3.Connection, keys: Iterable[str]) -> None:
        """Give back what is ours of these."""
        pairs = ((key, self._owner.token) for key in keys)
        connection.executemany("DELETE FROM leases WHERE key = ? AND owner = ?", pairs)

    @staticmethod
    def _remove(connection: sqlite3.Connection, token: str) -> None:
        connection.execute("DELETE FROM leases WHERE owner = ?", (token,))
        connection.execute("DELETE FROM owners WHERE token = ?", (token,))
