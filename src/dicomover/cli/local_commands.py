"""The commands that ask no archive; as with the others, what they do is imported when they run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from dicomover.cli.arguments import Arguments
from dicomover.cli.group import cli
from dicomover.cli.options import BIND, FILING, JSON, LISTENING, OUTPUT, SHARE, TALK, VERSION, with_options

__all__ = ["demo", "index", "receive"]


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
