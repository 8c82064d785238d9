r"""Requests: from whatever a person has (dicts, rows, a table, a CSV) to checked query keys. No network.

Everything that cannot be meant is found here, in all rows at once, before a packet is sent.
"""

from __future__ import annotations

import contextlib
import numbers
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

import pandas as pd
from pydicom.datadict import tag_for_keyword

from dicomover.errors import ConfigurationError, Problem, RequestError
from dicomover.identifier import IDENTIFYING, KEY, UNIQUE_KEYS, Level, Model, Request
from dicomover.outcome import Status
from dicomover.requests.check import Entries, RowCheck, warn_of
from dicomover.requests.files import locate, read_requests
from dicomover.requests.frames import as_pandas, find_no_requests
from dicomover.requests.letters import is_text
from dicomover.requests.names import NoKey, find_nearest, is_public, keyword_of, name_of
from dicomover.requests.values import FROM_NUMBERS, NOT_TEXT, Numeric
from dicomover.summary import SUMMARY_COLUMNS
from dicomover.text.cells import is_missing
from dicomover.text.face import advise, setting
from dicomover.text.visible import make_visible

__all__ = [
    "Batch",
    "Invalid",
    "Query",
    "RequestsLike",
    "keyword_of",
    "parse_query",
    "parse_requests",
    "parse_returned",
    "read_requests",
]

RequestsLike = Mapping[Any, Any] | pd.Series | pd.DataFrame | Iterable[Mapping[Any, Any] | pd.Series]
"""One request or many: a dict, a DataFrame, a row or a column of it, or an iterable of dicts or of rows."""

Invalid = Literal["raise", "record"]

_NAMES_SHOWN = 10
_NAME_KEPT = 256  # characters
_TAKEN = frozenset(Status) - {Status.INVALID}
_LABELS = frozenset([*IDENTIFYING, *map(tag_for_keyword, IDENTIFYING)])


@dataclass(frozen=True, slots=True)
class Batch:
    """A whole table of requests."""

    requests: tuple[Request, ...]  # the rows that can be sent
    given: pd.DataFrame = field(repr=False)  # the input as a table: one row per request, its index and its columns
    problems: Mapping[int, tuple[Problem, ...]]  # what is wrong with the other rows, by position

    def __len__(self) -> int:
        return len(self.given)

    def tell_problems(self, position: int) -> str:
        """Return what is wrong with a row, and how to mend it, without its values."""
        told = ((f"{problem.column} {problem.why}", problem.mend) for problem in self.problems[position])
        return "; ".join(", ".join(part.strip() for part in parts if part) for parts in told)


def parse_requests(
    requests: RequestsLike,
    *,
    level: str = "auto",  # the deepest UID present, STUDY otherwise
    model: str = "auto",  # Patient Root when PatientID is known, else Study Root
    keys: Sequence[str] = (),  # further columns of a table that are query keys, as `key:` before a name makes them
    wildcards: bool | Sequence[str] = False,  # whether * and ? are meant in a table's cells, or in which columns
    invalid: Invalid = "raise",
    show_keys: bool = False,  # whether messages show labels and values, not only a number and a shape
) -> Batch:
    """Check requests and turn them into a batch; a value that is odd and is sent all the same is a RequestWarning.

    In a dict every entry is a query key; in a table the unique keys and AccessionNumber are, and the other columns ride
    along. Raises RequestError if a row cannot be meant (unless recorded), or the table as a whole cannot.

    Examples
    --------
    >>> batch = parse_requests([{"AccessionNumber": "00123"}, {"StudyInstanceUID": "1.2.3"}])
    >>> [(str(request.level), dict(request.keys)) for request in batch.requests]
    [('STUDY', {'AccessionNumber': '00123'}), ('STUDY', {'StudyInstanceUID': '1.2.3'})]
    """
    if invalid not in get_args(Invalid):
        raise ConfigurationError(f"{setting('invalid', invalid)} is neither 'raise' nor 'record'", "choose one")
    wanted_level = None if level == "auto" else Level.parse(level)
    wanted_model = None if model == "auto" else Model.parse(model)
    given, rows = _rows(as_pandas(requests), keys, wildcards)

    parsed: list[Request] = []
    problems: dict[int, tuple[Problem, ...]] = {}
    remarks: list[Problem] = []
    by_row: dict[int, list[Problem]] = {}
    shows_label = given.index.name is None
    for position, (label, row) in enumerate(zip(given.index, rows, strict=True)):
        check = RowCheck(position, label, shows_label=shows_label)
        request = check.check_request(row, wanted_level, wanted_model)
        if check.problems:
            problems[position] = tuple(check.problems)
        else:
            assert request is not None
            parsed.append(request)
            remarks += check.remarks
    if problems:
        for problem in locate((problem for row in problems.values() for problem in row), given):
            by_row.setdefault(problem.position, []).append(problem)
        problems = {position: tuple(row) for position, row in by_row.items()}
    if problems and invalid == "raise":
        raise RequestError([problem for row in problems.values() for problem in row], show_keys=show_keys)
    if remarks:
        warn_of(locate(remarks, given), show_keys=show_keys)
    return Batch(tuple(parsed), given, problems)


