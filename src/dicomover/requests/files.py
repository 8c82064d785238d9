r"""Reading a file of requests, whatever it is: recognised first, then read, or named for what it is."""

from __future__ import annotations

import bz2
import csv
import gzip
import io
import lzma
import os
import weakref
import zipfile
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from dicomover.errors import ConfigurationError, NoSuchFileError, Problem, RequestError, RequestWarning, warn_caller
from dicomover.requests.csvfile import CsvText
from dicomover.requests.encoding import Undecodable, decode, describe_guess
from dicomover.requests.filekind import find_kind, find_kind_of_text, find_kind_of_zip
from dicomover.requests.header import NoTable
from dicomover.requests.workbook import Sheet
from dicomover.text.face import advise
from dicomover.text.traces import forgetting

__all__ = ["locate", "read_requests"]

_ORIGIN = "dicomover.read_from"
_MOST = 1 << 30
"""The bytes of the largest file, and of what is unpacked from one."""
_LAYERS = 2  # a .csv.gz, and that in a .zip
_ZIP = b"PK\x03\x04"
_OPENERS: dict[bytes, Any] = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ\0": lzma.open}
_DAMAGES = (OSError, EOFError, RuntimeError, lzma.LZMAError, zlib.error, zipfile.BadZipFile)


@forgetting
def read_requests(
    path: str | os.PathLike[str],
    *,
    sep: str | None = None,
    encoding: str | None = None,
    sheet: str | None = None,
    show_keys: bool = False,
) -> pd.DataFrame:
    r"""Read a file of requests, a CSV or an Excel workbook, every text exactly as typed: 00123 stays 00123.

    What the file is its bytes say, not its name. It may be compressed (gzip, bzip2, xz, or alone in a ZIP file); any
    other kind of file is named, with what makes a table of it. An apostrophe that keeps a spreadsheet from running a
    cell, as in `'=1+1`, is taken away, whoever wrote it: our own files have it where a text begins so.

    Parameters
    ----------
    path
        The file; its first line or row names the columns. A first line `sep=;`, as Excel knows it, is obeyed.
    sep
        What separates the columns; found out from the header (comma, semicolon, tab or `|`) by default.
    encoding
        By default UTF-8, UTF-16 or UTF-32, as the bytes say; if the file is none of them, Windows-1252, with a
        warning that shows what became of a cell.
    sheet
        The name of a workbook's sheet; by default the one that is not hidden and whose header names a key.
    show_keys
        Whether an error shows the names of sheets, which may be patients'; their shape otherwise.

    Returns
    -------
    DataFrame
        One row per line that is not blank. All columns of a CSV are of dtype string. An empty cell is an empty text; a
        UID that a plan did not find, whose file this may be, is <NA>. Of a workbook, columns of numbers, dates or truth
        values have their own dtype: a number in a key is refused where it is asked for, since its leading zeros are
        gone. What formulas came to stands in their place, and cells that are merged downwards have one value. Errors
        that name a row name the line of the file too, unless the row is no longer what it was.

    Raises
    ------
    ConfigurationError
        If `sep` is not one character, or `encoding` none that Python knows.
    NoSuchFileError
        If there is no such file; a FileNotFoundError.
    RequestError
        If the file is no table or not in this encoding, has no header, names a key twice, has a line with another
        number of cells, or has several sheets that may be meant.

    Warns
    -----
    RequestWarning
        If an encoding had to be guessed, or if rows of a sheet are hidden; they are read.

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
    if sep is not None and not (isinstance(sep, str) and len(sep) == 1 and sep not in '"\r\n'):
        mend = r"give what stands between two cells, such as ';' or '\t'"
        raise ConfigurationError(f"sep={sep!r} is not one character that can separate", mend)
    try:
        found, guessed = _open(path, sep, encoding, sheet)
        table = found.read()
        warning = _describe(found, guessed)
    except NoTable as error:
        problem = Problem(os.fspath(path), error.where, error.value, error.why, error.mend)
        raise RequestError([problem], show_keys=show_keys) from error.__cause__
    if warning:
        warn_caller(f"{Path(path).name} {warning}", RequestWarning)
    how = {"path": str(Path(path).absolute()), "encoding": encoding}
    is_sheet = isinstance(found, Sheet)
    table.attrs[_ORIGIN] = how | ({"sheet": found.name} if is_sheet else {"sep": found.separator})  # type: ignore[union-attr]
    if isinstance(found, Sheet):
        stamp = _stamp(str(Path(path).absolute()), found.name)
        _sheets[stamp] = found
        weakref.finalize(table, _sheets.pop, stamp, None)
    return table


_sheets: dict[tuple[object, ...], Sheet] = {}
"""What was read of workbooks, whose reading takes long, for as long as its table is there and the file as it was."""


def _stamp(path: str, sheet: str) -> tuple[object, ...]:
    known = Path(path).stat()
    return path, known.st_mtime_ns, known.st_size, sheet


def _open(
    path: str | os.PathLike[str], sep: str | None, encoding: str | None, sheet: str | None
) -> tuple[CsvText | Sheet, bool]:
    """Return the table of a file as it is written there, and whether its encoding was guessed.

    Raises ConfigurationError, NoTable, NoSuchFileError or OSError.
    """
    raw = _unpack(_load(path))
    if kind := find_kind(raw):
        raise NoTable("", *kind)
    if raw.startswith(_ZIP):
        if sep or encoding:
            raise NoTable("", "is an Excel workbook", "leave sep= and encoding= out")
        return Sheet.of(raw, sheet), False
    if sheet is not None:
        raise NoTable("", "is no workbook and has no sheets", "leave sheet= out")
    try:
        text, guessed = (_decode(raw, encoding), False) if encoding else decode(raw)
    except Undecodable as error:
        raise NoTable(
            "", f"is {error} by its first bytes, but not to its end", "copy it anew from its source"
        ) from error
    if kind := find_kind_of_text(text.removeprefix("\ufeff")):
        raise NoTable("", *kind)
    return CsvText.of(text, sep), guessed


def _decode(raw: bytes, encoding: str) -> str:
    try:
        return raw.decode(encoding)
    except UnicodeError as error:
        raise NoTable(
            "", f"is not in the encoding {encoding!r}", "leave encoding= out, or name the right one"
        ) from error
    except (LookupError, TypeError, ValueError) as error:
        what = f"encoding={encoding!r} is no encoding of text that Python knows"
        raise ConfigurationError(what, "give one such as 'utf-8', 'cp1252' or 'utf-16', or leave it out") from error


def _load(path: str | os.PathLike[str]) -> bytes:
    try:
        with Path(path).open("rb") as file:
            return _bounded(file.read(_MOST + 1))
    except (FileNotFoundError, ValueError) as error:  # a NUL or half a character names no file
        raise NoSuchFileError(path) from error


def _bounded(raw: bytes) -> bytes:
    if len(raw) > _MOST:
        raise NoTable("", f"has more than {_MOST >> 30} GiB", "make several of it, with the same header")
    return raw


def _unpack(raw: bytes) -> bytes:
    """Return what is in a compressed file, as far as it is one; a workbook is left as it is.

    Raises NoTable.
    """
    for _ in range(_LAYERS):
        opener = next((opener for magic, opener in _OPENERS.items() if raw.startswith(magic)), None)
        try:
            if opener is not None:
                with opener(io.BytesIO(raw)) as file:
                    raw = _bounded(file.read(_MOST + 1))
            elif raw.startswith(_ZIP):
                raw = _unzip(raw)
        except _DAMAGES as error:
            why = f"is compressed, and cannot be unpacked ({type(error).__name__})"
            raise NoTable("", why, "copy it anew, without a password") from error
    return raw


def _unzip(raw: bytes) -> bytes:
    """Return the only file in a ZIP file, or the ZIP file itself if it is a workbook."""
    with zipfile.ZipFile(io.BytesIO(raw)) as archive:
        members = [member for member in archive.infolist() if not member.is_dir()]
        names = [member.filename for member in members]
        mime = archive.read("mimetype") if "mimetype" in names and archive.getinfo("mimetype").file_size < 256 else b""
        if kind := find_kind_of_zip(names, mime):
            raise NoTable("", *kind)
        if sum(member.file_size for member in members) > _MOST:
            raise NoTable("", f"has more than {_MOST >> 30} GiB when unpacked", "make several of it")
        if "xl/workbook.xml" in names:
            return raw
        with archive.open(members[0]) as file:
            return _bounded(file.read(_MOST + 1))


def _describe(found: CsvText | Sheet, guessed: bool) -> str:
    """Return what has to be said of a table that was read, after the name of its file."""
    if isinstance(found, Sheet):
        if not found.hidden:
            return ""
        what = "1 row that is" if found.hidden == 1 else f"{found.hidden} rows that are"
        return f"has {what} hidden in Excel, by a filter or by hand, and read like all others; delete what is not meant"
    if not guessed:
        return ""
    mend = advise("name its encoding, such as encoding='cp850'")
    return f"is not UTF-8; it was read as Windows-1252, {describe_guess(found.rows())}; if that is wrong, {mend}"


def locate(problems: Iterable[Problem], table: pd.DataFrame) -> list[Problem]:
    """Say of problems on which line of the file their row stands, if the table was read from one.

    Only where the line still says what the row says: tables are sorted, filtered and renumbered.
    """
    problems, origin = list(problems), table.attrs.get(_ORIGIN)
    if not isinstance(origin, dict):
        return problems
    path, unit = origin["path"], "row" if "sheet" in origin else "line"
    try:
        kept = _sheets.get(_stamp(path, origin["sheet"])) if "sheet" in origin else None
        found = kept or _open(path, origin.get("sep"), origin["encoding"], origin.get("sheet"))[0]
        (_, header), *lines = found.rows()
    except (OSError, RequestError, NoTable, ValueError, csv.Error):  # it has been taken away or changed
        return problems
    shared = [name for name in dict.fromkeys(header) if name in table.columns and header.count(name) == 1]
    rows = table.iloc[[problem.position for problem in problems]][shared].astype(object)
    cells = rows.where(rows.notna(), "").to_numpy().tolist()
    where = [header.index(name) for name in shared]
    unit_of = f"{unit} {{}} of {Path(path).name}".format
    return [
        replace(problem, place=unit_of(line)) if (line := _find_line(problem, row, lines, where)) else problem
        for problem, row in zip(problems, cells, strict=True)
    ]


def _find_line(
    problem: Problem, row: Sequence[Any], lines: Sequence[tuple[int, Sequence[Any]]], where: Sequence[int]
) -> int | None:
    """Return the number of the line that says what the row says, None if it says something else."""
    label = problem.row
    if not isinstance(label, int) or not 0 <= label < len(lines):
        return None
    line, cells = lines[label]
    return line if where and [cells[n] for n in where] == row else None
