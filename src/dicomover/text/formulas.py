"""Cells of a CSV that a spreadsheet would run: guarded by an apostrophe on the way out, as they were on the way in."""

from __future__ import annotations

import re
from collections.abc import Callable

import pandas as pd

__all__ = ["guard", "guard_table", "unguard", "unguard_table"]

# What begins a formula; and what begins a cell, also where the file is opened with another separator than it has.
_RUN = "[=+\\-@\uff1d\uff0b\uff0d\uff20\t\r\n]"
_BEGINS = '(^|[,;\t\r\n|"])'
_TO_GUARD = re.compile(f"{_BEGINS}(?='*{_RUN})")
_GUARDED = re.compile(f"{_BEGINS}'(?='*{_RUN})")
_NUMBER = re.compile(r"-\d+(?:[.,]\d+)?(?:[eE][+-]?\d+)?")


def guard(text: str) -> str:
    """Return the text of a cell as no spreadsheet runs any of it: an apostrophe before what would begin a formula.

    A negative number stays one. An apostrophe that stands there already gets a second one, so that `unguard` tells
    them apart.

    Examples
    --------
    >>> guard("=1+1"), guard("x;@SUM(A1)"), guard("-5.3"), guard("'=mine"), guard("O'Neill")
    ("'=1+1", "x;'@SUM(A1)", '-5.3', "''=mine", "O'Neill")
    """
    return text if _NUMBER.fullmatch(text) else _TO_GUARD.sub(r"\1'", text)


def unguard(text: str) -> str:
    """Return the text of a cell as it was before `guard`.

    Examples
    --------
    >>> unguard("'=1+1"), unguard("''=mine"), unguard("'00123")
    ('=1+1', "'=mine", "'00123")
    """
    return _GUARDED.sub(r"\1", text)


def guard_table(table: pd.DataFrame) -> pd.DataFrame:
    """Return a table for a CSV: its texts, and the names of its columns, guarded."""
    return _each(table, guard)


def unguard_table(table: pd.DataFrame) -> pd.DataFrame:
    """Return a table that was read from a CSV as it was before `guard_table`."""
    return _each(table, unguard)


def _each(table: pd.DataFrame, change: Callable[[str], str]) -> pd.DataFrame:
    changed = table.copy()
    for place, dtype in enumerate(table.dtypes):
        if not pd.api.types.is_numeric_dtype(dtype):
            given = table.iloc[:, place].tolist()
            texts = [change(value) if isinstance(value, str) else value for value in given]
            if any(text is not value for text, value in zip(texts, given, strict=True)):
                kept = object if isinstance(dtype, pd.CategoricalDtype) else dtype
                changed.isetitem(place, pd.array(texts, dtype=kept))
    changed.columns = pd.Index([change(name) if isinstance(name, str) else name for name in table.columns])
    return changed
