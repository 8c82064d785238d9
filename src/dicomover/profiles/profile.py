"""A profile: one archive by its name, as a node, and what a Mover is usually told at it."""

from __future__ import annotations

import contextlib
import functools
import logging
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ParamSpec

from dicomover.errors import ConfigurationError
from dicomover.node import Node, Quirks, Timeouts, check_ae_title, check_port
from dicomover.policy.retry import Retry
from dicomover.policy.window import Window
from dicomover.profiles.files import VARIABLE, Source, list_files, read
from dicomover.profiles.keys import ME, NODE, check, suggest
from dicomover.profiles.secured import check_private, read_identity, read_tls

__all__ = ["Profile", "is_name", "list_profiles", "load_profile", "with_profile"]

logger = logging.getLogger("dicomover.profiles")

_NAME = re.compile(r"\w[\w-]{0,63}")
_TOP = ("me", "nodes")
_OF_NODE = ("host", "port", "ae_title", "name", "tls", "identity", "quirks", "me")
_RECEIVING = ("port", "bind", "workers", "addresses", "calling_ae_titles", "accept", "layout", "tls")
_CHECKS: Mapping[str, Callable[[Any], object]] = {
    "ae_title": check_ae_title,
    "port": functools.partial(check_port, lowest=0),
    "window": Window.parse,
    "retry": Retry.parse,
}

_Given = ParamSpec("_Given")


@dataclass(frozen=True, slots=True)
class Profile:
    """One archive, by the name that somebody has given it in a file."""

    name: str
    node: Node
    options: Mapping[str, Any] = field(repr=False)  # what a Mover is told, by the names of its parameters
    path: Path  # the file that says so

    def usual(self, given: Mapping[str, object]) -> dict[str, Any]:
        """Return what a Mover is told beside what is given, by the names of its parameters.

        Whoever says who receives has said that the other one does not; and how we receive is said only if we do.
        """
        whole = _lay_over(self.options, given)
        left_out = set(given)
        if whole.get("destination") is not None:
            left_out.add("via")
        if whole.get("receive") is None:
            left_out.update(_RECEIVING)
        return {name: value for name, value in whole.items() if name not in left_out}


