"""The options, each once: names, defaults and words."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, get_args

import click
from click.core import ParameterSource

from dicomover.cli.secured import CERTIFICATES, PEERS, RECEIVED, SECURED
from dicomover.cli.types import Parsed, Whole, Worded, read_destination, read_level, read_seconds
from dicomover.disk import Share
from dicomover.node import check_ae_title

__all__ = [
    "ACCEPT",
    "ASSOCIATION",
    "BIND",
    "CALL",
    "EXAMINED",
    "FILING",
    "HELP_NAMES",
    "JSON",
    "KEYS",
    "LISTENING",
    "MODEL",
    "OUTPUT",
    "PEER",
    "PEER_IF_ANY",
    "PROGRESS",
    "SENDERS",
    "SHARE",
    "TALK",
    "VERSION",
    "WORKERS",
    "with_options",
]

F = TypeVar("F", bound=Callable[..., Any])
Decorator = Callable[[Any], Any]

DEFAULT_AEC = "ANY-SCP"
HELP_NAMES = ["-h", "--help"]


def _unless_default(context: click.Context, param: click.Parameter, value: str) -> str | None:
    """Return None for a value that nobody has typed."""
    source = context.get_parameter_source(param.name or "")
    return None if source is ParameterSource.DEFAULT else value


VERSION = [click.version_option(package_name="dicomover", prog_name="dicomover", message="%(prog)s %(version)s")]

OUR_TITLE = click.option(
    "-aet", "--aetitle", type=Parsed(check_ae_title), default="MOVESCU", metavar="AET", help="What we call ourselves."
)

TALK = [
    *VERSION,
    click.option("-v", "--verbose", is_flag=True, help="Say what happens to associations, with the elapsed time."),
    click.option(
        "-d", "--debug", is_flag=True, help="Log every DIMSE message, and what was negotiated; without identifiers."
    ),
    click.option(
        "--show-keys",
        is_flag=True,
        help="Show what identifies patients: keys in the progress, tables and reports, answers in the log of -d.",
    ),
    click.option("-q", "--quiet", is_flag=True, help="Errors only: no progress, no summary."),
]

_PORT = click.argument("port", required=False, type=click.INT)

PEER = [click.argument("peer"), _PORT]

PEER_IF_ANY = [click.argument("peer", required=False), _PORT]

CALL = click.option(
    "-aec",
    "--call",
    type=Parsed(check_ae_title),
    default=DEFAULT_AEC,
    callback=_unless_default,
    metavar="AET",
    help="What the archive is called; not with a PEER that names it, such as ARCHIVE@host:104.",
)

ASSOCIATION = [
    OUR_TITLE,
    CALL,
    click.option(
        "-to",
        "--timeout",
        type=Parsed(read_seconds),
        default=60,
        metavar="S",
        help="Seconds for the TCP connection; 0 = no limit.",
    ),
    click.option(
        "-ta",
        "--acse-timeout",
        type=Parsed(read_seconds),
        default=60,
        metavar="S",
        help="Seconds for the answer to an association request; 0 = no limit.",
    ),
    click.option(
        "-td",
        "--dimse-timeout",
        type=Parsed(read_seconds),
        default=0,
        metavar="S",
        help="Seconds for each DIMSE response; 0 = no limit, since an archive on tape is silent for minutes.",
    ),
    click.option(
        "--stall-timeout",
        type=Parsed(read_seconds),
        default=900,
        metavar="S",
        help="Seconds without a response and without an arrival, after which a request is lost; 0 = no limit.",
    ),
    click.option(
        "--progress-timeout",
        type=Parsed(read_seconds),
        default=7200,
        metavar="S",
        help="The same where the archive goes on answering, but nothing moves; 0 = no limit.",
    ),
    click.option(
        "--total-timeout",
        type=Parsed(read_seconds),
        default=0,
        metavar="S",
        help="Seconds for one C-MOVE or C-FIND from its beginning to its end; 0 = no limit.",
    ),
    *SECURED,
]

MODEL = [
    click.option(
        "-P",
        "--patient-root",
        is_flag=True,
        help="Ask in the Patient Root model. Without -P and -S it is taken when PatientID is among the keys or the "
        "level is PATIENT, and Study Root otherwise: many archives answer a Patient Root request without PatientID "
        "with 'success' and move nothing.",
    ),
    click.option("-S", "--study-root", is_flag=True, help="Ask in the Study Root model; see -P."),
    click.option(
        "-L",
        "--level",
        type=Parsed(read_level),
        default=None,
        metavar="LEVEL",
        cls=Worded,
        show_default="STUDY, or that of the deepest UID among the keys",
        help="Query/Retrieve Level in any case: PATIENT, STUDY, SERIES, IMAGE; INSTANCE is IMAGE.",
    ),
]

KEYS = [
    click.option(
        "-k",
        "--key",
        multiple=True,
        metavar="KEY",
        help="A query key: Keyword=value, gggg,eeee=value or (gggg,eeee)=value, gggg,eeee:VR=value for a private one, "
        "Sequence.Keyword=value; repeat it for more. "
        "All keys together make one request.",
    ),
    click.option(
        "-f",
        "--query-file",
        type=click.Path(path_type=Path),
        metavar="FILE",
        help="Keys from a text file, one a line; # begins a comment line. A -k wins over it.",
    ),
]

WORKERS = click.option(
    "--workers",
    type=Whole(1),
    default=1,
    metavar="N",
    help="Receive with so many processes on the one port, for an archive that opens several associations at once.",
)

SHARE = click.option(
    "--share",
    type=click.Choice(get_args(Share)),
    default="owner",
    help="Who may read what is written: you alone, your group (which may write too), or all.",
)

OUTPUT = click.option(
    "--output",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Write all columns to a .csv, .json or .parquet file.",
)

BIND = click.option(
    "--bind",
    default=None,
    metavar="ADDR",
    cls=Worded,
    show_default="every one",
    help="The address to listen on; 127.0.0.1 lets in this machine only.",
)

ACCEPT = click.option(
    "--accept",
    multiple=True,
    metavar="SYNTAX",
    cls=Worded,
    show_default="as-stored",
    help="In which transfer syntax: as-stored, uncompressed, or UIDs or keywords; repeat it for more, the best first.",
)

SENDERS = [
    click.option(
        "--calling-aet",
        type=Parsed(check_ae_title),
        multiple=True,
        metavar="AET",
        cls=Worded,
        show_default="anybody",
        help="Who may send; repeat it for more.",
    ),
    click.option(
        "--address",
        "addresses",
        multiple=True,
        metavar="NET",
        cls=Worded,
        show_default="any",
        help="Whence they may connect: an address or a network, such as 10.1.2.0/24; repeat it for more.",
    ),
]

EXAMINED = [
    click.option(
        "-aem",
        "--move-dest",
        type=Parsed(read_destination),
        default=None,
        metavar="AET",
        help="Who should receive; written AET@host:port it is examined too.",
    ),
    click.option(
        "-od",
        "--output-dir",
        type=click.Path(path_type=Path, file_okay=False),
        default=None,
        metavar="DIR",
        help="We should receive, into this folder; it is made if need be.",
    ),
    click.option(
        "--port",
        "listen",
        type=Whole(0, 65535),
        default=None,
        metavar="N",
        cls=Worded,
        show_default="auto: 11112, or a free one if that is taken",
        help="We should receive, on this port.",
    ),
    BIND,
    *SENDERS,
    *RECEIVED,
    click.option(
        "--one-image",
        is_flag=True,
        help="Move one real image too: only that shows whether the archive reaches the port of a destination it knows.",
    ),
]

LISTENING = [
    click.option(
        "--port",
        "listen",
        type=Whole(0, 65535),
        required=True,
        metavar="N",
        help="The port to listen on; 0 = any free port, which is told.",
    ),
    OUR_TITLE,
    *SENDERS,
    *CERTIFICATES,
    *PEERS,
    BIND,
    ACCEPT,
    click.option(
        "--max-associations",
        type=Whole(1),
        default=32,
        metavar="N",
        help="How many associations at a time; further ones are rejected for now.",
    ),
    WORKERS,
    SHARE,
]

FILING = [
    click.option(
        "-od",
        "--output-dir",
        type=click.Path(path_type=Path, file_okay=False),
        required=True,
        metavar="DIR",
        help="Where the files go; it is made if need be.",
    ),
    click.option(
        "--layout",
        default=None,
        metavar="TEXT",
        cls=Worded,
        show_default="as move files: by patient, study and series",
        help="Folders and file name below it, with keywords in braces, such as {Modality}/{SOPInstanceUID}.dcm.",
    ),
    click.option(
        "--existing",
        type=click.Choice(["keep", "replace", "error"]),
        default="keep",
        help="What happens if other bytes lie under an instance's UID already: 'keep' both, 'replace' the old, or "
        "'error': refuse the new. The same bytes are a success in any case.",
    ),
    click.option("--checksums", is_flag=True, help="Take the SHA-256 of each data set; --json shows it."),
    click.option(
        "--json",
        "as_records",
        is_flag=True,
        help="Print a JSON object for each instance on the standard output, a line each, as they arrive.",
    ),
]

PROGRESS = [
    click.option(
        "--progress/--no-progress",
        "-p",
        default=True,
        help="Show progress on the standard error: a bar in a terminal, else a line every half minute.",
    ),
    click.option(
        "--ignore-pending",
        is_flag=True,
        help="Show no progress from pending responses, only from the final one; the verdict stays the same.",
    ),
]

JSON = [
    click.option(
        "--json",
        "as_records",
        is_flag=True,
        help="Print records on the standard output, a JSON array with one object a row; all else goes to stderr.",
    ),
]


def with_options(*groups: list[Decorator]) -> Callable[[F], F]:
    """Give a command these options, in this order."""

    def decorate(function: F) -> F:
        for option in reversed([option for group in groups for option in group]):
            function = option(function)
        return function

    return decorate
