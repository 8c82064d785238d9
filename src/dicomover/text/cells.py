"""Cells of tables: what stands for a value that is not there."""

from __future__ import annotations

import pandas as pd

__all__ = ["is_missing"]


def is_missing(value: object) -> bool:
    """Tell whether a cell is empty as Python, NumPy and pandas say so; an empty text is none of these.

    Examples
    --------
    >>> is_missing(None), is_missing(float("nan")), is_missing(pd.NA), is_missing(""), is_missing([])
    (True, True, True, False, False)
    """
    return value is None or (pd.api.types.is_scalar(value) and bool(pd.isna(value)))  # type: ignore[call-overload]
