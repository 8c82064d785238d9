"""What every command is given: whom to ask, what for, and where results go."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TypedDict

import click
import pandas as pd

from dicomover.cli import report
from dicomover.cli.given import model_of, node_of, timeouts_of
from dicomover.cli.keys import keys_of, level_among
from dicomover.cli.screen import say, verbosity
from dicomover.errors import RequestError
from dicomover.identifier import IDENTIFYING, KEY
from dicomover.mover import Mover
from dicomover.node import Node, Timeouts
from dicomover.requests.names import keyword_of
from dicomover.requests.parse import read_requests
from dicomover.summary import PLAN_COLUMNS, SUMMARY_COLUMNS

__all__ = [
    "BatchGiven",
    "EchoGiven",
    "QueryGiven",
    "asking",
    "node_given",
    "readable",
    "requests_of",
    "saved",
    "talking",
    "timeouts_given",
    "warn_of_columns",
    "written",
]


class EchoGiven(TypedDict):
    """What `echo` is given; every command has these."""

    peer: str
    port: int | None
    verbose: bool
    debug: bool
    quiet: bool
    aetitle: str
    call: str | None
    timeout: float
    acse_timeout: float
    dimse_timeout: float
    stall_timeout: float
    progress_timeout: float
    total_timeout: float


class QueryGiven(EchoGiven):
    """What `find` and `plan` and `move` are given."""

    patient_root: bool
    study_root: bool
    level: str | None
    key: tuple[str, ...]
    query_file: Path | None
    as_records: bool


class BatchGiven(QueryGiven):
    """What `plan`, `move` and `lock` are given."""

    csv_file: Path | None
    max_matches: int


def talking(given: EchoGiven) -> contextlib.AbstractContextManager[None]:
    """Say as much as was asked for."""
    return verbosity(given["verbose"], given["debug"], given["quiet"])


def node_given(given: EchoGiven) -> Node:
    """Return the archive."""
    return node_of(given["peer"], given["port"], given["call"])


def timeouts_given(given: EchoGiven) -> Timeouts:
    """Return the time-outs."""
    return timeouts_of(
        connect=given["timeout"],
        acse=given["acse_timeout"],
        dimse=given["dimse_timeout"],
        stall=given["stall_timeout"],
        progress=given["progress_timeout"],
        total=given["total_timeout"],
    )


def asking(given: BatchGiven, level: str) -> Mover:
    """Return a Mover that looks up a batch; nobody is named to receive."""
    return Mover(
        node_given(given),
        ae_title=given["aetitle"],
        level=level,
        model=model_of(given["patient_root"], given["study_root"]),
        timeouts=timeouts_given(given),
        max_matches=given["max_matches"] or None,
    )


def requests_of(given: BatchGiven) -> tuple[Mapping[str, str] | pd.DataFrame, str]:
    """Return what is asked for, one dict or a table, and the level."""
    by_keys = bool(given["key"]) or given["query_file"] is not None
    if given["csv_file"] is None:
        keys, level = level_among(keys_of(given["key"], given["query_file"]), given["level"])
        if not keys:
            message = "nothing is asked for; give keys (-k AccessionNumber=00123), a query file (-f) or a batch (--csv)"
            raise click.UsageError(message)
        return keys, level
    if by_keys:
        message = "--csv cannot go with -k or -f: a batch has its keys in its columns; add a column, or leave one out"
        raise click.UsageError(message)
    path = given["csv_file"]
    try:
        return _with_gaps(read_requests(path)), given["level"] or "auto"
    except OSError as error:
        raise click.BadParameter(f"{path} cannot be read: {error.strerror}", param_hint="--csv") from error


def _with_gaps(table: pd.DataFrame) -> pd.DataFrame:
    """Take an empty cell for a missing key where another key of the row says what is asked for.

    What `find`, `plan` and `--summary` write has such cells. A PatientID alone does not do: it would ask for
    everything of the patient.
    """
    named = {}
    for column in table.columns:
        with contextlib.suppress(KeyError):
            named[column] = keyword_of(column.removeprefix(KEY))
    keys = [column for column, keyword in named.items() if keyword in IDENTIFYING or column.startswith(KEY)]
    telling = pd.Series(False, index=table.index)
    for column in keys:
        if named[column] != "PatientID":
            telling |= table[column].ne("")
    filled = table.copy()
    for column in keys:
        filled[column] = table[column].mask(table[column].eq("") & telling)
    return filled


def warn_of_columns(given: BatchGiven, requests: object, ours: Sequence[str]) -> None:
    """Say which columns of a batch ours will replace; those of our own tables are known to be ours."""
    if not isinstance(requests, pd.DataFrame) or given["quiet"]:
        return
    columns = set(requests.columns)
    taken = [name for name in requests.columns if name in ours]
    if taken and not any(columns.issuperset(table) for table in (SUMMARY_COLUMNS, PLAN_COLUMNS)):
        which = f"a column {taken[0]}" if len(taken) == 1 else f"columns {', '.join(taken)}"
        say(f"Warning: {given['csv_file']} has {which}; in the table that comes out ours takes its place")


@contextlib.contextmanager
def readable(given: QueryGiven) -> Iterator[None]:
    """Say of keys that they are keys, not rows of a table."""
    try:
        yield
    except RequestError as error:
        if given.get("csv_file") is not None:
            raise
        problems = [replace(problem, row="", position=-1) for problem in error.problems]
        raise click.UsageError("\n       ".join(map(str, problems))) from error


def saved(table: pd.DataFrame, path: Path | None, code: int) -> int:
    """Write a table to a file, if one is named, and return the exit code."""
    return code if path is None else written(partial(report.write_table, table), path, code)


def written(write: Callable[[Path], object], path: Path, code: int) -> int:
    """Write a file and return the exit code, another one if that failed."""
    try:
        write(path)
    except OSError as error:
        say(f"Error: {path} could not be written: {error.strerror}")
        return code or 1
    return code
