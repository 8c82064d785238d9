"""The commands: what they are called and what they say of themselves. What they do is imported when they run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from dicomover.cli.options import (
    ASSOCIATION,
    BATCH,
    HELP_NAMES,
    JSON,
    KEYS,
    LIMITS,
    MODEL,
    PEER,
    PROGRESS,
    RECEIVING,
    TALK,
    VERSION,
    Whole,
    with_options,
)

__all__ = ["cli"]

_SETTINGS = {"help_option_names": HELP_NAMES, "show_default": True, "max_content_width": 100}
_EXIT = "Exit codes: 0 everything moved, 1 some did not, 2 nothing did or the input was wrong, 130 interrupted."


@click.group(context_settings=_SETTINGS)
@with_options(VERSION)
def cli() -> None:
    """Move medical images out of a PACS (DICOM C-MOVE), and say truly what became of each request.

    Try it without a PACS: dicomover demo
    """


@cli.command(epilog=_EXIT)
@with_options(PEER, KEYS, BATCH, RECEIVING, MODEL, LIMITS)
@click.option(
    "--summary",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Write the summary, one row for each request, to a .csv, .json or .parquet file.",
)
@with_options(JSON)
@click.option("--dry-run", is_flag=True, help="Look up what would move and print that plan; nothing moves.")
@with_options(PROGRESS, ASSOCIATION, TALK)
@click.pass_obj
def move(interrupts: Any, /, **given: Any) -> int:
    r"""Move images: one request from keys, or a batch from a CSV.

    PEER PORT is the archive, or PEER alone, written ARCHIVE@host:port. Keys that are not unique (an accession
    number, a date) are looked up first. An interrupt sends C-CANCEL and prints what is known.

    \b
    One study into ./downloads:
      dicomover move -od downloads -k AccessionNumber=00123 ARCHIVE@pacs.example.org:104
    A batch to a workstation:
      dicomover move -aem WORKSTATION --csv cohort.csv --summary done.csv ARCHIVE@pacs.example.org:104
    """
    from dicomover.cli.actions import run_move

    return run_move(interrupts, **given)


@cli.command(epilog="Exit codes: 0 everything would move, 1 some would not, 2 nothing would or the input was wrong.")
@with_options(PEER, KEYS, BATCH, MODEL, LIMITS)
@click.option(
    "--output",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Write the plan to a .csv, .json or .parquet file; the .csv can be edited and moved with move --csv.",
)
@with_options(JSON, ASSOCIATION, TALK)
def plan(**given: Any) -> int:
    r"""Look up what a move would move; nothing moves.

    \b
    Example:
      dicomover plan --csv cohort.csv ARCHIVE@pacs.example.org:104
    """
    from dicomover.cli.actions import run_plan

    return run_plan(**given)


@cli.command(epilog="Exit codes: 0 something was found, 1 nothing matches, 2 an error.")
@with_options(PEER, KEYS, MODEL)
@click.option(
    "--limit",
    type=Whole(1),
    default=None,
    metavar="N",
    show_default="none",
    help="At most so many answers.",
)
@click.option(
    "--output",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Write all columns to a .csv, .json or .parquet file.",
)
@with_options(JSON, ASSOCIATION, TALK)
def find(**given: Any) -> int:
    r"""Ask what the archive has (C-FIND).

    Values may have the wildcards * and ?, or be a range of dates. A keyword alone, or with nothing after the =,
    asks for an attribute without matching it.

    \b
    Example:
      dicomover find -k StudyDate=20240101-20240131 -k ModalitiesInStudy=MR ARCHIVE@pacs.example.org:104
    """
    from dicomover.cli.actions import run_find

    return run_find(**given)


@cli.command(epilog="Exit codes: 0 it answers, 2 it does not.")
@with_options(PEER, ASSOCIATION, TALK)
def echo(**given: Any) -> int:
    r"""Verify that the archive answers (C-ECHO).

    \b
    Example:
      dicomover echo ARCHIVE@pacs.example.org:104
    """
    from dicomover.cli.actions import run_echo

    return run_echo(**given)


@cli.command(short_help="Move a small batch out of a demo archive on this machine.")
@click.option(
    "--output-dir",
    type=click.Path(path_type=Path, file_okay=False),
    default="dicomover-demo",
    metavar="DIR",
    help="Where the files go; if there is something already, a number is added to the name.",
)
@click.option(
    "--keep",
    is_flag=True,
    help="Keep the demo archive running afterwards, to try the other commands on it; Ctrl-C ends it.",
)
@with_options(VERSION)
def demo(output_dir: Path, keep: bool) -> int:
    r"""Move a small batch out of a demo archive on this machine, and explain the table.

    \b
    Example:
      dicomover demo
    """
    from dicomover.cli.screen import verbosity
    from dicomover.demo import run

    with verbosity(verbose=False, debug=False, quiet=False):
        return run(output_dir, keep=keep)
