"""The summary: one row for each request. Its schema stands here and nowhere else."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from operator import attrgetter
from typing import Any, NamedTuple

import pandas as pd

from dicomover.errors import ConfigurationError
from dicomover.identifier import UNIQUE_KEYS
from dicomover.outcome import Counters, Status
from dicomover.text.traces import forgetting, tell_trace
from dicomover.text.wholetable import WholeTable

__all__ = [
    "DTYPES",
    "PLAN_COLUMNS",
    "PLAN_SCHEMA",
    "SCHEMA",
    "SUMMARY_COLUMNS",
    "Column",
    "Instance",
    "Result",
    "as_text",
    "build",
    "exit_code",
    "failures",
    "missing",
    "short",
]

logger = logging.getLogger("dicomover.mover")


@dataclass(frozen=True, slots=True)
class Column:
    """One column of the summary: its name, its pandas dtype and what it means."""

    name: str
    dtype: str
    meaning: str


SCHEMA = (
    Column("status", "category", "the verdict, see below"),
    Column("status_code", "string", "last DIMSE status, such as `0xB000`; `<NA>` if none came"),
    Column(
        "matches",
        "Int64",
        "studies (series, images) that the request resolved to; `<NA>` if nothing had to be resolved",
    ),
    Column("expected", "Int64", "instances that should arrive, from C-FIND; `<NA>` if unknown"),
    Column("completed", "Int64", "sub-operations that the PACS counted as completed; `<NA>` where it never said"),
    Column("failed", "Int64", "the same, failed"),
    Column("warning", "Int64", "the same, completed with a warning"),
    Column("remaining", "Int64", "the same, not begun when it last counted"),
    Column("received", "Int64", "instances of this request on our disk; `<NA>` when a third party receives"),
    Column("bytes", "Int64", "the size of their files"),
    Column("attempts", "Int64", "C-MOVEs sent for it"),
    Column("started", "datetime64[us, UTC]", "when work on it began"),
    Column("seconds", "Float64", "how long it took"),
    Column("error", "string", "one sentence a person can act on, without patient data"),
    Column("failed_uids", "string", "SOP Instance UIDs that failed, joined by `\\`"),
)
SUMMARY_COLUMNS = tuple(column.name for column in SCHEMA)
PLAN_SCHEMA = {
    "decision": "string",
    "level": "string",
    "matches": "Int64",
    "series": "Int64",
    "expected": "Int64",
    "here": "Int64",
    "modalities": "string",
    "estimated_bytes": "Int64",
    "estimated_minutes": "Float64",
    "error": "string",
}
PLAN_COLUMNS = tuple(PLAN_SCHEMA)
# Text that may be missing shows <NA> like every other column; plain text would show NaN.
_STATUS = pd.CategoricalDtype(pd.Index([str(status) for status in Status], dtype="string"), ordered=True)
DTYPES = {column.name: _STATUS if column.name == "status" else column.dtype for column in SCHEMA}
"""The dtype of each of its columns, as pandas takes it."""


class Instance(NamedTuple):
    """A SOP Instance by its UIDs; those above it are empty where nobody knows them."""

    study: str
    series: str
    sop: str


@dataclass(slots=True)
class Result:
    """What happened to one request; no status while it is not over.

    `missing` are the instances that the archive has and that are not there, as far as that was looked at. `unsent` says
    that the batch stopped before anything was sent for it: it is as if nobody had asked. `settled` are the counters of
    what is complete as the journal keeps them.
    """

    status: Status | None = None
    status_code: int | None = None
    matches: int | None = None
    expected: int | None = None
    counters: Counters = field(default_factory=Counters)
    received: int | None = None
    bytes: int | None = None
    attempts: int = 0
    started: datetime | None = None
    seconds: float | None = None
    error: str | None = None
    failed_uids: tuple[str, ...] = ()
    missing: tuple[Instance, ...] = ()
    studies: tuple[str, ...] = ()  # Study Instance UIDs of what it came to, as far as that was looked up
    unsent: bool = False
    settled: Counters | None = None

    @property
    def moved(self) -> int | None:
        """Instances that are here, or that the archive says have moved; None where nothing tells."""
        return self.counters.moved if self.received is None else self.received


_VALUES: dict[str, Callable[[Result], object]] = {
    "status": lambda result: None if result.status is None else str(result.status),
    "status_code": lambda result: _hexadecimal(result.status_code),
    "matches": attrgetter("matches"),
    "expected": attrgetter("expected"),
    "completed": attrgetter("counters.completed"),
    "failed": attrgetter("counters.failed"),
    "warning": attrgetter("counters.warning"),
    "remaining": attrgetter("counters.remaining"),
    "received": attrgetter("received"),
    "bytes": attrgetter("bytes"),
    "attempts": attrgetter("attempts"),
    "started": attrgetter("started"),
    "seconds": attrgetter("seconds"),
    "error": attrgetter("error"),
    "failed_uids": lambda result: "\\".join(result.failed_uids) or None,
}


def _cell(result: Result, name: str, dtype: Any) -> object:
    """Return one value, or nothing where it cannot be had or shown."""
    try:
        return pd.Series([_VALUES[name](result)], dtype=dtype)[0]
    except Exception:  # noqa: BLE001 - logged with its column
        return None


def _hexadecimal(status_code: int | None) -> str | None:
    return None if status_code is None else f"0x{status_code:04X}"


def build(results: Sequence[Result], given: pd.DataFrame) -> pd.DataFrame:
    """Put the results beside what was given: one row per request, in its order, with its index.

    The columns of `given`, but for those of an earlier summary, then all of `SCHEMA`, always with the same dtypes.
    """
    ours = {}
    for name, dtype in DTYPES.items():
        try:
            values = pd.Series(list(map(_VALUES[name], results)), dtype=dtype)
        except Exception as error:  # noqa: BLE001 - it costs one cell, and never the summary
            logger.error("a cell of the column %s cannot be shown\n%s", name, tell_trace(error))
            values = pd.Series([_cell(result, name, dtype) for result in results], dtype=dtype)
        ours[name] = values.set_axis(given.index)
    kept = given.loc[:, [name not in SUMMARY_COLUMNS for name in given.columns]]
    return pd.concat([kept, pd.DataFrame(ours, index=given.index)], axis="columns", sort=False)


def failures(results: Sequence[Result], index: pd.Index) -> pd.DataFrame:
    """Return one row for each instance that failed or is missing, by the results and the labels of their rows.

    It has `request` (the label of the row), `StudyInstanceUID` and `SeriesInstanceUID` (`<NA>` where nobody has asked
    for them), `SOPInstanceUID`, `problem`, `status_code` and `why`. A `problem` is `failed` where the archive said so,
    `missing` where the archive has the instance and it is not there.
    """
    rows: list[tuple[object, ...]] = []
    for label, result in zip(index, results, strict=True):
        told = (_hexadecimal(result.status_code), result.error)
        for uids, problem in _troubled(result):
            rows.append((label, uids.study or None, uids.series or None, uids.sop, problem, *told))
    table = pd.DataFrame(rows, columns=["request", *_FAILURE_COLUMNS])
    return table.astype(dict.fromkeys(_FAILURE_COLUMNS, "string"))


_FAILURE_COLUMNS = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "problem", "status_code", "why")


def _troubled(result: Result) -> Iterator[tuple[Instance, str]]:
    """Yield each instance that failed or is missing, once."""
    known = {instance.sop: instance for instance in result.missing}
    study = result.studies[0] if len(result.studies) == 1 else ""
    for uid in dict.fromkeys(result.failed_uids):
        yield known.pop(uid, Instance(study, "", uid)), "failed"
    for instance in known.values():
        yield instance, "missing"


_COMPLETE = [str(status) for status in Status if status.complete]


@forgetting
def missing(summary: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of a summary that are not complete: what to look at, and to move again.

    Parameters
    ----------
    summary : DataFrame
        What `Mover.move` or `Job.summary` returned, or one read back from a file.

    Returns
    -------
    DataFrame
        Those rows as they are, with their labels; a row that is not over is one of them.

    Raises
    ------
    ConfigurationError
        If the table is no summary.

    Examples
    --------
    >>> given = pd.DataFrame({"AccessionNumber": ["1", "2", "3"]})
    >>> summary = build([Result(Status.SUCCESS), Result(Status.PARTIAL), Result(Status.SKIPPED)], given)
    >>> missing(summary)["AccessionNumber"].tolist()
    ['2']
    """
    _hold_summary(summary)
    return summary[~summary["status"].isin(_COMPLETE)]