def _lay_over(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is said in two places, of which one wins; who receives is said once."""
    other = {"receive": "destination", "destination": "receive"}
    ruled_out = {other[name] for name in other if above.get(name) is not None}
    return {**{name: value for name, value in below.items() if name not in ruled_out}, **above}


def is_name(text: object) -> bool:
    """Tell whether a text can be the name of a profile, and not `AET@host:port`.

    Examples
    --------
    >>> is_name("main"), is_name("ARCHIVE@pacs:104"), is_name("pacs:104")
    (True, False, False)
    """
    return isinstance(text, str) and _NAME.fullmatch(text.strip()) is not None


def load_profile(name: str) -> Profile:
    """Return a profile by its name; raises ConfigurationError if there is none, or a file is not what it should be.

    A node of the project's file stands in the place of the user's whole node of that name, so that a secret of the
    user's never goes to where a project says; of `[me]` each key does.
    """
    sources = _sources()
    found = {each: (table, source) for each, table, source in _tables(sources)}
    if name not in found:
        looked = " and ".join(f"{each.path}{f' ({each.absent})' if each.absent else ''}" for each in sources)
        near = suggest(name, found) if found else "write AET@host:port, or put it there by dicomover nodes add"
        raise ConfigurationError(f"there is no node {name!r} in {looked}", near)
    table, source = found[name]
    logger.info("the node %s is that of %s", name, source.path)
    return _make(name, table, _me(sources), source)


def list_profiles() -> list[Profile]:
    """Return all profiles, in the order in which the files name them."""
    sources = _sources()
    me = _me(sources)
    found = {name: (table, source) for name, table, source in _tables(sources)}
    return [_make(name, table, me, source) for name, (table, source) in found.items()]


def with_profile(init: Callable[_Given, None]) -> Callable[_Given, None]:
    """Let the name of a profile be a node: what is given wins over the profile, and that over the defaults.

    Only a name reads files: a `Node`, and a text such as `ARCHIVE@pacs:104`, are what they say, and nothing else.
    """

    @functools.wraps(init)
    def called(*args: _Given.args, **given: _Given.kwargs) -> None:
        node = args[1] if len(args) > 1 else given.get("node")
        if not is_name(node):
            return init(*args, **given)
        profile = load_profile(str(node).strip())
        said: dict[str, Any] = {**profile.usual(given), **given, "node": profile.node}
        as_known: Callable[..., None] = init
        return as_known(*args[:1], *args[2:], **said)

    return called


def _sources() -> list[Source]:
    sources = [read(path) for path in list_files()]
    for source in sources:
        for name, value in source.table.items():
            if name not in _TOP:
                mend = "put it below a line [nodes.NAME]" if name in NODE else suggest(name, _TOP)
                raise ConfigurationError(f"{source.path} has no table or key {name!r}", mend)
            names = value if isinstance(value, dict) else ()
            check(value, ME if name == "me" else dict.fromkeys(names, NODE), f"{source.path}: [{name}]")
        check_private(source)
    if len(sources) == 1 and sources[0].absent:
        raise ConfigurationError(
            f"{VARIABLE} names {str(sources[0].path)!r}, which is {sources[0].absent}", f"unset {VARIABLE}, or mend it"
        )
    return sources


def _me(sources: list[Source]) -> dict[str, Any]:
    """Return what is said of us, by the names of a Mover's parameters."""
    said: dict[str, Any] = {}
    for source in sources:
        said = _lay_over(said, _read_options(source.table.get("me", {}), source, "[me]"))
    return said


def _tables(sources: list[Source]) -> Iterator[tuple[str, Mapping[str, Any], Source]]:
    for source in sources:
        for name, table in source.table.get("nodes", {}).items():
            if not is_name(name):
                raise ConfigurationError(
                    f"{source.path}: {name[:100]!r} is no name for a node", "take letters, digits, - and _, 64 at most"
                )
            yield name, table, source


def _make(name: str, table: Mapping[str, Any], me: Mapping[str, Any], source: Source) -> Profile:
    where = f"{source.path}: [nodes.{name}]"
    for key in ("host", "port"):
        if key not in table:
            raise ConfigurationError(f"{where} has no {key}", f"say where the archive listens: {key} = ...")
    with _told_of(where):
        given = {key: table[key] for key in ("ae_title", "name") if key in table}
        given["tls"] = read_tls(table.get("tls", False), source)
        given["identity"] = read_identity(table["identity"], source) if "identity" in table else None
        node = Node(table["host"], table["port"], quirks=Quirks(**table.get("quirks", {})), **given)
    own = {key: value for key, value in table.items() if key not in _OF_NODE}
    options = _lay_over(me, _read_options(table.get("me", {}), source, f"[nodes.{name}.me]"))
    options |= _read_options(own, source, f"[nodes.{name}]")
    return Profile(name, node, options, source.path)


def _read_options(table: Mapping[str, Any], source: Source, where: str) -> dict[str, Any]:
    """Return a table's keys as a Mover takes them; raises ConfigurationError with the place of what cannot be meant."""
    said = dict(table)
    for name, value in table.items():
        with _told_of(f"{source.path}: {where} {name}"):
            if name == "timeouts":  # 0 is no limit, as at a shell: TOML has no None
                said[name] = Timeouts(**{key: seconds or None for key, seconds in value.items()})
            elif name == "receive":
                said[name] = source.find(value)
            elif name == "tls":
                said[name] = read_tls(value, source)
            elif name == "destination":
                said[name] = Node.parse(value) if "@" in value else check_ae_title(value, "Move Destination")
            elif name in _CHECKS:
                _CHECKS[name](value)
    return said


@contextlib.contextmanager
def _told_of(where: str) -> Iterator[None]:
    """Put the place before what cannot be meant there."""
    try:
        yield
    except ConfigurationError as error:
        raise ConfigurationError(f"{where}: {error.what}", error.mend) from None
