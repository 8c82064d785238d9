"""Where profiles stand, and what the files say: TOML, as people save it. Nothing is kept between two calls."""

from __future__ import annotations

import codecs
import os
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dicomover.disk import open_file
from dicomover.errors import ConfigurationError

__all__ = ["PROJECT", "VARIABLE", "Source", "list_files", "parse", "read", "user_file"]

VARIABLE = "DICOMOVER_CONFIG"
"""Names the one file that is read in the place of all others."""

PROJECT = "dicomover.toml"
"""A project's own file, in the current folder; what it says wins over the user's."""

_MOST = 1 << 20  # bytes of a file
_UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_ESCAPES = ("Unescaped", "Invalid hex", "Escaped character")  # what tomllib says of a backslash in double quotes
_QUOTES = "write a Windows path in single quotes, such as 'C:\\certs\\ca.pem', or with slashes"


@dataclass(frozen=True, slots=True)
class Source:
    """A file that may hold profiles; `table` may hold secrets, and is not shown."""

    path: Path
    table: dict[str, Any] = field(default_factory=dict, repr=False)
    absent: str = ""  # why there is nothing; empty if the file was read
    is_private: bool = True  # False if others than its owner may read it

    @property
    def is_project(self) -> bool:
        """Whether it came with the current folder, and was not named by anybody: others may have written it."""
        return self.path.name == PROJECT and not os.environ.get(VARIABLE)

    def find(self, path: str) -> Path:
        """Return a path that the file names: below the file's own folder, unless it is a whole one."""
        return self.path.parent / _expand(path)


def user_file() -> Path:
    """Return where the user's own profiles stand."""
    import platformdirs

    return platformdirs.user_config_path("dicomover", appauthor=False) / "nodes.toml"


def list_files() -> list[Path]:
    """Return the files that profiles are looked for in; a later one wins."""
    named = os.environ.get(VARIABLE, "")
    return [_expand(named).absolute()] if named else [user_file(), Path(PROJECT).absolute()]


def read(path: Path) -> Source:
    """Read a file; one that is not there holds nothing. Raises ConfigurationError if it is not what it should be."""
    if os.fspath(path) == os.devnull:
        return Source(path)
    try:
        file = open_file(path)
    except (FileNotFoundError, NotADirectoryError):
        return Source(path, absent="not there")
    except OSError as error:
        if isinstance(error, PermissionError) and not _is_seen(path):  # somebody else's folder, such as root's
            return Source(path, absent=error.strerror or "not to be seen")
        raise ConfigurationError(f"{path} cannot be read ({error.strerror})", "mend its permissions") from error
    if file is None:
        raise ConfigurationError(f"{path} is no file", "put the profiles into a file of that name")
    with file:
        status = os.fstat(file.fileno())
        mode = status.st_mode
        if os.name == "posix" and not os.environ.get(VARIABLE):
            _refuse_anothers(path, {status.st_uid, path.lstat().st_uid}, mode)
        return Source(path, parse(file.read(_MOST + 1), path), "", os.name != "posix" or not mode & 0o077)


def _refuse_anothers(path: Path, owners: set[int], mode: int) -> None:
    """Raise ConfigurationError for a file that says where patients' numbers go in somebody else's words."""
    anyway = f"or name it in {VARIABLE}, if you trust it"
    if owners - {os.geteuid(), 0}:
        raise ConfigurationError(f"{path} is another user's", f"work elsewhere, copy it, {anyway}")
    if mode & 0o002:
        raise ConfigurationError(f"anybody can write {path}", f"chmod o-w, {anyway}")


def parse(raw: bytes, path: Path) -> dict[str, Any]:
    """Return what a file says; raises ConfigurationError, in which nothing of it is quoted."""
    if len(raw) > _MOST:
        raise ConfigurationError(f"{path} has more than {_MOST >> 20} MiB", "is it the file of profiles?")
    if raw.startswith(_UTF_16) or b"\0" in raw:
        raise ConfigurationError(f"{path} is not UTF-8, but looks like UTF-16", "save it as UTF-8")
    found: dict[str, Any] | None = None
    said, mend = "", "see https://toml.io"
    try:
        found = tomllib.loads(raw.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        line = 1 + raw.count(b"\n", 0, error.start)
        said, mend = f"{path} is not UTF-8, from line {line} on", "save it as UTF-8"
    except (ValueError, RecursionError) as error:
        said = f"{path} is no TOML: {str(error) or 'nested too deeply'}"
        mend = _QUOTES if any(each in str(error) for each in _ESCAPES) else mend
    if found is None:
        del raw  # a secret may stand in it, and a traceback shows what a frame holds
        raise ConfigurationError(said, mend)
    return found


def _expand(path: str) -> Path:
    """Return a path with the home folder in the place of `~`; raises ConfigurationError where there is none."""
    expanded = os.path.expanduser(path)  # noqa: PTH111 - pathlib raises an error of its own for nobody's home
    if expanded.startswith("~"):
        raise ConfigurationError(f"nobody's home folder is known for {path!r}", "write the whole path")
    return Path(expanded)


def _is_seen(path: Path) -> bool:
    try:
        path.stat()
    except OSError:
        return False
    return True
