"""What a report says, as tables: totals, reasons, rows and time. Pure; nothing here draws."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

import pandas as pd
from pydicom.datadict import keyword_dict

from dicomover.errors import ConfigurationError
from dicomover.identifier import KEY
from dicomover.outcome import Status
from dicomover.summary import SCHEMA, as_text
from dicomover.text.face import advise
from dicomover.text.sentences import kind_of, merge

__all__ = [
    "COUNTED",
    "REPEATS",
    "by_row",
    "clock",
    "is_complete",
    "moved",
    "numbers_of",
    "over_time",
    "read_summary",
    "reasons",
    "spans",
    "status_of",
    "time_steps",
    "times",
    "totals",
]

OPEN = "not over"
COUNTED = ("expected", "completed", "warning", "failed", "remaining", "received", "bytes", "attempts")
REPEATS = "repeats another"
"""The column that `read_summary` adds: whether another row that asks for the same is the one to be counted."""

_COMPLETE = [str(status) for status in Status if status.complete]
_TAG = re.compile(r"\(?[0-9A-Fa-f]{4},?[0-9A-Fa-f]{4}\)?")
_ORDER = [*map(str, Status), OPEN]
_STEPS = (1, 5, 10, 30, 60, 300, 600, 1800, 3600, 3 * 3600, 6 * 3600, 24 * 3600)  # seconds
_MOST_STEPS = 60
_DATE = r"[12]\d{3}-"
_MOST = 2**53  # a count, or bytes
_LONGEST = 1e9  # seconds


def read_summary(summary: pd.DataFrame) -> pd.DataFrame:
    """Return a summary with our dtypes, also one that has been through a CSV, and with the column `REPEATS`.

    Raises ConfigurationError if it is no summary.
    """
    missing = [column.name for column in SCHEMA if column.name not in summary.columns]
    if missing:
        raise ConfigurationError(
            f"a report is made of a summary, and this table has no column {', '.join(map(repr, missing))}",
            advise("give what move() or job.summary() returns, all columns of it"),
        )
    ours: dict[str, Any] = {}
    for column in SCHEMA:
        values = summary[column.name]
        if column.dtype in ("Int64", "Float64"):
            ours[column.name] = _read_numbers(values, whole=column.dtype == "Int64")
        elif column.name == "started":
            texts = as_text(values)
            times = values if pd.api.types.is_datetime64_any_dtype(values) else texts.where(texts.str.match(_DATE))
            ours[column.name] = pd.to_datetime(times, utc=True, errors="coerce", format="ISO8601")
        else:
            texts = as_text(values)
            ours[column.name] = texts.mask(texts == "" if column.name != "status" else ~texts.isin(_ORDER))
    read = summary.assign(**ours)
    read[REPEATS] = _repeats(read)
    return read


def _read_numbers(values: pd.Series[Any], *, whole: bool) -> pd.Series[Any]:
    """Return the numbers in a column that somebody may have edited; what can be no count or duration is unknown."""
    numbers = pd.to_numeric(values, errors="coerce").astype("Float64")
    odd = ~numbers.between(0, _MOST if whole else _LONGEST) | ((numbers % 1 != 0) & whole)
    known = numbers.mask(odd.fillna(True))
    return known.astype("Int64") if whole else known


def _repeats(summary: pd.DataFrame) -> pd.Series[bool]:
    """Tell of each row whether another one asks for the same, and is the one of these of which most has moved.

    Rows ask for the same if all their keys are equal. A column with the name of a DICOM attribute may have been a key.
    """
    ours = {column.name for column in SCHEMA}
    places = [n for n, name in enumerate(map(str, summary.columns)) if name not in ours and _may_be_key(name)]
    texts = {place: as_text(summary.iloc[:, place]).fillna("").str.strip().array for place in places}
    keys = pd.DataFrame(texts, index=range(len(summary)))
    order = moved(summary).reset_index(drop=True).fillna(-1).sort_values(ascending=False, kind="stable").index
    again = keys.loc[order].duplicated().sort_index() & (keys != "").any(axis="columns")
    return again.set_axis(summary.index)


def _may_be_key(name: str) -> bool:
    return name.startswith(KEY) or name in keyword_dict or _TAG.fullmatch(name) is not None


def _once(summary: pd.DataFrame) -> pd.DataFrame:
    """Return the counts of each row, unknown where another row has them already."""
    return summary[list(COUNTED)].mask(summary[REPEATS])


def status_of(summary: pd.DataFrame) -> pd.Series[str]:
    """Return each verdict as text; `not over` where there is none yet."""
    return summary["status"].fillna(OPEN).astype(object)


def is_complete(summary: pd.DataFrame) -> pd.Series[bool]:
    """Tell of each row whether everything that it asked for has moved."""
    return summary["status"].isin(_COMPLETE)


def moved(summary: pd.DataFrame) -> pd.Series[int]:
    """Return how many instances of each row have moved: what is here, or what the archive counted."""
    claimed = summary[["completed", "warning"]].sum(axis="columns", min_count=1)
    return summary["received"].fillna(claimed)


def totals(summary: pd.DataFrame) -> pd.DataFrame:
    """Return the rows and the sums of what was counted, for each verdict and for all; what is asked for twice once.

    Indexed by `status`, the best first, `all` last: `rows` and `COUNTED`, `<NA>` where nobody has said.
    """
    groups = _once(summary).groupby(status_of(summary).to_numpy())
    table = groups.sum(min_count=1)
    table.insert(0, "rows", groups.size().astype("Int64"))
    table = table.reindex([name for name in _ORDER if name in table.index])
    table.loc["all"] = table.sum(min_count=1)
    table.loc["all", "rows"] = len(summary)
    return table.astype("Int64").rename_axis("status")


def reasons(summary: pd.DataFrame) -> pd.DataFrame:
    """Return why rows are not complete, the worst verdicts and the most frequent reasons first.

    Sentences that differ in their numbers only are one reason. It has `rows` (how many), `status`, `error` (the
    sentence), `expected` and `moved` (instances of those rows) and `positions` (of the rows in the summary).
    """
    open_rows = (~is_complete(summary)).to_numpy()
    rows = summary[open_rows]
    sentences = rows["error"].fillna("").tolist()
    groups: dict[tuple[str, str], list[int]] = {}
    for place, (status, sentence) in enumerate(zip(status_of(rows), sentences, strict=True)):
        groups.setdefault((status, kind_of(sentence)), []).append(place)
    # In plain lists: there may be as many reasons as rows.
    positions = open_rows.nonzero()[0].tolist()
    once = _once(rows)
    expected, here = numbers_of(once["expected"]), numbers_of(moved(once))
    found: list[dict[str, Any]] = [
        {
            "rows": len(places),
            "status": status,
            "error": merge(list(dict.fromkeys(sentences[place] for place in places))) or None,
            "expected": _sum(expected[place] for place in places),
            "moved": _sum(here[place] for place in places),
            "positions": [positions[place] for place in places],
        }
        for (status, _), places in groups.items()
    ]
    found.sort(key=lambda reason: (_URGENCY.index(reason["status"]), -reason["rows"]))
    columns = ["rows", "status", "error", "expected", "moved", "positions"]
    dtypes: Any = {"rows": "int64", "error": "string", "expected": "Int64", "moved": "Int64"}
    return pd.DataFrame(found, columns=columns).astype(dtypes)


def numbers_of(column: pd.Series[int]) -> list[int | None]:
    """Return the numbers of a column, None where one is unknown."""
    return [None if gone else int(number) for number, gone in zip(column, column.isna(), strict=True)]


def _sum(numbers: Iterable[int | None]) -> int | None:
    known = [number for number in numbers if number is not None]
    return sum(known) if known else None


_URGENCY = [
    *map(str, (Status.FAILURE, Status.LOST, Status.PARTIAL, Status.EMPTY, Status.NOT_FOUND, Status.INVALID)),
    *map(str, (Status.CANCELLED, Status.SUCCESS, Status.WARNING, Status.SKIPPED)),
    OPEN,
]


def clock(starts: Sequence[pd.Timestamp]) -> list[str]:
    """Return moments as text: with the day where they lie on several.

    Examples
    --------
    >>> clock([pd.Timestamp("2024-02-29 19:00"), pd.Timestamp("2024-03-01 07:30")])
    ['02-29 19:00', '03-01 07:30']
    """
    several = len(starts) > 0 and starts[0].date() != starts[-1].date()
    return [f"{start:%m-%d %H:%M}" if several else f"{start:%H:%M:%S}" for start in starts]


def spans(numbers: Sequence[int], most: int = 6) -> str:
    """Return row numbers in few words.

    Examples
    --------
    >>> spans([3, 4, 5, 9]), spans(range(0, 100, 2), most=3)
    ('3-5, 9', '0, 2, 4, …')
    """
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        elif len(runs) > most:
            break
        else:
            runs.append([number, number])
    words = [str(first) if first == last else f"{first}-{last}" for first, last in runs]
    return ", ".join(words if len(words) <= most else [*words[:most], "…"])


def by_row(summary: pd.DataFrame, most: int) -> pd.DataFrame:
    """Return what moved, moved with a warning and failed: of each row, or of each verdict where rows are too many.

    Indexed by position or by status: `completed`, `warning`, `failed` and `open` (expected, and accounted for by none
    of them). Where an archive counted nothing and we receive, what is here counts as completed.
    """
    counted = summary[["completed", "warning", "failed"]]
    here = counted["completed"].fillna(summary["received"])
    bars = counted.assign(completed=here).fillna(0)
    bars["open"] = (summary["expected"].fillna(0) - bars.sum(axis="columns")).clip(lower=0)
    if len(summary) > most:
        bars = bars.mask(summary[REPEATS], 0).groupby(status_of(summary).to_numpy()).sum()
        return bars.reindex([name for name in _ORDER if name in bars.index]).astype("int64")
    return bars.reset_index(drop=True).astype("int64")


# --- time


def times(summary: pd.DataFrame) -> tuple[pd.Timestamp, pd.Timestamp, float] | None:
    """Return when work on the rows began and ended, and the seconds in which at least one was being worked on.

    That is all of it where hardly a second was not.
    """
    known = summary[["started", "seconds"]].dropna().sort_values("started")
    if known.empty:
        return None
    starts = known["started"]
    ends = starts + pd.to_timedelta(known["seconds"].astype("float64"), unit="s")
    before = ends.cummax().shift().fillna(starts.iloc[0])
    busy = (ends - starts.where(starts > before, before)).dt.total_seconds().clip(lower=0).sum()
    whole = (ends.max() - starts.iloc[0]).total_seconds()
    return starts.iloc[0], ends.max(), float(busy if whole - busy > 1 else whole)


def over_time(summary: pd.DataFrame) -> pd.DataFrame:
    """Return what moved when, as far as a summary tells: what a row came to counts when it ended.

    Rows that needed no C-MOVE, or repeat another one, are left out.
    """
    summary = summary[~summary[REPEATS]]
    rows = summary[summary["attempts"].fillna(0).gt(0) & summary["started"].notna() & summary["seconds"].notna()]
    ends = rows["started"] + pd.to_timedelta(rows["seconds"].astype("float64"), unit="s")
    table = pd.DataFrame(
        {
            "start": ends,
            "seconds": 0.0,
            "instances": moved(rows),
            "failed": rows["failed"],
            "bytes": rows["bytes"],
        }
    )
    return table.sort_values("start", ignore_index=True)


def time_steps(
    table: pd.DataFrame, began: pd.Timestamp | None, ended: pd.Timestamp | None, least: float = 1.0
) -> pd.DataFrame:
    """Return a table over time in at most sixty equal steps, each a round number of seconds and `least` at least.

    Of `start` (UTC), `instances`, `failed` and `bytes`; `seconds` is the width of a step. They run from the first row
    to the last, if nothing else is said.
    """
    columns = ["instances", "failed", "bytes"]
    if table.empty:
        return pd.DataFrame(columns=["start", "seconds", *columns])
    first = table["start"].iloc[0] if began is None else min(began, table["start"].iloc[0])
    last = table["start"].iloc[-1] if ended is None else max(ended, table["start"].iloc[-1])
    whole = (last - first).total_seconds()
    fitting = [step for step in _STEPS if step >= least and whole / step < _MOST_STEPS]
    step = fitting[0] if fitting else _STEPS[-1] * (int(whole / _STEPS[-1] / _MOST_STEPS) + 1)
    origin = first.floor(f"{step}s")
    number = ((table["start"] - origin).dt.total_seconds() // step).astype("int64")
    count = int((last - origin).total_seconds() // step) + 1
    sums = table[columns].groupby(number).sum(min_count=1).reindex(range(count))
    known = [name for name in columns if table[name].notna().any()]
    sums[known] = sums[known].fillna(0)
    sums.insert(0, "start", origin + pd.to_timedelta([n * step for n in range(count)], unit="s"))
    sums.insert(1, "seconds", float(step))
    return sums.rename_axis(None)
