"""What a Mover is told, and a call may say otherwise: its types, its checks, and what a batch runs with."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self, TypedDict, get_args

from dicomover.batch.ways import Via
from dicomover.errors import ConfigurationError
from dicomover.identifier import Level, Model
from dicomover.node import Node, Timeouts, check_ae_title, check_port
from dicomover.outcome import Verify
from dicomover.policy.pace import Pace
from dicomover.policy.retry import Retry, RetryLike
from dicomover.policy.window import Window
from dicomover.progress import View
from dicomover.query.targets import Resolve
from dicomover.requests.shards import Shard, ShardLike
from dicomover.text.face import advise, setting
from dicomover.wire.services import FIND, GET, RETRIEVE, WITHOUT_BULK

__all__ = [
    "OPTIONS",
    "BatchSettings",
    "Options",
    "Progress",
    "check_options",
    "check_port_named",
    "check_receiving",
    "find_destination",
    "find_shard",
    "make_pace",
    "say_reading",
]

Progress = str | bool | View


class Options(TypedDict, total=False):
    """What a call may say otherwise than the Mover."""

    destination: str
    level: str
    model: str
    associations: int
    timeouts: Timeouts
    verify: Verify
    recheck: bool
    max_matches: int | None
    retry: RetryLike
    window: Window | str | None
    max_per_minute: float | None
    utilization: float | None
    progress: Progress
    show_keys: bool
    via: Via
    headers_only: bool
    wildcards: bool | Sequence[str]
    force: bool
    shard: ShardLike | None
    on: Any
    places: Sequence[Any] | None


_OF_A_CALL = ("destination", "wildcards", "shard", "on", "places")
OPTIONS = tuple(name for name in Options.__annotations__ if name not in _OF_A_CALL)
"""Those of them that a Mover is told by the same names."""


class Reading(TypedDict):
    """How requests are to be read."""

    level: str
    model: str
    wildcards: bool | Sequence[str]
    show_keys: bool


def say_reading(options: Options) -> Reading:
    """Return what is said of how requests are to be read."""
    return {
        "level": options["level"],
        "model": options["model"],
        "wildcards": options.get("wildcards", False),
        "show_keys": options["show_keys"],
    }


def check_options(
    options: Options,
    destination: Node | None = None,  # a Move Destination that can be asked, if there is one
    *,
    receives: bool = False,  # whether we receive
) -> None:
    """Refuse what cannot be meant; raises ConfigurationError, and TypeError if there is no option of that name."""
    unknown = set(options) - set(Options.__annotations__)
    if unknown:
        known = ", ".join(sorted(Options.__annotations__))
        raise TypeError(f"{min(unknown)!r} cannot be said per call; these can: {known}")
    Retry.parse(options["retry"])
    make_pace(options)
    if "destination" in options:
        check_ae_title(options["destination"], "Move Destination")
    if options["level"] != "auto":
        Level.parse(options["level"])
    if options["model"] != "auto":
        Model.parse(options["model"])
    for name in ("associations", "max_matches"):
        value = options[name]
        if value is None and name == "max_matches":
            continue
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise ConfigurationError(f"{setting(name, value)} is not a whole number above 0", "give one")
    for switch in ("recheck", "show_keys", "force", "headers_only"):
        if not isinstance(options.get(switch, False), bool):
            raise ConfigurationError(f"{setting(switch, options[switch])} is neither True nor False", "choose one")
    wildcards = options.get("wildcards", False)
    if not isinstance(wildcards, bool | Sequence):
        raise ConfigurationError(f"{setting('wildcards', wildcards)} is neither a switch nor columns", "say True")
    find_shard(options)
    if options["verify"] not in get_args(Verify):
        raise ConfigurationError(
            f"{setting('verify', options['verify'])} is none of {', '.join(get_args(Verify))}", "choose one"
        )
    if options["verify"] == "destination" and (
        destination is None or destination.ae_title != options.get("destination")
    ):
        raise ConfigurationError(
            f"{setting('verify', 'destination')} asks the destination what has arrived: "
            f"{advise('give destination= as a Node, which says where it listens')}",
            f"if we receive, take {setting('verify', 'instances')}",
        )
    via = options.get("via", "move")
    if via not in get_args(Via):
        raise ConfigurationError(f"{setting('via', via)} is none of {', '.join(get_args(Via))}", "choose one")
    if via == "get" and "destination" in options and not receives:
        raise ConfigurationError(
            f"{setting('via', 'get')} brings images here, on our own association, and never to "
            f"{setting('destination', options['destination'])}",
            f"name a folder with {setting('receive')}, or leave out {setting('via')}",
        )
    if options.get("headers_only") and not receives:
        raise ConfigurationError(
            f"{setting('headers_only', True)} is for receiving: what another machine keeps we cannot say",
            f"name a folder with {setting('receive')}",
        )
    if not isinstance(options["timeouts"], Timeouts):
        raise ConfigurationError(f"timeouts={options['timeouts']!r} is no Timeouts", "write Timeouts(stall=120)")


def check_receiving(
    folder: object,  # where we receive; None if we do not, and then nothing is to be said of how
    destination: str | None,  # the Move Destination, if one is named
    ae_title: str,  # our own, which is the Move Destination when we receive
    **given: Any,  # what is said, whether it is the usual or not
) -> dict[str, Any]:
    """Return what is said of how we receive; raise ConfigurationError if it cannot be meant."""
    usual = {"workers": 1, "accept": "as-stored", "addresses": (), "calling_ae_titles": ()}
    said = {name: value for name, value in given.items() if value not in (None, usual.get(name))}
    for name, value in said.items() if folder is None else ():
        shown = setting(name, value) if isinstance(value, int | str) else setting(name)
        raise ConfigurationError(f"{shown} is for receiving", f"name a folder with {setting('receive')}")
    if folder is not None and destination not in (None, ae_title):
        raise ConfigurationError(
            f"{setting('destination', destination)} and {setting('receive')} cannot both be",
            f"when we receive, the Move Destination is our own AE title {ae_title!r}",
        )
    if folder is not None and not _is_path(str(folder)):
        raise ConfigurationError(f"{setting('receive')} is no path of a folder", "take odd characters out of it")
    if "port" in said:
        check_port(said["port"], lowest=0)
    return said


def _is_path(text: str) -> bool:
    with contextlib.suppress(UnicodeEncodeError):
        return b"\0" not in os.fsencode(text)
    return False


def check_port_named(receiving: Mapping[str, Any]) -> None:
    """Refuse to let a shard take any port that is free: on one machine the second would wait where nothing comes."""
    if "port" not in receiving:
        raise ConfigurationError(
            "shards that receive by C-MOVE listen at the same time, each where the archive sends its images",
            f"name the port of each with {setting('port')}, and its AE title with {setting('ae_title')}; or receive by "
            f"C-GET, which needs neither: {setting('via', 'get')}",
        )


def find_destination(options: Options) -> str:
    """Return who receives; raise ConfigurationError if nobody is named."""
    if "destination" not in options:
        raise ConfigurationError(
            "nobody is named to receive: give destination= (the AE title of a third party) or receive= (a folder)"
        )
    return options["destination"]


def find_shard(options: Options) -> Shard | None:
    """Return which rows of a batch are meant; None if all of them are."""
    shard = options.get("shard")
    return None if shard is None else Shard.parse(shard)


def make_pace(options: Options) -> Pace:
    """Make what says how fast the archive may be asked."""
    return Pace(
        associations=options["associations"],
        window=options["window"],
        max_per_minute=options["max_per_minute"],
        utilization=options["utilization"],
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchSettings:
    """What one batch runs with, read and checked.

    `names_missing` allows to ask what is missing, `senders_named` says that only named addresses can send, `bind` is
    the address that we listen on (None for every one), `fits_model` allows to ask in the model that is offered,
    `show_keys` to name rows by their keys, and `syntaxes` are those that C-GET asks for, by default all that can be
    filed.
    """

    destination: str
    timeouts: Timeouts
    associations: int = 2
    resolve: Resolve
    retry: Retry = Retry()  # noqa: RUF009 - frozen
    names_missing: bool = True
    senders_named: bool = False
    bind: str | None = None
    fits_model: bool = False
    show_keys: bool = False
    via: Via = "move"
    syntaxes: tuple[str, ...] = ()
    headers_only: bool = False

    @property
    def services(self) -> frozenset[str]:
        """What the workers' associations are opened for."""
        gets = GET | {WITHOUT_BULK} if self.headers_only else GET
        return RETRIEVE if self.via == "move" else FIND | gets if self.via == "get" else RETRIEVE | gets

    @classmethod
    def of(
        cls,
        options: Options,
        resolve: Resolve,
        receiving: Mapping[str, Any],
        syntaxes: Sequence[str] = (),
        *,
        fits_model: bool,
    ) -> Self:
        """Read all of the options, and what was said of how we receive."""
        return cls(
            destination=find_destination(options),
            timeouts=options["timeouts"],
            associations=options["associations"],
            resolve=resolve,
            retry=Retry.parse(options["retry"]),
            names_missing=options["verify"] != "none",
            senders_named=bool(receiving.get("addresses")),
            bind=receiving.get("bind"),
            fits_model=fits_model,
            show_keys=options["show_keys"],
            via=options.get("via", "move"),
            syntaxes=tuple(syntaxes),
            headers_only=options.get("headers_only", False),
        )