def _rows(requests: Any, keys: Sequence[str], wildcards: bool | Sequence[str]) -> tuple[pd.DataFrame, list[Entries]]:
    if isinstance(requests, pd.DataFrame):
        return _table_rows(requests, keys, wildcards)
    if isinstance(requests, str | bytes | os.PathLike):
        mend = "read a CSV or a workbook with read_requests(path), a lockfile with Cohort.load(path)"
        raise RequestError([Problem("", "requests", requests, "is a text, not requests", mend)])
    if isinstance(requests, pd.Series) and _is_column(requests):
        return _table_rows(_column(requests), keys, wildcards)
    if isinstance(requests, Mapping | pd.Series):
        requests = [requests]
    try:
        items = list(requests)
    except TypeError as error:
        problem = Problem(
            "", "requests", type(requests).__name__, "is no request", "give dicts or a DataFrame", private=False
        )
        raise RequestError([problem]) from error
    if no_requests := find_no_requests(items):
        raise RequestError([no_requests])
    kind: type = pd.Series if items and isinstance(items[0], pd.Series) else Mapping
    mend = "give only rows, or only dicts" if kind is pd.Series else "give a dict such as {'AccessionNumber': '00123'}"
    problems = [
        Problem(position, "", type(item).__name__, "is no request", mend, position, private=False)
        for position, item in enumerate(items)
        if not isinstance(item, kind)
    ]
    problems += [
        Problem(position, "", None, "has two values under one name", "keep one", position)
        for position, item in enumerate(items)
        if isinstance(item, pd.Series) and not item.index.is_unique
    ]
    if problems:
        raise RequestError(problems)
    if kind is pd.Series:
        # A row has forgotten what its label was called: it may be a patient's number.
        return _table_rows(pd.DataFrame([item.astype(object) for item in items]).rename_axis("row"), keys, wildcards)
    rows = [Entries([(key, value) for key, value in item.items()]) for item in items]
    given = _given_of(rows)
    if unknown := [name for name in ([keys] if isinstance(keys, str) else keys) if rows and name not in given.columns]:
        raise RequestError([_named("keys", name, "is in none of the dicts", "leave it out") for name in unknown])
    return given, rows


def _is_column(series: pd.Series) -> bool:
    """Tell a column of a table from one of its rows, whose labels are names of columns."""
    if not _LABELS.isdisjoint(series.index):
        return False
    name = series.name if isinstance(series.name, str) else ""
    with contextlib.suppress(KeyError):
        name = keyword_of(name)
    return find_nearest(name, IDENTIFYING, cutoff=0.85) is not None or not any(
        isinstance(label, str) for label in series.index
    )


def _column(series: pd.Series) -> pd.DataFrame:
    if not is_text(series.name):
        mend = "name the key: series.rename('AccessionNumber')"
        raise RequestError([Problem("", "requests", None, "are a column without a name", mend)])
    return series.to_frame()


