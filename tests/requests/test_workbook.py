"""An Excel workbook of requests: text as it was typed, numbers as numbers, and whatever Excel adds to a table."""

from __future__ import annotations

import contextlib
import gc
import io
import subprocess
import sys
import warnings
import zipfile
from collections.abc import Callable
from datetime import date, datetime, time
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from dicomover.errors import RequestError, RequestWarning
from dicomover.outcome import Status
from dicomover.requests import files, workbook
from dicomover.requests.around import requests_around
from dicomover.requests.parse import parse_requests, read_requests
from dicomover.summary import Result, build
from requests_kit import keys_of, needs, refused, write

openpyxl = needs("openpyxl")


def saved(folder: Path, rows: list[list[Any]], change: Callable[[Any], object] = lambda sheet: None) -> Path:
    """Return a workbook with a sheet of these rows, changed."""
    book = openpyxl.Workbook()
    for row in rows:
        book.active.append(row)
    change(book.active)
    path = folder / "cohort.xlsx"
    book.save(path)
    return path


ROWS = [["AccessionNumber", "age", "split"], ["00123", 67, "train"], ["00124", None, "test"]]


def test_text_is_as_it_was_typed(tmp_path: Path) -> None:
    """00123 that was typed as text is 00123; whole numbers beside an empty cell stay whole; an empty text is empty."""
    table = read_requests(saved(tmp_path, [*ROWS, ["00125", 5.5, None]]))
    assert table["AccessionNumber"].tolist() == ["00123", "00124", "00125"]
    assert table["split"].tolist() == ["train", "test", ""]
    whole = read_requests(saved(tmp_path, ROWS))
    assert list(map(str, whole.dtypes)) == ["string", "Int64", "string"]
    assert whole["age"].tolist() == [67, pd.NA]
    assert keys_of(whole) == [{"AccessionNumber": "00123"}, {"AccessionNumber": "00124"}]


def test_its_name_does_not_matter(tmp_path: Path) -> None:
    """A workbook that is called .csv or .xls, or lies in a ZIP file, is a workbook."""
    raw = saved(tmp_path, ROWS).read_bytes()
    assert len(read_requests(write(tmp_path, raw))) == 2
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("cohort.xlsx", raw)
    assert len(read_requests(write(tmp_path, buffer.getvalue()))) == 2


@pytest.mark.parametrize(
    "numbers", [[123, 124], ["00123", 124], [123.5, 124], [datetime(2024, 1, 2), "A"], [True, "A"]]
)
def test_a_number_is_no_key(tmp_path: Path, numbers: list[object]) -> None:
    """A cell of a key that is no text is refused with its row: what Excel has made a number has lost its zeros."""
    error = refused(read_requests(saved(tmp_path, [["AccessionNumber"], *([number] for number in numbers)])))
    assert len(error.problems) == sum(not isinstance(number, str) for number in numbers)
    problem = error.problems[0]
    assert problem.place == f"row {problem.position + 2} of cohort.xlsx"
    assert "leading zeros" in str(error)


def test_a_number_stays_one_in_any_column(tmp_path: Path) -> None:
    """A column that becomes a key later, by its name or by keys=, is not made text before."""
    table = read_requests(saved(tmp_path, [["MRN", "StudyID"], [123, "x"]]))
    assert "leading zeros are lost" in str(refused(table.rename(columns={"MRN": "PatientID"})))
    assert table["MRN"].dtype == "Int64"


def test_dates(tmp_path: Path) -> None:
    """A date of Excel is one to ask by, in DICOM's form; in other columns it is a date."""
    rows = [["key:StudyDate", "PatientID", "operated"], [date(2024, 1, 31), "P1", date(2024, 2, 1)]]
    rows += [[20240201, "P2", date(2024, 2, 2)], ["20240101-20240131", "P3", None]]
    table = read_requests(saved(tmp_path, rows))
    assert table["key:StudyDate"].tolist() == ["20240131", "20240201", "20240101-20240131"]
    assert table["operated"].tolist() == [pd.Timestamp(2024, 2, 1), pd.Timestamp(2024, 2, 2), pd.NaT]
    assert len(keys_of(table)) == 3
    around = requests_around(table[["PatientID", "operated"]].head(2), date="operated", before="1D")
    assert around["key:StudyDate"].tolist() == ["20240131-20240201", "20240201-20240202"]


