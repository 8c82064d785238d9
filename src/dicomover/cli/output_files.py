"""The files that a command writes: what is in the way of one, said before anything is sent; whole or not at all."""

from __future__ import annotations

import csv
import importlib.util
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path

import click
import pandas as pd

from dicomover.cli.screen import say
from dicomover.disk import Share, replace_file
from dicomover.text.formulas import guard_table

__all__ = ["check_page_file", "check_table_file", "render_json", "save_file", "save_table", "write_table"]


def render_json(table: pd.DataFrame) -> str:
    """Return a table as a JSON array of one object for each row; what is unknown is null."""
    text = table.to_json(orient="records", date_format="iso", indent=2, default_handler=str)
    return str(text)


def check_table_file(path: Path | None, option: str, *, keep: Path | None = None) -> None:
    """Say what is in the way of writing a table there, before anything is sent.

    Raises click.BadParameter if its kind is unknown, its folder is missing, or it would overwrite `keep`.
    """
    if path is None:
        return
    why = ""
    if path.suffix.lower() not in (".csv", ".json", ".parquet"):
        why = f"{path} ends in {path.suffix or 'nothing'}; name a .csv, .json or .parquet file"
    elif path.suffix.lower() == ".parquet" and importlib.util.find_spec("pyarrow") is None:
        why = "a .parquet file needs pyarrow, which is not installed: pip install 'dicomover[parquet]', or take .csv"
    elif keep is not None and path.exists() and keep.exists() and path.samefile(keep):
        why = f"{path} is the file that the requests come from; choose another name"
    if why := why or _in_the_way(path):
        raise click.BadParameter(why, param_hint=option)


def check_page_file(path: Path | None, option: str) -> None:
    """Say what is in the way of writing a page there, before anything is sent.

    Raises click.BadParameter if it is no .html file, or cannot be written.
    """
    if path is None:
        return
    is_page = path.suffix.lower() in (".html", ".htm")
    why = _in_the_way(path) if is_page else f"{path} ends in {path.suffix or 'nothing'}; name a .html file"
    if why:
        raise click.BadParameter(why, param_hint=option)


def _in_the_way(path: Path) -> str:
    if path.is_dir():
        return f"{path} is a folder; name a file"
    if path.exists() and not path.is_file():
        return f"{path} is no file but a pipe or a device; name a file"
    if not path.absolute().parent.is_dir():
        return f"the folder {path.absolute().parent} is not there; make it first"
    if not os.access(path if path.exists() else path.absolute().parent, os.W_OK):
        return f"{path} cannot be written; choose another place"
    return ""


def write_table(table: pd.DataFrame, path: Path, share: Share = "owner") -> None:
    """Write a table by the ending of the file's name; an older file stays whole until the new one is.

    No cell of a .csv is run by a spreadsheet; `read_requests` reads them as they were. Raises OSError if it cannot be
    written.
    """
    kind = path.suffix.lower()
    with replace_file(path, share) as part:
        if kind == ".csv":
            _write_csv(guard_table(table), part)
        elif kind == ".json":
            part.write_text(render_json(table) + "\n", encoding="utf-8")
        else:
            table.to_parquet(part, index=False)


def _write_csv(table: pd.DataFrame, path: Path) -> None:
    texts = table.select_dtypes(exclude="number")
    broken = any(isinstance(cell, str) and "\r" in cell for _, column in texts.items() for cell in column)
    # Before 3.13 the csv module leaves a carriage return bare, which then ends the line.
    table.to_csv(path, index=False, quoting=csv.QUOTE_ALL if broken else csv.QUOTE_MINIMAL)


def save_table(table: pd.DataFrame, path: Path | None, code: int, share: Share) -> int:
    """Write a table to a file, if one is named, and return the exit code."""
    return code if path is None else save_file(partial(write_table, table, share=share), path, code)


def save_file(write: Callable[[Path], object], path: Path, code: int) -> int:
    """Write a file and return the exit code, another one if that failed."""
    try:
        write(path)
    except OSError as error:
        say(f"Error: {path} could not be written: {error.strerror}")
        return code or 1
    return code
