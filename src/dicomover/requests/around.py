"""From a table of patients and dates to requests: what was made of each patient around the date. No network."""

from __future__ import annotations

import numbers
import re
from collections.abc import Callable
from datetime import date as Date  # noqa: N812 - a parameter is called date
from datetime import datetime, timedelta
from typing import Any

import pandas as pd

from dicomover.errors import ConfigurationError, Problem, RequestError
from dicomover.identifier import IDENTIFYING, KEY
from dicomover.requests.check import RowCheck
from dicomover.requests.files import locate
from dicomover.requests.frames import as_pandas
from dicomover.requests.names import find_nearest, keyword_of
from dicomover.text.cells import is_missing
from dicomover.text.traces import forgetting

__all__ = ["Reach", "requests_around"]

Reach = str | timedelta | pd.DateOffset
"""How far: a text such as `7D`, a timedelta of whole days, or a `pandas.DateOffset(months=6)`."""

_WRITTEN = re.compile(r"(\d{4})(-?)(\d\d)\2(\d\d)([ T].*)?")


@forgetting
def requests_around(
    table: pd.DataFrame,
    *,
    date: str,
    patient: str = "PatientID",
    before: Reach = "0D",
    after: Reach = "0D",
    **keys: str,
) -> pd.DataFrame:
    """Make a request for each row of a table of patients and dates: their studies around that date.

    Parameters
    ----------
    table
        Of n rows. Its index and its columns stay.
    date
        The column of dates: dates and times of pandas or Python, or texts such as `2024-01-31` and `20240131`.
    patient
        The column of Patient IDs, as text; it will be called `PatientID`.
    before, after
        How many days before and after the date, `7D` or `timedelta(days=7)`, or `pandas.DateOffset(months=6)`; the
        first and the last day are included. `before="-1D"` begins on the day after the date.
    **keys
        Further query keys that are the same in all rows, by keyword, such as `ModalitiesInStudy="CT"`; `Modality` if
        series are to be moved (`level="series"`). For a pattern, such as `StudyDescription="*thorax*"`, say
        `wildcards=True` when it is moved.

    Returns
    -------
    DataFrame of n rows
        To plan or move as it is: what `table` has, `key:StudyDate` with a range such as `20240124-20240301`, and a
        column `key:…` for each further key. A column of such a name is a query key wherever it comes from.

    Raises
    ------
    RequestError
        If a date or a Patient ID is missing or cannot be read, all such rows at once; or if a column cannot be meant.
    ConfigurationError
        If `before` and `after` are no whole days, or leave none.

    Examples
    --------
    >>> import pandas as pd
    >>> from dicomover import Mover, requests_around
    >>> from dicomover.testing import DemoPacs, made_study
    >>> operated = ["2024-03-10", "2024-06-01"]
    >>> patients = pd.DataFrame({"PatientID": ["P1", "P2"], "operated": operated, "arm": ["a", "b"]})
    >>> requests = requests_around(patients, date="operated", before="7D", after="30D", ModalitiesInStudy="CT")
    >>> requests["key:StudyDate"].tolist()
    ['20240303-20240409', '20240525-20240701']
    >>> studies = [made_study("A1", patient="P1", date="20240312"), made_study("A2", patient="P2", date="20240101")]
    >>> with DemoPacs(studies) as pacs:
    ...     plan = Mover(pacs.node).plan(requests)
    >>> print(plan[["operated", "arm", "decision", "expected"]])
         operated arm   decision  expected
    0  2024-03-10   a       move         3
    1  2024-06-01   b  not-found      <NA>
    """
    table = as_pandas(table)  # type: ignore[assignment]
    first, last = _read_reach(before, -1, "before"), _read_reach(after, 1, "after")
    day = Date(2024, 1, 1)
    if first(day) > last(day):
        raise ConfigurationError(f"before={before!r} and after={after!r} leave no day between them", "let them overlap")
    fixed = _check_fixed(keys)
    _check_columns(table, patient, date, fixed)
    problems: list[Problem] = []
    ranges: list[str | None] = []
    rows = zip(table.index, table[patient].tolist(), table[date].tolist(), strict=True)
    for position, (label, who, when) in enumerate(rows):
        check = RowCheck(position, label, shows_label=table.index.name is None)
        if _is_blank(who):
            check.note(patient, None, "is missing", "fill it in, or drop the row")
        try:
            at = _day(when)
            ranges.append(f"{_text(first(at))}-{_text(last(at))}")
        except _Unreadable as error:
            ranges.append(None)
            why, mend = error.args
            shown = None if _is_blank(when) else when
            check.note(date, shown, why, mend.format(column=date))
        except (OverflowError, ValueError):
            ranges.append(None)
            check.note(date, when, "is beyond the calendar", "correct it")
        problems += check.problems
    if problems:
        raise RequestError(locate(problems, table))
    made = table.rename(columns={patient: "PatientID"})
    made[f"{KEY}StudyDate"] = pd.Series(ranges, index=table.index, dtype="string")
    for keyword, value in fixed.items():
        made[f"{KEY}{keyword}"] = pd.Series(value, index=table.index, dtype="string")
    return made


