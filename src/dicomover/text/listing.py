"""Tables as plain text for a terminal; every view of a table on the command line goes through here."""

from __future__ import annotations

import numbers
import shutil
import sys
import textwrap
from collections.abc import Sequence

from dicomover.text.visible import make_visible
from dicomover.text.widths import columns_of

__all__ = ["facts", "listing", "terminal_width"]

_GAP = "  "
_LEAST = 30  # columns of what is wrapped


def terminal_width(otherwise: int = 100) -> int:
    """Return how many columns the standard output has, at least 40; something else if it is no terminal."""
    if sys.stdout is None or not sys.stdout.isatty():
        return otherwise
    return max(40, shutil.get_terminal_size((100, 24)).columns)


def facts(pairs: Sequence[tuple[str, str]], *, width: int = 100, indent: str = "  ") -> str:
    """Return labels and texts below one another, long texts wrapped; a word too long for that stands below its label.

    Examples
    --------
    >>> print(facts([("Level", "STUDY"), ("Total time", "3 s")]))
      Level       STUDY
      Total time  3 s
    """
    widest = max((len(label) for label, _ in pairs), default=0)
    hang = indent + " " * (widest + len(_GAP))
    lines: list[str] = []
    for label, text in pairs:
        lead, said, below = f"{indent}{label:<{widest}}{_GAP}", make_visible(text), indent + _GAP
        if max(map(columns_of, said.split()), default=0) > max(_LEAST, width - len(lead)):
            lines += [lead.rstrip(), *_wrapped(said, below, below, width)]
        else:
            lines += _wrapped(said, lead, hang, width)
    return "\n".join(lines)


def listing(headings: Sequence[str], rows: Sequence[Sequence[object]], *, width: int = 100, indent: str = "  ") -> str:
    """Return a table in aligned columns: numbers to the right, what is unknown as `-`, the last column wrapped.

    Columns stand closer where they would not fit otherwise; a sentence without room at their end stands below.

    Examples
    --------
    >>> print(listing(["row", "status", "error"], [[0, "partial", "2 of 3 moved"], [12, "lost", None]]))
      row  status   error
        0  partial  2 of 3 moved
       12  lost     -
    """
    cells = [[_cell(value) for value in row] for row in rows]
    right = [bool(rows) and all(_is_number(row[c]) for row in rows) for c in range(len(headings))]
    widths = [max(map(columns_of, [heading, *(row[c] for row in cells)])) for c, heading in enumerate(headings)]
    last = widths[-1] if right[-1] else min(widths[-1], _LEAST)
    gap = _GAP if len(indent) + sum(widths[:-1]) + len(_GAP) * (len(widths) - 1) + last <= width else " "
    below = indent + " " * 4
    lines: list[str] = []
    for row in [list(headings), *cells]:
        padded = [_padded(text, widths[c], right[c]) for c, text in enumerate(row[:-1])]
        lead = indent + "".join(text + gap for text in padded)
        text = _padded(row[-1], widths[-1], right[-1]) if right[-1] else row[-1]
        if lines and " " in text and width - columns_of(lead) < min(columns_of(text), _LEAST):
            lines += [lead.rstrip(), *_wrapped(text, below, below, width)]
        else:
            lines += _wrapped(text, lead, " " * columns_of(lead), width)
    return "\n".join(lines)


def _wrapped(text: str, lead: str, hang: str, width: int) -> list[str]:
    room = max(_LEAST, width - columns_of(lead))
    parts = textwrap.wrap(text, room, break_long_words=False, break_on_hyphens=False) if len(text) > room else [text]
    return [(lead if n == 0 else hang) + part for n, part in enumerate(parts or [""])]


def _is_number(value: object) -> bool:
    from dicomover.text.cells import is_missing  # it knows pandas, which whoever only asks for help should not wait for

    return isinstance(value, numbers.Integral) or is_missing(value)


def _cell(value: object) -> str:
    """Return a value on one line: what comes from an archive may hold anything, terminal controls too."""
    from dicomover.text.cells import is_missing

    if is_missing(value) or value == "":
        return "-"
    return make_visible(str(value))


def _padded(text: str, width: int, right: bool) -> str:
    space = " " * (width - columns_of(text))
    return space + text if right else text + space
