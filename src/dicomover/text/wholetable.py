"""A table to be read: as any DataFrame, but no text of it is cut off where it is shown."""

from __future__ import annotations

import re
from typing import Any

import pandas as pd

from dicomover.text.listing import listing, terminal_width
from dicomover.text.visible import make_visible

__all__ = ["WholeTable", "make_table"]


class WholeTable(pd.DataFrame):
    """A DataFrame that is shown with its sentences whole; what is made of it is a plain one.

    Examples
    --------
    >>> print(WholeTable({"check": ["association"], "found": ["no word " * 8]}))
       check        found
    0  association  no word no word no word no word no word no word no word no word
    """

    @property
    def _constructor(self) -> type[pd.DataFrame]:
        return pd.DataFrame

    def __repr__(self) -> str:
        """Return it as text, as wide as the terminal."""
        names = ["" if self.index.name is None else str(self.index.name), *map(str, self.columns)]
        rows = [[label, *values] for label, *values in self.itertuples()]
        return listing(names, rows, width=terminal_width(80), indent="")

    __str__ = __repr__

    def _repr_html_(self) -> str:
        # JupyterLab moves all cells to the right, where a sentence of several lines is hard to read
        return re.sub(
            "<(t[dh])>", r'<\1 style="text-align: left; vertical-align: top">', make_table(pd.DataFrame(self))
        )


def make_table(frame: pd.DataFrame, **how: Any) -> str:
    """Return a table as HTML, whole and with nothing in it that cannot be seen; `how` is for `DataFrame.to_html`."""
    shown = frame.astype(object).where(frame.notna(), "")  # of columns that know no NaN `na_rep` is not heard
    shown = shown.map(lambda cell: make_visible(cell) if isinstance(cell, str) else cell)
    with pd.option_context("display.max_colwidth", None):
        return str(shown.to_html(escape=True, border=0, justify="left", **how))
