"""What a client and the workers of its cluster say to each other about a place."""

from __future__ import annotations

import importlib
import logging
from dataclasses import dataclass
from typing import Any

from dicomover.events import Arrival, Refusal

__all__ = ["LEASE", "LONG_POLL", "Event", "Held", "Taken", "Trouble", "host"]

LEASE = 20.0
"""Seconds for which a place is kept although nobody asks what has come there: Dask tells nobody that a client died."""

LONG_POLL = 1.0
"""Seconds for which a worker waits for news before it says that there is none."""


Event = Arrival | Refusal


@dataclass(frozen=True, slots=True)
class Trouble:
    """Why a worker does not do what it was asked to."""

    what: str
    mend: str = ""
    is_gone: bool = False  # whether it has no such lease, or not any more
    is_passing: bool = False  # whether it may be otherwise in a moment, as with a port


@dataclass(frozen=True, slots=True)
class Held:
    """Another batch has the place; it is alive if the second number has grown when it is asked for again."""

    token: str
    asked: int


@dataclass(frozen=True, slots=True)
class Taken:
    """What has come since what was acknowledged, each with its number and its age, and how long it has been quiet.

    A clock is its machine's: what goes to another one are ages.
    """

    quiet: float
    uncalled: float
    events: list[tuple[int, float, Event]]


async def host(what: str, *arguments: Any) -> Any:
    """Do what a function of `hosting` does; on a worker, and all that Dask runs there.

    So its log can be kept free of that, many times a second; and nobody but a worker needs a receiver for it.
    """
    logging.getLogger("distributed.worker").addFilter(_is_others)  # a second time it is none
    return await getattr(importlib.import_module("dicomover.cluster.hosting"), what)(*arguments)


def _is_others(record: logging.LogRecord) -> bool:
    return record.args != (host.__name__,)
