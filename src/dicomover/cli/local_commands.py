"""The commands that ask no archive; as with the others, what they do is imported when they run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from dicomover.cli.arguments import Arguments
from dicomover.cli.batch_options import BATCH, LOCKED
from dicomover.cli.group import cli
from dicomover.cli.options import (
    BIND,
    CALL,
    FILING,
    JSON,
    KEYS,
    LISTENING,
    OUTPUT,
    PEER_IF_ANY,
    SHARE,
    TALK,
    VERSION,
    with_options,
)
from dicomover.cli.types import Parsed, Worded, read_level

__all__ = ["conformance", "demo", "files", "index", "merge", "nodes", "receive"]

_FILE = click.Path(path_type=Path, dir_okay=False)


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
@OUTPUT
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


@cli.command(
    short_help="List what is here of what was moved.",
    epilog="Exit codes: 0 there are images, 1 there are none, 2 an error.",
)
@with_options(PEER_IF_ANY, KEYS, BATCH[:1], LOCKED)
@click.option(
    "-L",
    "--request-level",
    "level",
    type=Parsed(read_level),
    default=None,
    metavar="LEVEL",
    cls=Worded,
    show_default="STUDY, or that of the deepest UID among the keys",
    help="Query/Retrieve Level of the requests, as for move.",
)
@click.option(
    "-od",
    "--output-dir",
    type=click.Path(path_type=Path, file_okay=False),
    default=None,
    metavar="DIR",
    cls=Worded,
    show_default="./downloads",
    help="The folder that images were moved into.",
)
@click.option(
    "--journal",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    default=None,
    metavar="FILE",
    cls=Worded,
    show_default="journal.db in that folder",
    help="What the move has remembered.",
)
@click.option(
    "--level",
    "row",
    type=click.Choice(["IMAGE", "SERIES"], case_sensitive=False),
    default="IMAGE",
    help="What is a row of --output and --json; the level of the requests is -L.",
)
@click.option("--checksums", is_flag=True, help="Read each file for the SHA-256 of its data set; at level IMAGE.")
@with_options([OUTPUT, SHARE], JSON, [CALL], TALK)
def files(row: str, **given: Any) -> int:
    """List what is here, by the journal and as it lies in the folder now; the archive is not asked.

    Without keys, a batch or a lockfile that is all of the folder, from every archive. Of requests PEER PORT names the
    archive that they were moved from, as for move. Each series is printed with its images, their size, and whether
    they are still as they came; paths are in the file of --output, in the records of --json, and with --show-keys.

    \b
    All that is here:
      dicomover files -od downloads
    What is here of each row of a batch:
      dicomover files --csv cohort.csv --output files.csv ARCHIVE@pacs:104
    """  # noqa: D301 - click wants the backspace itself
    from dicomover.cli.files import run_files

    return run_files(Arguments(**given), "SERIES" if row == "SERIES" else "IMAGE")


@cli.command(
    short_help="Join the summaries of shards.",
    epilog="Exit codes: 0 everything moved, 1 some did not, 2 nothing did or the files are not one whole table.",
)
@click.argument("shards", nargs=-1, required=True, metavar="FILE...", type=_FILE)
@click.option(
    "--summary", type=_FILE, metavar="FILE", help="Write the whole summary to a .csv, .json or .parquet file."
)
@click.option(
    "--report", "page", type=_FILE, metavar="FILE", help="Write a report to an .html file, as move --report does."
)
@click.option("--show-keys", is_flag=True, help="Show what identifies patients in the report.")
@with_options([SHARE], JSON, VERSION)
def merge(**given: Any) -> int:
    """Join the summaries that move --shard --summary has written, one of each shard, and report as for one machine.

    A shard that is missing, rows that are there twice and files of another table are named, and nothing is written.

    \b
    Example:
      dicomover merge shards/*.csv --summary done.csv
    """  # noqa: D301 - click wants the backspace itself
    from dicomover.cli.merging import run_merge

    return run_merge(**given)


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


@cli.command(
    short_help="Name archives, and see whether they answer.",
    epilog="Exit codes: 0 done, 1 none has a name yet, 2 an error, or it does not answer.",
)
@click.argument("action", type=click.Choice(["list", "add", "show", "test"]))
@click.argument("name", required=False)
@click.argument("address", required=False)
@click.option("--project", is_flag=True, help="Add to ./dicomover.toml, and not to your own nodes.toml.")
@with_options(VERSION)
def nodes(**given: Any) -> int:
    """List, add, show or test the archives that have a name; with it they are PEER everywhere.

    They stand in nodes.toml in your configuration folder, and in a project's ./dicomover.toml, with all that is usual
    there. No secret is shown. A test asks for a C-ECHO, a C-FIND of nothing, and says what the archive offers.

    \b
    Example:
      dicomover nodes add main ARCHIVE@pacs:104
      dicomover nodes test main
    """  # noqa: D301 - click wants the backspace itself
    from dicomover.cli.nodes import run_nodes

    return run_nodes(**given)


@cli.command(
    short_help="Print the DICOM conformance statement.", epilog="Exit codes: 0 done, 2 the file cannot be written."
)
@click.option(
    "--output", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE", help="Write it to a file instead."
)
@with_options(VERSION)
def conformance(output: Path | None) -> int:
    """Print the DICOM conformance statement of this version, as Markdown.

    \b
    Example:
      dicomover conformance --output conformance.md
    """  # noqa: D301 - click wants the backspace itself
    from dicomover.cli.conformance import make_statement
    from dicomover.disk import replace_file

    statement = f"# DICOM conformance statement\n\n{make_statement()}\n"
    if output is None:
        click.echo(statement, nl=False)
        return 0
    with replace_file(output) as part:
        part.write_text(statement, encoding="utf-8")
    return 0
