"""How a receiver is set up: plain values that another process can be told."""

from __future__ import annotations

import difflib
import os
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from dicomover.disk import Share, check_share
from dicomover.errors import ConfigurationError
from dicomover.node import check_ae_title, check_port, strip_brackets
from dicomover.receiver.addresses import check_network
from dicomover.receiver.layout import DEFAULT_LAYOUT, Existing, Layout
from dicomover.receiver.scp.contexts import parse_accept
from dicomover.security.tls import TLS
from dicomover.text.face import setting

__all__ = ["Limits", "ReceiverSettings"]


@dataclass(frozen=True, slots=True)
class Limits:
    """What the peers may take of this machine; seconds and bytes."""

    opening: float = 10.0  # until a connection has made a complete association request, TLS included
    pdu: float = 60.0  # for one PDU, and between two PDUs of one message
    # for one message; an instance that was asked for may take longer while 4 KiB a second come of it
    message: float = 900.0
    idle: float = 900.0  # between two messages of an association
    closing: float = 2.0  # until the peer closes after a rejection or an abort
    finishing: float = 5.0  # for the instances in flight when the receiver stops
    # that have no association yet; if there are more, one goes, of the address that has most of them
    waiting_connections: int = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceiverSettings:
    """Everything that a receiver must know, checked."""

    folder: str
    ae_title: str
    port: int | None = None
    bind: str | None = None
    listens: bool = True
    layout: str = DEFAULT_LAYOUT
    existing: Existing = "keep"
    accept: str | tuple[str, ...] = "as-stored"
    restrict: bool = True
    calling_ae_titles: tuple[str, ...] = ()
    addresses: tuple[str, ...] = ()
    tls: TLS | None = None
    max_associations: int = 32
    free_space_floor: int = 1 << 28
    checksums: bool = False
    max_pdu: int = 1 << 17
    workers: int = 1
    share: Share = "owner"
    limits: Limits = Limits()
    token: str = ""

    def __post_init__(self) -> None:
        if not self.folder:
            raise ConfigurationError(f"folder {self.folder!r} is empty", "give the folder that shall hold the files")
        object.__setattr__(self, "ae_title", check_ae_title(self.ae_title, "our AE title"))
        if self.port is not None:
            check_port(self.port, lowest=0)
        if self.bind is not None:
            object.__setattr__(self, "bind", strip_brackets(self.bind))
        Layout(self.layout)
        check_share(self.share)
        if self.existing not in ("keep", "replace", "error"):
            near = difflib.get_close_matches(str(self.existing), ("keep", "replace", "error"), 1)
            raise ConfigurationError(f"existing={self.existing!r} is unknown", f"give {near[0] if near else 'keep'!r}")
        parse_accept(self.accept)
        titles = tuple(check_ae_title(title, "calling AE title") for title in self.calling_ae_titles)
        object.__setattr__(self, "calling_ae_titles", titles)
        object.__setattr__(self, "addresses", tuple(map(check_network, self.addresses)))
        lowest_of = {"max_associations": 1, "free_space_floor": 0, "max_pdu": 1 << 12, "workers": 1}
        for name, lowest in lowest_of.items():
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < lowest:
                raise ConfigurationError(f"{setting(name, value)} is no whole number of at least {lowest}")

    @classmethod
    def of(
        cls,
        folder: str | os.PathLike[str],
        calling_ae_titles: Collection[str],
        addresses: Collection[str],
        **others: Any,
    ) -> ReceiverSettings:
        """Take the arguments as a person gives them."""
        for name, given, what in (
            ("calling_ae_titles", calling_ae_titles, "AE titles"),
            ("addresses", addresses, "addresses"),
        ):
            if isinstance(given, str):
                raise ConfigurationError(f"{name}={given!r} is one text", f"give a list of {what}")
        folder = os.path.abspath(folder)  # noqa: PTH100
        return cls(folder=folder, calling_ae_titles=tuple(calling_ae_titles), addresses=tuple(addresses), **others)

    def to_plain(self) -> dict[str, Any]:
        """Return values that JSON can carry, for the pipe to a process of our own and for nothing else."""
        return {**asdict(self), "tls": self.tls and self.tls.to_plain()}

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> ReceiverSettings:
        """Take back what `to_plain` gave."""
        known = {field.name for field in fields(cls)}
        values = {name: value for name, value in plain.items() if name in known}
        tls = plain["tls"] and TLS.from_plain(plain["tls"])
        return cls(**{**values, "limits": Limits(**plain["limits"]), "tls": tls})
