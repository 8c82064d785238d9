"""The encoding of a text: what its bytes say, what had to be guessed, and how to tell so without a patient."""

from __future__ import annotations

import re
from collections.abc import Iterable

from dicomover.requests.header import is_key

__all__ = ["Undecodable", "decode", "describe_guess"]

_MARKS = (  # that of UTF-32 begins with that of UTF-16
    (b"\xff\xfe\0\0", "utf-32"),
    (b"\0\0\xfe\xff", "utf-32"),
    (b"\xff\xfe", "utf-16"),
    (b"\xfe\xff", "utf-16"),
)
_LOOKED_AT = 4096
_SHOWN = 2  # letters of a cell that were guessed
GUESS = "cp1252"


class Undecodable(ValueError):
    """The bytes are no text in the encoding that they have all signs of; its name."""


def decode(raw: bytes) -> tuple[str, bool]:
    """Return the text of bytes, and whether its encoding was guessed: they are neither UTF-8 nor UTF-16 nor UTF-32.

    What the guessed Windows-1252 does not have becomes U+FFFD. Raises Undecodable.

    Examples
    --------
    >>> decode("Zürich".encode("utf-16-be")), decode("Zürich".encode("cp1252"))
    (('Zürich', False), ('Zürich', True))
    """
    encoding = next((name for mark, name in _MARKS if raw.startswith(mark)), None) or _find_wide(raw[:_LOOKED_AT])
    try:
        return raw.decode(encoding or "utf-8"), False
    except UnicodeDecodeError as error:
        if encoding is not None:
            raise Undecodable(encoding.upper()) from error
    return raw.decode(GUESS, "replace"), True


def _find_wide(start: bytes) -> str | None:
    """Return the encoding of two bytes a character that text without a mark is in, told by where its zeros are."""
    half = len(start) // 2
    even, odd = start[::2].count(0), start[1::2].count(0)
    if half and max(even, odd) > half * 0.4 and min(even, odd) < half * 0.05:
        return "utf-16-le" if odd > even else "utf-16-be"
    return None


def describe_guess(rows: Iterable[tuple[int, list[str]]]) -> str:
    """Say what the guess has made of a cell, the header first among rows; of a key only that it was changed.

    Examples
    --------
    >>> print(describe_guess([(1, ["PatientID", "ward"]), (2, ["Å1", "Müller 4"])]))
    where cell 2 of line 2 is now 'Aüaaaa 9' (a for a letter, 9 for a digit), and 1 cell of a key has such letters too
    """
    shown, in_keys = "", 0
    keys: list[bool] | None = None
    for line, cells in rows:
        of_keys_here = [False] * len(cells) if keys is None else keys
        keys = [is_key(name) for name in cells] if keys is None else keys
        for place, (cell, of_key) in enumerate(zip(cells, of_keys_here, strict=False), 1):
            if not cell.isascii():
                in_keys += of_key
                if not of_key and not shown:
                    shown = f"where cell {place} of line {line} is now {_shape(cell)!r} (a for a letter, 9 for a digit)"
    of_keys = f"{in_keys} {'cell of a key has' if in_keys == 1 else 'cells of keys have'} such letters"
    if not in_keys:
        return shown
    return f"{shown}, and {of_keys} too" if shown else f"where {of_keys}"


def _shape(text: str) -> str:
    """Return what a text looks like, up to the second letter that was guessed: all of them may be a name."""
    guessed = [place for place, letter in enumerate(text) if not letter.isascii()]
    shown = text if len(guessed) <= _SHOWN else text[: guessed[_SHOWN]] + "…"
    return re.sub(r"[0-9]", "9", re.sub(r"[A-Z]", "A", re.sub(r"[a-z]", "a", shown)))
