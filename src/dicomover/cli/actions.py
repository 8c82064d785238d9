"""What the commands do: options in, one call of the library, a report and an exit code out."""

from __future__ import annotations

import contextlib
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

import click
import pandas as pd

from dicomover.cli import report
from dicomover.cli.arguments import DOWNLOADS, Arguments
from dicomover.cli.keys import keys_of, level_among
from dicomover.cli.output_files import check_page_file, check_table_file, render_json, save_file, save_table
from dicomover.cli.request_input import name_keys, read_asked, warn_of_columns
from dicomover.cli.screen import Interrupts, Watch, on_interrupt, say
from dicomover.errors import ReceiverError
from dicomover.mover import Mover
from dicomover.node import Node
from dicomover.query.drilldown import level_of_find
from dicomover.requests.shards import find_marks
from dicomover.summary import PLAN_COLUMNS, SUMMARY_COLUMNS, exit_code
from dicomover.text.sentences import count_of

__all__ = ["run_doctor", "run_echo", "run_find", "run_move", "run_plan"]

# --- the commands


def run_move(interrupts: Interrupts | None, given: Arguments) -> int:
    """Move, report, and return the exit code."""
    with given.show_log():
        requests, level = read_asked(given)
        if given.dry_run:
            if given.summary is not None:
                message = "--dry-run moves nothing, so there is no summary; use dicomover plan --output FILE"
                raise click.UsageError(message)
            return _show_plan(given, _make_batch_mover(given, level, *_find_receiver(given)), requests, None)
        if given.no_journal and given.journal is not None:
            raise click.UsageError("--journal and --no-journal cannot both be; leave one out")
        check_table_file(given.summary, "--summary", keep=given.csv_file)
        check_page_file(given.page, "--report")
        if given.shard is not None and given.summary is not None and given.summary.suffix.lower() == ".json":
            why = f"{given.summary} cannot be merged with those of the other shards; name a .csv or .parquet file"
            raise click.BadParameter(why, param_hint="--summary")
        warn_of_columns(given, requests, SUMMARY_COLUMNS)
        destination, folder = _choose_receiver(given)
        mover = _make_batch_mover(given, level, destination, folder)
        watch = Watch(shown=given.progress and not given.quiet, ignore_pending=given.ignore_pending)
        with name_keys(given):
            told = {"invalid": given.invalid, "wildcards": given.wildcards, "force": given.force, "shard": given.shard}
            job = mover.job(requests, progress=watch, **told)  # type: ignore[arg-type]
        interrupts = interrupts or Interrupts()
        with mover:
            port = "by C-GET" if mover.port is None else f"port {mover.port}"
            where = str(destination or f"{given.aetitle}, here, {port}, into {folder}")
            with interrupts.cancelling(job, lambda: on_interrupt(watch.state)):
                job.run(interrupt="return")
        table = job.summary()
        code = 0 if _is_of_none(table, given) else exit_code(table)
        code = code if interrupts.number is None else interrupts.exit_code
        code = save_table(table, given.summary, code, given.share)
        if given.page is not None:
            code = save_file(partial(job.report().write_html, share=given.share), given.page, code)
        text = report.move_summary(
            table,
            watch.state,
            archive=str(mover.node),
            destination=where,
            levels=job.levels,
            batch=given.csv_file is not None or given.lockfile is not None,
            kept=given.summary is not None,
            here=destination is None,
            verify=given.verify,
            show_keys=given.show_keys,
        )
        if given.as_records:
            click.echo(render_json(table))
        if given.quiet:
            _name_troubled(table, given.show_keys)
        else:
            click.echo(text, err=given.as_records)
        return code


def run_plan(given: Arguments) -> int:
    """Print a plan and return the exit code."""
    with given.show_log():
        requests, level = read_asked(given)
        check_table_file(given.output, "--output", keep=given.csv_file)
        return _show_plan(given, Mover(given.node, **given.client, **given.lookup(level)), requests, given.output)


def run_find(given: Arguments) -> int:
    """Print what is found and return the exit code."""
    with given.show_log():
        keys = keys_of(given.key, given.query_file, bare=True)
        keys, level = level_among(keys, given.level)
        if not keys:
            message = "no key is given; write, say, -k StudyDate=20240101-, or -k 'PatientID=*' to ask for everything"
            raise click.UsageError(message)
        check_table_file(given.output, "--output")
        mover = Mover(given.node, **given.client)

        with name_keys(given), mover:
            asked_level = level_of_find(keys, level)
            found = mover.find(keys, level=str(asked_level), model=given.model, limit=given.limit, split=given.split)
        code = save_table(found, given.output, 0 if len(found) else 1, given.share)
        words = count_of(len(found), asked_level.singular, asked_level.plural)
        if len(found) == given.limit:
            words += f" (--limit {given.limit}; there may be more)"
        if given.as_records:
            click.echo(render_json(found))
        elif len(found):
            click.echo(report.find_text(found, asked_level, list(keys)))
        if not given.quiet:
            click.echo(f"{words} found at {mover.node}", err=True)
        return code


