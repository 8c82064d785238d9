"""What a value looks like, without what it says: how patients' values are shown where nobody has asked to see them."""

from __future__ import annotations

import numbers
import unicodedata

__all__ = ["shape_of"]

_LONGEST = 32


def shape_of(value: object) -> str:
    r"""Return how a value is shown that may be a patient's: 9 for a digit, A or a for a letter, the rest as it is.

    Examples
    --------
    >>> print(shape_of("123.0"), shape_of("MILLER^ANNA"), shape_of("12\u200b3 "), shape_of(["1", "2"]))
    '999.9' 'AAAAAA^AAAA' '99\u200b9 ' [2 values]
    """
    if isinstance(value, str):
        cut = value[:_LONGEST]
        return "'" + "".join(map(_mask, cut)) + ("…" if len(value) > len(cut) else "") + "'"
    if isinstance(value, bool):
        return str(value)
    if isinstance(value, numbers.Number):
        return shape_of(str(value)).strip("'")
    if isinstance(value, list | tuple | set | frozenset):
        return f"[{len(value)} value{'s' * (len(value) != 1)}]"
    return f"<{type(value).__name__}>"


def _mask(letter: str) -> str:
    kind = unicodedata.category(letter)
    if kind[0] == "N":
        return "9"
    if kind[0] == "L":
        return "a" if kind == "Ll" else "A"
    if letter.isprintable():
        return "" if kind[0] == "M" else letter
    return letter.encode("unicode_escape").decode("ascii")
