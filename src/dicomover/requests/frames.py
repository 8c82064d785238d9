"""Tables of other libraries as tables of pandas: text stays text, nulls stay nulls, whole numbers stay whole."""

from __future__ import annotations

import contextlib
import numbers
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import is_dataclass
from datetime import datetime
from importlib.util import find_spec
from typing import Any

import pandas as pd

from dicomover.errors import Problem, RequestError

__all__ = ["as_pandas", "column_of", "find_no_requests"]

_DTYPES = {str: "string", bool: "boolean", int: "Int64", float: "Float64", datetime: "datetime64[us]"}
_CALLS = ("toPandas", "collect", "to_pandas", "compute", "to_pandas_df", "to_dataframe", "execute", "df")
"""What libraries call it to compute or convert a table; Spark's `collect` makes no table."""


def column_of(values: Sequence[Any]) -> Any:
    """Return a column of values as pandas has them, whole numbers whole beside missing ones; of dtype object if mixed.

    Examples
    --------
    >>> [str(column_of(values).dtype) for values in ([1, None], ["00123", None], [1, "a"])]
    ['Int64', 'string', 'object']
    """
    kinds = {type(value) for value in values if value is not None}
    dtype = _DTYPES.get(next(iter(kinds)), "object") if len(kinds) == 1 else "object"
    try:
        return pd.Series(values, dtype="string" if not kinds else dtype)
    except (OverflowError, TypeError, ValueError):  # a number of more than 64 bits, times with and without a zone
        return pd.Series(values, dtype=object)


def as_pandas(table: object) -> object:
    """Return a table of another library as one of pandas; what is no such table comes back as it is.

    Taken are frames of Polars and Narwhals, tables and batches of PyArrow, relations of DuckDB, structured arrays of
    NumPy, and with PyArrow whatever has an Arrow C stream. Their columns are read as Python's own values: on the way
    through NumPy a whole number beside a null would become a float. Raises RequestError if it is a table that has to be
    computed or converted first; the mend is the call that does it.
    """
    kind = type(table)
    if isinstance(table, pd.DataFrame | pd.Series | Mapping | str | bytes | list | tuple):
        return table
    if isinstance(table, pd.Index):
        raise _refuse(kind, "is an index, not a table", "give index.to_frame(index=False)")
    if getattr(getattr(table, "dtype", None), "names", None) and getattr(table, "ndim", 0) == 1:
        return _of_columns([(name, table[name].tolist()) for name in table.dtype.names])  # type: ignore[attr-defined,index]
    if hasattr(kind, "to_frame") and hasattr(kind, "to_list"):  # a column of Polars or Narwhals
        return as_pandas(table.to_frame())  # type: ignore[attr-defined]
    if hasattr(kind, "iter_rows") and hasattr(kind, "to_dict"):
        return _of_columns(table.to_dict(as_series=False).items())  # type: ignore[attr-defined]
    if hasattr(kind, "fetchall") and hasattr(kind, "columns"):
        return _of_rows(table.columns, table.fetchall())  # type: ignore[attr-defined]
    if hasattr(kind, "to_pydict") and hasattr(kind, "schema"):
        return _of_arrow(table)
    if hasattr(kind, "fetchall"):
        names = "[column[0] for column in cursor.description]"
        mend = f"give pandas.DataFrame(cursor.fetchall(), columns={names}, dtype=object)"
        raise _refuse(kind, "is a cursor, not a table", mend)
    if hasattr(kind, "to_pylist"):
        raise _refuse(kind, "has no name", "name the key: pandas.Series(array.to_pylist(), name='AccessionNumber')")
    if hasattr(kind, "__arrow_c_stream__") and find_spec("pyarrow"):
        import pyarrow as pa

        with contextlib.suppress(pa.ArrowException):  # it is a stream of something else than rows
            return _of_arrow(pa.table(table))
    for call in _CALLS:
        if hasattr(kind, call):
            raise _refuse(kind, "is not in memory as rows", f"give what its {call}() returns")
    return table


def _of_arrow(table: Any) -> pd.DataFrame:
    return _of_columns((name, table.column(n).to_pylist()) for n, name in enumerate(table.schema.names))


def _of_rows(names: Sequence[str], rows: Sequence[Sequence[Any]]) -> pd.DataFrame:
    return _of_columns((name, [row[n] for row in rows]) for n, name in enumerate(names))


def _of_columns(columns: Iterable[tuple[str, Sequence[Any]]]) -> pd.DataFrame:
    """Return a table of columns; two may have one name."""
    names, values = [], []
    for name, column in columns:
        names.append(name)
        values.append(column_of(column))
    table = pd.DataFrame(dict(enumerate(values)))
    table.columns = pd.Index(names, dtype=object)
    return table


def _refuse(kind: type, why: str, mend: str) -> RequestError:
    name = f"{kind.__module__.partition('.')[0]}.{kind.__name__}"
    return RequestError([Problem("", "requests", name, why, mend, private=False)])


def find_no_requests(items: Sequence[Any]) -> Problem | None:
    """Say of items that are all of one kind, and none of them a request, what makes requests of them."""
    kinds = {type(item) for item in items}
    if len(kinds) != 1 or isinstance(items[0], Mapping | pd.Series):
        return None
    (kind,) = kinds
    if issubclass(kind, str | numbers.Number):
        mend = "name the key of all: pd.Series(numbers, name='AccessionNumber')"
    elif kind.__name__ == "Pandas" or (
        issubclass(kind, tuple) and any(isinstance(cell, pd.Series) for cell in items[0])
    ):
        mend = "give the table itself, not its itertuples() or iterrows()"
    elif hasattr(kind, "_asdict"):
        mend = "give [row._asdict() for row in rows]"
    elif is_dataclass(kind):
        mend = "give [dataclasses.asdict(row) for row in rows]"
    elif hasattr(kind, "keys"):
        mend = "give [dict(row) for row in rows]"
    elif issubclass(kind, Sequence) or hasattr(kind, "__array__"):
        mend = "name the columns: pd.DataFrame(rows, columns=['AccessionNumber', …], dtype=object)"
    else:
        return None
    return Problem("", "requests", kind.__name__, "is no request", mend, private=False)