def _given_of(rows: Sequence[Entries]) -> pd.DataFrame:
    """Make the table of a list of dicts, with keywords for names and lists of UIDs as text."""
    records: list[dict[str, object]] = []
    for row in rows:
        record: dict[str, object] = {}
        for key, value in row.entries:
            try:
                name = name_of(key)
            except KeyError:  # of a row that is invalid; pandas has no column whose name is half a character
                name = make_visible(str(key)[:_NAME_KEPT])
            record[name] = "\\".join(map(str, value)) if isinstance(value, list | tuple) else value
        records.append(record)
    columns = list(dict.fromkeys(name for record in records for name in record))
    table = pd.DataFrame(records, columns=columns, index=pd.RangeIndex(len(rows)), dtype=object)
    texts = [name for name in columns if all(is_text(record.get(name, "")) for record in records)]
    return table.astype(dict.fromkeys(texts, "string"))


def _table_rows(
    table: pd.DataFrame, keys: Sequence[str], wildcards: bool | Sequence[str]
) -> tuple[pd.DataFrame, list[Entries]]:
    named = [keys] if isinstance(keys, str) else list(keys)
    mapped, problems = _key_columns(table, named)
    if not mapped and not problems and (problem := _no_key(table)):
        problems.append(problem)
    if problems:
        raise RequestError(problems)
    meant = _meant_columns(wildcards, mapped)
    is_settled, refused = [False] * len(table), [""] * len(table)
    if set(SUMMARY_COLUMNS) <= set(table.columns):  # the rows that an earlier run took were meant as they are
        before = list(table["status"].astype(object))
        is_settled = [status in _TAKEN for status in before]
        why = zip(before, table["error"].astype(object), strict=True)
        refused = [str(error) if status == Status.INVALID else "" for status, error in why]
    columns = [(name, table[name].tolist(), pd.api.types.is_numeric_dtype(table[name].dtype)) for name in mapped]
    rows = [Entries([], mapped, settled, meant) for settled in is_settled]
    for name, values, is_numeric in columns:
        for row, value, error in zip(rows, values, refused, strict=True):
            is_number = is_numeric or (bool(error) and _was_number(mapped[name], value, error))
            row.entries.append((name, Numeric(value) if is_number and not is_missing(value) else value))
    return table, rows


def _was_number(keyword: str, value: object, error: str) -> bool:
    """Tell whether what an earlier run refused as a number stands there still, which a CSV has made a text of."""
    is_named = any(f"{keyword} {why}" in error for why in (FROM_NUMBERS, f"{NOT_TEXT} int", f"{NOT_TEXT} float"))
    return is_named and isinstance(value, str) and re.fullmatch(r"\s*[1-9][0-9]*\s*", value) is not None


def _meant_columns(wildcards: bool | Sequence[str], mapped: Mapping[Any, str]) -> frozenset[str]:
    """Return the keywords of the columns in which * and ? are meant."""
    if isinstance(wildcards, bool):
        return frozenset(mapped.values() if wildcards else ())
    named = [wildcards] if isinstance(wildcards, str) else list(wildcards)
    known = {str(column): keyword for column, keyword in mapped.items()} | {name: name for name in mapped.values()}
    if unknown := [name for name in named if name not in known]:
        why = "is no column of the table that is a key"
        raise RequestError([_named("wildcards", name, why, "name one that is") for name in unknown])
    return frozenset(known[name] for name in named)


def _no_key(table: pd.DataFrame) -> Problem | None:
    """Say of a table that none of its columns is a key; names are shown that cannot be data, as without a header."""
    in_index = [
        name for name in table.index.names if isinstance(name, str) and find_nearest(name, IDENTIFYING, cutoff=0.85)
    ]
    columns = list(map(str, table.columns))
    if in_index:
        return _named("index", in_index[0], "is no column", "make it one first: table.reset_index()")
    if not columns:
        return None
    names = ", ".join(("AccessionNumber", *UNIQUE_KEYS[:2]))
    mend = f"rename one to {names}, or {KEY}StudyDate or the like{advise(', or name it in keys=[...]')}"
    is_plain = all(map(is_public, columns))
    shown = ", ".join(columns[:_NAMES_SHOWN] + ["…"] * (len(columns) > _NAMES_SHOWN))
    return Problem("", "columns", shown, "name no key", mend, private=not is_plain)


