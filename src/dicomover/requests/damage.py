"""What spreadsheets and programs make of the text of a key, told by its looks. No network."""

from __future__ import annotations

import re
from datetime import date

__all__ = ["find_bad_date", "find_leftover", "find_rewriting"]

_ISO_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
_DATES = re.compile(r"(\d{8})-?|-(\d{8})|(\d{8})-(\d{8})")

_REWRITTEN = re.compile(r"\d+[.,]0+|\d([.,]\d+)?[eE]\+?\d+")
_MISSING = frozenset({"#n/a", "#na", "#nv", "<na>", "n/a", "na", "nan", "-nan", "nat", "none", "null"})
_SPREADSHEET_ERROR = re.compile(r"#[A-Z0-9/]+[!?]")
_THOUSANDS = re.compile(r"\d{1,3}(,\d{3})+")
_FORMULA = re.compile(r"=.*|'.*")
_BY_DICT = "if it is a real value, ask for it in a dict: {{{keyword!r}: …}}"

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
    by_dict = _BY_DICT.format(keyword=keyword)
    if text.casefold() in _MISSING:
        return "is what programs write where a value is missing", f"fill it in, or drop the row; {by_dict}"
    if _SPREADSHEET_ERROR.fullmatch(text):
        return "is an error of a spreadsheet's formula", f"mend the formula, or drop the row; {by_dict}"
    if _THOUSANDS.fullmatch(text):
        return "looks like a number with separated thousands", f"restore it from the source as text; {by_dict}"
    if _FORMULA.fullmatch(text):
        return "begins with a spreadsheet's mark for a formula or a text", f"save the values, not the marks; {by_dict}"
    return None


def find_bad_date(text: str) -> Finding | None:
    """Return what is wrong with a date or a range of dates; None if nothing is, or if it is no such thing at all.

    Examples
    --------
    >>> find_bad_date("20230199")
    ('names a day that does not exist', 'check year, month and day: YYYYMMDD')
    >>> find_bad_date("20240201-20240101")
    ('is a range that ends before it begins', 'write the earlier date first')
    >>> find_bad_date("20240101-")
    """
    if _ISO_DATE.search(text):
        return "is not how DICOM writes a date", "write 20240101, or 20240101-20241231 for a range"
    match = _DATES.fullmatch(text)
    days = [] if match is None else [part for part in match.groups() if part is not None]
    try:
        for day in days:
            date(int(day[:4]), int(day[4:6]), int(day[6:]))
    except ValueError:
        return "names a day that does not exist", "check year, month and day: YYYYMMDD"
    if days != sorted(days):
        return "is a range that ends before it begins", "write the earlier date first"
    return None
