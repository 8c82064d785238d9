"""What spreadsheets and programs make of the text of a key, told by its looks. No network."""

from __future__ import annotations

import re
from datetime import date

from dicomover.attributes.moments import read_stretch
from dicomover.requests.letters import fits_vr
from dicomover.text.face import in_python

__all__ = ["find_bad_moment", "find_leftover", "find_rewriting", "write_example"]

_MOMENTS = {
    "DA": ("date", "20240101-20241231"),
    "TM": ("time", "101500-120000"),
    "DT": ("date and time", "20240101101500-20241231120000"),
}
_DATES = re.compile(r"(\d{8})-?|-(\d{8})|(\d{8})-(\d{8})", re.ASCII)
_SERIAL = re.compile(r"\d{5}([.,]\d+)?")

_REWRITTEN = re.compile(r"\d+[.,]0+|\d([.,]\d+)?[eE]\+?\d+")
_MISSING = frozenset({"#n/a", "#na", "#nv", "<na>", "n/a", "na", "nan", "-nan", "nat", "none", "null"})
_SPREADSHEET_ERROR = re.compile(r"#[A-Z0-9/]+[!?]")
_THOUSANDS = re.compile(r"\d{1,3}((,\d{3})+(\.\d+)?|(\.\d{3})+,\d+|(['\u2019]\d{3})+)")
_TOO_NARROW = re.compile(r"#{2,}")
_FORMULA = re.compile(r"=.*|'.*")

Finding = tuple[str, str]
"""Why a text cannot be meant, and the mend."""


def find_rewriting(text: str) -> Finding | None:
    """Return what is wrong with a text that a program has turned into a number and back; None if nothing is.

    Examples
    --------
    >>> find_rewriting("123.0")
    ('looks like a number that a program has rewritten', 'restore it from the source as text; spreadsheets and floats
     do this to numbers')
    >>> find_rewriting("00123")
    """
    if _REWRITTEN.fullmatch(text):
        return (
            "looks like a number that a program has rewritten",
            "restore it from the source as text; spreadsheets and floats do this to numbers",
        )
    return None


def find_leftover(keyword: str, text: str) -> Finding | None:
    """Return what is wrong with a cell of a table that holds what a program left there; None if nothing is.

    What stands in a dict was written by hand and is not looked at in this way.

    Examples
    --------
    >>> why, mend = find_leftover("AccessionNumber", "#N/A")
    >>> print(why)
    is what programs write where a value is missing
    >>> print(mend)
    fill it in, or drop the row; if it is a real value, ask for it in a dict: {'AccessionNumber': …}
    """
    call = in_python(f"in a dict: {{{keyword!r}: …}}") or f"by -k {keyword}=…"
    by_dict = f"if it is a real value, ask for it {call}"
    if text.casefold() in _MISSING:
        return "is what programs write where a value is missing", f"fill it in, or drop the row; {by_dict}"
    if _SPREADSHEET_ERROR.fullmatch(text):
        return "is an error of a spreadsheet's formula", f"mend the formula, or drop the row; {by_dict}"
    if _TOO_NARROW.fullmatch(text):
        return "is what a spreadsheet shows where a column is too narrow", f"widen it and save again; {by_dict}"
    if _THOUSANDS.fullmatch(text):
        return "looks like a number with separated thousands", f"restore it from the source as text; {by_dict}"
    if _FORMULA.fullmatch(text):
        return "begins with a spreadsheet's mark for a formula or a text", f"save the values, not the marks; {by_dict}"
    return None


def write_example(vr: str) -> str:
    """Return a date (DA), a time (TM) or both (DT) as DICOM writes it."""
    return _MOMENTS[vr][1].partition("-")[0]


def find_bad_moment(vr: str, text: str) -> Finding | None:
    """Return what is wrong with a date (DA), a time (TM) or both (DT), or with a range of them; None if nothing is.

    Examples
    --------
    >>> find_bad_moment("DA", "20230199")
    ('names a day that does not exist', 'check year, month and day: YYYYMMDD')
    >>> find_bad_moment("DA", "20240201-20240101")
    ('is a range that ends before it begins', 'write the earlier date first')
    >>> find_bad_moment("TM", "10:15")
    ('is not how DICOM writes a time', 'write 101500, or 101500-120000 for a range')
    >>> find_bad_moment("DA", "20240101-"), find_bad_moment("TM", "-1200")
    (None, None)
    """
    what, example = _MOMENTS[vr]
    if text.strip() == "-":
        return f"is a range without a {what}", f"write {example} for a range, or leave the key out"
    if vr == "DA":
        return _find_bad_date(text)
    if not fits_vr(vr, text):
        return f"is not how DICOM writes a {what}", f"write {write_example(vr)}, or {example} for a range"
    if read_stretch(vr, text) is None:
        if "-" in text:
            return "is a range that ends before it begins", f"write the earlier {what} first"
        return "names a day that does not exist", "check year, month and day"
    return None


def _find_bad_date(text: str) -> Finding | None:
    match = _DATES.fullmatch(text)
    if match is None:
        what, example = _MOMENTS["DA"]
        if _SERIAL.fullmatch(text):
            return "looks like a spreadsheet's number of a day", "format the column as text, written as 20240101"
        return f"is not how DICOM writes a {what}", f"write {write_example('DA')}, or {example} for a range"
    days = [part for part in match.groups() if part is not None]
    try:
        for day in days:
            date(int(day[:4]), int(day[4:6]), int(day[6:]))
    except ValueError:
        return "names a day that does not exist", "check year, month and day: YYYYMMDD"
    if days != sorted(days):
        return "is a range that ends before it begins", "write the earlier date first"
    return None