def _named(what: str, name: object, why: str, mend: str) -> Problem:
    """Return a problem with a name that is used for a key."""
    return Problem("", what, name, why, mend, private=not is_public(str(name).removeprefix(KEY)))


def _key_columns(table: pd.DataFrame, named: Sequence[str]) -> tuple[dict[Any, str], list[Problem]]:
    mapped: dict[Any, str] = {}
    problems: list[Problem] = []
    missing = [name for name in named if name not in table.columns]
    problems += [_named("keys", name, "is no column of the table", "name one that is") for name in missing]
    for name in table.columns:
        text = str(name)
        once, dot, number = text.rpartition(".")  # as pandas calls the second column of a name
        if dot and number.isdecimal() and once in table.columns and (once in mapped or once in named):
            problems.append(_named("column", once, "stands in the header twice", "keep one"))
            continue
        if text.startswith(KEY):
            check = RowCheck(-1, "column")
            keyword = check.read_key(text.removeprefix(KEY)) or ""
            problems += check.problems
            if keyword in mapped.values():
                problems.append(_named("column", text, "is there twice", f"keep one column for {keyword}"))
            mapped[name] = keyword
            continue
        try:
            read = name_of if name in named else keyword_of
            keyword = read(name) if isinstance(name, str | numbers.Integral) else ""
        except NoKey as error:
            keyword = ""
            if name in named:
                problems.append(_named("column", text, error.why, "rename it"))
                continue
        if keyword in IDENTIFYING or (keyword and name in named):
            if keyword in mapped.values():
                mend = f"keep one column for {keyword}"
                problems.append(_named("column", text, "is there twice", mend))
            mapped[name] = keyword
        elif not keyword and text not in SUMMARY_COLUMNS:
            near = find_nearest(text, IDENTIFYING, cutoff=0.85)
            if near:
                why, mend = "is nearly a key, but not one", f"rename it to {near!r}, or to something else"
                problems.append(_named("column", text, why, mend))
    return mapped, problems


@dataclass(frozen=True, slots=True)
class Query:
    """What a find asks for; an empty value asks for an attribute without matching it."""

    keys: Mapping[str, str] = field(repr=False)
    level: Level
    model: Model


def parse_query(keys: Mapping[Any, Any], *, level: str = "auto", model: str = "auto", show_keys: bool = False) -> Query:
    """Check the keys of a find, by keyword or tag: a text (wildcards, or a range), a list of UIDs, or None for any.

    `auto` is the level of the deepest unique key among them, STUDY if there is none; and Study Root, unless the level
    is PATIENT. Raises RequestError if a key cannot be meant, or a unique key of a level above is missing (PS3.4 section
    C.4.1.2.1).

    Examples
    --------
    >>> query = parse_query({"PatientID": "4711", "StudyDate": None})
    >>> str(query.level), dict(query.keys)
    ('STUDY', {'PatientID': '4711', 'StudyDate': ''})
    """
    if not isinstance(keys, Mapping):
        problem = Problem("", "keys", type(keys).__name__, "is no dict", "write {'PatientID': '4711'}", private=False)
        raise RequestError([problem])
    check = RowCheck(-1, "find")
    if not keys:
        check.note("", None, "names no key", "to ask for everything on purpose, write {'PatientID': '*'}")
    wanted_level = None if level == "auto" else Level.parse(level)
    wanted_model = None if model == "auto" else Model.parse(model)
    query = check.check_query(keys, wanted_level, wanted_model)
    if check.problems:
        raise RequestError(check.problems, show_keys=show_keys)
    return Query(*query)


def parse_returned(names: Sequence[Any]) -> list[str]:
    """Check the attributes that a find is to return besides its keys, and return their keywords.

    Raises RequestError if one is none that DICOM's dictionary names; private attributes are none.

    Examples
    --------
    >>> parse_returned(["StationName", "0008,1032"])
    ['StationName', 'ProcedureCodeSequence']
    """
    check = RowCheck(-1, "returned")
    listed = [names] if isinstance(names, str | int) else names
    found = [check.read_key(name, of_dictionary=True) for name in listed]
    if check.problems:
        raise RequestError(check.problems)
    return [keyword for keyword in found if keyword is not None]
