"""What a value looks like, without what it says: how patients' values are shown where nobody has asked to see them."""

from __future__ import annotations

import numbers
import re
import unicodedata

__all__ = ["WIDEST", "cut", "narrow", "shape_of"]

WIDEST = 400
"""Characters of a value in a message."""

_LONGEST = 32
_LONG_VALUE = re.compile(rf"'[^'\n]{{{WIDEST},}}'|\S{{{3 * WIDEST},}}")  # in quotes, or a word


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


def cut(text: str, most: int) -> str:
    """Leave out the middle of a text that nobody would read: some value in it is absurd.

    Examples
    --------
    >>> cut("short", 20), cut("0123456789" * 4, 20)
    ('short', '0123456789 … 789')
    """
    return text if len(text) <= most else f"{text[: most // 2]} … {text[-most // 8 :]}"


def narrow(text: str) -> str:
    """Leave out the middle of each value that nobody would read, so that what is said of it is not lost.

    Examples
    --------
    >>> len(narrow(f"window {'z' * 160_000!r} is none"))
    143
    """
    return _LONG_VALUE.sub(lambda match: f"{match[0][: WIDEST // 4]} … {match[0][-WIDEST // 16 :]}", text)
