"""The summaries of shards, joined into the one that one machine would have given, or what keeps them from it."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import pandas as pd

from dicomover.errors import ConfigurationError, NoSuchFileError
from dicomover.reporting.figures import REPEATS, read_summary, spans
from dicomover.requests.files import read_requests
from dicomover.requests.shards import Mark, Shard, find_marks
from dicomover.summary import DTYPES
from dicomover.text.face import setting
from dicomover.text.sentences import count_of
from dicomover.text.traces import forgetting

__all__ = ["Part", "merge"]

Part = str | os.PathLike[str] | pd.DataFrame
"""The summary of a shard: what `Mover.move` returned, or its CSV or Parquet file."""

_SHOWN = 10  # names of a kind
_AS_WRITTEN = "give the file as move wrote it with a shard named, and nothing that a merge wrote"
_ONE_TABLE = "merge the shards of one table, split in one way; one that was sorted or changed meanwhile is another one"


@dataclass(frozen=True, slots=True)
class _Shard:
    """A shard's summary, read: its rows without the mark, and their places in the whole table."""

    name: str
    mark: Mark
    places: list[int] = field(repr=False)
    table: pd.DataFrame = field(repr=False)


@forgetting
def merge(parts: Iterable[Part]) -> pd.DataFrame:
    """Join the summaries of shards into the summary that one machine would have given.

    Parameters
    ----------
    parts : iterable of path or DataFrame
        One for each shard, in any order: what `Mover.move(..., shard=)` returned, or the `.csv` or `.parquet` file that
        it was written to, as by `dicomover move --shard --summary`. A CSV's own columns come back as text.

    Returns
    -------
    DataFrame
        One row per row of the whole table, in its order, with its columns and its index (its numbers, if a file has
        kept no other), and all columns of `dicomover.summary.SCHEMA` with their dtypes. It is a summary like any other:
        for `dicomover.report`, `dicomover.missing` and `Mover.move`.

    Raises
    ------
    ConfigurationError
        If they are not one whole table: a shard is missing, or rows of it; a row is there twice; or a part is of
        another table, of another split, or of none. All that is said, by the names of the files.
    NoSuchFileError
        If there is no such file.

    Notes
    -----
    The name of a shard's own column says which shard it is, how many rows it has, and from which table: by sixteen
    bits of a hash, enough to tell tables apart, and too few for anybody to find a patient's number by them.

    Examples
    --------
    >>> from dicomover import Mover, merge
    >>> from dicomover.testing import DemoPacs, made_study
    >>> requests = [{"AccessionNumber": number} for number in ("00123", "00124", "00125")]
    >>> with DemoPacs([made_study("00123"), made_study("00125")]) as pacs:
    ...     mover = Mover(pacs.node, destination="WORKSTATION", progress="none")
    ...     parts = [mover.move(requests, shard=(number, 2)) for number in (1, 2)]
    >>> merge(parts)[["AccessionNumber", "status", "completed"]]
      AccessionNumber     status  completed
    0           00123    success          3
    1           00124  not-found       <NA>
    2           00125    success          3
    """
    if isinstance(parts, str | os.PathLike | pd.DataFrame):
        parts = [parts]
    shards = [_read(part, f"part {number}") for number, part in enumerate(parts, 1)]
    if not shards:
        raise ConfigurationError("there is nothing to merge", "give the summary of each shard")
    _hold_one_table(shards)
    if gaps := [*_find_doubles(shards), *_find_gaps(shards)]:
        mend = "give one summary of each shard, the last; run one that is missing again, with the same table"
        raise ConfigurationError(f"this is not one whole table: {'; '.join(gaps)}", mend)
    filled = [shard for shard in shards if shard.places] or shards[:1]
    joined = pd.concat([shard.table for shard in filled])
    places = pd.Series([place for shard in filled for place in shard.places], dtype="int64")
    whole = joined.iloc[places.argsort()]
    if whole.index.equals(numbered := pd.RangeIndex(len(whole), name=whole.index.name)):
        whole.index = numbered
    whole.attrs = {}
    return whole


