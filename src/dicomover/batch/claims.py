"""What the rows of a batch hold: none asks for what another one is moving, unless both share the C-MOVE."""

from __future__ import annotations

from collections.abc import Hashable, Mapping

from dicomover.journal import list_above

__all__ = ["Claims"]


class Claims:
    """Which row holds what, as the journal names it: to hold something is to hold all that is below it.

    It has no lock of its own. A row is given all that it wants or nothing, so that one which waits holds nothing that
    another waits for.
    """

    def __init__(self) -> None:
        self._rows: dict[str, dict[int, Hashable]] = {}  # who holds something, and for which C-MOVE
        self._below: dict[str, set[str]] = {}  # what is held below something
        self._keys: dict[int, set[str]] = {}  # what a row holds

    def __contains__(self, key: str) -> bool:
        return key in self._rows

    def find_other(self, row: int, wanted: Mapping[str, Hashable]) -> int | None:
        """Return a row that holds some of what is wanted, or of what is above or below it, for another C-MOVE."""
        for key, purpose in wanted.items():
            for held in (key, *list_above(key), *self._below.get(key, ())):
                for other, its_purpose in self._rows.get(held, {}).items():
                    if other != row and its_purpose != purpose:
                        return other
        return None

    def add(self, row: int, wanted: Mapping[str, Hashable]) -> None:
        """Let a row hold what it wants."""
        self._keys.setdefault(row, set()).update(wanted)
        for key, purpose in wanted.items():
            if key not in self._rows:
                self._rows[key] = {}
                for above in list_above(key):
                    self._below.setdefault(above, set()).add(key)
            self._rows[key][row] = purpose

    def let_go(self, row: int) -> list[str]:
        """Return what nobody holds any more, now that a row needs nothing."""
        free = []
        for key in self._keys.pop(row, ()):
            del self._rows[key][row]
            if not self._rows[key]:
                del self._rows[key]
                free.append(key)
                for above in list_above(key):
                    self._below[above].discard(key)
                    if not self._below[above]:
                        del self._below[above]
        return free
