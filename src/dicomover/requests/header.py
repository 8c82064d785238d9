"""The header of a file of requests: which columns are keys, and whether it can be one."""

from __future__ import annotations

from collections.abc import Sequence

from dicomover.identifier import IDENTIFYING, KEY
from dicomover.requests.names import find_nearest, keyword_of

__all__ = ["NoTable", "check_names", "is_key", "number_doubles"]


class NoTable(ValueError):
    """What was read is no table of requests: where, why, and the mend; `value` may be of a patient."""

    def __init__(self, where: str, why: str, mend: str, value: str | None = None) -> None:
        super().__init__(where, why, mend)
        self.where, self.why, self.mend, self.value = where, why, mend, value


def check_names(where: str, header: Sequence[str]) -> None:
    """Refuse a header that names a key twice; raises NoTable."""
    for name in dict.fromkeys(header):
        if header.count(name) > 1 and is_key(name):
            raise NoTable(where, f"{name!r} names {header.count(name)} columns", "keep one of them")


def is_key(column: str) -> bool:
    """Tell whether a column is a key, or is nearly called as one is.

    Examples
    --------
    >>> is_key("accession_number"), is_key("key:StudyDate"), is_key("split")
    (True, True, False)
    """
    if column.startswith(KEY):
        return True
    try:
        return keyword_of(column) in IDENTIFYING
    except KeyError:
        return find_nearest(column, IDENTIFYING, cutoff=0.85) is not None


def number_doubles(names: list[str]) -> list[str]:
    """Return names that differ, as pandas makes them of a CSV's.

    Examples
    --------
    >>> number_doubles(["note", "age", "note"])
    ['note', 'age', 'note.1']
    """
    taken: list[str] = []
    for name in names:
        found, n = name, 0
        while found in taken:
            n += 1
            found = f"{name}.{n}"
        taken.append(found)
    return taken
