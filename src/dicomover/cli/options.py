"""The options, each once: names, defaults and words; and the values that only some texts can be."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
from click.core import ParameterSource

from dicomover.errors import ConfigurationError
from dicomover.node import Node, Timeouts, check_ae_title

__all__ = [
    "ASSOCIATION",
    "BATCH",
    "EXAMINED",
    "FILING",
    "HELP_NAMES",
    "JSON",
    "KEYS",
    "LIMITS",
    "LISTENING",
    "MODEL",
    "PEER",
    "PROGRESS",
    "RECEIVING",
    "TALK",
    "VERSION",
    "Whole",
    "model_of",
    "node_of",
    "option_table",
    "timeouts_of",
    "with_options",
]

if TYPE_CHECKING:
    _TextType = click.ParamType[str]
    _NumberType = click.ParamType[float]
    _WholeType = click.ParamType[int]
    _DestinationType = click.ParamType[str | Node]
else:  # older versions of click cannot be subscripted
    _TextType = _NumberType = _WholeType = _DestinationType = click.ParamType

F = TypeVar("F", bound=Callable[..., Any])
Decorator = Callable[[Any], Any]

DEFAULT_AEC = "ANY-SCP"
HELP_NAMES = ["-h", "--help"]


class AETitle(_TextType):
    """An AE title, as PS3.5 Table 6.2-1 has it."""

    name = "aetitle"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return it without padding."""
        try:
            return check_ae_title(value)
        except ConfigurationError as error:
            self.fail(str(error), param, ctx)


class Destination(_DestinationType):
    """A Move Destination: an AE title, or `AET@host:port`, where it listens."""

    name = "destination"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str | Node:
        """Return the AE title, or the node if more than that is said."""
        try:
            return Node.parse(value) if "@" in str(value) else check_ae_title(value)
        except ConfigurationError as error:
            self.fail(str(error), param, ctx)


class Whole(_WholeType):
    """A whole number, not below `least` and not above `most`."""

    name = "whole number"

    def __init__(self, least: int, most: int | None = None) -> None:
        self._least, self._most = least, most

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Return it as a number."""
        span = f"from {self._least}" if self._most is None else f"from {self._least} to {self._most}"
        try:
            number = int(value)
        except ValueError:
            self.fail(f"{value!r} is no whole number; give one {span}", param, ctx)
        if number < self._least or (self._most is not None and number > self._most):
            self.fail(f"{value} is out of range; give a whole number {span}", param, ctx)
        return number


class Seconds(_NumberType):
    """A number of seconds; 0 is no limit and becomes None in `timeouts_of`."""

    name = "seconds"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Return it as a number that is not negative."""
        try:
            seconds = float(value)
        except ValueError:
            self.fail(f"{value!r} is no number of seconds; give, say, 60, or 0 for no limit", param, ctx)
        if not 0 <= seconds < float("inf"):
            self.fail(f"{value!r} is negative or no real number; give seconds, or 0 for no limit", param, ctx)
        return seconds


def _unless_default(context: click.Context, param: click.Parameter, value: str) -> str | None:
    """Return None for a value that nobody has typed."""
    source = context.get_parameter_source(param.name or "")
    return None if source is ParameterSource.DEFAULT else value


VERSION = [click.version_option(package_name="dicomover", prog_name="dicomover", message="%(prog)s %(version)s")]

OUR_TITLE = click.option(
    "-aet", "--aetitle", type=AETitle(), default="MOVESCU", metavar="AET", help="What we call ourselves."
)

TALK = [
    *VERSION,
    click.option("-v", "--verbose", is_flag=True, help="Say what happens to associations, with the elapsed time."),
    click.option("-d", "--debug", is_flag=True, help="Log every DIMSE message, without its identifier."),
    click.option("-q", "--quiet", is_flag=True, help="Errors only: no progress, no summary."),
]

PEER = [
    click.argument("peer"),
    click.argument("port", required=False, type=click.INT),
]