def _read(part: Part, name: str) -> _Shard:
    if not isinstance(part, pd.DataFrame):
        name = os.fspath(part)
        part = _load(Path(part))
    marks, lacking = find_marks(part), [column for column in DTYPES if column not in part.columns]
    if len(marks) != 1 or lacking:
        why = f"it has no column {lacking[0]}" if lacking else f"{len(marks) or 'none'} of its columns says which"
        raise ConfigurationError(f"{name} is no summary of one shard: {why}", _AS_WRITTEN)
    (mark,) = marks
    numbers = pd.to_numeric(part[str(mark)], errors="coerce").astype("Float64")
    if not (numbers.between(0, mark.rows - 1) & (numbers % 1 == 0)).fillna(False).all():
        raise ConfigurationError(f"{name} has rows without their place in the table", _AS_WRITTEN)
    places = numbers.astype("int64").tolist()
    table = read_summary(part).drop(columns=[REPEATS, str(mark)]).astype(DTYPES)
    if isinstance(table.index, pd.RangeIndex) and table.index.equals(pd.RangeIndex(len(table))):
        table.index = pd.Index(places, dtype="int64", name=table.index.name)  # numbers that its file has not kept
    return _Shard(name, mark, places, table)


def _load(path: Path) -> pd.DataFrame:
    kind = path.suffix.lower()
    if kind == ".csv":
        return read_requests(path)
    if kind != ".parquet":
        raise ConfigurationError(f"{path.name} ends in {kind or 'nothing'}", "give a .csv or .parquet file")
    if not path.exists():
        raise NoSuchFileError(path)
    if importlib.util.find_spec("pyarrow") is None:
        raise ConfigurationError(
            "a .parquet file needs pyarrow, which is not installed", "pip install 'dicomover[parquet]'"
        )
    try:
        return pd.read_parquet(path)
    except ValueError as error:  # as all of pyarrow's are
        raise ConfigurationError(f"{path.name} is no Parquet file, or a damaged one", _AS_WRITTEN) from error


def _hold_one_table(shards: Sequence[_Shard]) -> None:
    """Refuse shards of several tables, or of one that was split in several ways."""
    found: dict[tuple[object, ...], list[str]] = {}
    for shard in shards:
        mark = shard.mark
        words = f"table {mark.table} ({count_of(mark.rows, 'row')} in {count_of(mark.shard.count, 'shard')})"
        found.setdefault((words, tuple(shard.table.columns)), []).append(shard.name)
    if len(found) > 1:
        told = [f"{_list(names)} of {words}" for (words, _), names in found.items()]
        alike = len({words for words, _ in found}) < len(found)
        why = ", with other columns" if alike else ""
        raise ConfigurationError(f"these are shards of different tables{why}: {', '.join(told)}", _ONE_TABLE)


def _find_doubles(shards: Sequence[_Shard]) -> Iterable[str]:
    first: dict[int, int] = {}
    again: dict[tuple[int, int], list[int]] = {}
    for number, shard in enumerate(shards):
        for place in shard.places:
            if place in first:
                again.setdefault((first[place], number), []).append(place)
            first.setdefault(place, number)
    for (one, other), places in again.items():
        names = shards[one].name, shards[other].name
        where = f"{names[0]} has" if one == other else f"{names[0]} and {names[1]} both have"
        yield f"{where} {_rows(sorted(places))}{' twice' * (one == other)}"


def _find_gaps(shards: Sequence[_Shard]) -> Iterable[str]:
    """Say which shards are missing, as far as rows are; and of which there are only some."""
    mark = shards[0].mark
    here: dict[Shard, set[int]] = {}
    for shard in shards:
        here.setdefault(shard.mark.shard, set()).update(shard.places)
    if len(set().union(*here.values())) == mark.rows:
        return
    sizes = {shard.mark.shard: shard.mark.size for shard in shards}
    for one, places in here.items():
        if len(places) < sizes[one]:
            yield f"shard {one} has {len(places):,} of its {count_of(sizes[one], 'row')}"
    if sum(sizes.values()) < mark.rows:
        all_of_them = (Shard(number, mark.shard.count) for number in range(1, mark.shard.count + 1))
        absent = list(islice((shard for shard in all_of_them if shard not in here), _SHOWN))
        count = mark.shard.count - len(here)  # which the name of a column says, and it may say anything
        yield f"no summary is here of {_list([setting('shard', str(shard)) for shard in absent], count)}"


def _list(names: Sequence[str], count: int = 0) -> str:
    more = max(count, len(names)) - _SHOWN
    shown = [*names[:_SHOWN], *([f"{more:,} more"] if more > 0 else [])]
    return " and ".join(filter(None, [", ".join(shown[:-1]), shown[-1]]))


def _rows(places: Sequence[int]) -> str:
    return f"row {places[0]}" if len(places) == 1 else f"{len(places):,} rows ({spans(places, most=3)})"
