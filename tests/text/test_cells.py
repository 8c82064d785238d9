"""Cells of tables: what stands for a value that is not there, and what only looks like it."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest

from dicomover.text.cells import is_missing


@pytest.mark.parametrize(
    "value",
    [None, float("nan"), np.float32("nan"), pd.NA, pd.NaT, np.datetime64("NaT", "s"), Decimal("NaN")],
    ids=repr,
)
def test_every_missing_value_of_a_table_is_missing(value: object) -> None:
    """Whatever Python, NumPy and pandas put where nothing is."""
    assert is_missing(value)
    assert is_missing(pd.Series([value], dtype=object)[0])


@pytest.mark.parametrize("value", ["", " ", "nan", "<NA>", 0, False, [], [None], (), {}, pd.Series([None]), date.min])
def test_what_is_there_is_not_missing(value: object) -> None:
    """An empty text, a zero and a list are values, right or wrong; none of them raises."""
    assert not is_missing(value)
