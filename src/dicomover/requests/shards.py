"""A batch in shards, for machines that know nothing of each other: who takes which rows, by the table alone."""

from __future__ import annotations

import hashlib
import json
import numbers
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, time, timedelta

import pandas as pd

from dicomover.errors import ConfigurationError
from dicomover.identifier import Request
from dicomover.requests.parse import Batch
from dicomover.summary import SUMMARY_COLUMNS
from dicomover.text.cells import is_missing
from dicomover.text.face import setting

__all__ = ["Mark", "Shard", "ShardLike", "choose_shards", "find_marks", "take_shard"]

_STUDY, _PATIENT = "StudyInstanceUID", "PatientID"
_NAMES = (_STUDY, "AccessionNumber", "SeriesInstanceUID", "SOPInstanceUID")
"""The keys that name a study, or a part of one; a shard is chosen by the first that rows have."""

_MARK = re.compile(r"shard (\d{1,9})/(\d{1,9}): (\d{1,9}) of (\d{1,9}) rows of table ([0-9a-f]{4})", re.ASCII)
_ROUNDS = 200_000  # of PBKDF2, about a tenth of a second


@dataclass(frozen=True, slots=True)
class Shard:
    """One of several parts of a batch, by its number from 1 on.

    Examples
    --------
    >>> str(Shard.parse("2/4")), Shard.parse((2, 4))
    ('2/4', Shard(number=2, count=4))
    """

    number: int
    count: int

    def __str__(self) -> str:
        return f"{self.number}/{self.count}"

    @classmethod
    def parse(cls, given: ShardLike) -> Shard:
        """Read a shard such as `2/4` or `(2, 4)`; raises ConfigurationError if it cannot be meant."""
        pair: Sequence[object] = (given.number, given.count) if isinstance(given, Shard) else ()
        if isinstance(given, str):
            written = re.fullmatch(r"\s*(\d{1,9})\s*/\s*(\d{1,9})\s*", given, re.ASCII)
            pair = tuple(map(int, written.groups())) if written else ()
        elif isinstance(given, tuple | list):
            pair = given
        if len(pair) != 2 or not all(isinstance(part, int) and not isinstance(part, bool) for part in pair):
            is_empty = isinstance(given, str) and (given.strip().startswith("/") or given.strip().endswith("/"))
            why = "a variable before or after its / is empty: is this a task of an array?" if is_empty else ""
            what = f"{setting('shard', _show(given))} is no shard"
            raise ConfigurationError(what, why or "write its number, from 1 on, and how many there are: 2/4")
        shard = cls(*pair)  # type: ignore[arg-type]
        if not 1 <= shard.number <= shard.count:
            raise ConfigurationError(
                f"there is no shard {shard}: shards are counted from 1, to {shard.count} of {shard.count}", _SLURM
            )
        _hold_array(shard, os.environ)
        return shard


ShardLike = Shard | str | tuple[int, int]
"""A shard, or `2/4` or `(2, 4)`: the second of four."""

_SLURM = (
    "count an array's tasks from 1, such as sbatch --array=1-4; to run some of them again, write how many shards there "
    "are instead of $SLURM_ARRAY_TASK_COUNT, which counts the tasks of one submission only"
)


def _show(given: object) -> object:
    return given if isinstance(given, str | int | tuple) else type(given).__name__


def _hold_array(shard: Shard, environment: Mapping[str, str]) -> None:
    """Refuse the numbers of a Slurm array that leave a shard out, in each task of it: nobody else would notice."""
    told = [environment.get(f"SLURM_ARRAY_TASK_{name}", "") for name in ("ID", "COUNT", "MIN", "MAX")]
    if not all(text.isdecimal() for text in told):
        return
    task, tasks, first, last = map(int, told)
    if (shard.number, shard.count) == (task, tasks) and (first, last) != (1, tasks):
        raise ConfigurationError(
            f"shard {shard} is not meant: the {tasks} tasks of this Slurm array are numbered from {first} to {last}, "
            f"and {tasks} shards from 1 to {tasks}",
            _SLURM,
        )


@dataclass(frozen=True, slots=True)
class Mark:
    """What a shard's summary says of itself: the name of a column, in which each row has its place in the whole table.

    The name, so that a shard without rows says it too. `table` tells one table from another and names nothing in it.

    Examples
    --------
    >>> str(Mark(Shard(2, 4), 30, 120, "9f3c"))
    'shard 2/4: 30 of 120 rows of table 9f3c'
    """

    shard: Shard
    size: int
    rows: int
    table: str

    def __str__(self) -> str:
        return f"shard {self.shard}: {self.size} of {self.rows} rows of table {self.table}"


def find_marks(table: pd.DataFrame) -> list[Mark]:
    """Return the marks among the columns of a table."""
    found = [match for name in table.columns if (match := _MARK.fullmatch(str(name)))]
    marks = [Mark(Shard(*map(int, match.group(1, 2))), int(match[3]), int(match[4]), match[5]) for match in found]
    return [mark for mark in marks if 1 <= mark.shard.number <= mark.shard.count]


