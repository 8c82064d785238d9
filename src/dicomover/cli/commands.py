"""The commands: what they are called and what they say of themselves. What they do is imported when they run."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import click

from dicomover.cli.arguments import Arguments
from dicomover.cli.batch_options import BATCH, LIMITS, PACE, RECEIVING, RECHECK, VERIFY
from dicomover.cli.options import (
    ASSOCIATION,
    BIND,
    EXAMINED,
    FILING,
    HELP_NAMES,
    JSON,
    KEYS,
    LISTENING,
    MODEL,
    PEER,
    PROGRESS,
    SHARE,
    TALK,
    VERSION,
    with_options,
)
from dicomover.cli.types import Parsed, Worded, read_split

__all__ = ["cli"]

_SETTINGS = {"help_option_names": HELP_NAMES, "show_default": True, "max_content_width": 100}
_UNBROKEN = "\N{NON-BREAKING HYPHEN}"
_FILE = click.Path(path_type=Path, dir_okay=False)
_SECRET = click.option(
    "--secret-file",
    type=_FILE,
    default=None,
    metavar="FILE",
    help="A text file with the secret by which a lockfile keeps keyed hashes instead of patients' keys.",
)
_LOCKED = [
    click.option(
        "--lock",
        "lockfile",
        type=_FILE,
        default=None,
        metavar="FILE",
        help="A lockfile instead of keys or a batch: exactly what was locked.",
    ),
    _SECRET,
]
_OUTPUT = click.option(
    "--output",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Write all columns to a .csv, .json or .parquet file.",
)
_EXIT = (
    "Exit codes: 0 everything moved, 1 some did not, 2 nothing did or the input was wrong, 130 interrupted by Ctrl-C, "
    "143 by SIGTERM."
)


class _Formatter(click.HelpFormatter):
    """Breaks lines between words, and nowhere else."""

    def write_text(self, text: str) -> None:
        super().write_text(text.replace("-", _UNBROKEN))

    def write_dl(self, rows: Iterable[tuple[str, str]], col_max: int = 30, col_spacing: int = 2) -> None:
        super().write_dl([(name, text.replace("-", _UNBROKEN)) for name, text in rows], col_max, col_spacing)

    def getvalue(self) -> str:
        return super().getvalue().replace(_UNBROKEN, "-")


class _Context(click.Context):
    formatter_class = _Formatter


class _Command(click.Command):
    context_class = _Context


class _Group(click.Group):
    context_class, command_class = _Context, _Command


@click.group(cls=_Group, context_settings=_SETTINGS)
@with_options(VERSION)
def cli() -> None:
    """Move medical images out of a PACS (DICOM C-MOVE), and say truly what became of each request.

    Try it without a PACS: dicomover demo
    """


@cli.command(epilog=_EXIT)
@with_options(PEER, KEYS, BATCH, _LOCKED, RECEIVING, MODEL, LIMITS, [VERIFY, RECHECK], PACE)
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
@with_options(PROGRESS, ASSOCIATION, TALK)
@click.pass_obj
def move(interrupts: Any, /, **given: Any) -> int:
    """Move images: one request from keys, or a batch from a CSV.

    PEER PORT is the archive, or PEER alone, written ARCHIVE@host:port. Keys that are not unique (an accession
    number, a date) are looked up first. An interrupt sends C-CANCEL and prints what is known.

    \b
    One study into ./downloads:
      dicomover move -od downloads -k AccessionNumber=00123 ARCHIVE@pacs:104
    A batch to a workstation:
      dicomover move -aem WS7 --csv cohort.csv --summary done.csv ARCHIVE@pacs:104
    """  # noqa: D301 - click wants the backspace itself
    from dicomover.cli.actions import run_move

    return run_move(interrupts, Arguments(**given))


@cli.command(epilog="Exit codes: 0 everything would move, 1 some would not, 2 nothing would or the input was wrong.")
@with_options(PEER, KEYS, BATCH, _LOCKED, MODEL, LIMITS)
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
@with_options(PEER, KEYS, BATCH[:2], MODEL, LIMITS)
@click.option(
    "-o",
    "--output",
    type=_FILE,
    default="cohort.lock.json",
    metavar="FILE",
    help="The lockfile. If it is there and says the same, it stays as it is.",
)
@click.option("--overwrite", is_flag=True, help="Replace a lockfile that says otherwise.")
@with_options([_SECRET, SHARE], JSON, ASSOCIATION, TALK)
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
@click.argument("peer", required=False)
@click.argument("port", required=False, type=click.INT)
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
@with_options([_SECRET, SHARE], JSON, ASSOCIATION, TALK)
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
    type=click.IntRange(1),
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
@_OUTPUT
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
@with_options(PEER, EXAMINED, JSON, ASSOCIATION, TALK)
def doctor(**given: Any) -> int:
    """Find out why nothing arrives: examine the way to the archive, and from there to who receives.

    Asks the archive for a C-ECHO, a C-FIND and C-MOVEs of a study that cannot exist; nothing moves, unless
    --one-image asks for one. Name who receives as for a move: -aem, or -od and --port.

    \b
    Can the archive send to us?
      dicomover doctor -od downloads --port 11112 ARCHIVE@pacs:104
    And to a workstation?
      dicomover doctor -aem WS7@ws7:104 ARCHIVE@pacs:104
    """  # noqa: D301 - click wants the backspace itself
    from dicomover.cli.actions import run_doctor

    return run_doctor(Arguments(**given))


@cli.command(
    short_help="Receive what others send, without moving.",
    epilog="Exit codes: 0 it was ended by Ctrl-C or SIGTERM, 2 it cannot listen or write.",
)
@with_options(LISTENING, FILING, TALK)
@click.pass_obj
def receive(interrupts: Any, /, **given: Any) -> int:
    """Receive what others send (a Storage SCP on its own), until Ctrl-C.

    Whoever may reach the port may send: name who is let in by --calling-aet and --address, or listen on one address
    by --bind. Who has sent how much is told on the standard error.

    \b
    Example:
      dicomover receive --port 11112 -od incoming -aet STORE --calling-aet ARCHIVE
    """  # noqa: D301 - click wants the backspace itself
    from dicomover.cli.receive import run_receive

    return run_receive(interrupts, Arguments(**given))


@cli.command(
    short_help="Make a table of the headers of files.",
    epilog="Exit codes: 0 there are images, 1 there are none, 2 an error.",
)
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
@click.option(
    "--level", type=click.Choice(["IMAGE", "SERIES"], case_sensitive=False), default="SERIES", help="What is a row."
)
@click.option(
    "--keep",
    multiple=True,
    metavar="KEY",
    help="One more column: a keyword, a tag or a path. Can be given several times.",
)
@click.option("--cache/--no-cache", default=True, help="Keep the table in the folder, to read only what is new.")
@_OUTPUT
@with_options([SHARE], JSON, VERSION)
def index(folder: Path, **given: Any) -> int:
    """Make a table of the headers of all DICOM files in a folder; pixels are not read.

    Each series is printed with its slices, the spacing between them in mm, and whether they make a regular volume;
    what identifies patients is in the file of --output and in the records of --json.

    \b
    Example:
      dicomover index downloads --level IMAGE --output images.csv
    """  # noqa: D301 - click wants the backspace itself
    from dicomover.cli.headers import run_index

    return run_index(folder, **given)


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
@with_options([BIND], VERSION)
def demo(output_dir: Path, keep: bool, bind: str | None) -> int:
    """Move a small batch out of a demo archive on this machine, and explain the table.

    \b
    Example:
      dicomover demo
    """  # noqa: D301 - click wants the backspace itself
    from dicomover.cli.demo import run
    from dicomover.cli.screen import show_log

    with show_log():
        return run(output_dir, keep=keep, bind=bind)