@pytest.mark.parametrize("value", [datetime(2024, 1, 31, 10, 15), time(10, 15), 45322, 2024.5])
def test_what_is_no_day(tmp_path: Path, value: object) -> None:
    """A time of day, and Excel's count of days, are no days to ask by."""
    refused(read_requests(saved(tmp_path, [["key:StudyDate"], [value]])))


def test_a_formula_is_what_it_came_to(tmp_path: Path) -> None:
    """A formula stands for its result; one that was never computed is named where it is a key, and lost nowhere."""
    path = saved(tmp_path, [["AccessionNumber", "note"], ['=TEXT(123,"00000")', "=1+1"], ["00124", "x"]])
    table = read_requests(path)
    assert table["note"].tolist() == ["=1+1", "x"]
    assert "mark for a formula" in str(refused(table))
    raw = {}
    with zipfile.ZipFile(path) as archive:
        raw = {name: archive.read(name) for name in archive.namelist()}
    sheet = raw["xl/worksheets/sheet1.xml"].decode()
    assert "<f>" in sheet
    computed = sheet.replace('<c r="A2"><f>', '<c r="A2" t="str"><f>').replace("</f><v></v>", "</f><v>00123</v>", 1)
    computed = computed.replace("</f><v />", "</f><v>00123</v>", 1).replace("</f><v/>", "</f><v>00123</v>", 1)
    raw["xl/worksheets/sheet1.xml"] = computed.encode()
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in raw.items():
            archive.writestr(name, content)
    assert keys_of(read_requests(path)) == [{"AccessionNumber": "00123"}, {"AccessionNumber": "00124"}]


def test_errors_and_marks_of_excel(tmp_path: Path) -> None:
    """An error of a formula is named; a line break that Excel wrote as _x000D_ is one; a guard is taken away."""
    table = read_requests(saved(tmp_path, [["AccessionNumber", "note"], ["#N/A", "a_x000D_b"], ["1", "'=1+1"]]))
    assert table["note"].tolist() == ["a\rb", "=1+1"]
    assert "AccessionNumber" in str(refused(table))


def merge(area: str) -> Callable[[Any], object]:
    """Return what merges cells of a sheet."""
    return lambda sheet: sheet.merge_cells(area)


def test_merged_cells(tmp_path: Path) -> None:
    """Cells that are merged downwards say their value in each row; across columns nobody knows what is meant."""
    rows = [["PatientID", "AccessionNumber"], ["P1", "1"], [None, "2"], ["P2", "3"]]
    table = read_requests(saved(tmp_path, rows, merge("A2:A3")))
    assert table["PatientID"].tolist() == ["P1", "P1", "P2"]
    assert len(read_requests(saved(tmp_path, rows[:2], merge("A2:A50")))) == 1
    for area in ("A2:B2", "A1:B1", "A2:B3"):
        with pytest.raises(RequestError, match=f"cells {area}: are merged across columns; unmerge them"):
            read_requests(saved(tmp_path, rows, merge(area)))


