"""What is asked for: keys from the command line or a file, the table of a CSV, or a lockfile."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import click
import pandas as pd

from dicomover.cli.arguments import Arguments
from dicomover.cli.keys import keys_of, level_among
from dicomover.cli.screen import say
from dicomover.cohort import Cohort
from dicomover.errors import RequestError
from dicomover.identifier import IDENTIFYING, KEY
from dicomover.requests.names import keyword_of
from dicomover.requests.parse import read_requests
from dicomover.summary import PLAN_COLUMNS, SUMMARY_COLUMNS

__all__ = ["blame_file", "load_cohort", "name_keys", "read_asked", "read_input", "read_secret", "warn_of_columns"]


def read_asked(given: Arguments) -> tuple[Cohort | Mapping[str, str] | pd.DataFrame, str]:
    """Return what is asked for: a locked cohort, one dict or a table; and the level."""
    if given.lockfile is None:
        return read_input(given)
    if given.key or given.query_file is not None or given.csv_file is not None:
        raise click.UsageError("--lock names what to ask for; leave -k, -f and --csv out")
    return load_cohort(given.lockfile, given.secret_file), "auto"


def read_input(given: Arguments) -> tuple[Mapping[str, str] | pd.DataFrame, str]:
    """Return what is asked for, one dict or a table, and the level."""
    by_keys = bool(given.key) or given.query_file is not None
    if given.csv_file is None:
        keys, level = level_among(keys_of(given.key, given.query_file), given.level)
        if not keys:
            message = "nothing is asked for; give keys (-k AccessionNumber=00123), a query file (-f) or a batch (--csv)"
            raise click.UsageError(message)
        return keys, level
    if by_keys:
        message = "--csv cannot go with -k or -f: a batch has its keys in its columns; add a column, or leave one out"
        raise click.UsageError(message)
    path = given.csv_file
    try:
        return _fill_gaps(read_requests(path)), given.level or "auto"
    except OSError as error:
        raise click.BadParameter(f"{path} cannot be read: {error.strerror}", param_hint="--csv") from error


def _fill_gaps(table: pd.DataFrame) -> pd.DataFrame:
    """Take an empty cell for a missing key where another key of the row says what is asked for.

    What `find`, `plan` and `--summary` write has such cells. A PatientID alone does not do: it would ask for
    everything of the patient.
    """
    named = {}
    for column in table.columns:
        with contextlib.suppress(KeyError):
            named[column] = keyword_of(column.removeprefix(KEY))
    keys = [column for column, keyword in named.items() if keyword in IDENTIFYING or column.startswith(KEY)]
    empty = {column: table[column].isna() | table[column].astype(object).eq("") for column in keys}
    telling = pd.Series(False, index=table.index)
    for column in keys:
        if named[column] != "PatientID":
            telling |= ~empty[column]
    filled = table.copy()
    for column in keys:
        filled[column] = table[column].mask(empty[column] & telling)
    return filled


def warn_of_columns(given: Arguments, requests: object, ours: Sequence[str]) -> None:
    """Say which columns of a batch ours will replace; those of our own tables are known to be ours."""
    if not isinstance(requests, pd.DataFrame) or given.quiet:
        return
    columns = set(requests.columns)
    taken = [name for name in requests.columns if name in ours]
    if taken and not any(columns.issuperset(table) for table in (SUMMARY_COLUMNS, PLAN_COLUMNS)):
        which = f"a column {taken[0]}" if len(taken) == 1 else f"columns {', '.join(taken)}"
        say(f"Warning: {given.csv_file} has {which}; in the table that comes out ours takes its place")


@contextlib.contextmanager
def name_keys(given: Arguments) -> Iterator[None]:
    """Say of keys that they are keys, not rows of a table."""
    try:
        yield
    except RequestError as error:
        if given.csv_file is not None:
            raise
        problems = [replace(problem, row="", position=-1) for problem in error.problems]
        told = [problem.tell(show_keys=given.show_keys) for problem in problems]
        raise click.UsageError("\n       ".join(told)) from error


def load_cohort(path: Path, secret_file: Path | None = None) -> Cohort:
    """Read a lockfile that was named on the command line."""
    secret = read_secret(secret_file)
    with blame_file(path):
        return Cohort.load(path, secret=secret)


def read_secret(path: Path | None) -> str | None:
    """Read the secret of a lockfile from a text file, if one is named."""
    if path is None:
        return None
    with blame_file(path):
        return path.read_text(encoding="utf-8").strip()


@contextlib.contextmanager
def blame_file(path: Path) -> Iterator[None]:
    """Say which file or folder it was that the system did not give or take."""
    try:
        yield
    except OSError as error:
        raise click.ClickException(f"{path}: {error.strerror}") from error
