"""The remote peer and how long we wait for it. No I/O."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass, field, fields
from typing import Literal, get_args

from dicomover.errors import ConfigurationError
from dicomover.security.identity import Identity
from dicomover.security.tls import TLSLike, check_tls
from dicomover.text.face import setting

__all__ = [
    "Node",
    "NodeLike",
    "Quirks",
    "Roles",
    "Timeouts",
    "check_ae_title",
    "check_port",
    "name_node",
    "strip_brackets",
]

Roles = Literal["scp", "both"]

_AE_TITLE = re.compile(r"[\x20-\x5b\x5d-\x7e]{1,16}")  # the default repertoire without backslash and control characters


def check_ae_title(value: str, name: str = "AE title") -> str:
    r"""Return the AE title without its padding, or say what is wrong with it.

    PS3.5 Table 6.2-1: at most 16 characters of the default repertoire, no backslash, no control characters,
    not only spaces.

    Examples
    --------
    >>> check_ae_title("ARCHIVE ")
    'ARCHIVE'
    """
    if not isinstance(value, str):
        raise ConfigurationError(f"{name} {value!r} is not a text", "give it in quotes")
    stripped = value.strip(" ")
    if not stripped:
        raise ConfigurationError(f"{name} {value!r} is empty", "give the 1 to 16 characters that the archive knows")
    if len(stripped) > 16:
        raise ConfigurationError(
            f"{name} {value!r} has {len(stripped)} characters", "DICOM allows 16, so it cannot be the peer's real one"
        )
    if not _AE_TITLE.fullmatch(stripped):
        raise ConfigurationError(
            f"{name} {value!r} has a character that DICOM does not allow", "use printable ASCII without a backslash"
        )
    return stripped


def check_port(value: int, name: str = "port", lowest: int = 1) -> int:
    """Return the TCP port, or say what is wrong with it."""
    if isinstance(value, bool) or not isinstance(value, int) or not lowest <= value <= 65535:
        raise ConfigurationError(f"{name} {value!r} is not a TCP port", f"give a whole number from {lowest} to 65535")
    return value


@dataclass(frozen=True, slots=True)
class Timeouts:
    """How many seconds to wait; None is no limit.

    Attributes
    ----------
    connect
        For the TCP connection.
    acse
        For the answer to an A-ASSOCIATE or A-RELEASE request.
    dimse
        For each DIMSE response. None by default: an archive on tape is silent for minutes.
    stall
        Without a response and without an arrival, after which a request is given up as `lost`.
    progress
        Without a counter that has moved and without an arrival, even if the archive goes on answering. It needs an
        archive that counts, or us as the receiver.
    total
        For one C-MOVE or C-FIND from its beginning to its end. None by default: nobody knows how large a study is.

    Examples
    --------
    >>> Timeouts(stall=120)
    Timeouts(connect=60, acse=60, dimse=None, stall=120, progress=7200, total=None)
    """

    connect: float | None = 60
    acse: float | None = 60
    dimse: float | None = None
    stall: float | None = 900
    progress: float | None = 7200
    total: float | None = None

    def __post_init__(self) -> None:
        for name in (each.name for each in fields(self)):
            value = getattr(self, name)
            if value is None:
                continue
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < float("inf"):
                raise ConfigurationError(
                    f"timeout {name}={value!r} is not a number of seconds above 0", "None means no limit"
                )


def strip_brackets(host: str) -> str:
    """Return an address without the brackets in which IPv6 is written beside a port.

    Examples
    --------
    >>> strip_brackets("[::1]"), strip_brackets("pacs.example.org")
    ('::1', 'pacs.example.org')
    """
    return host[1:-1] if re.fullmatch(r"\[[0-9A-Fa-f:.%\w]*:[0-9A-Fa-f:.%\w]*\]", host) else host


@dataclass(frozen=True, slots=True, kw_only=True)
class Quirks:
    """What an archive does otherwise than most; `dicomover doctor --learn` finds it out.

    Attributes
    ----------
    lists
        Whether it takes lists of UIDs. None tries it; False asks for one after the other from the beginning.
    patient_id
        It needs the PatientID: Patient Root is used where it is offered, and the PatientID is looked up first.
    find_cap
        The most answers that it gives to one C-FIND; None if it gives all, or nobody knows.
    cancels
        Whether it obeys a C-CANCEL. False hangs up soon after one was sent, where else its answer is waited for.
    roles
        What we offer to be in a C-GET: the `scp` of the images alone, as the Standard has it, or `both`.

    Raises
    ------
    ConfigurationError
        If one of them cannot be meant.

    Examples
    --------
    >>> Quirks(lists=False, find_cap=500)
    Quirks(lists=False, find_cap=500)
    """

    lists: bool | None = None
    patient_id: bool = False
    find_cap: int | None = None
    cancels: bool | None = None
    roles: Roles = "scp"

    def __post_init__(self) -> None:
        for name in ("lists", "patient_id", "cancels"):
            value, may_be_unknown = getattr(self, name), name in ("lists", "cancels")
            if not isinstance(value, bool) and not (may_be_unknown and value is None):
                choice = "True, False or None, if nobody knows" if may_be_unknown else "True or False"
                raise ConfigurationError(f"quirk {name}={value!r} is neither True nor False", f"say {choice}")
        cap = self.find_cap
        if cap is not None and (isinstance(cap, bool) or not isinstance(cap, int) or cap < 1):
            raise ConfigurationError(f"quirk find_cap={cap!r} is not a whole number above 0", "give one")
        if self.roles not in get_args(Roles):
            raise ConfigurationError(f"quirk roles={self.roles!r} is neither 'scp' nor 'both'", "choose one")

    def __repr__(self) -> str:
        told = {each.name: getattr(self, each.name) for each in fields(self)}
        said = [f"{each.name}={told[each.name]!r}" for each in fields(self) if told[each.name] != each.default]
        return f"Quirks({', '.join(said)})"


@dataclass(frozen=True, slots=True)
class Node:
    """A remote peer: where it listens and what it calls itself.

    Parameters
    ----------
    host
        A name or an address.
    port
        Its TCP port.
    ae_title
        The AE title that it expects to be called by, at most 16 characters.
    tls
        A `TLS`, or an `ssl.SSLContext`, for a peer that speaks TLS.
    name
        What you call it, whatever its address: a journal knows it by that, also after it has moved. Without one it is
        known by host, port and AE title together, since many archives have one AE title.
    quirks
        What it does otherwise than most archives, where that is known.
    identity
        The `Identity` of the user on whose behalf it is asked; by TLS only, unless the identity says otherwise.

    Raises
    ------
    ConfigurationError
        If one of them cannot be meant.

    Examples
    --------
    >>> Node("pacs.example.org", 104, ae_title="ARCHIVE")
    Node('pacs.example.org', 104, ae_title='ARCHIVE')
    >>> Node.parse("ARCHIVE@pacs.example.org:104").ae_title
    'ARCHIVE'
    """

    host: str
    port: int
    ae_title: str = field(default="ANY-SCP", kw_only=True)
    tls: TLSLike | None = field(default=None, kw_only=True, repr=False, compare=False)
    name: str = field(default="", kw_only=True)
    quirks: Quirks = field(default=Quirks(), kw_only=True)
    identity: Identity | None = field(default=None, kw_only=True, repr=False, compare=False)

    def __post_init__(self) -> None:
        host = strip_brackets(self.host.strip()) if isinstance(self.host, str) else ""
        if host.startswith("[") and host.endswith("]"):  # as an address of IPv6 is written before a port
            host = host[1:-1]
        if not host or len(host) > 255 or not host.isprintable() or re.search(r"[\s/@]", host):
            raise ConfigurationError(f"host {self.host!r} is not a name or an address", "give, say, 'pacs.example.org'")
        object.__setattr__(self, "host", host)
        object.__setattr__(self, "port", check_port(self.port))
        object.__setattr__(self, "ae_title", check_ae_title(self.ae_title, "called AE title"))
        if not isinstance(self.name, str) or not (self.name.isprintable() and self.name == self.name.strip()):
            raise ConfigurationError(f"name {self.name!r} is no name for a node", "give a word or two, such as 'main'")
        if not isinstance(self.quirks, Quirks):
            raise ConfigurationError(f"quirks={self.quirks!r} is no Quirks", "write, say, Quirks(lists=False)")
        check_tls(self.tls)
        if self.identity is not None and not isinstance(self.identity, Identity):
            raise ConfigurationError("identity= is no Identity", "write Identity.password('alice', Secret.env('NAME'))")
        if self.identity is not None and self.tls is None and not self.identity.in_plain:
            raise ConfigurationError(
                f"{self.identity} would be named to {self.host} where everybody in between can read it",
                f"speak to it by TLS, {setting('tls')}, or say {setting('in_plain', True)} if that may be",
            )

    def __repr__(self) -> str:
        name = f", name={self.name!r}" if self.name else ""
        quirks = f", quirks={self.quirks!r}" if self.quirks != Quirks() else ""
        return f"Node({self.host!r}, {self.port}, ae_title={self.ae_title!r}{name}{quirks})"

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.ae_title}@{host}:{self.port}"

    @classmethod
    def parse(cls, text: NodeLike) -> Node:
        """Read `AETITLE@host:port` (the AE title may be left out); a Node is returned as it is."""
        if isinstance(text, Node):
            return text
        if not isinstance(text, str):
            raise ConfigurationError(f"node {text!r} is neither a Node nor a text like 'ARCHIVE@pacs.example.org:104'")
        match = re.fullmatch(
            r"(?:(?P<ae>[^@]*)@)?(?:\[(?P<v6>[^\]]+)\]|(?P<host>[^:@]+)):(?P<port>\d{1,9})", text.strip()
        )
        if match is None:
            raise ConfigurationError(f"node {text!r} cannot be read", "write 'ARCHIVE@pacs.example.org:104'")
        host, port = match["v6"] or match["host"], int(match["port"])
        return cls(host, port) if match["ae"] is None else cls(host, port, ae_title=match["ae"])

    @property
    def known_as(self) -> tuple[str, ...]:
        """Who it is for a journal, by its name, or else by AE title, host and port.

        Examples
        --------
        >>> Node("PACS.example.org", 104).known_as, Node("10.0.0.1", 104, name="main").known_as
        (('ANY-SCP', 'pacs.example.org', '104'), ('main',))
        """
        return (self.name,) if self.name else (self.ae_title, self.host.casefold(), str(self.port))

    @property
    def is_loopback(self) -> bool:
        """True if the peer is on this machine by its address or as `localhost`."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host.lower() == "localhost"


NodeLike = Node | str


def name_node(node: NodeLike | None) -> object:
    """Return who a node is for a journal; a text, which is an AE title, is that itself."""
    return node.known_as if isinstance(node, Node) else node
