"""How wide a text is in a terminal, and where its lines are broken."""

from __future__ import annotations

import textwrap
import unicodedata

__all__ = ["columns_of", "fit"]


def columns_of(text: str) -> int:
    """Return how many columns a line takes: an East Asian letter two, a combining mark none."""
    return sum(
        0 if unicodedata.combining(character) else 2 if unicodedata.east_asian_width(character) in "WF" else 1
        for character in text
    )


def fit(text: str, width: int) -> str:
    """Return a text whose long lines are broken between words; what goes on is set in by two columns more.

    Examples
    --------
    >>> print(fit("Note: an archive that is busy", 20))
    Note: an archive
      that is busy
    """
    lines: list[str] = []
    for line in text.split("\n"):
        hang = " " * (len(line) - len(line.lstrip(" ")) + 2)
        parts = textwrap.wrap(line, width, subsequent_indent=hang, break_long_words=False, break_on_hyphens=False)
        lines += parts if columns_of(line) > width else [line]
    return "\n".join(lines)
