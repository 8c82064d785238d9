"""A sheet of an Excel workbook as a table: a text as it was typed, and a number as one, since its zeros are lost."""

from __future__ import annotations

import io
import re
import warnings
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from xml.etree.ElementTree import ParseError

import pandas as pd

from dicomover.attributes.attribute import attribute_of
from dicomover.identifier import KEY
from dicomover.requests.frames import column_of
from dicomover.requests.header import NoTable, check_names, is_key, number_doubles
from dicomover.requests.names import NoKey, name_of
from dicomover.text.face import advise
from dicomover.text.formulas import unguard

__all__ = ["Sheet"]

_BROKEN = (
    *(zipfile.BadZipFile, zlib.error, ParseError, ArithmeticError, AttributeError),
    *(EOFError, LookupError, OSError, RuntimeError, TypeError, ValueError),
)
"""What openpyxl raises for a workbook that is none inside."""

_MERGED = re.compile(rb'<(?:\w+:)?mergeCell\s[^>]*?\bref="([A-Za-z0-9:$]+)"')
_MOST_MERGED = 200_000  # cells
_MOST_BYTES = 1 << 28  # of all sheets, unpacked: some five million cells


@dataclass(frozen=True, slots=True)
class Sheet:
    """One sheet."""

    name: str  # of the sheet
    # by number of the row; of each row as many as the header has, None where nothing is
    cells: dict[int, list[Any]] = field(repr=False)
    hidden: int  # how many of the rows below the header Excel does not show

    @classmethod
    def of(cls, raw: bytes, name: str | None) -> Sheet:
        """Return a sheet of a workbook: the one of that name, or the only one that can be meant; raises NoTable."""
        try:
            import openpyxl  # noqa: F401
        except ImportError as error:
            mend = "pip install 'dicomover[excel]', or save it as CSV"
            raise NoTable("", "is an Excel workbook, which openpyxl reads", mend) from error
        try:
            return _choose(raw, name)
        except NoTable:
            raise
        except _BROKEN as error:
            why = f"is an Excel workbook that cannot be read ({type(error).__name__})"
            raise NoTable("", why, "open it in Excel or LibreOffice, and save it as .xlsx again") from error

    def rows(self) -> Iterator[tuple[int, list[Any]]]:
        """Yield the number and the cells of every row that is not blank, the header first; "" where nothing is."""
        table = self.read()
        numbers = list(self.cells)
        yield numbers[0], list(table.columns)
        yield from zip(numbers[1:], table.astype(object).where(table.notna(), "").to_numpy().tolist(), strict=True)

    def read(self) -> pd.DataFrame:
        """Return the table; a column of texts is of dtype string, an empty cell of it an empty text.

        Raises NoTable.
        """
        first, *numbers = self.cells
        header = self.cells[first]
        names = [f"Unnamed: {n}" if value in (None, "") else str(value) for n, value in enumerate(header)]
        check_names(f"row {first}", names)
        columns = []
        for place, name in enumerate(names):
            values = [self.cells[number][place] for number in numbers]
            if _is_date(name):
                values = [_as_dicom_date(value) for value in values]
            if any(isinstance(value, str) for value in values) or not any(value is not None for value in values):
                values = ["" if value is None else value for value in values]
            columns.append(column_of(values))
        table = pd.DataFrame(dict(enumerate(columns)), index=pd.RangeIndex(len(numbers)))
        table.columns = pd.Index(number_doubles(names), dtype=object)
        return table