def _hold_summary(table: pd.DataFrame) -> None:
    if lacking := [name for name in ("status", "expected", "received", "error") if name not in table.columns]:
        what = f"the table is no summary: it has no column {lacking[0]!r}"
        raise ConfigurationError(what, "give what mover.move returned, with all of its columns")


@forgetting
def short(summary: pd.DataFrame) -> pd.DataFrame:
    """Return what a person looks at first: the key of each row, its verdict, how much there is, and the whole sentence.

    Parameters
    ----------
    summary : DataFrame
        As for `missing`.

    Returns
    -------
    DataFrame
        `key` (of the keys that a row has, the accession number or else the lowest; it may be patient data), `status`,
        `expected`, `received` (`completed` where a third party receives) and `error`, which is not cut off where the
        table is shown.

    Examples
    --------
    >>> given = pd.DataFrame({"PatientID": ["4711"], "AccessionNumber": ["00123"]})
    >>> short(build([Result(Status.PARTIAL, expected=3, received=2, error="2 of 3 moved")], given))
       key    status   expected  received  error
    0  00123  partial         3         2  2 of 3 moved
    """
    _hold_summary(summary)
    keys = pd.Series(pd.NA, index=summary.index, dtype="string")
    for name in ("AccessionNumber", *reversed(UNIQUE_KEYS)):
        if name in summary.columns:
            texts = as_text(summary[name])
            keys = keys.fillna(texts.mask(texts == ""))
    came = "received" if summary["received"].notna().any() else "completed"
    return WholeTable(summary.assign(key=keys)[["key", "status", "expected", came, "error"]])


def as_text(column: pd.Series) -> pd.Series:
    r"""Return a column as text; half a character, which is why a row is invalid, is written as in `\ud800`."""
    texts = column
    try:
        texts = column.astype("string")
        if getattr(texts.dtype, "storage", "") != "python":  # which would keep the half
            return texts
    except UnicodeEncodeError:
        pass
    whole = texts.map(lambda value: str(value).encode("utf-8", "backslashreplace").decode(), na_action="ignore")
    return whole.astype("string")


def exit_code(summary: pd.DataFrame) -> int:
    """Return what a shell should be told: 0 all moved, 1 some did not, 2 nothing moved.

    Examples
    --------
    >>> given = pd.DataFrame({"AccessionNumber": ["1", "2"]})
    >>> exit_code(build([Result(Status.SUCCESS), Result(Status.NOT_FOUND)], given))
    1
    """
    complete = summary["status"].isin(_COMPLETE)
    if len(summary) and complete.all():
        return 0
    claimed = summary["completed"].fillna(0) + summary["warning"].fillna(0)
    moved = summary["received"].fillna(claimed) > 0  # what is not here has not moved, whatever was claimed
    return 1 if complete.any() or moved.any() else 2
