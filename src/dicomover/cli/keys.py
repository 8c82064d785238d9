"""Query keys as they are typed (`-k`) or written in a file (`-f`); nothing of their values is ever shown."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import click
from pydicom import Dataset

from dicomover.attributes.attribute import attribute_of, put_value
from dicomover.errors import ConfigurationError
from dicomover.identifier import Level
from dicomover.requests.names import name_of

__all__ = ["keys_of", "level_among", "read_query_file"]

_LEVEL = "QueryRetrieveLevel"
_NOTATION = "write Keyword=value, gggg,eeee=value or (gggg,eeee)=value"

_DUMP = re.compile(r"\(\w{4},\w{4}\)\s+[A-Z]{2}\b")


@dataclass(frozen=True, slots=True)
class _Key:
    where: str
    keyword: str
    value: str


def keys_of(typed: Sequence[str], query_file: Path | None, *, bare: bool = False) -> dict[str, str]:
    """Return the keys of a request by keyword: those of the file, and over them those that were typed.

    Where `bare`, a keyword without `=` asks for an attribute. Raises click.BadParameter if one cannot be read; it is
    named by its line or its place.
    """
    in_file = [] if query_file is None else read_query_file(query_file, bare=bare)
    by_hand = [_key(text, f"key {n}", "-k", bare) for n, text in enumerate(typed, 1)]
    keys = _once(in_file, "-f") | _once(by_hand, "-k")
    return {keyword: key.value for keyword, key in keys.items()}


def read_query_file(path: Path, *, bare: bool = False) -> list[_Key]:
    """Read one key a line; blank lines and lines that begin with `#` are passed over."""
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise click.BadParameter(f"{path} cannot be read: {error.strerror}", param_hint="-f") from error
    if b"\0" in raw:
        message = f"{path} is no text file; a query file has one key a line, such as PatientID=4711"
        raise click.BadParameter(message, param_hint="-f")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = raw.decode("cp1252", "replace")
    keys = []
    for number, line in enumerate(text.splitlines(), 1):
        content = line.strip()
        if content and not content.startswith("#"):
            keys.append(_key(content, f"{path}, line {number}", "-f", bare))
    return keys


def _key(text: str, where: str, option: str, bare: bool) -> _Key:
    if option == "-f" and _DUMP.match(text):
        message = f"{where} is written as dcmdump prints it; a query file has one Keyword=value a line"
        raise click.BadParameter(f"{message}, such as AccessionNumber=00123", param_hint=option)
    name, equals, value = text.partition("=")
    if not equals and not bare:
        raise click.BadParameter(f"{where} has no '='; {_NOTATION}", param_hint=option)
    if not name.strip():
        raise click.BadParameter(f"{where} names no attribute before the '='; {_NOTATION}", param_hint=option)
    try:
        keyword = name_of(name)
    except KeyError as error:
        # Without "=" the whole text may be a value that went astray.
        shown = f"{name.strip()!r} " if equals else "what stands there "
        raise click.BadParameter(f"{where}: {shown}{error.args[0]}", param_hint=option) from error
    value = value.strip() if option == "-f" else value
    vr = attribute_of(keyword).vr
    try:
        put_value(Dataset(), attribute_of(keyword), "" if vr == "SQ" else value)
    except ValueError as error:
        message = f"{where}: the value of {keyword} cannot be written as {vr}, which the dictionary says it is"
        raise click.BadParameter(message, param_hint=option) from error
    return _Key(where, keyword, value)


def _once(keys: Sequence[_Key], option: str) -> dict[str, _Key]:
    found: dict[str, _Key] = {}
    for key in keys:
        if key.keyword in found:
            message = f"{key.keyword} is given twice, by {found[key.keyword].where} and {key.where}; keep one"
            if key.keyword.endswith("InstanceUID"):
                message += ", or join the UIDs with a backslash"
            raise click.BadParameter(message, param_hint=option)
        found[key.keyword] = key
    return found


def level_among(keys: Mapping[str, str], level: str | None) -> tuple[dict[str, str], str]:
    """Take a QueryRetrieveLevel out of the keys, as other tools have it there, and return the level to use."""
    rest = {keyword: value for keyword, value in keys.items() if keyword != _LEVEL}
    if _LEVEL not in keys:
        return rest, level or "auto"
    try:
        named = Level.parse(keys[_LEVEL])
    except ConfigurationError as error:
        raise click.BadParameter(f"{_LEVEL}: {error}", param_hint="-k") from error
    if level is not None and Level.parse(level) is not named:
        raise click.UsageError(f"-L says {Level.parse(level)}, the key {_LEVEL} says {named}; leave one out")
    return rest, str(named)
