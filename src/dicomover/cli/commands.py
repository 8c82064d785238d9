"""The commands that ask an archive: what they say of themselves. What they do is imported when they run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from dicomover.cli.arguments import Arguments
from dicomover.cli.batch_options import BATCH, LIMITS, LOCKED, PACE, RECEIVING, RECHECK, SECRET, SHARD, VERIFY, VIA
from dicomover.cli.group import PROFILE, cli
from dicomover.cli.options import (
    ASSOCIATION,
    EXAMINED,
    JSON,
    KEYS,
    MODEL,
    OUTPUT,
    PEER,
    PEER_IF_ANY,
    PROGRESS,
    SHARE,
    TALK,
    with_options,
)
from dicomover.cli.types import Parsed, Whole, Worded, read_split

__all__ = ["doctor", "echo", "find", "lock", "move", "plan", "verify"]

_FILE = click.Path(path_type=Path, dir_okay=False)
_EXIT = (
    "Exit codes: 0 everything moved, 1 some did not, 2 nothing did or the input was wrong, 130 interrupted by Ctrl-C, "
    "143 by SIGTERM."
)


@cli.command(epilog=_EXIT)
@with_options(PEER, KEYS, BATCH, [SHARD], LOCKED, RECEIVING, MODEL, LIMITS, [VERIFY, RECHECK], PACE)
@click.option(
    "--summary",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Write the summary, one row for each request, to a .csv, .json or .parquet file.",
)
@click.option(
    "--report",
    "page",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Write a report to an .html file that can be sent on: no scripts, and no patient data without --show-keys.",
)
@with_options([SHARE], JSON)
@click.option("--dry-run", is_flag=True, help="Look up what would move and print that plan; nothing moves.")
@click.option("--force", is_flag=True, help="Move even what may not fit on the disk, by what earlier moves came to.")
@with_options(PROGRESS, ASSOCIATION, TALK)
@click.pass_obj
def move(interrupts: Any, /, **given: Any) -> int:
    """Move images: one request from keys, or a batch from a CSV.

    PEER PORT is the archive, or PEER alone, written ARCHIVE@host:port or the name of its profile. Keys that are not
    unique (an accession number, a date) are looked up first. An interrupt sends C-CANCEL and prints what is known.

    \b
    One study into ./downloads:
      dicomover move -od downloads -k AccessionNumber=00123 ARCHIVE@pacs:104
    A batch to a workstation:
      dicomover move -aem WS7 --csv cohort.csv --summary done.csv ARCHIVE@pacs:104
    """  # noqa: D301 - click wants the backspace itself
    from dicomover.cli.actions import run_move

    return run_move(interrupts, Arguments(**given))


@cli.command(epilog="Exit codes: 0 everything would move, 1 some would not, 2 nothing would or the input was wrong.")
@with_options(PEER, KEYS, BATCH, [SHARD], LOCKED, MODEL, LIMITS)
@click.option(
    "--output",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Write the plan to a .csv, .json or .parquet file; the .csv can be edited and moved with move --csv.",
)
@with_options([SHARE], JSON, ASSOCIATION, TALK)
def plan(**given: Any) -> int:
    """Look up what a move would move; nothing moves.

    \b
    Example:
      dicomover plan --csv cohort.csv ARCHIVE@pacs:104
    """  # noqa: D301 - click wants the backspace itself
    from dicomover.cli.actions import run_plan

    return run_plan(Arguments(**given))


@cli.command(
    short_help="Write down exactly what requests come to.",
    epilog="Exit codes: 0 everything was found, 1 some was not, 2 nothing was, or the lockfile says otherwise.",
)
@with_options(PEER, KEYS, BATCH, MODEL, LIMITS)
@click.option(
    "-o",
    "--output",
    type=_FILE,
    default="cohort.lock.json",
    metavar="FILE",
    help="The lockfile. If it is there and says the same, it stays as it is.",
)
@click.option("--overwrite", is_flag=True, help="Replace a lockfile that says otherwise.")
@with_options([SECRET, SHARE], JSON, ASSOCIATION, TALK)
def lock(**given: Any) -> int:
    """Write down exactly what requests come to: a lockfile with studies, series and instances; nothing moves.

    Later, verify says what has changed since, and move --lock moves exactly what was locked.

    \b
    Example:
      dicomover lock --csv cohort.csv -o cohort.lock.json ARCHIVE@pacs:104
    """  # noqa: D301 - click wants the backspace itself
    from dicomover.cli.lockfiles import run_lock

    return run_lock(Arguments(**given))


@cli.command(
    short_help="Say what has changed since a cohort was locked.",
    epilog="Exit codes: 0 nothing has changed, 1 something has, 2 that could not be told.",
)
@click.argument("lockfile", type=_FILE)
@with_options(PEER_IF_ANY)
@click.option(
    "--folder",
    type=click.Path(path_type=Path, file_okay=False),
    default=None,
    metavar="DIR",
    help="Compare with the files there; the archive is asked too only if PEER names it.",
)
@click.option("--seal", is_flag=True, help="Record the SHA-256 of the files in the lockfile, to compare them later.")
@click.option(
    "--locked-only",
    is_flag=True,
    help="Do not look the requests up again, only what they came to; that needs no secret.",
)
@click.option(
    "--output",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Write every change to a .csv, .json or .parquet file.",
)
@with_options([SECRET, SHARE], JSON, ASSOCIATION, TALK)
def verify(**given: Any) -> int:
    """Say what has changed since a cohort was locked: in the archive, or in a folder.

    PEER PORT is the archive, as for the other commands. It may be left out where the lockfile is read with its secret:
    then it is the one that the cohort was locked at.

    \b
    Has the archive changed?
      dicomover verify cohort.lock.json ARCHIVE@pacs:104
    Is everything here, and as it came?
      dicomover verify cohort.lock.json --folder downloads
    """  # noqa: D301 - click wants the backspace itself
    from dicomover.cli.lockfiles import run_verify

    return run_verify(Arguments(**given))


@cli.command(epilog="Exit codes: 0 something was found, 1 nothing matches, 2 an error.")
@with_options(PEER, KEYS, MODEL)
@click.option(
    "--limit",
    type=Whole(1),
    default=None,
    metavar="N",
    cls=Worded,
    show_default="none",
    help="At most so many answers.",
)
@click.option(
    "--split",
    type=Parsed(read_split),
    default="auto",
    metavar="WHEN",
    show_default=True,
    help="Ask in parts by StudyDate and StudyTime: 'auto' where the archive seems to cap its answers, 'none' never, or "
    "a number that is the most it answers.",
)
@OUTPUT
@with_options([SHARE], JSON, ASSOCIATION, TALK)
def find(**given: Any) -> int:
    """Ask what the archive has (C-FIND).

    Values may have the wildcards * and ?, or be a range of dates. A keyword alone, or with nothing after the =,
    asks for an attribute without matching it. For series or images the studies that the keys stand for are looked
    up first.

    \b
    Example:
      dicomover find -k PatientID=4711 -k StudyDate=20240101- ARCHIVE@pacs:104
    """  # noqa: D301 - click wants the backspace itself
    from dicomover.cli.actions import run_find

    return run_find(Arguments(**given))


@cli.command(epilog="Exit codes: 0 it answers, 2 it does not.")
@with_options(PEER, ASSOCIATION, TALK)
def echo(**given: Any) -> int:
    """Verify that the archive answers (C-ECHO).

    \b
    Example:
      dicomover echo ARCHIVE@pacs:104
    """  # noqa: D301 - click wants the backspace itself
    from dicomover.cli.actions import run_echo

    return run_echo(Arguments(**given))


@cli.command(
    short_help="Find out why nothing arrives.",
    epilog="Exit codes: 0 no check failed, 1 some did, 2 the archive cannot be reached or the input was wrong.",
)
@with_options(PEER, EXAMINED, [VIA])
@click.option(
    "--learn",
    is_flag=True,
    help="Find out instead what the archive does otherwise than most, and write it into the profile that PEER names.",
)
@with_options(JSON, ASSOCIATION, TALK)
def doctor(learn: bool, **given: Any) -> int:
    """Find out why nothing arrives: examine the way to the archive, and from there to who receives.

    Asks the archive for a C-ECHO, a C-FIND and C-MOVEs of a study that cannot exist; nothing moves, unless
    --one-image asks for one. Name who receives as for a move: -aem, or -od and --port.

    \b
    Can the archive send to us?
      dicomover doctor -od downloads --port 11112 ARCHIVE@pacs:104
    And to a workstation?
      dicomover doctor -aem WS7@ws7:104 ARCHIVE@pacs:104
    Can it send on our own association instead?
      dicomover doctor --via get ARCHIVE@pacs:104
    What are its quirks?
      dicomover doctor --learn main
    """  # noqa: D301 - click wants the backspace itself
    if learn:
        from dicomover.cli.nodes import run_learn

        return run_learn(Arguments(**given), click.get_current_context().meta.get(PROFILE))
    from dicomover.cli.actions import run_doctor

    return run_doctor(Arguments(**given))