def take_shard(
    batch: Batch,
    shard: Shard,
    studies: Sequence[Iterable[str]] = (),  # the Study Instance UIDs of each row, where a lockfile knows them
) -> tuple[Batch, list[int]]:
    """Return the rows of one shard, in their order, marked; and their places in the whole batch.

    Rows that cannot be sent fall to the first shard. Raises ConfigurationError if the batch is a shard itself.
    """
    if find_marks(batch.given):
        what = f"{setting('shard', str(shard))} cannot be: the table is a shard already"
        raise ConfigurationError(what, f"give the whole table, or leave {setting('shard')} out")
    known = [studies[request.position] for request in batch.requests] if studies else ()
    numbers = choose_shards(batch.requests, shard.count, known)
    of = {request.position: number for request, number in zip(batch.requests, numbers, strict=True)}
    rows = [row for row in range(len(batch)) if of.get(row, 1) == shard.number]
    place = {row: position for position, row in enumerate(rows)}
    requests = [replace(one, position=place[one.position]) for one in batch.requests if one.position in place]
    problems = {
        place[row]: tuple(replace(problem, position=place[row]) for problem in found)
        for row, found in batch.problems.items()
        if row in place
    }
    given = batch.given.iloc[rows].copy()
    mark = Mark(shard, len(rows), len(batch), _digest(batch))
    given[str(mark)] = pd.Series(rows, index=given.index, dtype="Int64")
    return Batch(tuple(requests), given, problems), rows


def choose_shards(requests: Sequence[Request], count: int, studies: Sequence[Iterable[str]] = ()) -> list[int]:
    """Return the number of each request's shard: a function of what it names, and of nothing else in most tables.

    Requests that name the same study, accession number, series or instance are one group, and so are those that share
    one with any of the group; where one names nothing but a patient, or a patient and dates, all of that patient are.
    A group's shard is the SHA-256 of the least of its Study Instance UIDs, else of its accession numbers, modulo
    `count`: it stays when the table is sorted, or grows by other studies.

    Examples
    --------
    >>> from dicomover.requests.parse import parse_requests
    >>> rows = [{"AccessionNumber": "1"}, {"StudyInstanceUID": "1.2"}, {"AccessionNumber": "2"}]
    >>> both = {"AccessionNumber": "2", "StudyInstanceUID": "1.2"}
    >>> choose_shards(parse_requests([*rows, both]).requests, 4)
    [2, 1, 1, 1]
    """
    named = [_name(request, uids) for request, uids in zip(requests, studies or [()] * len(requests), strict=True)]
    patients = {_of_patient(request) for request, names in zip(requests, named, strict=True) if not names} - {""}
    parent = list(range(len(requests)))
    first: dict[tuple[int, str], int] = {}
    for place, (request, names) in enumerate(zip(requests, named, strict=True)):
        if (patient := _of_patient(request)) in patients:
            names.append((len(_NAMES), patient))
        elif not names:
            names.append((len(_NAMES) + 1, json.dumps(sorted(request.keys.items()))))
        for name in names:
            parent[_find_root(parent, place)] = _find_root(parent, first.setdefault(name, place))
    roots = [_find_root(parent, place) for place in range(len(requests))]
    least: dict[int, tuple[int, str]] = {}
    for root, names in zip(roots, named, strict=True):
        least[root] = min([*names, *([least[root]] if root in least else [])])
    return [int.from_bytes(hashlib.sha256(_encode(least[root])).digest()[:8]) % count + 1 for root in roots]


def _name(request: Request, studies: Iterable[str]) -> list[tuple[int, str]]:
    """Return what a request names of studies: the place of the key in `_NAMES`, and each of its values."""
    names = [(0, uid) for uid in studies]
    for place, keyword in enumerate(_NAMES):
        names += [(place, value) for value in request.keys.get(keyword, "").split("\\") if value]
    return names


def _of_patient(request: Request) -> str:
    return request.keys.get(_PATIENT, "")


def _find_root(parent: list[int], place: int) -> int:
    while parent[place] != place:
        parent[place] = place = parent[parent[place]]
    return place


def _encode(content: object) -> bytes:
    return json.dumps(content).encode()  # ASCII, also of half a character


def _digest(batch: Batch) -> str:
    """Return what tells this table from others, in its order; the same on every machine.

    Sixteen bits, after 200,000 rounds: enough to notice another table, and too few to find a patient's number by trying
    all, since thousands of numbers have the same.
    """
    given = batch.given.loc[:, [name not in SUMMARY_COLUMNS for name in batch.given.columns]]
    cells = [[_tell(cell) for cell in row] for row in given.itertuples(name=None)]
    asked = [(request.position, str(request.level), request.pin) for request in batch.requests]
    content = _encode([list(map(str, given.columns)), cells, asked])
    return hashlib.pbkdf2_hmac("sha256", hashlib.sha256(content).digest(), b"dicomover shard", _ROUNDS)[:2].hex()


def _tell(cell: object) -> str:
    """Return a cell as text that does not depend on the machine; of what is no plain value its kind."""
    if is_missing(cell):
        return ""
    is_plain = isinstance(cell, str | numbers.Number | date | time | timedelta)
    return str(cell) if is_plain else type(cell).__name__