def test_a_workbook_does_not_take_all_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A few bytes that say that a million cells are merged are refused before they are made, and so is a huge text."""
    path = saved(tmp_path, [["AccessionNumber"], ["1"], ["2"]], merge("A2:A3"))
    for area in ("A2:A1048576", "A2:XFD1048576"):
        with zipfile.ZipFile(path) as old, zipfile.ZipFile(tmp_path / "large.xlsx", "w") as new:
            for name in old.namelist():
                new.writestr(name, old.read(name).replace(b"A2:A3", area.encode()))
        with pytest.raises(RequestError, match="merged far below its rows; unmerge them"):
            read_requests(tmp_path / "large.xlsx")
    monkeypatch.setattr(workbook, "_MOST_BYTES", 1000)
    with pytest.raises(RequestError, match="when unpacked; save its sheet as CSV"):
        read_requests(path)


def test_blank_rows_and_columns(tmp_path: Path) -> None:
    """A table may begin anywhere and have blank rows; a column that is formatted to its end costs nothing."""

    def change(sheet: Any) -> None:
        sheet.insert_cols(1)
        sheet.insert_rows(1, 3)
        sheet.cell(row=1_048_576, column=1).number_format = "@"

    rows = [["AccessionNumber", None, "note", "note"], ["00123", "x", "1", "2"], [None] * 4, [" 4", None, "3", "4"]]
    table = read_requests(saved(tmp_path, rows, change))
    assert table.columns.tolist() == ["AccessionNumber", "Unnamed: 1", "note", "note.1"]
    assert table.index.tolist() == [0, 1]
    assert refused(table).problems[0].place == "row 7 of cohort.xlsx"
    with pytest.raises(RequestError, match="row 1: 'PatientID' names 2 columns"):
        read_requests(saved(tmp_path, [["PatientID", "PatientID"], ["1", "2"]]))


def test_hidden_rows_are_told(tmp_path: Path) -> None:
    """Rows that a filter hides are in the file and are read; whoever does not see them is told."""

    def change(sheet: Any) -> None:
        sheet.row_dimensions[3].hidden = True

    with pytest.warns(
        RequestWarning, match=r"cohort.xlsx has 1 row that is hidden in Excel, .* delete what is not meant"
    ):
        table = read_requests(saved(tmp_path, ROWS, change))
    assert len(table) == 2


def test_the_sheet_that_is_meant(tmp_path: Path) -> None:
    """The only sheet with a key in its header is meant, hidden ones never; of several one has to be named."""

    def change(sheet: Any) -> None:
        sheet.title = "Cohort"
        notes = sheet.parent.create_sheet("Notes", 0)
        notes.append(["What this is"])
        kept = sheet.parent.create_sheet("Old", 0)
        kept.append(["AccessionNumber"])
        kept.append(["9"])
        kept.sheet_state = "hidden"

    path = saved(tmp_path, ROWS, change)
    assert len(read_requests(path)) == 2
    old = read_requests(path, sheet="Old")
    assert old["AccessionNumber"].tolist() == ["9"]
    with pytest.raises(RequestError, match="has no cells in a sheet that is shown"):
        read_requests(saved(tmp_path, []))


@pytest.mark.parametrize(
    ("titles", "sheet", "says"),
    [
        (["Miller 12", "Smith"], None, "are 2 sheets that may be meant; say which: sheet='…'"),
        (["Miller 12", "Smith"], "Jones", "are its sheets, none of which is called so; give the name"),
        (["Miller 12"], "Jones", "is its only sheet; give the name"),
        (["Miller 12", "Empty"], "Empty", "is an empty sheet; begin it"),
    ],
    ids=["several", "none of them", "another", "empty"],
)
def test_the_name_of_a_sheet_may_be_a_patients(tmp_path: Path, titles: list[str], sheet: str | None, says: str) -> None:
    """A message has the shape of a sheet's name, and the name itself only where that was asked for."""

    def change(first: Any) -> None:
        first.title = titles[0]
        for title in titles[1:]:
            (first.parent.create_sheet(title) if title == "Empty" else first.parent.copy_worksheet(first)).title = title

    path = saved(tmp_path, ROWS, change)
    with pytest.raises(RequestError) as caught:
        read_requests(path, sheet=sheet)
    assert says in str(caught.value)
    assert not any(name in str(caught.value) for name in ("Miller", "Smith", "Jones", "Empty"))
    with pytest.raises(RequestError, match="Empty" if sheet == "Empty" else "Miller 12"):
        read_requests(path, sheet=sheet, show_keys=True)


