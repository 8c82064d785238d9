"""What the commands do: options in, one call of the library, a report and an exit code out."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, TypedDict, Unpack

import click
import pandas as pd

from dicomover.cli import report
from dicomover.cli.given import model_of, node_of, timeouts_of
from dicomover.cli.keys import keys_of, level_among
from dicomover.cli.screen import Interrupts, Watch, say, verbosity
from dicomover.errors import RequestError
from dicomover.identifier import Level
from dicomover.mover import Mover
from dicomover.node import Node, Timeouts
from dicomover.outcome import Status
from dicomover.requests import IDENTIFYING, keyword_of, parse_query, read_requests
from dicomover.summary import exit_code

__all__ = ["run_doctor", "run_echo", "run_find", "run_move", "run_plan"]

DOWNLOADS = Path("downloads")
_NAMED = 20  # rows that -q names


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


class QueryGiven(EchoGiven):
    """What `find` and `plan` and `move` are given."""

    patient_root: bool
    study_root: bool
    level: str | None
    key: tuple[str, ...]
    query_file: Path | None
    as_records: bool


class FindGiven(QueryGiven):
    """What `find` is given."""

    limit: int | None
    output: Path | None


class BatchGiven(QueryGiven):
    """What `plan` and `move` are given."""

    csv_file: Path | None
    invalid: Literal["raise", "record"]
    max_matches: int


class PlanGiven(BatchGiven):
    """What `plan` is given."""

    output: Path | None


class MoveGiven(BatchGiven):
    """What `move` is given."""

    move_dest: str | None
    output_dir: Path | None
    listen: int | None
    associations: int
    workers: int
    journal: Path | None
    no_journal: bool
    retry: str
    window: str | None
    max_per_minute: int | None
    utilization: float
    summary: Path | None
    dry_run: bool
    progress: bool
    ignore_pending: bool


class DoctorGiven(EchoGiven):
    """What `doctor` is given."""

    move_dest: str | Node | None
    output_dir: Path | None
    listen: int | None
    as_records: bool


# --- the commands


def run_move(interrupts: Interrupts | None, **given: Unpack[MoveGiven]) -> int:
    """Move, report, and return the exit code."""
    with _talking(given):
        requests, level = _requests(given)
        if given["dry_run"]:
            if given["summary"] is not None:
                message = "--dry-run moves nothing, so there is no summary; use dicomover plan --output FILE"
                raise click.UsageError(message)
            return _plan(given, requests, level, None)
        if given["no_journal"] and given["journal"] is not None:
            raise click.UsageError("--journal and --no-journal cannot both be; leave one out")
        report.check_table_file(given["summary"], "--summary", keep=given["csv_file"])
        destination, folder = _destination(given)
        mover = Mover(
            _node(given),
            ae_title=given["aetitle"],
            destination=destination,
            receive=folder,
            port=given["listen"],
            level=level,
            model=model_of(given["patient_root"], given["study_root"]),
            associations=given["associations"],
            workers=given["workers"],
            timeouts=_timeouts(given),
            max_matches=given["max_matches"] or None,
            journal=None if given["no_journal"] else given["journal"] or "auto",
            retry=given["retry"],
            window=given["window"],
            max_per_minute=given["max_per_minute"],
            utilization=given["utilization"],
        )
        watch = Watch(shown=given["progress"] and not given["quiet"], ignore_pending=given["ignore_pending"])
        with _readable(given):
            job = mover.job(requests, invalid=given["invalid"], progress=watch)
        interrupts = interrupts or Interrupts()
        with mover:
            where = str(destination or f"{given['aetitle']}, here, port {mover.port}, into {folder}")
            with interrupts.cancelling(job):
                job.run()
        table = job.summary()
        code = exit_code(table) if interrupts.number is None else interrupts.exit_code
        code = _saved(table, given["summary"], code)
        text = report.move_summary(
            table,
            watch.state,
            archive=str(mover.node),
            destination=where,
            levels=job.levels,
            batch=given["csv_file"] is not None,
        )
        if given["as_records"]:
            click.echo(report.as_json(table))
        if given["quiet"]:
            _name_troubled(table)
        else:
            click.echo(text, err=given["as_records"])
        return code


def run_plan(**given: Unpack[PlanGiven]) -> int:
    """Print a plan and return the exit code."""
    with _talking(given):
        requests, level = _requests(given)
        report.check_table_file(given["output"], "--output", keep=given["csv_file"])
        return _plan(given, requests, level, given["output"])


def run_find(**given: Unpack[FindGiven]) -> int:
    """Print what is found and return the exit code."""
    with _talking(given):
        keys = keys_of(given["key"], given["query_file"], bare=True)
        keys, level = level_among(keys, given["level"])
        if not keys:
            raise click.UsageError("no key is given; write, say, -k StudyDate=20240101- or -k 'PatientName=M*'")
        report.check_table_file(given["output"], "--output")
        model = model_of(given["patient_root"], given["study_root"])
        mover = Mover(_node(given), ae_title=given["aetitle"], timeouts=_timeouts(given))
        with _readable(given):
            found_level = parse_query(keys, level=level, model=model).level
            found = mover.find(keys, level=level, model=model, limit=given["limit"])
        code = _saved(found, given["output"], 0 if len(found) else 1)
        words = _some(len(found), found_level)
        if len(found) == given["limit"]:
            words += f" (--limit {given['limit']}; there may be more)"
        if given["as_records"]:
            click.echo(report.as_json(found))
        elif len(found):
            click.echo(report.find_text(found, found_level, list(keys)))
        if not given["quiet"]:
            click.echo(f"{words} found at {mover.node}", err=True)
        return code


def run_echo(**given: Unpack[EchoGiven]) -> int:
    """Say whether the archive answers."""
    with _talking(given):
        mover = Mover(_node(given), ae_title=given["aetitle"], timeouts=_timeouts(given))
        seconds = mover.echo()
        if not given["quiet"]:
            click.echo(f"{mover.node} answered the C-ECHO of {mover.ae_title} in {seconds:.3f} s")
        return 0


def run_doctor(**given: Unpack[DoctorGiven]) -> int:
    """Print what stands in the way of a move and return the exit code."""
    with _talking(given), tempfile.TemporaryDirectory() as scratch:
        destination, folder = _receiver(given)
        if folder is not None and given["output_dir"] is None:
            folder = Path(scratch)  # nothing is said of a folder, and nothing arrives
        findings = _findings(given, destination, folder)
    failed = findings[findings["result"] == "failed"]
    if given["as_records"]:
        click.echo(report.as_json(findings))
    if not given["quiet"]:
        click.echo(report.findings_text(findings), err=given["as_records"])
    else:
        for check, _, found, advice in failed.fillna("").itertuples(index=False):
            say("; ".join(filter(None, [f"Error: {check!s}: {found!s}", advice])))
    return 2 if "association" in set(failed["check"]) else 1 if len(failed) else 0


def _findings(given: DoctorGiven, destination: str | Node | None, folder: Path | None) -> pd.DataFrame:
    mover = Mover(
        _node(given),
        ae_title=given["aetitle"],
        destination=destination,
        receive=folder,
        port=given["listen"],
        timeouts=_timeouts(given),
    )
    return mover.diagnose()


# --- behind them


def _talking(given: EchoGiven) -> contextlib.AbstractContextManager[None]:
    return verbosity(given["verbose"], given["debug"], given["quiet"])


def _node(given: EchoGiven) -> Node:
    return node_of(given["peer"], given["port"], given["call"])


def _timeouts(given: EchoGiven) -> Timeouts:
    return timeouts_of(given["timeout"], given["acse_timeout"], given["dimse_timeout"], given["stall_timeout"])


def _requests(given: BatchGiven) -> tuple[Mapping[str, str] | pd.DataFrame, str]:
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
            named[column] = keyword_of(column)
    keys = [column for column, keyword in named.items() if keyword in IDENTIFYING]
    telling = pd.Series(False, index=table.index)
    for column in keys:
        if named[column] != "PatientID":
            telling |= table[column].ne("")
    filled = table.copy()
    for column in keys:
        filled[column] = table[column].mask(table[column].eq("") & telling)
    return filled


def _destination(given: MoveGiven) -> tuple[str | Node | None, Path | None]:
    """Return the third party that receives, or the folder into which we do; one of them there has to be."""
    if given["move_dest"] is None and given["output_dir"] is None and given["listen"] is None:
        message = "nobody is named to receive; give -aem AET for another machine, or -od DIR to receive here"
        raise click.UsageError(message)
    return _receiver(given)


def _receiver(given: MoveGiven | DoctorGiven) -> tuple[str | Node | None, Path | None]:
    """Return the third party that receives, or the folder into which we do."""
    named = given["move_dest"]
    if given["output_dir"] is None and given["listen"] is None:
        return named, None
    if named not in (None, given["aetitle"]):
        raise click.UsageError(
            f"-aem {named} and {'-od' if given['output_dir'] else '--port'} cannot both be: when we receive here, "
            f"the Move Destination is our own AE title {given['aetitle']}; leave one out"
        )
    return None, given["output_dir"] or DOWNLOADS


@contextlib.contextmanager
def _readable(given: QueryGiven) -> Iterator[None]:
    """Say of keys that they are keys, not rows of a table."""
    try:
        yield
    except RequestError as error:
        if given.get("csv_file") is not None:
            raise
        problems = [replace(problem, row="", position=-1) for problem in error.problems]
        raise click.UsageError("\n       ".join(map(str, problems))) from error


def _plan(given: BatchGiven, requests: Any, level: str, output: Path | None) -> int:
    mover = Mover(
        _node(given),
        ae_title=given["aetitle"],
        level=level,
        model=model_of(given["patient_root"], given["study_root"]),
        timeouts=_timeouts(given),
        max_matches=given["max_matches"] or None,
    )
    with _readable(given):
        plan = mover.plan(requests, invalid=given["invalid"])
    move = plan["decision"].isin(["move", "several"])
    code = _saved(plan, output, 0 if len(plan) and move.all() else 1 if move.any() else 2)
    if given["as_records"]:
        click.echo(report.as_json(plan))
    if not given["quiet"]:
        click.echo(report.plan_text(plan), err=given["as_records"])
    return code


def _saved(table: pd.DataFrame, path: Path | None, code: int) -> int:
    """Write a table to a file, if one is named, and return the exit code."""
    if path is None:
        return code
    try:
        report.write_table(table, path)
    except OSError as error:
        say(f"Error: {path} could not be written: {error.strerror}")
        return code or 1
    return code


def _name_troubled(table: pd.DataFrame) -> None:
    """Say on the standard error which rows did not succeed, for those who want to hear of nothing else."""
    complete = table["status"].isin([str(status) for status in Status if status.complete])
    for label, row in table[~complete].head(_NAMED).iterrows():
        say(f"Error: row {label}: {report.outcome(row)}")
    if (~complete).sum() > _NAMED:
        say(f"Error: … and {(~complete).sum() - _NAMED:,} more")


def _some(count: int, level: Level) -> str:
    one = {"PATIENT": "patient", "STUDY": "study", "SERIES": "series", "IMAGE": "image"}[level.value]
    return f"{count:,} {one if count == 1 else level.plural}"
