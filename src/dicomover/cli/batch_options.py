"""The options of a batch, each once: what to ask for, who receives, what is verified, and how fast."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import click

from dicomover.cli.options import ACCEPT, BIND, SENDERS, WORKERS
from dicomover.cli.secured import RECEIVED
from dicomover.cli.types import Parsed, Part, Whole, Worded, read_destination, read_shard
from dicomover.outcome import Verify
from dicomover.policy.retry import Retry
from dicomover.policy.window import Window

__all__ = ["BATCH", "LIMITS", "LOCKED", "PACE", "RECEIVING", "RECHECK", "SECRET", "SHARD", "VERIFY", "VIA"]

BATCH = [
    click.option(
        "--csv",
        "csv_file",
        type=click.Path(path_type=Path),
        metavar="FILE",
        help="A batch instead of keys, a CSV or an Excel workbook: one request a line. The first line names the "
        "columns; AccessionNumber, "
        "PatientID, the UIDs, and names such as key:StudyDate are keys, other columns ride along into the summary.",
    ),
    click.option(
        "--wildcards",
        is_flag=True,
        help="Take * and ? in the keys of a batch for wildcards, as in -k; without it such a cell is a bad row.",
    ),
    click.option(
        "--invalid",
        type=click.Choice(["raise", "record"]),
        default="raise",
        help="What bad rows of a batch do: 'raise' names them all and does nothing, 'record' goes on with the others.",
    ),
]

SHARD = click.option(
    "--shard",
    type=Parsed(read_shard),
    default=None,
    metavar="I/N",
    cls=Worded,
    show_default="all rows",
    help="Only the rows of part I of N, split by study and counted from 1, for the tasks of an array, as "
    "--shard $SLURM_ARRAY_TASK_ID/8 of eight. dicomover merge joins what --summary writes.",
)

SECRET = click.option(
    "--secret-file",
    type=click.Path(path_type=Path, dir_okay=False),
    default=None,
    metavar="FILE",
    help="A text file with the secret by which a lockfile keeps keyed hashes instead of patients' keys.",
)

LOCKED = [
    click.option(
        "--lock",
        "lockfile",
        type=click.Path(path_type=Path, dir_okay=False),
        default=None,
        metavar="FILE",
        help="A lockfile instead of keys or a batch: exactly what was locked.",
    ),
    SECRET,
]

VERIFY = click.option(
    "--verify",
    type=click.Choice(get_args(Verify)),
    default="counts",
    help="What shows that all has arrived: how many instances C-FIND promised, which ones, what the destination "
    "has of them, or nothing.",
)

RECHECK = click.option(
    "--recheck",
    is_flag=True,
    help="Ask the archive again about what the journal calls complete, and move what has grown since.",
)

LIMITS = [
    click.option(
        "--max-matches",
        type=Whole(0),
        default=100,
        metavar="N",
        help="A request that matches more studies (series, images) moves nothing; 0 = no limit.",
    ),
]

VIA = click.option(
    "--via",
    type=click.Choice(["move", "get", "auto"]),
    default="move",
    help="How images come here: by a C-MOVE to our port, by a C-GET on our own association, which needs no port and no "
    "administrator, or 'auto': by C-GET where C-MOVE is at a dead end.",
)

RECEIVING = [
    VIA,
    click.option(
        "--headers-only",
        is_flag=True,
        help="Receive here, and keep of each image what stands before its pixels; such a file says that it lacks them.",
    ),
    click.option(
        "-aem",
        "--move-dest",
        type=Parsed(read_destination),
        default=None,
        metavar="AET",
        help="Move Destination: who receives. Needed unless we receive here (-od, --port); our own AE title (-aet) "
        "means that we do. "
        "Written AET@host:port it can be asked what has arrived (--verify destination).",
    ),
    click.option(
        "-od",
        "--output-dir",
        type=click.Path(path_type=Path, file_okay=False),
        default=None,
        metavar="DIR",
        cls=Worded,
        show_default="./downloads, when we receive",
        help="Receive here, into this folder.",
    ),
    click.option(
        "--port",
        "listen",
        type=Whole(0, 65535),
        default=None,
        metavar="N",
        cls=Worded,
        show_default="auto: 11112, or a free one if that is taken",
        help="Receive here, on this port; the archive has to know it. 0 = any free port.",
    ),
    BIND,
    *SENDERS,
    *RECEIVED,
    ACCEPT,
    click.option(
        "--associations",
        type=Whole(1),
        default=2,
        metavar="N",
        help="How many associations work side by side on a batch.",
    ),
    WORKERS,
]

PACE = [
    click.option(
        "--journal",
        type=click.Path(path_type=Path, dir_okay=False),
        default=None,
        metavar="FILE",
        cls=Worded,
        show_default="journal.db in the output folder when we receive",
        help="Remember what became of each request, so that the same command again moves only what is missing.",
    ),
    click.option("--no-journal", is_flag=True, help="Remember nothing and move everything."),
    click.option(
        "--retry",
        type=Parsed(Retry.parse),
        default="interactive",
        metavar="WHAT",
        help="Try again what may end otherwise: 'interactive' (three attempts within seconds), 'overnight' (ten within "
        "an hour), a number of attempts, or 'none'.",
    ),
    click.option(
        "--window",
        type=Parsed(Window.parse),
        default=None,
        metavar="WHEN",
        cls=Worded,
        show_default="any time",
        help="When the archive may be asked, such as 'mon-fri 19:00-07:00 Europe/Berlin'.",
    ),
    click.option(
        "--max-per-minute",
        type=Whole(1),
        default=None,
        metavar="N",
        cls=Worded,
        show_default="no limit",
        help="C-MOVEs a minute.",
    ),
    click.option(
        "--utilization",
        type=Part(0, 1, min_open=True),
        default=1.0,
        metavar="SHARE",
        help="The share of the time in which an association may be kept busy, such as 0.5.",
    ),
]
