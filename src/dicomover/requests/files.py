r"""Reading a CSV of requests as it was typed, and finding the line of the file that a row came from."""

from __future__ import annotations

import csv
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from io import StringIO
from pathlib import Path

import pandas as pd

from dicomover.errors import NoSuchFileError, Problem, RequestError
from dicomover.identifier import IDENTIFYING, UNIQUE_KEYS
from dicomover.requests.names import find_nearest, keyword_of
from dicomover.summary import PLAN_COLUMNS
from dicomover.text.face import advise
from dicomover.text.formulas import unguard, unguard_table

__all__ = ["locate", "read_requests"]

_ORIGIN = "dicomover.read_from"
_SPREADSHEETS = (b"PK\x03\x04", b"\xd0\xcf\x11\xe0")  # .xlsx and .ods, .xls


def read_requests(path: str | os.PathLike[str], *, sep: str | None = None, encoding: str | None = None) -> pd.DataFrame:
    r"""Read a CSV of requests, every column as text and exactly as typed: 00123 stays 00123.

    An apostrophe that keeps a spreadsheet from running a cell, as in `'=1+1`, is taken away.

    Parameters
    ----------
    path
        The file; its first line names the columns.
    sep
        What separates the columns; found out from the first line (comma, semicolon or tab) by default.
    encoding
        By default UTF-8, or UTF-16 if a byte order mark says so; if the file is neither, Windows-1252.

    Returns
    -------
    DataFrame
        One row per line, all columns of dtype string. An empty cell is an empty text; a UID that a plan did not find,
        whose file this may be, is <NA>. Errors that name one of its
        rows name the line of the file too, unless the row is no longer what it was.

    Raises
    ------
    NoSuchFileError
        If there is no such file; a FileNotFoundError.
    RequestError
        If the file is a spreadsheet, has no header, names a key twice, or has a line with another number of cells.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     path = Path(folder, "cohort.csv")
    ...     _ = path.write_text("AccessionNumber,split\n00123,train\n")
    ...     print(read_requests(path))
      AccessionNumber  split
    0           00123  train
    """
    text = _decoded(path, encoding)
    header = re.split(r"[\r\n]", text, maxsplit=1)[0]
    if not header.strip():
        raise _file_error(path, "", "has no header line", "begin it with the names of the columns")
    separator = sep or max(",;\t", key=re.sub(r'"[^"]*"', "", header).count)
    try:
        _check_cells(path, text, separator)
    except csv.Error as error:
        raise _file_error(path, "", f"cannot be read: {error}", advise("mend the line or name sep=")) from error
    try:
        table = pd.read_csv(
            StringIO(text), sep=separator, dtype=str, keep_default_na=False, index_col=False, skip_blank_lines=True
        )
    except pd.errors.ParserError as error:
        raise _file_error(path, "", f"cannot be read: {str(error).strip()}", "close the quote") from error
    table = unguard_table(table.astype("string"))
    if set(PLAN_COLUMNS) <= set(table.columns):  # what was not found has no UID there, which is no mistake
        for column in UNIQUE_KEYS[1:]:
            if column in table.columns:
                table[column] = table[column].mask(table[column] == "")
    table.attrs[_ORIGIN] = {"path": str(Path(path).absolute()), "sep": separator, "encoding": encoding}
    return table


def _decoded(path: str | os.PathLike[str], encoding: str | None) -> str:
    try:
        raw = Path(path).read_bytes()
    except FileNotFoundError as error:
        raise NoSuchFileError(path) from error
    if raw.startswith(_SPREADSHEETS):
        mend = advise("save it as CSV, or read it with pandas.read_excel(path, dtype=str)")
        mend += "; its leading zeros may be lost already"
        raise _file_error(path, "", "is a spreadsheet, not a CSV", mend)
    if encoding is None and raw[:2] in (b"\xff\xfe", b"\xfe\xff"):
        encoding = "utf-16"
    try:
        return raw.decode(encoding or "utf-8-sig")
    except UnicodeDecodeError:
        if encoding is not None:
            raise
        return raw.decode("cp1252", "replace")


def _rows(text: str, separator: str) -> Iterator[tuple[int, list[str]]]:
    """Yield the number of its first line and the cells of every row that is not blank, the header first."""
    reader = csv.reader(StringIO(text, newline=""), delimiter=separator)
    line = 1
    for cells in reader:
        if len(cells) > 1 or (cells and cells[0].strip()):
            yield line, [unguard(cell) for cell in cells]
        line = reader.line_num + 1


def _check_cells(path: str | os.PathLike[str], text: str, separator: str) -> None:
    """Refuse two columns for one key, and a row with more or fewer cells than the header; pandas mends both silently.

    Raises
    ------
    RequestError, csv.Error
    """
    rows = _rows(text, separator)
    _, header = next(rows, (1, []))
    for name in dict.fromkeys(header):
        if header.count(name) > 1 and _is_key(name):
            raise _file_error(path, "line 1", f"{name!r} names {header.count(name)} columns", "keep one of them")
    for line, cells in rows:
        if len(cells) != len(header):
            raise _file_error(
                path,
                f"line {line}",
                f"has {len(cells)} cells, the header has {len(header)}",
                advise("put a text that holds a separator in quotes, or name sep="),
            )


def _is_key(name: str) -> bool:
    try:
        return keyword_of(name) in IDENTIFYING
    except KeyError:
        return find_nearest(name, IDENTIFYING, cutoff=0.85) is not None


def _file_error(path: str | os.PathLike[str], where: str, why: str, mend: str) -> RequestError:
    return RequestError([Problem(os.fspath(path), where, None, why, mend)])


def locate(problems: Iterable[Problem], table: pd.DataFrame) -> list[Problem]:
    """Say of problems on which line of the file their row stands, if the table was read from one.

    Only where the line still says what the row says: tables are sorted, filtered and renumbered.
    """
    problems, origin = list(problems), table.attrs.get(_ORIGIN)
    if not isinstance(origin, dict):
        return problems
    try:
        (_, header), *lines = _rows(_decoded(origin["path"], origin["encoding"]), origin["sep"])
    except (OSError, RequestError, UnicodeDecodeError, ValueError, csv.Error):  # it has been taken away or changed
        return problems
    shared = [name for name in dict.fromkeys(header) if name in table.columns and header.count(name) == 1]
    rows = table.iloc[[problem.position for problem in problems]][shared].astype(object)
    texts = rows.where(rows.notna(), "").to_numpy().tolist()
    where = [header.index(name) for name in shared]
    return [_locate(problem, text, lines, where, origin["path"]) for problem, text in zip(problems, texts, strict=True)]


def _locate(
    problem: Problem, text: list[str], lines: Sequence[tuple[int, list[str]]], where: Sequence[int], path: str
) -> Problem:
    label = problem.row
    if not isinstance(label, int) or not 0 <= label < len(lines):
        return problem
    line, cells = lines[label]
    if not where or [cells[n] for n in where] != text:
        return problem
    return replace(problem, place=f"line {line} of {Path(path).name}")