class _Unreadable(Exception):
    """Why a value is no date, and the mend."""


def _day(value: Any) -> Date:
    """Return the day of a value."""
    if _is_blank(value):
        raise _Unreadable("is missing", "fill it in, or drop the row")
    if isinstance(value, datetime):
        return value.date()
    if isinstance(value, Date):
        return value
    text = str(value) if isinstance(value, numbers.Integral) and not isinstance(value, bool) else value
    match = _WRITTEN.fullmatch(text.strip()) if isinstance(text, str) else None
    if match is None:
        mend = "write 2024-01-31 or 20240131, or make dates: pandas.to_datetime(table[{column!r}], dayfirst=…)"
        raise _Unreadable("is no date in a form that has one meaning", mend)
    try:
        return Date(int(match[1]), int(match[3]), int(match[4]))
    except ValueError as error:
        raise _Unreadable("is no day of the calendar", "correct it, or drop the row") from error


def _is_blank(value: object) -> bool:
    return is_missing(value) or value == ""


def _text(day: Date) -> str:
    return f"{day.year:04d}{day.month:02d}{day.day:02d}"


def _read_reach(reach: Reach, sign: int, name: str) -> Callable[[Date], Date]:
    """Return what moves a day by so much."""
    is_number = isinstance(reach, numbers.Real) or (isinstance(reach, str) and reach.strip().isdigit())
    why = "is not a number of whole days" + (": its unit is missing" if is_number else "")
    wrong = ConfigurationError(f"{name}={reach!r} {why}", "write '7D', or DateOffset(months=6)")
    if isinstance(reach, pd.DateOffset):
        offset = reach

        def moved(day: Date) -> Date:
            at = pd.Timestamp(day)
            return (at + offset if sign > 0 else at - offset).date()

        return moved
    if not isinstance(reach, str | timedelta):
        raise wrong
    try:
        length = pd.Timedelta(reach)
    except ValueError as error:
        raise wrong from error
    if pd.isna(length) or length % pd.Timedelta(days=1):
        raise wrong
    days = timedelta(days=sign * length.days)
    return lambda day: day + days


def _check_fixed(keys: dict[str, str]) -> dict[str, str]:
    """Check the keys that are the same in all rows."""
    check = RowCheck(-1, "requests_around")
    fixed: dict[str, str] = {}
    for name, value in keys.items():
        keyword = check.read_key(name, is_data=False)
        if keyword in ("PatientID", "StudyDate"):
            check.note(keyword, None, "comes from the table", "leave it out")
        elif keyword is not None and (not isinstance(value, str) or not value.strip()):
            check.note(keyword, value, "is no text", "give the text that the archive knows")
        elif keyword is not None:
            fixed[keyword] = value
    if check.problems:
        raise RequestError(check.problems)
    return fixed


def _check_columns(table: pd.DataFrame, patient: str, date: str, fixed: dict[str, str]) -> None:
    """Refuse a table without these columns, or with others that would be keys too."""
    if not isinstance(table, pd.DataFrame):
        problem = Problem(
            "", "table", type(table).__name__, "is no table", "give a DataFrame of patients and dates", private=False
        )
        raise RequestError([problem])
    columns = list(table.columns)
    problems = []
    for name, what in ((patient, "patient"), (date, "date")):
        if name not in columns:
            in_index = name in table.index.names
            mend = "make the index one first: table.reset_index()" if in_index else f"say which with {what}=..."
            problems.append(Problem("", what, None, f"there is no column {name!r}", mend))
        elif columns.count(name) > 1:
            problems.append(
                Problem("", what, name, f"names {columns.count(name)} columns", "keep one of them", private=False)
            )
    ours = {f"{KEY}{keyword}" for keyword in ("StudyDate", *fixed)}
    for name in columns:
        if name == patient:
            continue
        text = str(name)
        if find_nearest(_keyword(text), IDENTIFYING, cutoff=0.85) or text in ours:
            why = "would be a key too, beside the patient and the date"
            problems.append(Problem("", "column", text, why, "drop it, or give it a name of its own", private=False))
    if problems:
        raise RequestError(problems)


def _keyword(name: str) -> str:
    try:
        return keyword_of(name)
    except KeyError:
        return name
