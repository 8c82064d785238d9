"""The text of a CSV as a table: every cell as it was typed, and the line of the file that it stands on."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from dataclasses import dataclass
from io import StringIO

import pandas as pd

from dicomover.identifier import UNIQUE_KEYS
from dicomover.requests.header import NoTable, check_names
from dicomover.summary import PLAN_COLUMNS
from dicomover.text.face import advise
from dicomover.text.formulas import unguard, unguard_table

__all__ = ["CsvText"]

_HINT = re.compile(r'\A"?sep=(.)"?[ \t]*(?=[\r\n]|\Z)', re.IGNORECASE)
_END = re.compile(r"\x1a[\x1a\s]*\Z")
_MOST_NAMES = 1 << 20  # characters of all names of columns together
_SEPARATORS = ",;\t|"


@dataclass(frozen=True, slots=True)
class CsvText:
    """The text of a CSV, without the first line that tells Excel the separator, and without Ctrl-Z at its end."""

    text: str
    separator: str

    @classmethod
    def of(cls, text: str, separator: str | None) -> CsvText:
        """Return the CSV that a text is, its separator found out from the header if none is named; raises NoTable."""
        text = _END.sub("", text.removeprefix("\ufeff"))
        if (at := text.find("\0")) >= 0:
            line = text.count("\n", 0, at) + 1
            raise NoTable(f"line {line}", "has NUL bytes, which no text has", "it was cut off or damaged; copy it anew")
        hint = _HINT.match(text)
        if hint is not None:  # the line stays, blank: lines are counted
            text, separator = text[hint.end() :], separator or hint[1]
        header = re.split(r"[\r\n]", text.lstrip("\r\n") if hint else text, maxsplit=1)[0]
        if not header.strip():
            raise NoTable("", "has no header line", "begin it with the names of the columns")
        if len(header) > _MOST_NAMES:
            mend = "the first row has to name the columns, and the next lines have to be the rows"
            raise NoTable("", f"has a header line of {len(header):,} characters", mend)
        return cls(text, separator or max(_SEPARATORS, key=re.sub(r'"[^"]*"', "", header).count))

    def rows(self) -> Iterator[tuple[int, list[str]]]:
        """Yield the number of its first line and the cells of every row that is not blank, the header first.

        Raises csv.Error.
        """
        return ((line, [unguard(cell) for cell in cells]) for line, cells in self._records())

    def _records(self) -> Iterator[tuple[int, list[str]]]:
        """Yield the same as they stand in the file."""
        reader = csv.reader(StringIO(self.text, newline=""), delimiter=self.separator)
        line = 1
        # Python's limit is 128 KiB, and one cell of a summary of ours names all images of a study that have failed.
        before = csv.field_size_limit(max(csv.field_size_limit(), len(self.text)))
        try:
            for cells in reader:
                if len(cells) > 1 or (cells and cells[0].strip()):
                    yield line, cells
                line = reader.line_num + 1
        finally:
            csv.field_size_limit(before)

    def read(self) -> pd.DataFrame:
        """Return the table, all its columns of dtype string; raises NoTable."""
        try:
            self._check_cells()
        except csv.Error as error:
            raise NoTable("", f"cannot be read: {error}", advise("mend the line or name sep=")) from error
        try:
            table = pd.read_csv(
                StringIO(self.text),
                sep=self.separator,
                dtype=str,
                keep_default_na=False,
                index_col=False,
                skip_blank_lines=True,
            )
        except pd.errors.ParserError as error:
            raise NoTable("", f"cannot be read: {str(error).strip()}", "close the quote") from error
        table = unguard_table(table.astype("string"))
        if set(PLAN_COLUMNS) <= set(table.columns):  # what was not found has no UID there, which is no mistake
            for column in UNIQUE_KEYS[1:]:
                if column in table.columns:
                    table[column] = table[column].mask(table[column] == "")
        return table

    def _check_cells(self) -> None:
        """Refuse two columns for one key, and a row of another length than the header; pandas mends both silently.

        Raises NoTable or csv.Error.
        """
        rows = self._records()
        line, header = next(rows, (1, []))
        check_names(f"line {line}", [unguard(name) for name in header])
        for line, cells in rows:
            if len(cells) != len(header):
                raise NoTable(
                    f"line {line}",
                    f"has {len(cells)} cells, the header has {len(header)}",
                    advise("put a text that holds a separator in quotes, or name sep="),
                )
