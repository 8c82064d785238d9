"""A place, and whether a batch can have the places that it is given."""

from __future__ import annotations

import ssl
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dicomover.errors import ConfigurationError
from dicomover.node import check_ae_title, check_port

__all__ = ["Place", "check_cluster"]


@dataclass(frozen=True, slots=True)
class Place:
    """Where an archive sends images: what it has to know of a receiver on a cluster, which one worker has at a time.

    Parameters
    ----------
    ae_title
        The Move Destination, as the archive knows it.
    port
        The port to which the archive sends for it.
    host
        The machine at which the archive looks for it: only a worker that runs there takes the place. None is any
        worker, for a cluster on one machine, or an address that leads to whoever listens.

    Raises
    ------
    ConfigurationError
        If one of them cannot be meant.

    Examples
    --------
    >>> print(Place("MOVER1", 11112, "node07"))
    MOVER1@node07:11112
    """

    ae_title: str
    port: int
    host: str | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "ae_title", check_ae_title(self.ae_title, "AE title of a place"))
        check_port(self.port)
        if self.host is not None and (not isinstance(self.host, str) or not self.host.strip()):
            raise ConfigurationError(
                f"host={self.host!r} of a place is no name of a machine", "give it, or leave it out"
            )

    def __str__(self) -> str:
        return f"{self.ae_title}@{self.host or '*'}:{self.port}"


def check_cluster(
    options: Mapping[str, Any],  # `on` and `places` of them may be said, and `via`
    receiving: Mapping[str, Any],  # what is said of how the Mover receives
    *,
    receives: bool,  # whether it does
) -> tuple[Any, tuple[Place, ...]] | None:
    """Return the Dask client and the places; None if no cluster is meant. Raises ConfigurationError; no I/O."""
    client, places = options.get("on"), options.get("places")
    if client is None and places is None:
        return None
    if client is None or places is None:
        given, absent = ("on", "places") if places is None else ("places", "on")
        example = "places=[Place('MOVER1', 11112)]" if places is None else "on=Client(...)"
        raise ConfigurationError(f"{given}= without {absent}= says half of a cluster", f"say {example} too")
    places = _check_places(places)
    if not receives:
        raise ConfigurationError(
            "places receive into a folder, and this Mover has none",
            "give it receive=, a folder that all workers see; a third party that receives needs no cluster",
        )
    if options.get("via", "move") != "move":
        raise ConfigurationError(
            f"via={options['via']!r} brings images on our own association, to no place of a cluster",
            "leave out on= and places=, or split the batch: shard=(1, 4) on the first of four machines",
        )
    if isinstance(receiving.get("tls"), ssl.SSLContext):
        raise ConfigurationError("an SSLContext cannot be sent to a worker", "give a TLS(...) with files that it has")
    if "bind" in receiving:
        raise ConfigurationError(
            f"bind={receiving['bind']!r} is an address of this machine, and places are on others",
            "leave it out: a place listens on every address of its worker; addresses= says who may send",
        )
    return _check_client(client), places


def _check_places(places: object) -> tuple[Place, ...]:
    if isinstance(places, Place | str) or not isinstance(places, Sequence) or not places:
        raise ConfigurationError(f"places={places!r} is no list of places", "write places=[Place('MOVER1', 11112)]")
    for each in places:
        if not isinstance(each, Place):
            raise ConfigurationError(f"{each!r} is no Place", "write Place('MOVER1', 11112)")
    for what, found in (
        ("the AE title", Counter(each.ae_title for each in places)),
        ("host and port", Counter((each.host, each.port) for each in places)),
    ):
        if twice := [value for value, count in found.items() if count > 1]:
            raise ConfigurationError(f"two places have {what} {twice[0]!r}", "a place is leased to one worker only")
    return tuple(places)


def _check_client(client: object) -> object:
    try:
        from distributed import Client
    except ImportError as error:
        raise ConfigurationError(f"on= needs Dask ({error})", "pip install 'dicomover[dask]'") from None
    if not isinstance(client, Client):
        raise ConfigurationError(f"on={client!r} is no distributed.Client", "write on=Client('scheduler:8786')")
    if client.asynchronous:
        raise ConfigurationError("on= is an asynchronous Client", "make one without asynchronous=True")
    if client.status not in ("running", "connecting"):
        raise ConfigurationError(f"the Dask client is not connected ({client.status})", "make another one")
    return client