def test_a_workbook_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its cells are gone through once, also for the rows of what is wrong, as long as its table is there."""
    loads, grids = [], []
    load, grid = workbook._load, workbook._grid
    monkeypatch.setattr(workbook, "_load", lambda *args, **how: loads.append(1) or load(*args, **how))
    monkeypatch.setattr(workbook, "_grid", lambda sheet: grids.append(1) or grid(sheet))
    table = read_requests(saved(tmp_path, [["AccessionNumber"], ["1"], [" 2"]]))
    assert refused(table).problems[0].place == "row 3 of cohort.xlsx"
    assert (len(loads), len(grids)) == (1, 1)
    kept = table.copy()
    del table
    gc.collect()
    assert not files._sheets
    assert refused(kept).problems[0].place == "row 3 of cohort.xlsx"
    assert (len(loads), len(grids)) == (2, 2)


def test_a_problem_names_the_row_of_the_sheet(tmp_path: Path) -> None:
    """A bad row is named by its row in Excel, also after the table was filtered, as long as it says the same."""
    table = read_requests(saved(tmp_path, [["AccessionNumber", "age"], ["1", 5], [None, None], [" 2", None]]))
    assert refused(table).problems[0].place == "row 4 of cohort.xlsx"
    assert refused(table[table.age.isna()]).problems[0].place == "row 4 of cohort.xlsx"
    assert refused(table.assign(age=6)).problems[0].place == ""


@pytest.mark.parametrize("at", [60, 400, 2000])
def test_a_broken_workbook(tmp_path: Path, at: int) -> None:
    """A workbook that was cut off is named, whatever openpyxl makes of it."""
    raw = saved(tmp_path, ROWS).read_bytes()
    with pytest.raises(RequestError, match="cannot be"):
        read_requests(write(tmp_path, raw[:at]))


@pytest.mark.parametrize(
    "part", ["xl/workbook.xml", "xl/worksheets/sheet1.xml", "[Content_Types].xml", "xl/styles.xml"]
)
@pytest.mark.parametrize("content", [b"", b"<a/>", b"<a", None])
def test_a_workbook_that_is_none_inside(tmp_path: Path, part: str, content: bytes) -> None:
    """Whatever stands in its parts, reading ends in a table or in a sentence."""
    path = saved(tmp_path, ROWS)
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()} | ({} if content is None else {part: content})
        start = archive.getinfo(part).header_offset + 60
    if content is None:  # its compressed bytes are damaged
        raw = path.read_bytes()
        path.write_bytes(raw[:start] + bytes(40) + raw[start + 40 :])
    else:
        with zipfile.ZipFile(path, "w") as archive:
            for name, inside in parts.items():
                archive.writestr(name, inside)
    with contextlib.suppress(RequestError):
        assert keys_of(read_requests(path))


def test_a_summary_that_excel_kept(tmp_path: Path) -> None:
    """What a summary is after it went through a workbook can be moved again."""
    summary = build([Result(Status.SUCCESS)], parse_requests({"AccessionNumber": "00123"}).given)
    summary["started"] = None
    summary.to_excel(tmp_path / "cohort.xlsx", index=False)
    assert keys_of(read_requests(tmp_path / "cohort.xlsx")) == [{"AccessionNumber": "00123"}]


def test_what_openpyxl_would_not_save_concerns_nobody(tmp_path: Path) -> None:
    """Warnings of openpyxl about what it would lose on saving are not passed on."""
    path = saved(tmp_path, ROWS)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        read_requests(path)


def test_without_openpyxl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the extra a workbook is named, with what brings it."""
    path = saved(tmp_path, ROWS)
    monkeypatch.setitem(sys.modules, "openpyxl", None)
    with pytest.raises(
        RequestError, match=r"is an Excel workbook, which openpyxl reads; pip install 'dicomover\[excel\]'"
    ):
        read_requests(path)


def test_openpyxl_is_imported_for_workbooks_only(tmp_path: Path) -> None:
    """Reading a CSV does not load what reads workbooks."""
    path = write(tmp_path, "AccessionNumber\n1\n")
    code = (
        "import sys; from dicomover import read_requests; read_requests(sys.argv[1]); print('openpyxl' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code, path], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "False"