ASSOCIATION = [
    OUR_TITLE,
    click.option(
        "-aec",
        "--call",
        type=AETitle(),
        default=DEFAULT_AEC,
        callback=_unless_default,
        metavar="AET",
        help="What the archive is called; not with a PEER that names it, such as ARCHIVE@host:104.",
    ),
    click.option(
        "-to",
        "--timeout",
        type=Seconds(),
        default=60,
        metavar="S",
        help="Seconds for the TCP connection; 0 = no limit.",
    ),
    click.option(
        "-ta",
        "--acse-timeout",
        type=Seconds(),
        default=60,
        metavar="S",
        help="Seconds for the answer to an association request; 0 = no limit.",
    ),
    click.option(
        "-td",
        "--dimse-timeout",
        type=Seconds(),
        default=0,
        metavar="S",
        help="Seconds for each DIMSE response; 0 = no limit, since an archive on tape is silent for minutes.",
    ),
    click.option(
        "--stall-timeout",
        type=Seconds(),
        default=900,
        metavar="S",
        help="Seconds without a response and without an arrival, after which a request is lost; 0 = no limit.",
    ),
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
        type=click.Choice(["PATIENT", "STUDY", "SERIES", "IMAGE", "INSTANCE"], case_sensitive=False),
        default=None,
        metavar="LEVEL",
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
        help="A query key: Keyword=value, gggg,eeee=value or (gggg,eeee)=value; repeat it for more. "
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

BATCH = [
    click.option(
        "--csv",
        "csv_file",
        type=click.Path(path_type=Path),
        metavar="FILE",
        help="A batch instead of keys: one request a line. The first line names the columns; AccessionNumber, "
        "PatientID and the UIDs are keys, other columns ride along into the summary.",
    ),
    click.option(
        "--invalid",
        type=click.Choice(["raise", "record"]),
        default="raise",
        help="What bad rows of a batch do: 'raise' names them all and moves nothing, 'record' moves the others.",
    ),
]

LIMITS = [
    click.option(
        "--max-matches",
        type=Whole(0),
        default=100,
        metavar="N",
        help="A request that matches more studies (series, images) moves nothing; 0 = no limit.",
    ),
]

RECEIVING = [
    click.option(
        "-aem",
        "--move-dest",
        type=AETitle(),
        default=None,
        metavar="AET",
        help="Move Destination: who receives. Needed unless we receive here (-od, --port), when it is -aet.",
    ),
    click.option(
        "-od",
        "--output-dir",
        type=click.Path(path_type=Path, file_okay=False),
        default=None,
        metavar="DIR",
        show_default="./downloads, when we receive",
        help="Receive here, into this folder.",
    ),
    click.option(
        "--port",
        "listen",
        type=Whole(0, 65535),
        default=None,
        metavar="N",
        show_default="auto: 11112, or a free one if that is taken",
        help="Receive here, on this port; the archive has to know it. 0 = any free port.",
    ),
    click.option(
        "--associations",
        type=Whole(1),
        default=2,
        metavar="N",
        help="How many associations work side by side on a batch.",
    ),
]

EXAMINED = [
    click.option(
        "-aem",
        "--move-dest",
        type=Destination(),
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
        show_default="auto: 11112, or a free one if that is taken",
        help="We should receive, on this port.",
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
    click.option(
        "--calling-aet",
        type=AETitle(),
        multiple=True,
        metavar="AET",
        show_default="anybody",
        help="Who may send; repeat it for more.",
    ),
    click.option(
        "--bind",
        default=None,
        metavar="ADDR",
        show_default="every one",
        help="The address to listen on; 127.0.0.1 lets in this machine only.",
    ),
    click.option(
        "--max-associations",
        type=Whole(1),
        default=32,
        metavar="N",
        help="How many associations at a time; further ones are rejected for now.",
    ),
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


def node_of(peer: str, port: int | None, call: str | None) -> Node:
    """Return the archive, from `PEER PORT` with `-aec`, or from a PEER such as `ARCHIVE@host:104`."""
    if port is not None:
        if "@" in peer:
            raise click.UsageError(
                "PEER names the AE title already; write ARCHIVE@host:port, or -aec ARCHIVE host port"
            )
        return Node(peer, port, ae_title=call or DEFAULT_AEC)
    if ":" not in peer:
        raise click.UsageError("PORT is missing; write, say, 'pacs.example.org 104' or 'ARCHIVE@pacs.example.org:104'")
    node = Node.parse(peer)
    if "@" not in peer:
        return Node(node.host, node.port, ae_title=call or DEFAULT_AEC)
    if call is not None and call != node.ae_title:
        raise click.UsageError(f"-aec says {call!r}, PEER says {node.ae_title!r}; leave one out")
    return node


def timeouts_of(timeout: float, acse_timeout: float, dimse_timeout: float, stall_timeout: float) -> Timeouts:
    """Return the time-outs, 0 as no limit."""
    return Timeouts(
        connect=timeout or None, acse=acse_timeout or None, dimse=dimse_timeout or None, stall=stall_timeout or None
    )


def model_of(patient_root: bool, study_root: bool) -> str:
    """Return the model's name for the library."""
    if patient_root and study_root:
        raise click.UsageError("-P and -S cannot both be; choose one model, or leave both out")
    return "patient" if patient_root else "study" if study_root else "auto"


def option_table(command: click.Command) -> str:
    """Return the options of a command as a Markdown table, for the README.

    Examples
    --------
    >>> @click.command()
    ... @click.option("-n", "--number", default=2, metavar="N", help="How many.")
    ... def sample(number): ...
    >>> print(option_table(sample))
    | option | default | meaning |
    | --- | --- | --- |
    | `-n`, `--number N` | 2 | How many. |
    | `-h`, `--help` |  | Show this message and exit. |
    """
    lines = ["| option | default | meaning |", "| --- | --- | --- |"]
    with click.Context(command, info_name=command.name, help_option_names=HELP_NAMES) as context:
        shown = [item for item in command.get_params(context) if isinstance(item, click.Option) and not item.hidden]
        lines += [f"| {_names(item)} | {_default(item)} | {_escaped(item.help or '')} |" for item in shown]
    return "\n".join(lines)


def _names(option: click.Option) -> str:
    value = "" if option.is_flag or option.count else f" {option.metavar or option.type.name.upper()}"
    if isinstance(option.type, click.Choice) and not option.metavar:
        value = f" {_escaped('|'.join(map(str, option.type.choices)))}"
    names = [*sorted(option.opts, key=lambda name: name.startswith("--")), *option.secondary_opts]
    return ", ".join(f"`{name}{value if name == names[-1] else ''}`" for name in names)


def _default(option: click.Option) -> str:
    if isinstance(option.show_default, str):
        return _escaped(option.show_default)
    if option.is_flag:
        return f"`{max(option.opts, key=len)}`" if option.secondary_opts and option.default is True else ""
    return "" if option.multiple or not isinstance(option.default, str | int | float) else f"{option.default}"


def _escaped(text: str) -> str:
    return text.replace("|", "\\|")
