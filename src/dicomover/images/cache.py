"""The table of a folder's headers, kept beside the files: Parquet where pyarrow is, else SQLite.

It holds what headers hold, so it is for its owner alone. It is only ever a copy: one that cannot be read, or was
written by another version, is written anew. It is believed as the files themselves are: whoever can write it can write
those. But it is never waited for, and runs nothing.
"""

from __future__ import annotations

import contextlib
import importlib.util
import logging
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from dicomover.disk import replace_file

__all__ = ["read_cache", "write_cache"]

logger = logging.getLogger("dicomover.images")

_LEAST = 16  # bytes that a row takes: pages that lead to each other come to no more of them
_MOST_VALUES, _MOST_TIMES = 16, 64  # that a byte of a Parquet file comes to, and bytes; of ours 2, and 20 at most
_PLAIN = frozenset(("PLAIN", "RLE", "BIT_PACKED", "SNAPPY"))
_PARQUET, _SQLITE = ".dicomover-index.parquet", ".dicomover-index.db"


def read_cache(folder: Path, names: Sequence[str]) -> pd.DataFrame | None:
    """Return the table that was kept, None if there is none, or not with these columns."""
    try:
        if _has_pyarrow() and (folder / _PARQUET).is_file():
            table = _read_parquet(folder / _PARQUET)
        elif (folder / _SQLITE).is_file():
            # It is only ever replaced as a whole: what else lies beside it by SQLite's names is none of it.
            address = f"{(folder / _SQLITE).absolute().as_uri()}?mode=ro&immutable=1"
            with contextlib.closing(sqlite3.connect(address, uri=True)) as database:
                _refuse_computed(database)
                most = (folder / _SQLITE).stat().st_size // _LEAST
                table = pd.read_sql(f"SELECT * FROM headers LIMIT {most}", database)  # noqa: S608 - a number
                dtypes = dict(database.execute(f"SELECT name, dtype FROM dtypes LIMIT {most}"))  # noqa: S608
            table = table.astype(dtypes)
        else:
            return None
    except Exception as error:  # noqa: BLE001 - whatever lies there by this name; it is read anew
        logger.warning("the index of headers cannot be read (%s) and is made anew", type(error).__name__)
        return None
    return table if {"path", "size", "changed", *names} <= set(table.columns) else None


def _read_parquet(path: Path) -> pd.DataFrame:
    """Return what is kept; raises ValueError where a file may unpack to far more than it takes.

    In a dictionary one long text may stand for each of a million rows; ours has none, and is packed by Snappy alone,
    which cannot pack more than some twenty bytes into one.
    """
    from pyarrow import default_memory_pool, parquet

    about, size = parquet.read_metadata(path), path.stat().st_size
    columns = [
        about.row_group(group).column(at) for group in range(about.num_row_groups) for at in range(about.num_columns)
    ]
    if (
        about.num_rows * about.num_columns > _MOST_VALUES * size
        or sum(column.total_uncompressed_size for column in columns) > _MOST_TIMES * size
        or not all({*column.encodings, column.compression} <= _PLAIN for column in columns)
    ):
        raise ValueError
    empty: dict[str, Any] = {}  # one for all columns that say nothing
    read: dict[str, Any] = {}
    for name in about.schema.names:  # one by one: of a million rows no second table is ever in memory
        column = pd.read_parquet(path, columns=[name])[name].array
        read[name] = empty.setdefault(str(column.dtype), column) if column.isna().all() else column
        default_memory_pool().release_unused()
    return pd.DataFrame(read, copy=False)


def _refuse_computed(database: sqlite3.Connection) -> None:
    """Raise ValueError if there is more than our two tables: what a view or a column computes may have no end."""
    found = database.execute("SELECT name, type, rootpage > 0 FROM sqlite_master LIMIT 3").fetchall()
    if sorted(found) != [(name, "table", 1) for name in ("dtypes", "headers")]:
        raise ValueError
    for name, _, _ in found:
        if database.execute("SELECT 1 FROM pragma_table_xinfo(?) WHERE hidden LIMIT 1", (name,)).fetchone():
            raise ValueError


def write_cache(folder: Path, table: pd.DataFrame) -> None:
    """Keep a table, but for files whose names are no text; a folder that cannot be written to stays without."""
    name = _PARQUET if _has_pyarrow() else _SQLITE
    is_text = np.fromiter((path.isascii() or _is_text(path) for path in table["path"]), bool, len(table))
    table = table if is_text.all() else table[is_text]
    try:
        with replace_file(folder / name) as part:
            if _has_pyarrow():
                table.to_parquet(part, index=False, compression="snappy", use_dictionary=False)
                return
            with contextlib.closing(sqlite3.connect(part)) as database, database:
                table.to_sql("headers", database, index=False)
                dtypes = [(column, str(dtype)) for column, dtype in table.dtypes.items()]
                database.execute("CREATE TABLE dtypes (name TEXT, dtype TEXT)")
                database.executemany("INSERT INTO dtypes VALUES (?, ?)", dtypes)
    except OSError as error:
        logger.info("the index of headers is not kept: %s", error.strerror)


def _is_text(path: str) -> bool:
    return path.encode(errors="surrogateescape").decode(errors="replace") == path


def _has_pyarrow() -> bool:
    return importlib.util.find_spec("pyarrow") is not None
