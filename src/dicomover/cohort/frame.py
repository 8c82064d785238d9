"""The rows of a table as JSON keeps them, and the table again."""

from __future__ import annotations

import math
import numbers
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from dicomover.errors import Problem, RequestError

__all__ = ["Frame", "join_table", "make_table", "split_table"]

_PLAIN = ("string", "object", "bool", "boolean", "int64", "Int64", "float64", "Float64")


@dataclass(frozen=True, slots=True)
class Frame:
    """What a table is beyond its rows: the dtype of each column by name, and the names of its index."""

    columns: Mapping[str, str]
    index: tuple[str | None, ...] = (None,)


def make_table(rows: Sequence[tuple[Any, ...]], **dtypes: str) -> pd.DataFrame:
    """Put rows into a table whose columns have these names and dtypes, even where there is no row."""
    return pd.DataFrame(rows, columns=list(dtypes), dtype=object).astype(dtypes)


def split_table(table: pd.DataFrame) -> tuple[Frame, list[Any], list[dict[str, Any]]]:
    """Take a table apart: what it is beyond its rows, the labels of these, and each row by column.

    Labels are whole numbers, texts, or tuples of those; cells are texts, numbers, truth values, or None for what is
    missing. Anything else is kept as text. Raises RequestError if two columns have the same name.
    """
    names = [str(name) for name in table.columns]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        why = "is there twice"
        raise RequestError([Problem("", "column", name, why, "rename one", private=False) for name in twice])
    columns = {name: _dtype(dtype) for name, dtype in zip(names, table.dtypes, strict=True)}
    values = [[_cell(value) for value in table.iloc[:, at]] for at in range(len(names))]
    rows = (
        [dict(zip(names, row, strict=True)) for row in zip(*values, strict=True)]
        if names
        else [{} for _ in table.index]
    )
    index = tuple(None if name is None else str(name) for name in table.index.names)
    return Frame(columns, index), [_label(label) for label in table.index], rows


def join_table(frame: Frame, labels: Sequence[Any], rows: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """Put a table together again; see `split_table`."""
    if len(frame.index) > 1:
        index: pd.Index = pd.MultiIndex.from_tuples(list(labels), names=list(frame.index))
    elif list(labels) == list(range(len(labels))):
        index = pd.RangeIndex(len(labels), name=frame.index[0])
    else:
        index = pd.Index(list(labels), name=frame.index[0], tupleize_cols=False)
    columns = {}
    for name, dtype in frame.columns.items():
        values = [row.get(name) for row in rows]
        columns[name] = pd.Series(values, index=index, dtype=object).astype(pd.api.types.pandas_dtype(dtype))
    return pd.DataFrame(columns, index=index, columns=pd.Index(list(frame.columns)))


def _dtype(dtype: object) -> str:
    """Return the name of a dtype that can be made again; whatever is neither plain nor a time comes back as text."""
    name = str(dtype)
    if name in _PLAIN or pd.api.types.is_datetime64_any_dtype(dtype):  # type: ignore[arg-type]
        return name
    if pd.api.types.is_bool_dtype(dtype):  # type: ignore[arg-type]
        return "boolean"
    if pd.api.types.is_integer_dtype(dtype):  # type: ignore[arg-type]
        return "Int64"
    return "Float64" if pd.api.types.is_float_dtype(dtype) else "string"  # type: ignore[arg-type]


def _cell(value: object) -> str | int | float | bool | None:
    if isinstance(value, bool | str) or value is None:
        return value
    if isinstance(value, numbers.Integral):
        return int(value)
    if isinstance(value, numbers.Real):
        number = float(value)
        return None if math.isnan(number) else number if math.isfinite(number) else str(number)
    if hasattr(value, "dtype") and value.dtype == bool:
        return bool(value)
    missing = pd.isna(value)  # type: ignore[call-overload]
    return None if isinstance(missing, bool) and missing else str(value)


def _label(label: object) -> Any:
    if isinstance(label, tuple):
        return tuple(_label(part) for part in label)
    cell = _cell(label)
    return cell if isinstance(cell, int | str) and not isinstance(cell, bool) else str(label)
