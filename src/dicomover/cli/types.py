"""The values that only some texts can be: each says what is wrong with another one."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from dicomover.errors import ConfigurationError
from dicomover.node import Node, check_ae_title

__all__ = ["AETitle", "Destination", "LevelName", "Seconds", "Share", "SplitName", "Text", "Whole", "Worded"]

if TYPE_CHECKING:
    _TextType = click.ParamType[str]
    _NumberType = click.ParamType[float]
    _WholeType = click.ParamType[int]
    _DestinationType = click.ParamType[str | Node]
else:  # older versions of click cannot be subscripted
    _TextType = _NumberType = _WholeType = _DestinationType = click.ParamType


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


class Share(_NumberType):
    """A number above 0 and not above 1."""

    name = "share"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Return it as a number."""
        try:
            share = float(value)
        except ValueError:
            share = 0.0
        if not 0 < share <= 1:
            self.fail(f"{value!r} is no share; give a number above 0 and at most 1, such as 0.5", param, ctx)
        return share


class SplitName(_TextType):
    """When a query is asked in parts."""

    name = "split"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return it as `auto`, `none` or a whole number above 0."""
        text = str(value)
        if text in ("auto", "none"):
            return text
        if not text.isdecimal() or int(text) < 1:
            self.fail(f"{text!r} is neither auto nor none nor a whole number above 0; give one", param, ctx)
        return int(text)


class LevelName(_TextType):
    """A Query/Retrieve Level in any case."""

    name = "level"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return it as the Standard writes it."""
        from dicomover.identifier import Level  # not before it is needed: help is to be there at once

        try:
            return str(Level.parse(value))
        except ConfigurationError as error:
            self.fail(str(error), param, ctx)


class Text(_TextType):
    """A text that the library can read, and that is handed on as it is."""

    name = "text"

    def __init__(self, read: Callable[[str], object]) -> None:
        self._read = read

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return it once it can be read."""
        try:
            self._read(value)
        except ConfigurationError as error:
            self.fail(str(error), param, ctx)
        return str(value)


class Worded(click.Option):
    """An option whose default is told in words, which click would put in brackets."""

    def get_help_record(self, ctx: click.Context) -> tuple[str, str] | None:
        """Return its names and its help."""
        record = super().get_help_record(ctx)
        if record is None or not isinstance(self.show_default, str):
            return record
        return record[0], record[1].replace(f"[default: ({self.show_default})", f"[default: {self.show_default}")
