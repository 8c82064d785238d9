"""Changing a file of profiles, and nothing in it but what is meant: comments, order and line ends stay as they are.

A file is changed as text. What comes out is read again, and has to say what it said before and the change, no more and
no less; else the file stays as it is, and who asked is told what to write.
"""

from __future__ import annotations

import contextlib
import copy
import os
import re
import stat
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from dicomover.disk import make_folders, replace_file
from dicomover.errors import ConfigurationError
from dicomover.node import Node
from dicomover.profiles.files import parse, read

__all__ = ["add_node", "write_quirks"]

_MARK = "\ufeff"
_WAITING = 5.0  # seconds for another one that changes the same file
_HEADER = re.compile(r"\s*\[")


def add_node(path: Path, name: str, node: Node) -> None:
    """Add a node at the end of a file, which is made if need be; raises ConfigurationError or OSError."""
    address = {"host": node.host, "port": node.port, "ae_title": node.ae_title}
    table = [f"[nodes.{_bare(name)}]", *(f"{key} = {_spell(value)}" for key, value in address.items())]
    with _alone(path):
        lines, end, mark = _lines(path)
        gap = [""] if lines and lines[-1].strip() else []
        _write(path, [*lines, *gap, *table], end, mark, ("nodes", name), address)


def write_quirks(path: Path, name: str, quirks: Mapping[str, Any]) -> None:
    """Put quirks into the table of a node; what else stands there stays. Raises ConfigurationError or OSError."""
    with _alone(path):
        _write_quirks(path, name, quirks)


def _write_quirks(path: Path, name: str, quirks: Mapping[str, Any]) -> None:
    lines, end, mark = _lines(path)
    own = next((at for at, line in enumerate(lines) if _is_header(line, "nodes", name, "quirks")), None)
    if own is None:
        above = next((at for at, line in enumerate(lines) if _is_header(line, "nodes", name)), len(lines) - 1)
        own = _end_of(lines, above)
        lines[own:own] = ["", f"[nodes.{_bare(name)}.quirks]"]
        own += 1
    left = dict(quirks)
    for at in range(own + 1, _end_of(lines, own)):
        if (match := re.match(r"(\s*([\w]+)\s*=\s*)[^#]*?(\s*(?:#.*)?)$", lines[at])) and match[2] in left:
            lines[at] = f"{match[1]}{_spell(left.pop(match[2]))}{match[3]}"
    at = _end_of(lines, own)
    lines[at:at] = [f"{key} = {_spell(value)}" for key, value in left.items()]
    _write(path, lines, end, mark, ("nodes", name, "quirks"), quirks)


@contextlib.contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Let nobody else of us change a file between its reading and its writing, where the system has such locks."""
    target = path.resolve()
    if path.is_symlink() and not target.exists():  # a folder that came from somebody could have us make a file anywhere
        raise ConfigurationError(
            f"{path} is a link to {target}, which is not there", "remove the link, or make that file"
        )
    folder = target.parent
    make_folders(folder, "owner")
    try:
        import fcntl
    except ImportError:  # on Windows
        yield
        return
    fd = os.open(folder, os.O_RDONLY)  # of the folder: the file is another one afterwards
    limit = time.monotonic() + _WAITING
    try:
        while True:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() > limit:
                    raise ConfigurationError(
                        f"{path} is being changed by another process", "try again when that has ended"
                    ) from None
                time.sleep(0.01)
            except OSError:  # a file system that has none
                break
            else:
                break
        yield
    finally:
        os.close(fd)


def _lines(path: Path) -> tuple[list[str], str, str]:
    """Return the lines of a file, how they end, and its byte order mark if it has one."""
    read(path)  # which says what is wrong with it
    raw = path.read_bytes() if path.exists() else b""
    text = raw.decode("utf-8")
    mark = _MARK if text.startswith(_MARK) else ""
    end = "\r\n" if "\r\n" in text else "\n"
    return re.split(r"\r?\n", text.removeprefix(mark).rstrip("\r\n")) if text else [], end, mark


def _is_header(line: str, *parts: str) -> bool:
    named = r"\s*\.\s*".join(rf"""["']?{re.escape(part)}["']?""" for part in parts)
    return re.fullmatch(rf"\s*\[\s*{named}\s*\]\s*(#.*)?", line) is not None


def _end_of(lines: list[str], header: int) -> int:
    """Return the line after the last one of a table that says something."""
    end = next((at for at in range(header + 1, len(lines)) if _HEADER.match(lines[at])), len(lines))
    while end > header + 1 and (not lines[end - 1].strip() or lines[end - 1].lstrip().startswith("#")):
        end -= 1  # a comment above the next header belongs to that
    return end


def _write(
    path: Path, lines: list[str], end: str, mark: str, where: tuple[str, ...], change: Mapping[str, Any]
) -> None:
    before = read(path).table
    wanted = copy.deepcopy(before)
    table = wanted
    for part in where:
        table = table.setdefault(part, {})
    table.update(change)
    raw = (mark + end.join(lines) + end).encode("utf-8")
    try:
        is_meant = parse(raw, path) == wanted
    except ConfigurationError:
        is_meant = False
    if not is_meant:
        said = ", ".join(f"{key} = {_spell(value)}" for key, value in change.items())
        raise ConfigurationError(
            f"{path} is written in a way that cannot be added to without changing more than is meant",
            f"write below [{'.'.join(where)}]: {said}",
        )
    target = path.resolve()  # a link stays one
    with replace_file(target) as part_file:
        part_file.write_bytes(raw)
        if target.exists():
            part_file.chmod(stat.S_IMODE(target.stat().st_mode))


def _bare(name: str) -> str:
    """Return a name as a key: a bare one has ASCII alone."""
    return name if name.isascii() else _spell(name)


def _spell(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int):
        return str(value)
    return '"' + str(value).replace("\\", "\\\\").replace('"', '\\"') + '"'
