"""The values of options that are more than click knows of: each is read by a function that says what is wrong."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from dicomover.errors import ConfigurationError
from dicomover.node import Node, check_ae_title

__all__ = [
    "Parsed",
    "Part",
    "Whole",
    "Worded",
    "read_destination",
    "read_level",
    "read_seconds",
    "read_shard",
    "read_split",
]

if TYPE_CHECKING:
    _Type = click.ParamType[Any]
else:  # older versions of click cannot be subscripted
    _Type = click.ParamType


class Parsed(_Type):
    """What a function makes of a text; it raises a ConfigurationError for one that cannot be meant."""

    def __init__(self, read: Callable[[str], object]) -> None:
        self.name = read.__name__.removeprefix("read_")
        self._read = read

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return it; what is no text any more has been read already."""
        try:
            return self._read(value) if isinstance(value, str) else value
        except ConfigurationError as error:
            self.fail(str(error), param, ctx)


class Whole(click.IntRange):
    """A whole number between bounds; what is none is called so."""

    name = "integer"


class Part(click.FloatRange):
    """A number between bounds; what is none is called so."""

    name = "number"


def read_destination(text: str) -> str | Node:
    """Return a Move Destination: an AE title, or the node if it is written `AET@host:port`."""
    return Node.parse(text) if "@" in text else check_ae_title(text)


def read_level(text: str) -> str:
    """Return a Query/Retrieve Level, given in any case, as the Standard writes it."""
    from dicomover.identifier import Level  # not before it is needed: help is to be there at once

    return str(Level.parse(text))


def read_seconds(text: str) -> float:
    """Return a number of seconds; 0 is no limit.

    Examples
    --------
    >>> read_seconds("2.5")
    2.5
    """
    try:
        seconds = float(text)
    except ValueError:
        raise ConfigurationError(f"{text!r} is no number of seconds", "give, say, 60, or 0 for no limit") from None
    if not 0 <= seconds < float("inf"):
        raise ConfigurationError(f"{text!r} is negative or no real number", "give seconds, or 0 for no limit")
    return seconds


def read_shard(text: str) -> object:
    """Return one of the parts that a batch is split into, given as `2/4`."""
    from dicomover.requests.shards import Shard  # as above

    return Shard.parse(text)


def read_split(text: str) -> str | int:
    """Return when a query is asked in parts: `auto`, `none`, or the most that the archive answers."""
    if text in ("auto", "none"):
        return text
    if not text.isdecimal() or len(text) > 9 or int(text) < 1:
        raise ConfigurationError(f"{text!r} is neither auto nor none nor a whole number above 0", "give one")
    return int(text)


class Worded(click.Option):
    """An option whose default is told in words, which click would put in brackets."""

    def get_help_record(self, ctx: click.Context) -> tuple[str, str] | None:
        """Return its names and its help."""
        record = super().get_help_record(ctx)
        if record is None or not isinstance(self.show_default, str):
            return record
        return record[0], record[1].replace(f"[default: ({self.show_default})", f"[default: {self.show_default}")