def _choose(raw: bytes, name: str | None) -> Sheet:
    """Return the sheet that is meant; openpyxl's warnings are of what it would not save."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        book = _load(raw, computed=False)
        grids = [(sheet, _grid(sheet)) for sheet in book.worksheets if name in (None, sheet.title)]
        if name is None:
            shown = [(sheet, grid) for sheet, grid in grids if grid and sheet.sheet_state == "visible"]
            grids = [found for found in shown if any(is_key(str(cell.value)) for cell in _header(found[1]))] or shown
        if len(grids) != 1:
            raise _refuse([sheet.title for sheet, _ in grids] or book.sheetnames, len(grids), name)
        ((sheet, grid),) = grids
        values = None
        if any(cell.data_type == "f" for cells in grid.values() for cell in cells.values()):
            values = _load(raw, computed=True)[sheet.title]
    return _read(sheet, grid, values)


def _refuse(titles: list[str], found: int, name: str | None) -> NoTable:
    names = ", ".join(titles)
    if name is not None:
        why = "are its sheets, none of which is called so" if len(titles) > 1 else "is its only sheet"
        return NoTable("", why, "give the name of a sheet as it is written there", names)
    if not found:
        return NoTable("", "has no cells in a sheet that is shown", advise("say which: sheet='…'"))
    return NoTable("", f"are {found} sheets that may be meant", advise("say which: sheet='…'"), names)


def _load(raw: bytes, *, computed: bool) -> Any:
    import openpyxl

    _check_size(raw)
    return openpyxl.load_workbook(io.BytesIO(raw), data_only=computed, keep_links=False)


def _check_size(raw: bytes) -> None:
    """Refuse what openpyxl would take all memory for: it makes a cell of each that is merged, and of a text several."""
    from openpyxl.utils import range_boundaries

    with zipfile.ZipFile(io.BytesIO(raw)) as archive:
        members = [member for member in archive.infolist() if member.filename.endswith(".xml")]
        if sum(member.file_size for member in members) > _MOST_BYTES:
            raise NoTable("", f"has more than {_MOST_BYTES >> 20} MiB when unpacked", "save its sheet as CSV")
        merged = 0
        for member in members:
            for area in _MERGED.findall(archive.read(member)):
                left, top, right, bottom = range_boundaries(area.decode())
                merged += (right - left + 1) * (bottom - top + 1)
            if merged > _MOST_MERGED:
                raise NoTable(
                    "", "has cells that are merged far below its rows", "unmerge them in it, and save it again"
                )


def _grid(sheet: Any) -> dict[int, dict[int, Any]]:
    """Return the cells that hold something, by row and column; a column that is formatted to its end costs nothing."""
    grid: dict[int, dict[int, Any]] = {}
    for (row, column), cell in sorted(sheet._cells.items()):
        if cell.value not in (None, ""):
            grid.setdefault(row, {})[column] = cell
    return grid


def _header(grid: dict[int, dict[int, Any]]) -> Iterable[Any]:
    return next(iter(grid.values())).values()


def _read(sheet: Any, given: dict[int, dict[int, Any]], computed: Any) -> Sheet:
    """Return what stands in a sheet; of a formula what it came to, and its own text if that was never computed."""
    grid = {row: {at: _value(cell, computed) for at, cell in cells.items()} for row, cells in given.items()}
    if not grid:
        raise NoTable("", "is an empty sheet", "begin it with the names of the columns", sheet.title)
    first = min(grid)
    for merged in sheet.merged_cells.ranges:
        if merged.max_row < first:
            continue
        if merged.min_col != merged.max_col:
            mend = "unmerge them, so that each cell says its own; the first row has to name the columns"
            raise NoTable(f"cells {merged.coord}", "are merged across columns", mend)
        value = grid.get(merged.min_row, {}).get(merged.min_col)
        if value is not None:  # it stands there for each of these rows that holds something
            for row in grid.keys() & range(merged.min_row, merged.max_row + 1):
                grid[row][merged.min_col] = value
    columns = range(min(map(min, grid.values())), max(map(max, grid.values())) + 1)
    cells = {row: [grid[row].get(column) for column in columns] for row in sorted(grid)}
    hidden = sum(row in sheet.row_dimensions and bool(sheet.row_dimensions[row].hidden) for row in list(cells)[1:])
    return Sheet(sheet.title, cells, hidden)


def _value(cell: Any, computed: Any) -> Any:
    from openpyxl.utils.escape import unescape

    value = cell.value
    if cell.data_type == "f":
        known = computed[cell.coordinate].value
        value = getattr(value, "text", value) if known is None else known
    return unguard(unescape(value)) if isinstance(value, str) else value


def _is_date(name: str) -> bool:
    try:
        return name.startswith(KEY) and attribute_of(name_of(name.removeprefix(KEY))).vr == "DA"
    except NoKey:
        return False


def _as_dicom_date(value: Any) -> Any:
    """Return a date as DICOM writes one; a number of eight digits has lost none."""
    if isinstance(value, datetime) and value == datetime.combine(value.date(), datetime.min.time()):
        return f"{value.year:04d}{value.month:02d}{value.day:02d}"
    return str(value) if isinstance(value, int) and len(str(value)) == 8 else value