def run_echo(given: Arguments) -> int:
    """Say whether the archive answers."""
    with given.show_log():
        mover = Mover(given.node, **given.client)
        seconds = mover.echo()
        if not given.quiet:
            click.echo(f"{mover.node} answered the C-ECHO of {mover.ae_title} in {seconds:.3f} s")
        return 0


def run_doctor(given: Arguments) -> int:
    """Print what stands in the way of a move and return the exit code."""
    with given.show_log(), tempfile.TemporaryDirectory() as scratch:
        destination, folder = _find_receiver(given)
        if folder is not None and given.output_dir is None:
            folder = Path(scratch)  # nothing is said of a folder, and nothing arrives
        mover = Mover(given.node, **given.client, **given.receiver(destination, folder))
        with contextlib.ExitStack() as open_meanwhile:
            with contextlib.suppress(ReceiverError):  # which is one of the findings
                open_meanwhile.enter_context(mover)
            findings = mover.diagnose(one_image=given.one_image)
    failed = findings[findings["result"] == "failed"]
    if given.as_records:
        click.echo(render_json(findings))
    if not given.quiet:
        click.echo(report.findings_text(findings), err=given.as_records)
    else:
        for check, _, found, advice in failed.fillna("").itertuples(index=False):
            say("; ".join(filter(None, [f"Error: {check!s}: {found!s}", advice])))
    return 2 if "association" in set(failed["check"]) else 1 if len(failed) else 0


# --- behind them


def _choose_receiver(given: Arguments) -> tuple[str | Node | None, Path | None]:
    """Return the third party that receives, or the folder into which we do; one of them there has to be."""
    if given.move_dest is None and given.output_dir is None and given.listen is None and given.via == "move":
        message = "nobody is named to receive; give -aem AET for another machine, or -od DIR to receive here"
        raise click.UsageError(message)
    return _find_receiver(given)


def _find_receiver(given: Arguments) -> tuple[str | Node | None, Path | None]:
    """Return the third party that receives, or the folder into which we do."""
    named = given.move_dest
    if given.output_dir is None and given.listen is None and (given.via == "move" or named is not None):
        if named != given.aetitle:
            return named, None
        if not given.quiet:
            say(f"-aem {named} is our own AE title: we receive, into ./{DOWNLOADS} unless -od names another folder")
    if named not in (None, given.aetitle):
        raise click.UsageError(
            f"-aem {named} and {'-od' if given.output_dir else '--port'} cannot both be: when we receive here, "
            f"the Move Destination is our own AE title {given.aetitle}; leave one out"
        )
    return None, given.output_dir or DOWNLOADS


def _make_batch_mover(given: Arguments, level: str, destination: str | Node | None, folder: Path | None) -> Mover:
    return Mover(
        given.node,
        **given.client,
        **given.receiver(destination, folder),
        **given.lookup(level),
        headers_only=given.headers_only,
        associations=given.associations,
        workers=given.workers,
        accept=given.accept_or_default,
        verify=given.verify,
        recheck=given.recheck,
        journal=None if given.no_journal else given.journal or "auto",
        retry=given.retry,
        window=given.window,
        max_per_minute=given.max_per_minute,
        utilization=given.utilization,
    )


def _show_plan(given: Arguments, mover: Mover, requests: Any, output: Path | None) -> int:
    warn_of_columns(given, requests, PLAN_COLUMNS)
    with name_keys(given):
        plan = mover.plan(requests, invalid=given.invalid, wildcards=given.wildcards, shard=given.shard)
    troubled = plan["decision"].isin(["not-found", "too-many", "refused", "invalid"])
    code = 0 if _is_of_none(plan, given) else 2 if troubled.all() else int(troubled.any())
    code = save_table(plan, output, code, given.share)
    if given.as_records:
        click.echo(render_json(plan))
    if not given.quiet:
        click.echo(report.plan_text(plan, show_keys=given.show_keys, via=given.via), err=given.as_records)
    return code


def _is_of_none(table: pd.DataFrame, given: Arguments) -> bool:
    """Tell, and say, that no row of a batch falls to its shard: all is done, and an array's task has not failed."""
    is_of_none = any(mark.rows and not mark.size for mark in find_marks(table))
    if is_of_none and not given.quiet:
        say(f"No row of the batch falls to shard {given.shard}")
    return is_of_none


def _name_troubled(table: pd.DataFrame, show_keys: bool) -> None:
    """Say on the standard error which rows did not succeed, for those who want to hear of nothing else."""
    for text in report.troubles(table, show_keys=show_keys):
        say(f"Error: {text}")
